"""A site on a free port, and clients that read responses bit by bit."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import cherrypy


def until(condition: Callable[[], Any], within: float = 5) -> Any:
    """Wait for a condition with a deadline; its last value."""
    end = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.002)
    return value


class Client:
    """One connection: requests as bytes, responses as they come."""

    def __init__(self, address: tuple[str, int], tls: bool = False, receive: int = 0) -> None:
        sock = socket.socket()
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.settimeout(10)
        sock.connect(address)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        self.sock = sock
        self.data = b""  # received and not looked at
        self.body = b""  # decoded, and not taken
        self.ended = False  # the last chunk, or the end of the connection
        self.status = 0
        self.fields: dict[str, str] = {}

    def ask(self, path: str, *lines: str, method: str = "GET", version: str = "1.1") -> Client:
        head = [f"{method} {path} HTTP/{version}", "Host: localhost", *lines, "", ""]
        self.sock.sendall("\r\n".join(head).encode())
        return self

    def more(self, within: float = 10) -> bool:
        """Receive more; False at the end."""
        self.sock.settimeout(within)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.data += data
        return bool(data)

    def head(self) -> int:
        """Read a head; its status."""
        while b"\r\n\r\n" not in self.data:
            assert self.more(), self.data
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        pairs = [line.split(": ", 1) for line in lines]
        self.fields = {name.lower(): value for name, value in pairs}
        self.body, self.ended = b"", False
        return self.status

    def _decode(self) -> None:
        """Move what is there of the body from `data` to `body`."""
        if "chunked" not in self.fields.get("transfer-encoding", ""):
            length = self.fields.get("content-length")
            most = len(self.data) if length is None else int(length) - len(self.body)
            self.body, self.data = self.body + self.data[:most], self.data[most:]
            self.ended = length is not None and len(self.body) == int(length)
            return
        while b"\r\n" in self.data and not self.ended:
            size, _, rest = self.data.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            assert rest[length : length + 2] == b"\r\n"
            self.body += rest[:length]
            self.data = rest[length + 2 :]
            self.ended = not length

    def read(self, enough: Callable[[bytes], Any], within: float = 10) -> bytes:
        """Read until there is enough of a body, or all of it."""
        end = time.monotonic() + within
        while True:
            self._decode()
            if self.ended or enough(self.body):
                return self.body
            left = end - time.monotonic()
            assert left > 0, self.body
            if not self.more(left):
                self._decode()
                self.ended = True
                return self.body

    def whole(self) -> bytes:
        """Read a body to its end."""
        return self.read(lambda body: False)

    def get(self, path: str, *lines: str) -> tuple[int, str]:
        self.ask(path, *lines)
        status = self.head()
        body = self.whole().decode()
        self.body = b""
        return status, body

    def events(self) -> Iterator[dict[str, str]]:
        """Read a body as an event stream; comments are events of the type '#'."""
        while True:
            block = self.read(lambda body: b"\n\n" in body)
            if b"\n\n" not in block:
                return
            text, _, self.body = self.body.partition(b"\n\n")
            event: dict[str, str] = {}
            for line in text.decode().split("\n"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                name = name or "#"
                event[name] = f"{event[name]}\n{value}" if name in event else value
            yield event

    def event(self) -> dict[str, str]:
        """Read the next event that is no comment."""
        for event in self.events():
            if list(event) != ["#"]:
                return event
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


class Site:
    """What is served, and how to reach it."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.clients: list[Client] = []

    @property
    def kirsch(self) -> Any:
        return self.adapter.httpserver.kirsch

    @property
    def counters(self) -> dict[str, int]:
        return self.kirsch.counters  # type: ignore[no-any-return]  # untyped here

    @property
    def address(self) -> tuple[str, int]:
        return self.kirsch.bound_addresses[0][:2]  # type: ignore[no-any-return]  # untyped here

    def mount(self, root: Any, config: dict[str, Any] | None = None, path: str = "") -> Any:
        return cherrypy.tree.mount(root, path, config)

    def client(self, **options: Any) -> Client:
        client = Client(self.address, tls=bool(self.adapter.ssl_certificate), **options)
        self.clients.append(client)
        return client

    def ask(self, path: str, *lines: str, **options: Any) -> Client:
        return self.client().ask(path, *lines, **options)

    def stream(self, path: str, *lines: str, **options: Any) -> Client:
        """Ask for a stream, and be sure that it has begun."""
        client = self.ask(path, *lines, **options)
        assert client.head() == 200, client.data
        next(client.events())
        return client

    def get(self, path: str, *lines: str) -> tuple[int, str]:
        return self.client().get(path, *lines)

    def drop_clients(self) -> None:
        for client in self.clients:
            client.close()


class Lines(logging.Handler):
    """The lines of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def lines_of(logger: logging.Logger) -> Iterator[list[str]]:
    handler = Lines()
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
