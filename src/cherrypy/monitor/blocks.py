"""Blocks: the requests of one route with one method and status, as one thread has counted them."""

from __future__ import annotations

from typing import Any

from .histograms import SCALES, Spread
from .routes import Route
from .shards import blocks_by
from .traces import APP, LAYERS, QUEUE, TOOLS, WSGI

_S = SCALES["s"]
_BY = SCALES["By"]
_ALWAYS = (QUEUE, WSGI, APP)

#: Requests that are counted together.
PENDING = 1024 * 7  # numbers


class Block:
    """The requests of one route with one method and status, counted by one thread.

    layers
        The time in each.
    duration, first, sizes, bodies, heads
        Of the whole request, until its first byte of response where that is not the last, of the
        response's body, of the request's, and of the request's head.
    slow, tolerable, frustrated
        How many took longer than `slow_threshold`, than the limit of Apdex, than four times that.
    """

    __slots__ = (
        "aborted",
        "bodies",
        "calls",
        "duration",
        "first",
        "frustrated",
        "heads",
        "layers",
        "limit",
        "lock",
        "pending",
        "route",
        "sizes",
        "slow",
        "streams",
        "tolerable",
    )

    def __init__(self, route: Route, limit: float, lock: Any) -> None:
        self.route = route
        self.limit = limit  # seconds beyond which a request is looked at
        self.lock = lock  # guards: what is pending is counted once; its thread's own
        # What is yet to be counted: duration, queue, wsgi, app, tools, bytes of
        # the body, bytes of the head.
        self.pending: list[float] = []
        self.duration = Spread(_S)
        self.first: Spread | None = None
        self.streams: Spread | None = None
        self.sizes = Spread(_BY)
        self.heads = Spread(_BY)
        self.bodies: Spread | None = None
        self.layers: list[Spread | None] = [
            Spread(_S) if layer in _ALWAYS else None for layer in range(len(LAYERS))
        ]
        self.calls: dict[int, Spread] = {}  # calls a request, by layer
        self.slow = 0
        self.tolerable = 0
        self.frustrated = 0
        self.aborted = 0

    def fold(self) -> None:
        """Count what is pending; many at once are a fraction of the work. Any thread may do this."""
        with self.lock:
            pending = self.pending
            number = len(pending)
            if number:
                self.count(pending[:number])
                del pending[:number]  # more may have come meanwhile

    def count(self, pending: list[float]) -> None:
        """Count requests."""
        self.duration.observe_all(pending[::7])
        layers: Any = self.layers
        layers[QUEUE].observe_all(pending[1::7])
        layers[WSGI].observe_all(pending[2::7])
        layers[APP].observe_all(pending[3::7])
        tools = pending[4::7]
        if any(tools):
            self.layer(TOOLS).observe_all(list(filter(None, tools)))
        self.sizes.observe_all(pending[5::7])
        self.heads.observe_all(pending[6::7])

    def add(self, other: Block) -> None:
        """Add what another thread has counted."""
        other.fold()
        self.duration.add(other.duration)
        self.sizes.add(other.sizes)
        self.heads.add(other.heads)
        for name in ("first", "streams", "bodies"):
            theirs = getattr(other, name)
            if theirs is not None:
                if getattr(self, name) is None:
                    setattr(self, name, Spread(theirs.scale))
                getattr(self, name).add(theirs)
        for layer, theirs in enumerate(other.layers):
            if theirs is not None:
                self.layer(layer).add(theirs)
        for layer, theirs in other.calls.copy().items():
            self.calls.setdefault(layer, Spread(theirs.scale)).add(theirs)
        self.slow += other.slow
        self.tolerable += other.tolerable
        self.frustrated += other.frustrated
        self.aborted += other.aborted

    def layer(self, layer: int) -> Spread:
        """The times in a layer."""
        found = self.layers[layer]
        if found is None:
            found = self.layers[layer] = Spread(_S)
        return found


@blocks_by
def _add_blocks(mine: dict[Any, Block], theirs: dict[Any, Block]) -> None:
    for key, block in theirs.items():
        found = mine.get(key)
        if found is None:
            found = mine[key] = Block(block.route, 0.0, block.lock)
        found.add(block)
