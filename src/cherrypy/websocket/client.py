"""A blocking WebSocket client, for tests and small tools."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kirsch.server.endpoints import ConnectionClosed
from kirsch.wire.websocket.client import BadAnswer
from kirsch.wire.websocket.events import Ping, Pong
from kirsch.wire.websocket.protocol import Protocol

from .compression import settings_of
from .dialing import Deadline, Opened, Refused, dial, fields_of, shake, split

__all__ = ("BadAnswer", "Client", "ConnectionClosed", "Refused", "connect")

MAX_MESSAGE = 1 << 24


class Client:
    """One connection; made by `connect`, a context manager that closes it. Not for two threads at once.

    `subprotocol` is what was agreed upon, `headers` are those of the 101, by names in lower case, and
    `pongs` what pongs held. `answers_pings` may be made False, to be a peer that has gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        timeout: float,
        opened: Opened | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self.sock = sock
        self.timeout = timeout
        self.subprotocol: str | None = None
        self.headers: dict[str, str] = {}
        self.pongs: list[bytes] = []
        self.answers_pings = True
        agreement = None
        if opened is not None:
            self.subprotocol, self.headers = opened.acceptance.subprotocol, opened.fields
            agreement = opened.acceptance.agreement
        self._core = Protocol(client=True, max_message=max_message, agreement=agreement)
        self._messages: deque[str | bytes] = deque()
        self._ended = False
        if opened is not None and opened.rest:
            self._feed(opened.rest)

    # -- state ---------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether messages can be sent: neither of the two has closed, as far as we have read."""
        return not (self._ended or self._core.close_sent or self._core.ending is not None)

    @property
    def close_code(self) -> int | None:
        """The code the server closed with (1006: without one); None while open."""
        return self._core.code if self._ended or self._core.ending is not None else None

    @property
    def close_reason(self) -> str:
        """And its words."""
        return self._core.reason

    # -- sending -------------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Send `str` as text, anything else as bytes.

        Raises ConnectionClosed, and TimeoutError when the server does not read for `timeout` seconds.
        """
        core = self._core
        if not self.open:
            raise ConnectionClosed(core.code, core.reason)
        self._write(core.text(message) if isinstance(message, str) else core.binary(message))

    send_text = send_bytes = send

    def send_json(self, value: Any) -> None:
        """Send a value as JSON."""
        self.send(json.dumps(value))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, right or wrong."""
        self._write(data)

    def ping(self, data: bytes = b"") -> None:
        """Send a ping; what comes back is in `pongs`, once something was received."""
        if not self.open:
            raise ConnectionClosed(self._core.code, self._core.reason)
        self._write(self._core.ping(data))

    def _write(self, data: bytes) -> None:
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise ConnectionClosed(self._core.code, self._core.reason) from None
        except TimeoutError:
            self._ended = True  # half a frame is out: nothing can follow it
            raise TimeoutError(f"the server has not read for {self.timeout:g} s") from None

    # -- receiving -----------------------------------------------------------------------------

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for a message. Raises ConnectionClosed, and TimeoutError after `timeout` seconds.

        Without `timeout` that of the connection counts.
        """
        deadline = self._deadline(timeout)
        while not self._messages:
            self._read(deadline, "no message came")
        return self._messages.popleft()

    def receive_text(self, timeout: float | None = None) -> str:
        """Wait for a text. Raises TypeError when bytes come, and what `recv` raises."""
        message = self.recv(timeout)
        if not isinstance(message, str):
            raise TypeError(f"bytes came in place of a text: {message[:40]!r}")
        return message

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Wait for a binary message. Raises TypeError when a text comes, and what `recv` raises."""
        message = self.recv(timeout)
        if isinstance(message, str):
            raise TypeError(f"a text came in place of bytes: {message[:40]!r}")
        return message

    def receive_json(self, timeout: float | None = None) -> Any:
        """Wait for a message and read it as JSON. Raises ValueError when it is none."""
        return json.loads(self.recv(timeout))

    def wait_pong(self, timeout: float | None = None) -> bytes:
        """Wait for the next pong and return what it holds; messages that come meanwhile are kept."""
        deadline = self._deadline(timeout)
        known = len(self.pongs)
        while len(self.pongs) == known:
            self._read(deadline, "no pong came")
        return self.pongs[known]

    def __iter__(self) -> Iterator[str | bytes]:
        """Yield messages until the connection is closed. Raises TimeoutError as `recv` does."""
        while True:
            try:
                yield self.recv()
            except ConnectionClosed:
                return

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self.timeout if timeout is None else timeout)

    def _read(self, deadline: Deadline, what: str) -> None:
        if self._ended or self._core.ending is not None:
            raise ConnectionClosed(self._core.code, self._core.reason)
        data = deadline.receive(self.sock, what)
        if data:
            self._feed(data)
        else:
            self._ended = True

    def _feed(self, data: bytes) -> None:
        core = self._core
        for event in core.feed(data):
            if isinstance(event, (str, bytes)):
                self._messages.append(event)
                continue
            if isinstance(event, Pong):
                self.pongs.append(event.data)
            answer = core.answer(event)
            if answer and (self.answers_pings or not isinstance(event, Ping)):
                self.sock.settimeout(self.timeout)
                try:
                    self.sock.sendall(answer)
                except OSError:
                    pass  # it has closed already

    # -- closing -------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server to do so, for `timeout` seconds. May be called twice.

        Raises ValueError for a code that may not be sent, or a reason of more than 123 bytes.
        """
        try:
            if not self._core.close_sent:
                self._write(self._core.close(code, reason))
            self.wait_closed()
        except (ConnectionClosed, OSError):
            pass
        finally:
            self.sock.close()

    def wait_closed(self, timeout: float | None = None) -> int:
        """Read on until the server has closed, and return its code. Raises TimeoutError."""
        deadline = self._deadline(timeout)
        try:
            while True:
                self._read(deadline, "no end came")
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
    headers: Iterable[tuple[str, str]] | Mapping[str, str] = (),
    cookies: Mapping[str, str] | None = None,
    origin: str | None = None,
    compression: bool | Mapping[str, Any] = False,
    timeout: float = 10.0,
    max_message: int = MAX_MESSAGE,
    ca_file: str | None = None,
    ssl_context: Any = None,
    unix_path: str | None = None,
    sock: socket.socket | None = None,
    receive_buffer: int = 0,
) -> Client:
    """Open a WebSocket.

    url
        'ws://host:port/path?query', or 'wss://...', which verifies the certificate. A user and a
        password in it are sent as Basic authentication.
    headers
        More fields, as a dict or as pairs.
    compression
        True or a dict of settings to offer permessage-deflate.
    timeout
        Seconds for all of this, and from then on for each wait that names none of its own.
    max_message
        Bytes of a message, inflated; a larger one is answered with 1009. 0: any.
    ca_file
        The authorities (PEM) to trust in place of the system's.
    ssl_context
        A ready `ssl.SSLContext`, for client certificates and all else.
    unix_path
        The unix socket to connect to; the URL then only says what is asked for.
    sock
        A connection that is there already. It is closed with the client.
    receive_buffer
        Bytes the system shall hold for us at most; 0 leaves it to the system.

    Raises Refused with the server's answer when it is not a 101, BadAnswer when it is no WebSocket's,
    OSError when there is no server, TimeoutError when it is too slow, ValueError for a URL or a field
    that is none.
    """
    parts = split(url)
    deadline = Deadline(timeout)
    settings = settings_of(compression)
    fields = fields_of(parts, headers, cookies, origin)
    sock = dial(
        parts,
        deadline,
        sock=sock,
        unix_path=unix_path,
        ca_file=ca_file,
        ssl_context=ssl_context,
        receive_buffer=receive_buffer,
    )
    try:
        opened = shake(
            sock,
            parts,
            deadline,
            subprotocols=list(subprotocols),
            fields=fields,
            compression=settings,
        )
        return Client(sock, timeout, opened, max_message)
    except BaseException:
        sock.close()
        raise
