"""The recorder: sees every request of the HTTP servers from its arrival to the end of its response.

It stands in the place of a server's gateway and of three calls of the framework while it is on; off,
nothing of it is there. Law: what it does to a request must not fail the request, and costs at most
1.5 microseconds (`benchmarks/monitor.py`).
"""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

from kirsch.server.gateway import Closing, FileWrapper, Handover, Upgrade
from kirsch.server.input import EMPTY
from kirsch.server.parked import Parked
from kirsch.server.workers import called

from ..framework.exchange import answer as ask
from ..framework.tree import Tree
from ..hosting.direct import DirectGateway
from .blocks import PENDING, Block
from .bodies import Sent, SizedBody, WatchedBody
from .histograms import COUNTED, SCALES, Spread
from .routes import FOREIGN, LONGEST, Route, Routes
from .shards import Shard, living, own
from .traces import APP, QUEUE, READ, TOOLS, WRITE, WSGI, Trace, clock

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
OTHER = "_OTHER"  # OpenTelemetry's word for a method that nobody has heard of

SECONDS, BYTES = SCALES["s"], SCALES["By"]
_USUAL = frozenset((QUEUE, WSGI, APP, TOOLS))

#: Paths, and combinations of path, page and answer, whose block each thread remembers; a full table
#: starts over.
HOT = 4096


_NO_SERVER = SimpleNamespace(app=None)


class Recorder:
    """Counts requests. One for the process; `watched` puts it in the way of a server's requests.

    tune
        Sets `limit` and `slow` of a new route.
    """

    def __init__(self, tune: Any = None) -> None:
        self.routes = Routes()
        self.tune = tune
        #: Called with the trace, the route, the status and the seconds of requests that were slow,
        #: failed or were aborted: `books.Books.consider`.
        self.consider: Any = None
        #: Told of the recorder's own failures; none of them is a request's.
        self.broken: Any = lambda error: None
        # Requests that wait without a thread, with their traces.
        self.parked: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        # Connections that speak something else from now on, with the names of the routes that let
        # them: for those who count what comes then.
        self.away_from: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    # -- a request whose response is all there -----------------------------------------------------

    def watched(self, gateway: Any) -> Any:
        """Return a gateway that answers as `gateway` does, and is counted."""
        record, later, begun, known = self.record, self.later, self.begun, self.known
        call, empty, app_layer, tools_layer, many = called(gateway), EMPTY, APP, TOOLS, PENDING
        # Of any other gateway nobody knows what it does.
        kirsch: Any = gateway.server.kirsch if type(gateway) is DirectGateway else _NO_SERVER

        def watched(exchange: Any) -> Any:
            connection, head = exchange.connection, exchange.head
            worker = connection.worker
            shard = worker.watch or begun(worker)
            exchange.watch = trace = shard.trace
            if trace.more:
                trace.forget()  # what a thread did before it served is no request's
            trace.live = exchange
            trace.began = came = worker.came
            since = worker.now
            if exchange.body is not empty:
                self.reading(trace, exchange)
            try:
                tree, path, turn = kirsch.app, head.path, worker.turn
                mounted = tree.direct(path, turn) if type(tree) is Tree and path != "*" else None
                if mounted is None:
                    answer = call(exchange)
                else:  # what the gateway does then, without the call
                    body, highest = exchange.body, kirsch.settings.protocol
                    answer = ask(mounted, head, body, exchange, FileWrapper, highest, True, turn)
            except BaseException as error:
                trace.error = error
                record(trace, exchange, "500", 0, clock(), since - came)
                raise
            status, _, body = answer
            if type(body) is not bytes:
                return later(trace, exchange, answer, body, since - came)
            ended = clock()
            if trace.more:
                record(trace, exchange, status, len(body), ended, since - came)
                return answer
            # What `record` does, for those of which there is nothing special to say.
            try:
                page, method, code, minor, scheme, block = shard.hot[path]
                if (
                    page is not trace.page
                    or code != status
                    or method != head.method
                    or minor != head.minor
                    or scheme is not connection.scheme
                ):
                    raise KeyError
            except KeyError:
                block = known(shard, trace, exchange, status)
                if block is None:
                    record(trace, exchange, status, len(body), ended, since - came)
                    return answer
            took = ended - came
            seconds = trace.seconds
            app, tools = seconds[app_layer], seconds[tools_layer]
            pending = block.pending
            # One step, so that whoever counts what is pending finds whole requests.
            pending += (
                took,
                since - came,
                ended - since - app - tools,
                app,
                tools,
                len(body),
                head.size,
            )
            if took > block.limit:
                seconds[QUEUE], seconds[WSGI] = since - came, ended - since - app - tools
                self.late(block, trace, status, took)
                trace.forget()
            if len(pending) >= many:
                self.fold(block)
            seconds[app_layer] = seconds[tools_layer] = 0.0
            trace.live = trace.request = trace.page = None
            return answer

        watched.__wrapped__ = gateway  # type: ignore[attr-defined]  # as functools has it
        return watched

    @staticmethod
    def begun(worker: Any) -> Shard:
        """Return the shard of the present thread, a worker's, and let the worker keep it."""
        worker.watch = own.shard
        return own.shard

    def known(self, shard: Shard, trace: Trace, exchange: Any, status: str) -> Block | None:
        """Where requests of this path, page and answer are counted; the next such one is found at once.

        None if nobody knows, or it is not to be remembered.
        """
        head, page, scheme = exchange.head, trace.page, exchange.connection.scheme
        path, hot = head.path, shard.hot
        if page is None or len(path) > LONGEST or len(status) > LONGEST:
            return None
        try:
            facts = (page, head.method, status, head.minor, scheme)
            block: Block | None = hot.get((path, facts))
            if block is None:
                if len(hot) >= HOT:
                    hot = shard.hot = {}
                block = hot[path, facts] = self.place(shard, trace, exchange, status)
            hot[path] = (*facts, block)
            return block
        except Exception as error:
            self.broken(error)
            return None

    def place(self, shard: Shard, trace: Trace, exchange: Any, status: str) -> Block:
        """The block in which a request is counted."""
        head, request = exchange.head, trace.request
        if request is None:
            route = self.foreign(exchange)
        else:
            route = self.routes.of(request, trace.page)
        method = head.method if head.method in METHODS else OTHER
        key = (route, method, status[:3], head.minor, exchange.connection.scheme)
        block: Block | None = shard.blocks.get(key)
        if block is None:
            block = shard.blocks[key] = self.block(route, status, shard)
        return block

    def record(
        self,
        trace: Trace,
        exchange: Any,
        status: str,
        size: int,
        ended: float,
        queue: float,
        first: float = 0.0,
        aborted: bool = False,
    ) -> Block | None:
        """Count a request that has ended; None if that failed.

        queue
            The seconds that it waited.
        first
            When its first byte went out, if that was not the last.
        """
        seconds = trace.seconds
        block = None
        try:
            seconds[trace.layer] += ended - trace.since
            head = exchange.head
            block = self.place(own.shard, trace, exchange, status)
            took = ended - trace.began
            seconds[WSGI] = 0.0
            seconds[WSGI] = max(0.0, took - queue - sum(seconds))
            seconds[QUEUE] = queue
            block.pending.extend(
                (
                    took,
                    queue,
                    seconds[WSGI],
                    seconds[APP],
                    seconds[TOOLS],
                    size,
                    head.size,
                )
            )
            if trace.more:
                self.more(block, trace)
            if first or aborted or head.length:
                self.rest(block, exchange, trace, ended, first, aborted)
            if took > block.limit or aborted:
                self.late(block, trace, status, took)
            if len(block.pending) >= PENDING:
                self.fold(block)
        except Exception as error:
            self.broken(error)
        trace.forget()
        return block

    def block(self, route: Route, status: str, shard: Shard) -> Block:
        """Return a new block of a route."""
        if self.tune is not None:
            self.tune(route)
        return Block(route, _limit(route, status), shard.lock)

    def retune(self) -> None:
        """Give all routes the limits that hold now."""
        for shard in living():
            for (route, _, status, _, _), block in shard.blocks.copy().items():
                if self.tune is not None:
                    self.tune(route)
                block.limit = _limit(route, status)

    def foreign(self, exchange: Any) -> Route:
        """The route of a request that no application of the framework has seen."""
        return self.routes.get("", FOREIGN)

    def reading(self, trace: Trace, exchange: Any) -> None:
        """A request with a body: what it took to come is its time, too."""
        since = exchange.connection.body_since
        trace.more = True  # its size is counted, too
        if 0.0 < since < trace.began:
            trace.seconds[READ] = trace.began - since
            trace.began = since

    def more(self, block: Block, trace: Trace) -> None:
        """Count the time in the layers that not every request has, and what was called there."""
        seconds = trace.seconds
        for layer, value in enumerate(seconds):
            if value and layer not in _USUAL:
                block.layer(layer).observe(value)
        for layer, count in trace.calls.items():
            spread = block.calls.get(layer)
            if spread is None:
                spread = block.calls[layer] = Spread(COUNTED)
            spread.observe(count)

    def rest(
        self,
        block: Block,
        exchange: Any,
        trace: Trace,
        ended: float,
        first: float,
        aborted: bool,
    ) -> None:
        """Count what few requests have: a body, a stream, a peer that left."""
        if first:
            if block.first is None:
                block.first = Spread(SECONDS)
                block.streams = Spread(SECONDS)
            block.first.observe(first - trace.began)
            block.streams.observe(ended - first)  # type: ignore[union-attr]  # made above
        if aborted:
            block.aborted += 1
        length = exchange.head.length
        if length:
            if block.bodies is None:
                block.bodies = Spread(BYTES)
            block.bodies.observe(length)

    def fold(self, block: Block) -> None:
        """Count what is pending; if that fails it is given up, as it would fail again."""
        try:
            block.fold()
        except Exception as error:
            block.pending.clear()
            self.broken(error)

    def late(self, block: Block, trace: Trace, status: str, took: float) -> None:
        """Count a request that does not satisfy, and have it looked at."""
        route = block.route
        if took > route.limit:
            if took > 4 * route.limit:
                block.frustrated += 1
            else:
                block.tolerable += 1
        if took > route.slow:
            block.slow += 1
        if self.consider is not None:
            try:
                self.consider(trace, route, status, took)
            except Exception as error:
                self.broken(error)

    # -- a request whose response is still to be made ----------------------------------------------

    def later(self, trace: Trace, exchange: Any, answer: Any, body: Any, queue: float) -> Any:
        """Count a request when its body has ended. Returns the answer, perhaps with another body."""
        try:
            return self._later(trace, exchange, answer, body, queue)
        except Exception as error:  # it goes uncounted, and its answer as it is
            self.broken(error)
            trace.forget()
            return answer

    def _later(self, trace: Trace, exchange: Any, answer: Any, body: Any, queue: float) -> Any:
        status, headers, _ = answer
        kind = type(body)
        if kind is list or kind is tuple:
            self.record(trace, exchange, status, sum(map(len, body)), clock(), queue)
            return answer
        if kind is Upgrade:
            block = self.record(trace, exchange, status, 0, clock(), queue)
            if block is not None:
                self.away_from[exchange.connection] = block.route.name
            return answer
        if kind is Handover:
            self.away(trace, exchange, status, body, queue)
            return answer
        if kind is FileWrapper or kind is Closing:
            exchange.watch = None
            Sent(self, trace.moved(), exchange, status, body, queue)
            return answer
        trace.enter(WRITE)
        wrapper = SizedBody if hasattr(kind, "__len__") else WatchedBody
        return status, headers, wrapper(self, trace, exchange, status, headers, body, queue)

    def away(self, trace: Trace, exchange: Any, status: str, body: Handover, queue: float) -> None:
        """The response is made elsewhere: by a feed, or by a worker that goes on with the request."""
        away: Any = getattr(body.begin, "__self__", None)
        exchange.watch = None
        if isinstance(away, Parked):
            moved = trace.moved()
            moved.enter(APP)  # what it waits for is the page's business
            self.parked[away] = (moved, exchange, queue)
            if moved.request is not None:
                moved.request._trace = moved  # for what its coroutine calls
            return
        moved = trace.moved()
        if moved.request is not None:
            self.away_from[exchange.connection] = self.routes.of(moved.request, moved.page).name
        first = clock()
        ended = getattr(away, "ended", None)
        if ended is None:
            self.record(moved, exchange, status, 0, first, queue)
            return

        def finished() -> Any:
            self.record(moved, exchange, status, 0, clock(), queue, first)
            return ended()

        moved.enter(WRITE)
        away.ended = finished

    def resumed(self, parked: Any, work: Any) -> Any:
        """Return the rest of a parked request's work, counted."""
        known = self.parked.pop(parked, None)
        if known is None:
            return work
        moved, exchange, queue = known

        def counted() -> Any:
            exchange.watch = trace = own.trace
            trace.take(moved)
            trace.leave(WSGI)
            answer = work()
            body = answer[2]
            if type(body) is bytes:
                self.record(trace, exchange, answer[0], len(body), clock(), queue)
                return answer
            return self.later(trace, exchange, answer, body, queue)

        return counted


def _limit(route: Route, status: str) -> float:
    """Seconds beyond which a request is looked at; each of those that failed is."""
    return -1.0 if status[0] == "5" else min(route.limit, route.slow)
