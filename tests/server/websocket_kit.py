"""A server whose paths /ws... are WebSockets, and a raw client of theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from server_kit import Bench, Peer, hello

from kirsch.server.endpoints import Options
from kirsch.server.server import Server
from kirsch.server.upgrades import upgrade
from kirsch.server.wsgi import WSGIGateway
from kirsch.wire.websocket.client import check_answer, make_key, read_answer, request_head
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.handshake import Refusal, Rules, judge
from kirsch.wire.websocket.protocol import Protocol


class Echo:
    """A handler that notes what it is told."""

    def __init__(self) -> None:
        self.ws: Any = None
        self.told: list[Any] = []
        self.threads: set[str] = set()

    def attach(self, ws: Any) -> None:
        self.ws = ws

    def ws_opened(self) -> None:
        self.told.append("opened")

    def ws_message(self, message: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.append(message)
        if isinstance(message, str):
            self.ws.text(message)
        else:
            self.ws.binary(message)

    def ws_ponged(self, data: bytes) -> None:
        self.told.append(("pong", data))

    def ws_closed(self, code: int, reason: str) -> None:
        self.told.append((code, reason))

    def ws_failed(self, error: BaseException) -> None:
        self.told.append(error)


class Site:
    """A server whose paths /ws... are WebSockets, and everything else WSGI."""

    def __init__(
        self, bench: Bench, make: Callable[[], Any] = Echo, options: Any = None, **settings: Any
    ) -> None:
        self.handlers: list[Any] = []
        self.make = make
        self.options = options or Options("test", pongs=True)
        settings.setdefault("shutdown_timeout", 1)
        self.server = Server(
            ("127.0.0.1", 0), hello, gateway=self.gateway, log=bench.log, **settings
        )
        self.wsgi = WSGIGateway(self.server)
        self.server.start()
        bench.stack.callback(self.server.stop)
        self.bench = bench

    def gateway(self, exchange: Any) -> Any:
        head = exchange.head
        if not head.path.startswith("/ws"):
            return self.wsgi(exchange)
        try:
            rules = Rules(compression=Settings())
            accepted = judge(head.method, head.minor, head.fields, rules)
        except Refusal as refusal:
            return f"{refusal.status} No", refusal.headers, refusal.text.encode()
        handler = self.make()
        self.handlers.append(handler)
        answer = upgrade(accepted, handler, self.options, handler.attach, [("X-More", "yes")])
        return "101 Switching Protocols", [], answer

    def client(self, behind: bytes = b"", compressed: bool = False, **options: Any) -> Client:
        peer = self.bench.peer(self.server, **options)
        return Client(peer, behind, compressed)


class Client:
    """A raw peer, and the protocol's other end."""

    def __init__(self, peer: Peer, behind: bytes = b"", compressed: bool = False) -> None:
        self.peer = peer
        self.events: list[Any] = []
        offer, key = Settings() if compressed else None, make_key()
        peer.send(request_head("/ws", "h", key, compression=offer) + behind)
        while (answer := read_answer(peer.data)) is None:
            assert peer.more()
        self.status, self.fields, size = answer
        agreement = check_answer(self.status, self.fields, key, compression=offer).agreement
        self.core = Protocol(client=True, max_message=0, agreement=agreement)
        self.take(peer.data[size:])

    def take(self, data: bytes) -> None:
        self.events += self.core.feed(data)

    def send(self, *messages: Any) -> None:
        core = self.core
        self.peer.send(
            b"".join(core.text(m) if isinstance(m, str) else core.binary(m) for m in messages)
        )

    def next(self, timeout: float = 10) -> Any:
        """The next event; None at the end of the stream."""
        self.peer.sock.settimeout(timeout)
        while not self.events:
            try:
                data = self.peer.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.take(data)
        return self.events.pop(0)

    def code(self) -> int:
        """Read to the end; the code of the server's Close frame, 1006 without."""
        while self.next() is not None:
            if self.core.ending is not None:
                self.peer.send(self.core.close(self.core.code))
                self.peer.rest()
                break
        return self.core.code
