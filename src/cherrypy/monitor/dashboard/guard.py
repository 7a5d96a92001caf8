"""The guard: who may ask the dashboard, and for what. Law: what is not allowed is refused before anything is read.

Against pages of others in the same browser: names that are not ours (rebinding) are refused, actions
take a POST from our own origin with a token that only our pages know. Against guessing: limits.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any

from .asked import Asked, Refusal

VIEW, ACT = "view", "act"

#: Fields of every answer.
FIELDS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))

#: Seconds that a login lasts.
LASTS = 7 * 86400
#: Characters that a token has at least: it can be tried against.
SHORTEST = 16


class Unsafe(Exception):
    """The dashboard would be open to people whom nobody has let in: the engine does not start."""

    stops_the_monitor = True


class Limit:
    """How often something may be done: a bucket of tokens for each who does it, in bounded memory.

    most
        Times at once.
    every
        Seconds after which one more is allowed.
    """

    def __init__(self, most: int, every: float, peers: int = 1024) -> None:
        self.most = most
        self.every = every
        self.peers = peers
        self._lock = threading.Lock()  # guards: no time is given twice
        self._due: dict[str, float] = {}

    def wait(self, who: str) -> float:
        """Take one; the seconds to wait when there is none, else 0."""
        now = time.monotonic()
        with self._lock:
            due = max(self._due.pop(who, -inf), now - self.every * (self.most - 1))
            if due > now:
                self._due[who] = due
                return due - now
            if len(self._due) >= self.peers:
                del self._due[next(iter(self._due))]  # who came first has most likely gone
            self._due[who] = due + self.every
        return 0.0

    def take(self, who: str, words: str) -> None:
        """Take one. Raises Refusal when there is none."""
        wait = self.wait(who)
        if wait > 0:
            after = ("Retry-After", str(int(wait) + 1))
            raise Refusal("429 Too Many Requests", f"{words} Try again in {wait:.0f} s.", after)


def tokens_of(auth: Any) -> list[tuple[str, str]]:
    """Return (token, right) of the setting: 'token:…' may do all, 'view:…' look.

    Raises Unsafe for what nobody could have meant.
    """
    found = []
    for one in auth if isinstance(auth, (list, tuple)) else [auth]:
        kind, _, token = str(one).partition(":")
        if kind not in ("token", "view"):
            raise Unsafe(
                f"monitor.dashboard.auth cannot be {kind + ':…'!r}. Say 'token:SECRET' for all "
                "rights, 'view:SECRET' for looking only, a list of these, or give a callable."
            )
        if len(token) < SHORTEST:
            raise Unsafe(
                f"The token in monitor.dashboard.auth is too short: take {SHORTEST} characters or "
                'more, such as those of python -c "import secrets; print(secrets.token_urlsafe())"'
            )
        found.append((token, ACT if kind == "token" else VIEW))
    return found


class Guard:
    """Who may do what.

    auth
        None for all who reach it, 'token:…' and 'view:…', a list of these, or a callable that takes
        the request (`asked.Asked`) and returns None, 'view' or 'act'.
    hosts
        Names by which it may be asked for, besides those of the loopback interface.
    any_address
        Whether it may be asked for by any address as well: no name of others leads to a number.
    """

    def __init__(self, auth: Any, hosts: list[str], any_address: bool = False) -> None:
        self.ask: Callable[[Asked], str | None] | None = auth if callable(auth) else None
        self.tokens = [] if auth is None or self.ask is not None else tokens_of(auth)
        self.open = auth is None
        self.hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self.any_address = any_address
        # Only our own pages know it: it comes with each action.
        self.secret = secrets.token_bytes(32)
        self.tries = Limit(5, 10.0)
        self.acts = Limit(20, 2.0)

    # -- names -------------------------------------------------------------------------------------

    def check_host(self, asked: Asked) -> None:
        """Refuse a name that is not ours: a page of others may have made it lead here."""
        name = host_of(asked.field("Host"))
        if name in self.hosts or (self.any_address and _is_address(name)):
            return
        raise Refusal(
            "421 Misdirected Request",
            "The dashboard is not known by this name. Names besides localhost are listed in "
            "monitor.dashboard.hosts.",
        )

    # -- rights ------------------------------------------------------------------------------------

    def right_of(self, asked: Asked) -> str:
        """Return what who asks may do: '', 'view' or 'act'."""
        if self.open:
            return ACT
        if self.ask is not None:
            right = self.ask(asked)
            return right if right in (VIEW, ACT) else ""
        scheme, _, given = asked.field("Authorization").partition(" ")
        if scheme.lower() == "bearer":
            self.tries_left(asked)
            right = self.right_by(given.strip())
            if not right:
                self.failed(asked)
            return right
        return self.right_in(asked.cookie(self.cookie(asked)))

    def right_by(self, token: str) -> str:
        """Return the right that a token gives; the time tells nothing of it."""
        found = ""
        given = token.encode("utf-8", "replace")
        for known, right in self.tokens:
            if hmac.compare_digest(known.encode(), given):
                found = right
        return found

    def tries_left(self, asked: Asked) -> None:
        """Refuse who has tried too often."""
        with self.tries._lock:
            wait = self.tries._due.get(asked.peer, 0.0) - time.monotonic()
        if wait > 0:
            seconds = int(wait) + 1
            words = f"Too many wrong tokens came from your address: try again in {seconds} s."
            after = ("Retry-After", str(seconds))
            raise Refusal("429 Too Many Requests", words, after)

    def failed(self, asked: Asked) -> None:
        """Remember that somebody has tried a wrong token."""
        self.tries.wait(asked.peer)

    # -- the cookie of a login: the right and its end, signed with the token -----------------------

    @staticmethod
    def cookie(asked: Asked) -> str:
        """Its name: cookies know no ports, so several dashboards of one machine have one each."""
        port = asked.exchange.local[1]
        return f"kirsch_dashboard_{port}"

    def login(self, asked: Asked, token: str) -> str:
        """Return the Set-Cookie of a login, '' for a wrong token. Raises Refusal after too many."""
        self.tries_left(asked)
        right = self.right_by(token)
        if not right:
            self.failed(asked)
            return ""
        until = str(int(time.time()) + LASTS)
        value = f"{right}.{until}.{self._sign(token, right, until)}"
        return self._set(asked, value, LASTS)

    def logout(self, asked: Asked) -> str:
        """Return the Set-Cookie that ends a login."""
        return self._set(asked, "", 0)

    def _set(self, asked: Asked, value: str, lasts: int) -> str:
        secure = "; Secure" if asked.exchange.scheme == "https" else ""
        return (
            f"{self.cookie(asked)}={value}; Path={asked.base or '/'}; Max-Age={lasts}; HttpOnly; "
            f"SameSite=Strict{secure}"
        )

    def right_in(self, cookie: str) -> str:
        """Return the right in a cookie that we have signed, as long as its token is in force."""
        right, _, rest = cookie.partition(".")
        until, _, sign = rest.partition(".")
        if not until.isdigit() or len(until) > 12 or int(until) < time.time():
            return ""
        for token, granted in self.tokens:
            given = sign.encode("utf-8", "replace")
            if granted == right and hmac.compare_digest(
                self._sign(token, right, until).encode(), given
            ):
                return right
        return ""

    @staticmethod
    def _sign(token: str, right: str, until: str) -> str:
        key = hashlib.sha256(b"kirsch dashboard\0" + token.encode()).digest()
        return hmac.new(key, f"{right}.{until}".encode(), hashlib.sha256).hexdigest()

    # -- actions -----------------------------------------------------------------------------------

    def token(self) -> str:
        """What comes with each action."""
        return hmac.new(self.secret, b"act", hashlib.sha256).hexdigest()

    def check_origin(self, asked: Asked) -> None:
        """Refuse a request that a page of others has made."""
        site = asked.field("Sec-Fetch-Site")
        origin = asked.field("Origin")
        ours = f"{asked.exchange.scheme}://{asked.field('Host')}".lower()
        if site not in ("", "same-origin", "none") or (origin and origin.lower() != ours):
            raise Refusal("403 Forbidden", "This was asked for by a page of another site.")

    def check_action(self, asked: Asked, form: dict[str, str]) -> None:
        """Refuse an action without the right, from elsewhere, without our token, or too often.

        Who comes with `Authorization` has no need of the token: no page of others can send that.
        """
        if asked.right != ACT:
            raise Refusal("403 Forbidden", "You may look, but not act.")
        self.check_origin(asked)
        given = form.get("token", "") or asked.field("X-Kirsch-Token")
        with_field = bool(self.tokens) and bool(asked.field("Authorization"))
        if not with_field and not hmac.compare_digest(
            self.token().encode(), given.encode("utf-8", "replace")
        ):
            raise Refusal("403 Forbidden", "The page is too old: load it again, then repeat this.")
        self.acts.take(asked.peer, "That is often enough.")


def host_of(field: str) -> str:
    """Return the name in a Host field, without its port."""
    field = field.strip().lower()
    if field.startswith("["):
        return field[: field.find("]") + 1]
    return field.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
