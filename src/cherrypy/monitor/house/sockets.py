"""WebSockets: opened, closed and why, their messages and frames, and how they keep up."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

from kirsch.server.senders import Sender
from kirsch.server.websockets import WebSocket
from kirsch.wire.websocket.events import Close, Failure, Ping, Pong
from kirsch.wire.websocket.protocol import Protocol

from ...framework.errors import HTTPError
from ...framework.serving import serving
from ...websocket.handlers import WebSocket as Handler
from ..metrics import Labels
from ..routes import UNMATCHED
from ..table import sockets as k
from .house import House

#: Opcodes of frames (RFC 6455 5.2) by the lower half of their first byte.
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

#: Close codes that are told apart; others are programs' own.
CODES = frozenset((1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013))


class Info:
    """What is known of one connection."""

    __slots__ = ("by", "opened", "pinged", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self.opened = time.monotonic()
        self.by = ""  # who began to close it
        self.pinged = 0.0  # the ping whose answer has been seen


class _Delivering(threading.local):
    now = False


class Sockets:
    """The WebSockets of the servers that are watched."""

    def __init__(self, house: House) -> None:
        self.servers = house.monitor.servers
        self.leaving = house.recorder.away_from
        self.lock = threading.Lock()  # guards: `open` is not changed while it is copied
        self.open: weakref.WeakKeyDictionary[Any, Info] = weakref.WeakKeyDictionary()
        self.delivering = _Delivering()

    def made(self, ws: Any, conn: Any, *rest: Any) -> None:
        """A WebSocket has been opened."""
        if conn.group.server in self.servers:
            with self.lock:
                self.open[ws] = Info(self.leaving.pop(conn, UNMATCHED))
            k.WEBSOCKET_HANDSHAKES.add(1, ("101",))

    def ending(self, ws: Any) -> None:
        """A WebSocket has ended, if that is not known yet."""
        with self.lock:
            info = self.open.pop(ws, None)
        if info is None:
            return
        code = ws.core.code
        name = str(code) if code in CODES else "3000-4999" if code >= 3000 else "other"
        by = info.by
        if not by:
            end = ws.core.ending
            by = "peer" if type(end) is Close else "error" if type(end) is Failure else "lost"
        k.WEBSOCKET_CLOSES.add(1, (name, by))
        k.WEBSOCKET_CONNECTION_DURATION.observe(time.monotonic() - info.opened, (info.route,))

    def by(self, ws: Any, who: str) -> None:
        """Somebody begins to close."""
        info = self.open.get(ws)
        if info is not None and not info.by and ws.core.ending is None:
            info.by = who

    # -- frames ------------------------------------------------------------------------------------

    def events(self, size: int, events: list[Any]) -> None:
        """Bytes have come from a peer, and what they held."""
        k.WEBSOCKET_BYTES.add(size, ("in",))
        for event in events:
            kind = type(event)
            if kind is str:
                name = "text"
            elif kind is bytes:
                name = "binary"
            elif kind is Ping:
                name = "ping"
            elif kind is Pong:
                name = "pong"
            else:
                name = "close"
            k.WEBSOCKET_MESSAGES.add(1, ("in", name))

    def sent(self, frames: bytes) -> None:
        """A frame goes to a peer; the handshake's own bytes are none."""
        if frames[:5] != b"HTTP/":
            k.WEBSOCKET_BYTES.add(len(frames), ("out",))
            name = OPCODES.get(frames[0] & 15, "other")
            if name != "continuation":
                k.WEBSOCKET_MESSAGES.add(1, ("out", name))

    def ponged(self, ws: Any, events: list[Any], worker: Any) -> None:
        """Perhaps the answer to the ping that we have sent."""
        info = self.open.get(ws)
        pinged = ws._pinged
        if info is None or not pinged or pinged == info.pinged:
            return
        if any(type(event) is Pong for event in events):
            info.pinged = pinged
            k.WEBSOCKET_PING_RTT.observe(max(0.0, time.monotonic() - pinged))

    # -- asked once a second -----------------------------------------------------------------------

    def _now(self) -> list[tuple[Any, Info]]:
        with self.lock:
            return list(self.open.items())

    def connections(self) -> dict[Labels, float]:
        """How many there are, by route."""
        found: dict[Labels, float] = {}
        for _, info in self._now():
            found[info.route,] = found.get((info.route,), 0) + 1
        return found

    def waiting(self) -> dict[Labels, float]:
        """Bytes that peers have not taken: all, and the most of one."""
        weights = []
        for ws, _ in self._now():
            out = ws._out
            weights.append(0.0 if out is None else float(out.weight))
        return {("sum",): sum(weights), ("max",): max(weights, default=0.0)}


def begin(house: House) -> None:
    """Watch them."""
    of = Sockets(house)
    house.after(Sender, "__init__", of.made)
    house.before(WebSocket, "finish", lambda ws, worker: of.ending(ws))
    house.before(WebSocket, "_sort", of.ponged)
    house.before(Sender, "close", lambda ws, *rest: of.by(ws, "app"))
    house.before(WebSocket, "_handle", lambda ws, *rest: of.by(ws, "error"))
    house.before(WebSocket, "go_away", lambda ws: of.by(ws, "server"))
    house.after(HTTPError, "set_response", refused)
    frames(house, of)
    messages(house, of)
    house.sample(k.WEBSOCKET_CONNECTIONS, of.connections)
    house.sample(k.WEBSOCKET_SEND_QUEUE, of.waiting)


def refused(error: Any) -> None:
    """An error is answered, perhaps to a handshake."""
    if hasattr(serving.request, "_ws_page") and not hasattr(serving.request, "ws_handler"):
        k.WEBSOCKET_HANDSHAKES.add(1, (str(error.code),))


def frames(house: House, of: Sockets) -> None:
    """Count what goes over the wire."""
    broken = house.monitor.broken

    def fed(core: Any, data: bytes) -> Any:
        events = feed(core, data)
        if not core._client:
            try:
                of.events(len(data), events)
            except Exception as error:
                broken("house.feed", error)
        return events

    def put(ws: Any, frame: bytes, own: bool = True) -> bool:
        if not of.delivering.now and not ws._over and frame:
            of.sent(frame)
        return bool(plain_put(ws, frame, own))

    def delivered(ws: Any, copies: Any, later: bool = False) -> bool:
        of.delivering.now = True
        try:
            done = bool(deliver(ws, copies, later))
        finally:
            of.delivering.now = False
        if done:
            of.sent(copies.frame(ws.core) if ws._packs else copies.plain)
        return done

    def late(ws: Any, worker: Any, now: float) -> None:
        pinged = ws._pinged
        silent = pinged and ws._heard < pinged and now >= pinged + ws.options.ping_timeout
        if silent or now >= ws._close_by:
            of.by(ws, "timeout")
        deadline(ws, worker, now)

    feed = house.patches.replace(Protocol, "feed", fed)
    plain_put = house.patches.replace(Sender, "_put", put)
    deliver = house.patches.replace(Sender, "deliver", delivered)
    deadline = house.patches.replace(WebSocket, "on_deadline", late)


def messages(house: House, of: Sockets) -> None:
    """Time the handlers of messages."""

    def message(handler: Any, data: Any) -> Any:
        began = time.monotonic()
        try:
            return plain(handler, data)
        finally:
            info = of.open.get(handler._wire)
            if info is not None:
                took = time.monotonic() - began
                k.WEBSOCKET_MESSAGE_DURATION.observe(took, (info.route,))

    plain = house.patches.replace(Handler, "ws_message", message)
