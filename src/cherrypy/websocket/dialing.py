"""The way to a WebSocket server: its address, TCP, TLS and the handshake, all within one deadline."""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from kirsch.wire.websocket import deflate
from kirsch.wire.websocket.client import (
    BadAnswer,
    check_answer,
    make_key,
    read_answer,
    request_head,
)
from kirsch.wire.websocket.handshake import Acceptance

__all__ = ("Deadline", "Opened", "Refused", "dial", "fields_of", "shake", "split")

MOST_HEAD = 65536  # bytes of an answer's head
MOST_BODY = 1 << 20  # bytes of a refusal's body that are kept


class Refused(Exception):
    """The server did not open a WebSocket: `status`, `headers` (names in lower case), `body`."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body[:200]!r}")
        self.status = status
        self.headers = headers
        self.body = body


class Deadline:
    """A moment by which something has to be over."""

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self, what: str) -> float:
        """Seconds from now on. Raises TimeoutError, which says `what` there was not, after it."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{what} within {self.seconds:g} s")
        return left

    def receive(self, sock: socket.socket, what: str) -> bytes:
        """Receive something, b'' at the end. Raises TimeoutError likewise."""
        sock.settimeout(self.left(what))
        try:
            return sock.recv(65536)
        except TimeoutError:
            raise TimeoutError(f"{what} within {self.seconds:g} s") from None
        except ConnectionResetError:
            return b""


class Opened(NamedTuple):
    """An open WebSocket: what the server's 101 said, what was agreed upon, and bytes behind it."""

    fields: dict[str, str]
    acceptance: Acceptance
    rest: bytes


def split(url: str) -> SplitResult:
    """Take an address apart. Raises ValueError for what is no ws:// or wss:// URL with a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"not a WebSocket URL: {url!r} (expected ws://host/path or wss://...)")
    return parts


def dial(
    parts: SplitResult,
    deadline: Deadline,
    *,
    sock: socket.socket | None = None,
    unix_path: str | None = None,
    ca_file: str | None = None,
    ssl_context: Any = None,
    receive_buffer: int = 0,
) -> socket.socket:
    """Connect, on `sock` if that is there already.

    Raises OSError, TimeoutError and `ssl.SSLError` among them.
    """
    secure = parts.scheme == "wss"
    if (ca_file or ssl_context) and not secure:
        raise ValueError("ca_file and ssl_context are for wss:// URLs")
    if sock is None:
        sock = _connected(_places(parts, unix_path), deadline, receive_buffer)
    if not secure:
        return sock
    try:
        import ssl

        context = ssl_context or ssl.create_default_context(cafile=ca_file)
        sock.settimeout(deadline.left("no TLS handshake"))
        secured: socket.socket = context.wrap_socket(sock, server_hostname=parts.hostname)
        return secured
    except BaseException:
        sock.close()
        raise


def _places(parts: SplitResult, unix_path: str | None) -> list[Any]:
    """Where the server may be: pairs of a family and an address."""
    if unix_path is not None:
        return [(socket.AF_UNIX, unix_path)]
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    found = socket.getaddrinfo(parts.hostname, port, 0, socket.SOCK_STREAM)
    return [(one[0], one[4]) for one in found]


def _connected(places: list[Any], deadline: Deadline, receive_buffer: int) -> socket.socket:
    """The first place that can be reached: a name often has one for IPv6 and one for IPv4."""
    failure: OSError | None = None
    for family, address in places:
        sock = socket.socket(family)
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(deadline.left("no connection"))
            sock.connect(address)
            if family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failure = failure or error
        except BaseException:
            sock.close()
            raise
    raise failure or OSError("the name has no address")


def fields_of(
    parts: SplitResult,
    headers: Iterable[tuple[str, str]] | Mapping[str, str],
    cookies: Mapping[str, str] | None,
    origin: str | None,
) -> list[tuple[str, str]]:
    """The fields of the handshake that are the caller's: a list, cookies, Origin, a password."""
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    if cookies:
        fields.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies.items())))
    if origin is not None:
        fields.append(("Origin", origin))
    if parts.username is not None and not any(
        name.lower() == "authorization" for name, _ in fields
    ):
        secret = unquote_to_bytes(f"{parts.username}:{parts.password or ''}")
        fields.append(("Authorization", f"Basic {b64encode(secret).decode('ascii')}"))
    return fields


def shake(
    sock: socket.socket,
    parts: SplitResult,
    deadline: Deadline,
    *,
    subprotocols: Sequence[str] = (),
    fields: Iterable[tuple[str, str]] = (),
    compression: deflate.Settings | None = None,
) -> Opened:
    """Open the WebSocket on a connection.

    Raises Refused for a status that is not 101, BadAnswer for what is no answer, TimeoutError, and
    ConnectionResetError for a server that closes meanwhile.
    """
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    key = make_key()
    head = request_head(
        target,
        parts.netloc.rpartition("@")[2],
        key,
        subprotocols=subprotocols,
        compression=compression,
        more=fields,
    )
    sock.settimeout(deadline.left("no handshake"))
    sock.sendall(head)
    data = b""
    while (answer := read_answer(data)) is None:
        if len(data) > MOST_HEAD:
            raise BadAnswer(f"a head of more than {MOST_HEAD} bytes")
        more = deadline.receive(sock, "no answer to the handshake")
        if not more:
            raise ConnectionResetError("the server closed within its answer")
        data += more
    status, answered, size = answer
    if status != 101:
        raise Refused(status, answered, _body(sock, deadline, answered, data[size:]))
    acceptance = check_answer(
        status, answered, key, subprotocols=subprotocols, compression=compression
    )
    return Opened(answered, acceptance, data[size:])


def _body(sock: socket.socket, deadline: Deadline, fields: dict[str, str], data: bytes) -> bytes:
    """The body of a refusal, as far as it comes: it is for people to read."""
    length = fields.get("content-length", "")
    wanted = min(int(length), MOST_BODY) if length.isascii() and length.isdigit() else 0
    try:
        while len(data) < wanted and (more := deadline.receive(sock, "no body")):
            data += more
    except OSError:
        pass
    return data[:MOST_BODY]
