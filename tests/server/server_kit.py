"""Real servers on free ports, and a client that shows the bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kirsch.server.server import Server


class Peer:
    """A raw client connection."""

    def __init__(self, address: Any, timeout: float = 10, rcvbuf: int = 0) -> None:
        unix = isinstance(address, str)
        family = socket.AF_UNIX if unix else socket.AF_INET6 if len(address) > 2 else socket.AF_INET
        self.sock = socket.socket(family)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.data = b""

    def send(self, data: bytes) -> Peer:
        self.sock.sendall(data)
        return self

    def more(self) -> bool:
        got = self.sock.recv(65536)
        self.data += got
        return bool(got)

    def head(self) -> tuple[int, dict[str, str]]:
        """Read one response head: status and lower-case fields."""
        while b"\r\n\r\n" not in self.data:
            assert self.more(), f"end of stream within a head: {self.data!r}"
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), fields

    def response(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Read one whole response."""
        status, fields = self.head()
        if method == "HEAD" or status in (204, 304) or status < 200:
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                while b"\r\n" not in self.data:
                    assert self.more(), "chunked body is incomplete"
                line, _, self.data = self.data.partition(b"\r\n")
                size = int(line, 16)
                while len(self.data) < size + 2:
                    assert self.more(), "chunked body is incomplete"
                body += self.data[:size]
                assert self.data[size : size + 2] == b"\r\n"
                self.data = self.data[size + 2 :]
                if not size:
                    return status, fields, body
        if "content-length" not in fields:
            return status, fields, self.rest()
        size = int(fields["content-length"])
        while len(self.data) < size:
            assert self.more(), "body is incomplete"
        body, self.data = self.data[:size], self.data[size:]
        return status, fields, body

    def get(self, path: str = "/", extra: str = "") -> tuple[int, dict[str, str], bytes]:
        self.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n{extra}\r\n".encode())
        return self.response()

    def rest(self) -> bytes:
        """Read to the end of the stream (a reset counts as its end)."""
        with contextlib.suppress(ConnectionError):
            while self.more():
                pass
        data, self.data = self.data, b""
        return data

    def closed(self, within: float = 5) -> bool:
        """Whether the server ends the stream without another byte."""
        self.sock.settimeout(within)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    __del__ = close


def until(condition: Callable[[], Any], within: float = 5) -> Any:
    """Wait for a condition with a deadline; its last value."""
    end = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


class Bench:
    """Starts servers and peers, and cleans up behind a test."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.records: list[tuple[str, int]] = []
        self.until = until

    def log(self, message: str, level: int = 20, traceback: bool = False) -> None:
        self.records.append((message, level))

    def errors(self) -> list[str]:
        return [message for message, level in self.records if level >= 30]

    def server(self, app: Any = None, bind: Any = ("127.0.0.1", 0), **settings: Any) -> Server:
        settings.setdefault("shutdown_timeout", 1)
        server = Server(bind, app or hello, log=self.log, **settings)
        server.start()
        self.stack.callback(server.stop)
        return server

    def peer(self, server: Server, **options: Any) -> Peer:
        peer = Peer(server.bound_addresses[0], **options)
        self.stack.callback(peer.close)
        return peer


class Owned:
    """A body of items with a len() that notes which thread has closed it."""

    def __init__(self, items: list[Any], closed: Any) -> None:
        self.items, self.closed = items, closed

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def close(self) -> None:
        self.closed.append(threading.current_thread().name)


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def server_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("kirsch-")]
