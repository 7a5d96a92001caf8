"""Limits on how often somebody may ask: a token bucket for each client, in bounded memory.

Law: what a bucket holds is read and written under the lock of its shard, and nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any, NamedTuple

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import HookSpec, Tool

__all__ = ("Buckets", "Policy", "RateLimitTool", "TooManyRequests", "rate_limit")

SHARDS = 16


class Policy(NamedTuple):
    """What is allowed: `limit` requests in `window` seconds, `burst` of them at once."""

    name: str
    limit: float
    window: float
    burst: int
    max_keys: int


class Verdict(NamedTuple):
    """Whether a request may go on, and how many more may at once; seconds until one more may,
    and until the bucket is full."""

    allowed: bool
    remaining: int
    wait: float
    reset: float


class _Shard:
    """Some of the buckets: when each of them will be full again, the longest unused first."""

    __slots__ = ("full_at", "lock_of_full_at")

    def __init__(self) -> None:
        self.full_at: OrderedDict[str, float] = OrderedDict()
        self.lock_of_full_at = threading.Lock()


class Buckets:
    """A bucket for each key, of which only one number is kept: when it will be full again.

    A bucket of `burst` tokens gets one every `window / limit` seconds, and each request takes
    one. (In ATM's terms: the virtual scheduling algorithm, ITU-T I.371.) A bucket that is full
    need not be kept; beyond `max_keys` those go that have been used the longest time ago.
    """

    def __init__(self, policy: Policy, clock: Callable[[], float] = time.monotonic) -> None:
        if policy.limit <= 0 or policy.window <= 0 or policy.burst < 1:
            raise ValueError("tools.rate_limit: limit, window and burst must be positive.")
        self.policy = policy
        self.clock = clock
        self._interval = policy.window / policy.limit
        self._capacity = self._interval * policy.burst
        self._shards = tuple(_Shard() for _ in range(SHARDS))
        self._most = max(1, policy.max_keys // SHARDS)

    def take(self, key: str) -> Verdict:
        """Take a token out of the bucket of `key`. Any thread may call this."""
        # The hash of text is seeded: nobody can choose keys of one shard.
        shard = self._shards[hash(key) % SHARDS]
        buckets = shard.full_at
        with shard.lock_of_full_at:
            now = self.clock()
            full_at = max(buckets.get(key, now), now) + self._interval
            # A millionth of a token: sums of fractions are not exact.
            over = full_at - now - self._capacity
            if over > self._interval * 1e-6:
                buckets.move_to_end(key)
                return Verdict(False, 0, over, full_at - now - self._interval)
            buckets[key] = full_at
            buckets.move_to_end(key)
            # Each request that adds one bucket may remove two, so full ones do not pile up.
            for _ in range(2):
                oldest = next(iter(buckets))
                if buckets[oldest] > now and len(buckets) <= self._most:
                    break
                del buckets[oldest]
        remaining = int(-over / self._interval + 1e-6)
        wait = 0.0 if remaining else self._interval + over
        return Verdict(True, remaining, wait, full_at - now)

    def __len__(self) -> int:
        return sum(len(shard.full_at) for shard in self._shards)

    def clear(self) -> None:
        """Fill all buckets."""
        for shard in self._shards:
            with shard.lock_of_full_at:
                shard.full_at.clear()


#: As many as the configuration has policies.
_stores: dict[Policy, Buckets] = {}


class TooManyRequests(HTTPError):
    """429 (RFC 6585, 4), and after how many seconds to come again."""

    def __init__(self, message: str | None, seconds: int) -> None:
        HTTPError.__init__(self, 429, message or f"Too many requests: wait {seconds} s.")
        self.seconds = seconds

    def set_response(self) -> None:
        """Make the response this error."""
        HTTPError.set_response(self)
        # RFC 9110, 10.2.3. Not earlier: an error page begins without the old one's.
        serving.response.headers["Retry-After"] = str(self.seconds)


def _network(ip: str) -> str:
    """Return the address, or the network that one client has of IPv6 (RFC 6177): a /64."""
    # No address is longer (RFC 4291, 2.2), but what a proxy has been told may be.
    ip = ip[:45]
    if ":" not in ip:
        return ip
    import socket

    try:
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
    except (OSError, ValueError):
        return ip
    if packed[:12] == b"\0" * 10 + b"\xff\xff":  # IPv4 in IPv6 (RFC 4291, 2.5.5.2)
        return ".".join(map(str, packed[12:]))
    return packed[:8].hex()


def _key_of(request: Any, key: Any) -> str | None:
    """Return the name of the bucket for `request`; None if it needs none."""
    if callable(key):
        found = key()
        if found is None:
            return None
        text = "=" + str(found)
        if len(text) > 100:  # what clients say may be long
            from hashlib import sha256

            text = "#" + sha256(text.encode("utf-8", "replace")).hexdigest()
        return text
    if key == "login" and request.login:
        return "@" + str(request.login)[:100]
    return _network(request.remote.ip)


def _tell(policy: Policy, verdict: Verdict) -> None:
    """Say in the response what is allowed (draft-ietf-httpapi-ratelimit-headers-10, 3 and 4)."""
    headers = serving.response.headers
    name = policy.name.replace("\\", "").replace('"', "")
    window, limit = max(1, ceil(policy.window)), max(1, int(policy.limit))
    headers["RateLimit-Policy"] = f'"{name}";q={limit};w={window}'
    headers["RateLimit"] = f'"{name}";r={verdict.remaining};t={ceil(verdict.reset)}'


def rate_limit(
    limit: float = 60,
    window: float = 60,
    burst: int | None = None,
    key: Any = "ip",
    name: str = "default",
    headers: bool = True,
    message: str | None = None,
    max_keys: int = 65536,
) -> None:
    """Answer 429 to who asks too often (tool `rate_limit`).

    Args:
        limit, window: how many requests in how many seconds, in the long run.
        burst: how many at once; as many as `limit` if None.
        key: whose: 'ip', that of the client's address (of IPv6 its /64 network); 'login', that of
            the user, or of the address of who has not logged in; or a function without arguments
            that returns a text, or None not to count this request.
        name: paths that have this and all numbers in common share their buckets.
        headers: tell clients in the fields RateLimit and RateLimit-Policy.
        message: what the answer says.
        max_keys: how many buckets are kept.

    Each process counts for itself.
    """
    request = serving.request
    policy = Policy(name, limit, window, max(1, int(burst or limit)), max_keys)
    before = request._anew or request.prev
    if before is not None and getattr(before, "_rate_policy", None) == policy:
        request._rate_policy = policy
        return  # redirected internally, or begun anew: one request to the client
    who = _key_of(request, key)
    if who is None:
        return
    buckets = _stores.get(policy)
    if buckets is None:
        buckets = _stores.setdefault(policy, Buckets(policy))
    request._rate_policy = policy
    verdict = buckets.take(who)
    if headers:
        _tell(policy, verdict)
    if not verdict.allowed:
        raise TooManyRequests(message, max(1, ceil(verdict.wait)))


class RateLimitTool(Tool):
    """Counts addresses before the body is read, and users when it is known who they are."""

    def __init__(self) -> None:
        Tool.__init__(self, "before_request_body", rate_limit, "rate_limit", 35)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield the hook where the key can be told."""
        key = conf.get("key", "ip")
        if key not in ("ip", "login") and not callable(key):
            raise ValueError(
                f"tools.rate_limit.key must be 'ip', 'login' or a function, not {key!r}."
            )
        given = conf.get("priority")
        priority = self._priority_of(conf)
        if key == "ip":
            yield self._point, self.callable, priority, conf
        else:
            # A function may want the form; users are known behind `session_auth`.
            late = 55 if key == "login" else 20
            yield "before_handler", self.callable, late if given is None else priority, conf
