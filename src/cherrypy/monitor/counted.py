"""What the recorder's blocks say, as the metrics that others read."""

from __future__ import annotations

from typing import Any

from .blocks import Block
from .histograms import Spread
from .metrics import Labels, Metric
from .routes import UNMATCHED
from .shards import Shard
from .table import requests as r
from .table import servers as s
from .table import times as t
from .traces import DB, EXTERNAL, LAYERS

#: The metric of each layer.
LAYER_METRICS: tuple[Metric, ...] = tuple(getattr(t, "TIME_" + name.upper()) for name in LAYERS)
_CALLS = {DB: "cherrypy.db.calls_per_request", EXTERNAL: "cherrypy.external.calls_per_request"}


def count_blocks(blocks: dict[Any, Block], whole: Shard) -> None:
    """Add what requests have been to `whole`, as series of the metrics that are on."""
    for (route, method, status, minor, scheme), block in blocks.items():
        if not route.left_out:
            _Counting(whole, route, method, status, minor, scheme).count(block)


class _Counting:
    def __init__(
        self, whole: Shard, route: Any, method: str, status: str, minor: int, scheme: str
    ) -> None:
        self.whole = whole
        self.app = route.app
        self.route = route.name
        self.method = method
        self.status = status
        self.version = f"1.{minor}"
        self.scheme = scheme

    def count(self, block: Block) -> None:
        app, route, status = self.app, self.route, self.status
        failed = status[0] == "5"
        number = block.duration.count
        kind = (
            self.method,
            route,
            status,
            self.scheme,
            self.version,
            status if failed else "",
            app,
        )
        self.spread(r.HTTP_SERVER_REQUEST_DURATION, kind, block.duration)
        self.spread(r.HTTP_SERVER_RESPONSE_BODY_SIZE, (self.method, route, status), block.sizes)
        self.spread(r.HTTP_SERVER_REQUEST_BODY_SIZE, (self.method, route), block.bodies)
        self.spread(s.SERVER_HEADER_SIZE, (), block.heads)
        self.add(s.SERVER_PROTOCOL, (self.version,), number)
        self.add(r.REQUESTS, (app,), number)
        self.add(r.RESPONSES, (status[0] + "xx",), number)
        self.add(r.RESPONSES_CODE, (status,), number)
        self.add(r.REQUEST_SLOW, (route,), block.slow)
        self.add(r.REQUEST_ABORTED, ("write",), block.aborted)
        if route == UNMATCHED:
            self.add(r.REQUEST_UNMATCHED, (app,), number)
        self.spread(r.REQUEST_STREAM_DURATION, (route,), block.streams)
        # Where the first byte went out with the last, its time is the duration.
        self.spread(r.REQUEST_TTFB, (route,), block.first or block.duration)
        for layer, spread in enumerate(block.layers):
            metric = LAYER_METRICS[layer]
            self.spread(metric, (app, route) if len(metric.labels) > 1 else (app,), spread)
        self.count_calls(block, number)
        self.count_apdex(block, number, failed)

    def count_calls(self, block: Block, number: int) -> None:
        from .metrics import METRICS

        for layer, name in _CALLS.items():
            calls = block.calls.get(layer)
            if calls is not None:
                spread = calls.copy()
                none = number - calls.count
                if none > 0:
                    spread.buckets[0] = spread.buckets.get(0, 0) + none
                self.spread(METRICS[name], (self.route,), spread)

    def count_apdex(self, block: Block, number: int, failed: bool) -> None:
        """How many were satisfied, tolerated, frustrated: what Apdex is worked out from."""
        if failed:
            groups = (0, 0, number)
        else:
            tolerable, frustrated = block.tolerable, block.frustrated
            groups = (number - tolerable - frustrated, tolerable, frustrated)
        for group, count in zip(("satisfied", "tolerating", "frustrated"), groups, strict=True):
            self.add(r.APDEX_REQUESTS, (self.app, self.route, group), count)

    def add(self, metric: Metric, labels: Labels, count: float) -> None:
        if count and metric.on:
            counts = self.whole.counts
            counts[metric, labels] = counts.get((metric, labels), 0) + count

    def spread(self, metric: Metric, labels: Labels, spread: Spread | None) -> None:
        if spread is not None and spread.buckets and metric.on:
            self.whole.spread(metric, labels).add(spread)
