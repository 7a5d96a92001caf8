"""Response heads: status and headers to bytes; nothing an application says can add a line.

Names and statuses are looked up in bounded tables of what was found well formed before; all values
are checked at once, on the finished head: take every octet away that a line may hold, and exactly
the line ends put there by this module must remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from kirsch.http.grammar import TOKEN
from kirsch.http.status import REASONS
from kirsch.wire.http1.persistence import connection_tokens
from kirsch.wire.http1.requests import RequestHead

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "ResponseHead",
    "around_value",
    "encode_chunk",
    "error_response",
    "response_head",
    "with_value",
]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


class ResponseHead:
    """A response head, ready to be sent.

    ``data``: the bytes, empty line included. ``framing``: 'none' (no body whatever the
    application returned), 'length', 'chunked' or 'close'. ``length``: the Content-Length the body
    must have, None unless framing is 'length'. ``keep_alive``: what was announced to the peer.
    """

    __slots__ = ("data", "framing", "keep_alive", "length")

    def __init__(self, data: bytes, framing: str, length: int | None, keep_alive: bool) -> None:
        self.data = data
        self.framing = framing
        self.length = length
        self.keep_alive = keep_alive

    def __repr__(self) -> str:
        return f"<ResponseHead {self.data[9:40]!r} {self.framing} {self.length}>"


# What a header means to the framing. _PLAIN passes through, like the two the suffix may repeat.
_PLAIN, _DATE, _SERVER, _LENGTH, _CONNECTION, _CODING, _DROPPED = range(7)
_SPECIAL: Final = {
    "date": _DATE,
    "server": _SERVER,
    "content-length": _LENGTH,
    "connection": _CONNECTION,
    "transfer-encoding": _CODING,
    "keep-alive": _DROPPED,  # RFC 9110 7.6.1: the connection is ours to describe
    "proxy-connection": _DROPPED,
}

# RFC 9110 15.3.5, 15.3.6, 15.4.5 and RFC 9112 6.3: statuses without content, whatever the request,
# and the Content-Length they may carry: none, zero, or that of the 200 they stand for.
_NO_CONTENT: Final = {"204": "never", "205": "zero", "304": "given"}

_token = re.compile(TOKEN).fullmatch
_status = re.compile("[1-9][0-9]{2}(?: [\t -~\x80-\xff]*)?").fullmatch
_digits = re.compile("[0-9]{1,18}").fullmatch
_LINE_OCTETS: Final = bytes(c for c in range(256) if c == 9 or (c >= 32 and c != 127))


class _Names(dict[Any, tuple[int, str]]):
    """Header name, str or bytes -> (kind, "Name: "); a name is checked when first seen."""

    LIMIT: Final = 1024

    def __missing__(self, name: Any) -> tuple[int, str]:
        text = str(name, "latin-1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or _token(text) is None:
            raise ValueError(f"Malformed header name: {name!r}")
        found = (_SPECIAL.get(text.lower(), _PLAIN), text + ": ")
        if len(self) < self.LIMIT and len(text) < 64:
            self[name] = found
        return found


class _StatusLines(dict[str, str]):
    """Status -> status line without its end; a status is checked when first seen."""

    LIMIT: Final = 256

    def __missing__(self, status: str) -> str:
        if not isinstance(status, str) or _status(status) is None:
            raise ValueError(f"Malformed status: {status!r}")
        # RFC 9112 4: the space after the code stays when there is no reason.
        line = "HTTP/1.1 " + (status if len(status) > 3 else status + " ")
        if len(self) < self.LIMIT and len(status) < 64:
            self[status] = line
        return line


_NAMES: Final = _Names()
_STATUS_LINES: Final = _StatusLines()


def response_head(
    status: str,
    headers: Iterable[tuple[str, str] | tuple[bytes, bytes]],
    *,
    request: RequestHead,
    keep_alive: bool,
    body_length: int | None,
    suffix: bytes,
    timeout: int | None = None,
    protocol: str = "HTTP/1.1",
) -> ResponseHead:
    """Write a response head and decide how the body is framed and whether the connection goes on.

    :param status: '200 OK'; latin-1.
    :param headers: pairs of str or of bytes. ``Connection: close`` is honoured;
        ``Transfer-Encoding: chunked`` and ``Keep-Alive`` are left out, they are for this module
        to say.
    :param request: what is being answered.
    :param keep_alive: whether the server wants the connection to go on; the request has its say.
    :param body_length: bytes of the body when known, else None. A ``Content-Length`` of the
        application stands before it; the server compares.
    :param suffix: complete ``Date`` and ``Server`` lines with their line ends; what the
        application gave itself is left out. It may hold ``Keep-Alive``, left out on close.
    :param timeout: seconds an idle connection is kept; told to HTTP/1.0 clients that stay.
    :param protocol: 'HTTP/1.0' makes the server answer as one of that time, without chunks.
    :raise ValueError: a status, name or value that could add a line or be read in two ways.
    """
    names = _NAMES
    line = _STATUS_LINES[status]
    minor = request.minor
    if protocol == "HTTP/1.0":
        line = protocol + line[8:]
        minor = 0
    lines = [line]
    given = 0
    length: str | None = None
    options: list[str] | None = None
    for name, value in headers:
        kind, prefix = names[name]
        text = value if type(value) is str else _text(value)
        if kind <= _SERVER:
            given |= kind
            lines.append(prefix + text)
        elif kind == _LENGTH:
            if length is not None:
                raise ValueError("More than one Content-Length.")
            if _digits(text) is None:
                raise ValueError(f"Malformed Content-Length: {text!r}")
            length = text
        elif kind == _CONNECTION:
            options = (options or []) + connection_tokens(text)
        elif kind == _CODING and text.strip(" \t").lower() != "chunked":
            raise ValueError(f"Transfer-Encoding is not for applications to set: {text!r}")

    framing = "length"
    if status[:3] in _NO_CONTENT or status[0] == "1" or request.method in _SPECIAL_METHODS:
        framing, length = _without_content(status, request.method, length)
    if framing == "length":
        if length is not None:
            lines.append("Content-Length: " + length)
            body_length = int(length)
        elif body_length is not None:
            lines.append(f"Content-Length: {body_length}")
        elif minor:
            framing = "chunked"
            lines.append("Transfer-Encoding: chunked")
        else:
            framing = "close"
            keep_alive = False
    else:
        body_length = None
        if length is not None:
            lines.append("Content-Length: " + length)

    if not (keep_alive and minor and options is None and request.keep_alive):
        keep_alive = keep_alive and request.keep_alive and "close" not in (options or ())
        _describe_connection(lines, status, options or [], keep_alive, minor, timeout)
    lines.append("")
    data = "\r\n".join(lines).encode("latin-1")  # UnicodeEncodeError is a ValueError
    if data.translate(None, _LINE_OCTETS) != b"\r\n" * (len(lines) - 1):
        raise ValueError("A status or header value holds a control character.")
    if not keep_alive:
        given |= _KEEP_ALIVE
    if given:
        suffix = _without(suffix, given)
    return ResponseHead(
        data + suffix + b"\r\n",
        framing,
        None if framing == "chunked" or framing == "close" else body_length,
        keep_alive,
    )


def around_value(head: ResponseHead, name: Any, value: Any) -> tuple[bytes, bytes] | None:
    """What stands before and after the value of a field in a head; None if it means more than to be there.

    :param name: of the last field in the head that has it.
    """
    if type(name) is not str or type(value) is not str or _NAMES[name][0] != _PLAIN:
        return None
    line = f"\r\n{name}: {value}\r\n".encode("latin-1")
    start = head.data.rfind(line)
    if start < 0:
        return None
    return head.data[: start + len(name) + 4], head.data[start + len(line) - 2 :]


def with_value(head: ResponseHead, around: tuple[bytes, bytes], value: Any) -> ResponseHead | None:
    """A head with another value of a field, whose surroundings `around_value` has found.

    None for a value that is not plain text: `response_head` knows all about it.
    """
    if type(value) is not str or not (value.isascii() and value.isprintable()):
        return None
    data = around[0] + value.encode() + around[1]
    return ResponseHead(data, head.framing, head.length, head.keep_alive)


# RFC 9112 6.3: no content follows a response to HEAD, nor a 2xx to CONNECT.
_SPECIAL_METHODS: Final = frozenset({"HEAD", "CONNECT"})


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return str(value, "latin-1")
    if isinstance(value, str):
        return str(value)
    raise ValueError(f"Header values must be str or bytes, not {type(value).__name__}.")


def _without_content(status: str, method: str, length: str | None) -> tuple[str, str | None]:
    """Framing, and the Content-Length to announce, where a body may not follow."""
    rule = _NO_CONTENT.get(status[:3], "given")
    if status[0] == "1" or rule == "never":  # RFC 9110 8.6: MUST NOT send Content-Length
        return "none", None
    if rule == "zero":
        return "none", "0"
    if method == "CONNECT" and status[:3] != "304":
        return ("none", None) if status[0] == "2" else ("length", length)
    return "none", length


def _describe_connection(
    lines: list[str],
    status: str,
    options: list[str],
    keep_alive: bool,
    minor: int,
    timeout: int | None,
) -> None:
    """Add the Connection header, when there is something to say (RFC 9112 9.6)."""
    said = [option for option in options if option not in ("close", "keep-alive")]
    if status[:3] == "101":
        pass  # the connection speaks another protocol now; it is not ours to close
    elif not keep_alive:
        said.append("close")
    elif not minor:
        said.append("Keep-Alive")
        if timeout is not None:
            lines.append(f"Keep-Alive: timeout={timeout}")
    if said:
        lines.append("Connection: " + ", ".join(said))


# Lines of a suffix that must go: those the application wrote itself, and a Keep-Alive where the
# connection closes. A bit each, _DATE and _SERVER being two of them.
_KEEP_ALIVE: Final = 4
_BITS: Final = {b"date": _DATE, b"server": _SERVER, b"keep-alive": _KEEP_ALIVE}
# Suffix and bits -> what is left. A suffix lasts a second, so a handful is plenty.
_CUT: Final[dict[tuple[bytes, int], bytes]] = {}
_CUT_LIMIT: Final = 16


def _without(suffix: bytes, bits: int) -> bytes:
    left = _CUT.get((suffix, bits))
    if left is None:
        lines = suffix.splitlines(keepends=True)
        left = b"".join(
            line for line in lines if not _BITS.get(line.partition(b":")[0].lower(), 0) & bits
        )
        if len(_CUT) >= _CUT_LIMIT:
            _CUT.clear()
        _CUT[suffix, bits] = left
    return left


def encode_chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 7.1); nothing for no data, since an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def error_response(
    status: int,
    text: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    suffix: bytes = b"",
    body: bool = True,
) -> bytes:
    """The complete answer to a broken request, after which the connection closes.

    :param status: an HTTP status code.
    :param text: the plain-text body, which should not repeat what the peer sent.
    :param headers: more of them, such as Retry-After.
    :param suffix: as for `response_head`.
    :param body: False for the answer to a HEAD request.
    :raise ValueError: a status out of range, or a header that could add a line.
    """
    content = text.encode("utf-8")
    lines = [_STATUS_LINES[f"{status} {REASONS.get(status, '')}"]]
    lines += [_NAMES[name][1] + _text(value) for name, value in headers]
    lines += [
        f"Content-Length: {len(content)}",
        "Content-Type: text/plain;charset=utf-8"
        if not text.isascii()
        else "Content-Type: text/plain",
        "Connection: close",
        "",
    ]
    data = "\r\n".join(lines).encode("latin-1")
    if data.translate(None, _LINE_OCTETS) != b"\r\n" * (len(lines) - 1):
        raise ValueError("A header value holds a control character.")
    return data + suffix + b"\r\n" + (content if body else b"")
