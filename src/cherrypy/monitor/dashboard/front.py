"""The front: takes what is asked of the dashboard, has the guard look at it, and finds who answers."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ..profiles import Profiles
from . import api, rooms
from .asked import Answer, Asked, Refusal, as_json, see
from .data import Data
from .guard import FIELDS, Guard
from .listing import Loggers
from .live import Live

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Door(NamedTuple):
    """What answers a path.

    open
        Whether that goes for people without any right.
    by_name
        Whether the dashboard's names are looked at: probes of health come by address.
    """

    answer: Callable[[Front, Asked], Answer]
    method: str = "GET"
    open: bool = False
    by_name: bool = True


class Front:
    """The dashboard of a monitor.

    answer
        Answers what is asked: a gateway of a `kirsch.Server`.
    """

    def __init__(self, monitor: Any, guard: Guard) -> None:
        self.monitor = monitor
        self.guard = guard
        self.data = Data(monitor)
        self.live = Live(self)
        self.profiles = Profiles()
        self.loggers = Loggers(monitor)

    @property
    def service(self) -> str:
        """The name of what is watched."""
        return str(self.monitor.settings["service"] or _program())

    @staticmethod
    def clock() -> float:
        """The present moment."""
        return time.time()

    def static(self, base: str, name: str) -> str:
        """Return the address of a static file, another one for each content."""
        return f"{base}/static/{name}?{_static(name)[1]}"

    def end(self) -> None:
        """End what was begun for people who look."""
        self.live.end()
        self.profiles.end()

    # -- the gateway -------------------------------------------------------------------------------

    def answer(self, exchange: Any) -> tuple[str, list[tuple[str, str]], Any]:
        """Answer on the dashboard's own listener."""
        return self.respond(exchange, "")

    def respond(self, exchange: Any, base: str) -> tuple[str, list[tuple[str, str]], Any]:
        """Answer where the dashboard stands at the path `base`."""
        html = False
        try:
            asked = Asked(exchange, base)
            html = "text/html" in asked.field("Accept")
            answer = self.reply(asked)
        except Refusal as refusal:
            answer = self.refused(refusal, html, base)
        except Exception as error:
            self.monitor.broken("dashboard", error)
            failed = Refusal("500 Internal Server Error", "The dashboard failed; the log says how.")
            answer = self.refused(failed, html, base)
        fields = [("Content-Type", answer.kind), *FIELDS, *answer.fields]
        if not any(name == "Cache-Control" for name, _ in answer.fields):
            fields.append(("Cache-Control", "no-store"))
        body = answer.body
        if type(body) is bytes:
            fields.append(("Content-Length", str(len(body))))
        return answer.status, fields, body

    def refused(self, refusal: Refusal, html: bool, base: str) -> Answer:
        """Return a refusal as a page, or as JSON."""
        if html:
            return rooms.refused_page(self, refusal, base)
        answer = as_json({"status": refusal.status, "error": refusal.words}, refusal.status)
        return answer._replace(fields=refusal.fields)

    def reply(self, asked: Asked) -> Answer:
        """Answer one request. Raises Refusal."""
        found = self.door(asked.path)
        if found is None or found.by_name:
            if not asked.base:
                self.guard.check_host(asked)
            asked.right = self.guard.right_of(asked)
        if not asked.right and not (found is not None and found.open):
            return self.unknown(asked)
        if found is None:
            raise Refusal("404 Not Found", "The dashboard has no such page.")
        method = "GET" if asked.method == "HEAD" else asked.method
        if method == "GET" and asked.path == "/login":
            return see(asked.base + "/")  # whoever goes to where a form was sent to
        if method != found.method:
            allowed = "GET, HEAD" if found.method == "GET" else found.method
            words = f"This is asked for by {found.method}."
            raise Refusal("405 Method Not Allowed", words, ("Allow", allowed))
        return found.answer(self, asked)

    @staticmethod
    def door(path: str) -> Door | None:
        """Return what answers a path."""
        found = DOORS.get(path)
        if found is None and path.startswith("/static/"):
            return _STATIC_DOOR
        return found

    def unknown(self, asked: Asked) -> Answer:
        """Answer somebody without any right: people are asked to log in."""
        if asked.method in ("GET", "HEAD") and "text/html" in asked.field("Accept"):
            if self.guard.tokens:
                return rooms.login_page(self, asked)
            raise Refusal("403 Forbidden", "You may not look at this dashboard.")
        if not self.guard.tokens:
            raise Refusal("403 Forbidden", "You may not look at this dashboard.")
        raise Refusal(
            "401 Unauthorized",
            "Say who you are: Authorization: Bearer TOKEN.",
            ("WWW-Authenticate", 'Bearer realm="dashboard"'),
        )


def _program() -> str:
    import sys

    name = os.path.basename(sys.argv[0] or "") if sys.argv else ""
    if name in ("", "-c", "-m", "__main__.py"):
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        name = (getattr(spec, "name", "") or "").removesuffix(".__main__").rpartition(".")[2]
    return name.removesuffix(".py") or "application"


# -- static files ----------------------------------------------------------------------------------


@cache
def _static(name: str) -> tuple[bytes, str, str]:
    """A static file: what it holds, a name for that, and its kind. The package's files never change."""
    kind = KINDS[os.path.splitext(name)[1]]
    with open(os.path.join(STATIC, name), "rb") as file:
        body = file.read()
    return body, hashlib.sha256(body).hexdigest()[:12], kind


_FILES = frozenset(os.listdir(STATIC)) if os.path.isdir(STATIC) else frozenset()


def static(front: Front, asked: Asked) -> Answer:
    """A file of the pages."""
    name = asked.path.removeprefix("/static/")
    if name not in _FILES:
        raise Refusal("404 Not Found", "There is no such file.")
    body, version, kind = _static(name)
    # By an address of its own each content may be kept; modules are imported without one.
    lasting = version in asked.exchange.head.query
    control = "private, max-age=31536000, immutable" if lasting else "no-cache"
    etag = f'"{version}"'
    fields = (("Cache-Control", control), ("ETag", etag))
    if asked.field("If-None-Match") == etag:
        return Answer(b"", kind, "304 Not Modified", fields)
    return Answer(body, kind, fields=fields)


# -- what others ask for ---------------------------------------------------------------------------


def live(front: Front, asked: Asked) -> Answer:
    """Figures each second for who listens to events, else the page of the requests in flight."""
    if "text/event-stream" in asked.field("Accept"):
        return front.live.listen()
    return rooms.live(front, asked)


def prometheus(front: Front, asked: Asked) -> Answer:
    """All metrics for Prometheus."""
    if not front.monitor.settings["prometheus"]:
        raise Refusal("404 Not Found", "monitor.prometheus is off.")
    from ..exporters.prometheus import answer

    kind, body = answer(front.monitor, asked.field("Accept"))
    return Answer(body, kind)


def alive(front: Front, asked: Asked) -> Answer:
    """Whether the process lives: it answers."""
    return _health(front, asked, "live")


def ready(front: Front, asked: Asked) -> Answer:
    """Whether the site takes requests."""
    return _health(front, asked, "ready")


def _health(front: Front, asked: Asked, which: str) -> Answer:
    from .. import health

    status, kind, body = health.answer(front.monitor, which, asked.field("Accept"))
    return Answer(body, kind, "200 OK" if status == 200 else "503 Service Unavailable")


def login(front: Front, asked: Asked) -> Answer:
    """Log in with a token."""
    front.guard.check_origin(asked)
    cookie = front.guard.login(asked, asked.form().get("password", "").strip())
    if not cookie:
        return rooms.login_page(front, asked, "That is not the token.")
    return see(asked.base + "/", ("Set-Cookie", cookie))


def logout(front: Front, asked: Asked) -> Answer:
    """Log out."""
    front.guard.check_origin(asked)
    return see(asked.base + "/", ("Set-Cookie", front.guard.logout(asked)))


_STATIC_DOOR = Door(static, open=True)

#: Every path.
DOORS: dict[str, Door] = {
    **{path: Door(answer) for path, answer in rooms.PAGES.items()},
    "/live": Door(live),
    **{path: Door(answer, "POST") for path, answer in rooms.ACTIONS.items()},
    "/api/series": Door(api.series),
    "/api/now": Door(api.now),
    "/api/routes": Door(api.routes),
    "/api/errors": Door(api.errors),
    "/api/slow": Door(api.slow),
    "/api/inflight": Door(api.inflight),
    "/api/statements": Door(api.statements),
    "/api/marks": Door(api.marks),
    "/api/alerts": Door(api.alerts),
    "/api/metrics": Door(api.metrics),
    "/api/board": Door(api.board),
    "/api/chart": Door(api.chart),
    "/metrics": Door(prometheus),
    "/-/live": Door(alive, open=True, by_name=False),
    "/-/ready": Door(ready, open=True, by_name=False),
    "/login": Door(login, "POST", open=True),
    "/logout": Door(logout, "POST", open=True),
}
