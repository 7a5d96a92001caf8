"""A blocking WebSocket client, for tests and small tools."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from kirsch.server.endpoints import ConnectionClosed
from kirsch.wire.websocket import deflate
from kirsch.wire.websocket.client import check_answer, make_key, read_answer, request_head
from kirsch.wire.websocket.protocol import Protocol

__all__ = ("Client", "ConnectionClosed", "Refused", "connect")


class Refused(Exception):
    """The server did not open a WebSocket: `status`, `headers` (names in lower case), `body`."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body[:200]!r}")
        self.status = status
        self.headers = headers
        self.body = body


class Client:
    """One connection; made by `connect`, a context manager that closes it. Not for two threads at once.

    `subprotocol` is what was agreed upon, `headers` are those of the 101, and `pongs` what pongs held.
    """

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.sock = sock
        self.timeout = timeout
        self.subprotocol: str | None = None
        self.headers: dict[str, str] = {}
        self.pongs: list[bytes] = []
        self.answers_pings = True
        self._core = Protocol(client=True, max_message=0)
        self._messages: deque[str | bytes] = deque()
        self._ended = False

    @property
    def close_code(self) -> int | None:
        """The code the server closed with (1006: without one); None while open."""
        return self._core.code if self._ended or self._core.ending is not None else None

    @property
    def close_reason(self) -> str:
        """And its words."""
        return self._core.reason

    def send(self, message: Any) -> None:
        """Send `str` as text, anything else as bytes."""
        core = self._core
        self._write(core.text(message) if isinstance(message, str) else core.binary(message))

    def send_json(self, value: Any) -> None:
        """Send a value as JSON."""
        import json

        self.send(json.dumps(value))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, right or wrong."""
        self._write(data)

    def ping(self, data: bytes = b"") -> None:
        """Send a ping; what comes back is in `pongs`."""
        self._write(self._core.ping(data))

    def _write(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise ConnectionClosed(self._core.code, self._core.reason) from None

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for a message. Raises ConnectionClosed, and TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self._messages:
            self._read(deadline)
        return self._messages.popleft()

    def receive_json(self, timeout: float | None = None) -> Any:
        """Wait for a message and read it as JSON."""
        import json

        return json.loads(self.recv(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        while True:
            try:
                yield self.recv()
            except ConnectionClosed:
                return

    def _read(self, deadline: float) -> None:
        if self._ended or self._core.ending is not None:
            raise ConnectionClosed(self._core.code, self._core.reason)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no message came in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        finally:
            self.sock.settimeout(self.timeout)
        if not data:
            self._ended = True
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        core = self._core
        for event in core.feed(data):
            if isinstance(event, (str, bytes)):
                self._messages.append(event)
                continue
            if type(event).__name__ == "Pong":
                self.pongs.append(event.data)  # type: ignore[union-attr]  # a Pong has them
            answer = core.answer(event)
            if answer and (self.answers_pings or type(event).__name__ != "Ping"):
                try:
                    self.sock.sendall(answer)
                except OSError:
                    pass  # it has closed already

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server to do so."""
        try:
            if not self._core.close_sent:
                self._write(self._core.close(code, reason))
            deadline = time.monotonic() + self.timeout
            while True:
                self._read(deadline)
        except (ConnectionClosed, OSError):
            pass
        finally:
            self.sock.close()

    def wait_closed(self, timeout: float | None = None) -> int:
        """Read on until the server has closed, and return its code."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                self._read(deadline)
        except ConnectionClosed as closed:
            return closed.code

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    compression: bool | dict[str, Any] = False,
    timeout: float = 10.0,
    receive_buffer: int = 0,
) -> Client:
    """Open a WebSocket.

    url
        'ws://host:port/path?query'; 'wss://' verifies the certificate.
    headers
        More fields, such as `('Cookie', ...)` or `('Origin', ...)`.
    compression
        True or a dict of settings to offer permessage-deflate.
    receive_buffer
        Bytes the system shall hold for us at most; 0 leaves it to the system.

    Raises Refused with the server's answer when it is not a 101, OSError when there is no server.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    client = Client(sock, timeout)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((host, port))
        if secure:
            import ssl

            client.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        _shake(client, target, parts.netloc, list(subprotocols), list(headers), compression)
    except BaseException:
        client.sock.close()
        raise
    return client


def _shake(
    client: Client,
    target: str,
    host: str,
    subprotocols: list[str],
    headers: list[tuple[str, str]],
    compression: bool | dict[str, Any],
) -> None:
    key = make_key()
    offered = None
    if compression:
        offered = deflate.Settings(**(compression if isinstance(compression, dict) else {}))
    head = request_head(
        target, host, key, subprotocols=subprotocols, compression=offered, more=headers
    )
    client.sock.sendall(head)
    data = b""
    while (answer := read_answer(data)) is None:
        more = client.sock.recv(65536)
        if not more:
            raise ConnectionResetError("the server closed within its answer")
        data += more
    status, fields, size = answer
    if status != 101:
        wanted = size + int(fields.get("content-length", 0))
        while len(data) < wanted and (more := client.sock.recv(65536)):
            data += more
        raise Refused(status, fields, data[size:])
    accepted = check_answer(status, fields, key, subprotocols=subprotocols, compression=offered)
    client.subprotocol, client.headers = accepted.subprotocol, fields
    client._core = Protocol(client=True, max_message=0, agreement=accepted.agreement)
    if len(data) > size:
        client._feed(data[size:])
