"""The switch to WebSocket: what a gateway answers a handshake with, and what the connection becomes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..wire.websocket.protocol import Protocol
from .connection import Connection
from .counters import SLOW_PEERS, SOCKETS
from .gateway import Upgrade
from .link import CLOSED_STATE, LINGERING
from .poller import IN, OUT
from .websockets import OPENED, WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..wire.websocket.handshake import Acceptance
    from .endpoints import Handler, Options
    from .workers import Worker


class WebSocketConnection(Connection):
    """What a connection becomes by its 101: the same object with other ways."""

    __slots__ = ()

    def parse(self, data: bytes, worker: Worker) -> bool:
        """Bytes have come while nothing else is waited for."""
        ws = self.upgraded
        return True if ws is None else ws.received(data, worker)

    def on_event(self, mask: int, worker: Worker) -> bool:
        """Bytes, room for bytes, or the end."""
        ws = self.upgraded
        if ws is None or self.state == LINGERING:
            return super().on_event(mask, worker)
        if mask & OUT:
            ws.flush(worker)
            if self.upgraded is None:
                return True
        if not mask & ~OUT or (ws._paused and not mask & ~(IN | OUT)):
            return True
        data = self.receive(worker)
        return True if not data or ws._over else ws.received(data, worker)

    def on_deadline(self, worker: Worker, now: float) -> None:
        """A deadline has passed."""
        ws = self.upgraded
        if ws is None:
            super().on_deadline(worker, now)
        else:
            ws.on_deadline(worker, now)

    def go_on(self, worker: Worker) -> bool:
        """The handler has come to the end of what the peer has sent."""
        ws = self.upgraded
        if ws is not None:
            ws.ended(worker)
        return True

    def retire(self, worker: Worker) -> None:
        """The server stops."""
        ws = self.upgraded
        if ws is not None:
            ws.go_away()

    def forsake(self) -> None:
        """The server has stopped, and nobody reads any more."""
        ws = self.upgraded
        if ws is not None:
            with ws._lock:
                ws._lose()
        super().forsake()

    def close(self, worker: Any) -> None:
        """End the connection, once; nobody sends on its descriptor meanwhile."""
        ws = self.upgraded
        if ws is None:
            super().close(worker)
            return
        with ws._lock:
            ws._lose()
            if self.state != CLOSED_STATE:
                worker.counts[SLOW_PEERS] += ws._slow
                super().close(worker)
        ws.finish(worker)


_switched: dict[type[Connection], type[Connection]] = {Connection: WebSocketConnection}


def switched(kind: type[Connection]) -> type[Connection]:
    """The class that a connection of this kind becomes: over TLS it stays one of TLS as well."""
    found = _switched.get(kind)
    if found is None:
        name = f"WebSocket{kind.__name__}"
        found = _switched[kind] = type(name, (WebSocketConnection, kind), {"__slots__": ()})
    return found


def upgrade(
    acceptance: Acceptance,
    handler: Handler,
    options: Options,
    attach: Callable[[WebSocket], object],
    more: Iterable[tuple[str, str]] = (),
    kind: type[WebSocket] = WebSocket,
) -> Upgrade:
    """Return what a gateway returns in place of a body to open a WebSocket.

    :param attach: called with the WebSocket before anything happens on it. Who hears of it may send at once.
    :param more: further fields of the 101. Raises ValueError for those that cannot be sent.
    :param kind: how its handler is served: see `Detached`.
    """
    head = acceptance.head(more)

    def begin(conn: Connection, worker: Worker, rest: bytes) -> None:
        conn.last = conn.template = conn.template_head = None
        conn.__class__ = switched(type(conn))
        core = Protocol(max_message=options.max_message, agreement=acceptance.agreement)
        ws = kind(conn, core, handler, options, acceptance.agreement is not None)
        conn.upgraded = ws
        with ws._lock:
            ws._add(OPENED)
            # Whoever gets to know of it may send at once, also in another thread: behind the 101.
            ws._held = head
            ws._paused = True
        attach(ws)
        worker.counts[SOCKETS] += 1
        ws._heard = time.monotonic()
        events = core.feed(rest) if rest else []
        with ws._lock:
            ws._release()
            ws._paused = False
            ws._sort(events, worker)
            ended = core.ending is not None and not ws._deferred()
            if not ws._over:
                ws._schedule()
                ws._arm()  # from here on the holder may read
        if ended:
            conn.group.ready.append(conn)  # closing is for the holder, who we need not be
            conn.group.poller.wake()
        if worker.holding:
            ws.run(worker)
        else:
            ws.work(worker)

    return Upgrade(head, begin)
