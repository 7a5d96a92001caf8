"""What instruments of HTTP clients count by: time, responses and errors of services of others.

A call lasts from its beginning until the head of the response is there; reading the body is in the
layer `external`, too. Law: of libraries that use each other the outermost counts, the others do not.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from ..metrics import OVERFLOW
from ..shards import Shard, own
from ..table import stores
from ..traces import EXTERNAL, clock
from .awaits import Wait, covered
from .guard import guard_of

DURATION = stores.HTTP_CLIENT_REQUEST_DURATION
ACTIVE = stores.HTTP_CLIENT_ACTIVE_REQUESTS
CALLS = stores.EXTERNAL_CALLS
RESPONSES = stores.EXTERNAL_RESPONSES
ERRORS = stores.EXTERNAL_ERRORS

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
OTHER = "_OTHER"

#: Hosts that are told apart.
MOST_HOSTS = 50

_lock = threading.RLock()  # guards: no more hosts than there may be, and what is under way
_hosts: set[str] = set()
#: Those not answered yet. Weakly: a program may drop a connection and ask no more.
_under_way: weakref.WeakSet[Call] = weakref.WeakSet()


def admit_host(host: str) -> str:
    """Return the host to count under: this one, or what stands for one too many."""
    if host in _hosts:
        return host
    with _lock:
        if len(_hosts) < MOST_HOSTS:
            _hosts.add(host)
            return host
    return OVERFLOW


def forget() -> None:
    """Admit hosts anew."""
    with _lock:
        _hosts.clear()
        _under_way.clear()


class Call:
    """A request to a service.

    library
        Whose instrument counts it.
    """

    __slots__ = (
        "__weakref__",
        "before",
        "began",
        "host",
        "library",
        "method",
        "scheme",
        "shard",
        "wait",
    )

    def __init__(self, library: str, method: Any, scheme: Any, host: Any) -> None:
        self.library = library
        self.ask(method)
        self.address(scheme, host)
        self.shard: Shard | None = None
        self.wait: Wait | None = None  # of one that a coroutine waits for
        self.before = 0
        self.began = clock()
        with _lock:
            _under_way.add(self)

    def ask(self, method: Any) -> None:
        """Be a request of this method."""
        word = method.decode("latin-1") if isinstance(method, bytes) else str(method)
        self.method = word.upper() if word.upper() in METHODS else OTHER

    def address(self, scheme: Any, host: Any) -> None:
        """Be a request to this host."""
        self.scheme = "https" if str(scheme) in ("https", "wss") else "http"
        self.host = admit_host(_plain(host))

    @property
    def label(self) -> str:
        """The label of the step."""
        return f"{self.method} {self.scheme}://{self.host}"

    def enter(self) -> None:
        """Be in the layer, in this thread."""
        self.shard = own.shard
        self.before = self.shard.trace.enter(EXTERNAL)

    def leave(self, *, step: bool = False) -> None:
        """Leave the layer again."""
        if self.wait is not None:
            self.wait.end(self.label)
            self.wait = None
        if self.shard is not None:
            self.shard.trace.leave(self.before, self.label if step else "", self.began)
            self.shard = None

    def answered(self, status: Any, took: float | None = None) -> None:
        """The head of the response is there.

        took
            Seconds that it took, where that was earlier.
        """
        self.leave(step=True)
        try:
            code = int(status)
            said = str(code)
            self._count(said, said if code >= 400 else "", took)
            RESPONSES.add(1, (self.scheme, f"{code // 100}xx"))
        except Exception as error:
            guard_of(self.library).failed(error)

    def failed(self, error: BaseException, kind: str = "") -> None:
        """There will be no response.

        kind
            A name for the error, where its class has none that tells much.
        """
        self.leave(step=True)
        try:
            kind = kind or type(error).__name__
            self._count("", kind)
            ERRORS.add(1, (self.scheme, self.host, kind))
        except Exception as more:
            guard_of(self.library).failed(more)

    def dropped(self) -> None:
        """Nobody waits for the response any more."""
        self.leave()
        with _lock:
            _under_way.discard(self)

    def _count(self, status: str, kind: str, took: float | None = None) -> None:
        with _lock:
            _under_way.discard(self)
        if took is None:
            took = clock() - self.began
        DURATION.observe(took, (self.method, self.host, status, kind))
        CALLS.add(1, (self.scheme, self.host))


def _plain(host: Any) -> str:
    name = host.decode("latin-1", "replace") if isinstance(host, bytes) else str(host or "")
    return name.lower().rstrip(".")[:100]


def inside() -> bool:
    """Whether this is part of a call that is counted, or is done by the monitor itself."""
    if own.trace.layer == EXTERNAL or covered.get():
        return True
    name = threading.current_thread().name
    return name == "monitor" or name.startswith("monitor-")


def active() -> dict[tuple[Any, ...], float]:
    """How many calls are under way, by host; those seen before stay, with 0."""
    with _lock:
        found: dict[tuple[Any, ...], float] = {(host,): 0 for host in _hosts}
        for call in _under_way:
            found[call.host,] = found.get((call.host,), 0) + 1
    return found


ACTIVE.sample(active)
