"""The opening handshake, client side (RFC 6455 4.1): for tests and tools."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from kirsch.http.grammar import TOKEN, is_field_value, is_token
from kirsch.wire.websocket import deflate
from kirsch.wire.websocket.grammar import has_token, read_extensions
from kirsch.wire.websocket.handshake import VERSION, Acceptance, accept_key

__all__ = ["BadAnswer", "check_answer", "make_key", "read_answer", "request_head"]


class BadAnswer(Exception):
    """The server did not accept, or not as RFC 6455 4.1 wants it."""


def make_key() -> str:
    """Return a fresh ``Sec-WebSocket-Key`` (RFC 6455 4.1, 7)."""
    return b64encode(os.urandom(16)).decode("ascii")


def request_head(
    target: str,
    host: str,
    key: str,
    *,
    subprotocols: Sequence[str] = (),
    compression: deflate.Settings | None = None,
    more: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return the request (RFC 6455 4.1).

    :param target: path and query.
    :param more: further fields, such as Origin or Cookie.
    :raise ValueError: for what would add a line.
    """
    fields = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if compression is not None:
        fields.append(("Sec-WebSocket-Extensions", deflate.offer(compression)))
    fields += more
    for name, value in fields:
        if not is_token(name) or not is_field_value(value):
            raise ValueError(f"malformed field: {name!r}")
    if re.search("[^!-~]", target):
        raise ValueError("malformed target")
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


_status_line = re.compile(r"HTTP/1\.1 ([0-9]{3})(?: .*)?").fullmatch
_field = re.compile(f"({TOKEN}):[ \t]*(.*?)[ \t]*").fullmatch


def read_answer(data: bytes) -> tuple[int, dict[str, str], int] | None:
    """Read a response head.

    :return: the status, the fields by names in lower case (repeated ones joined by a comma), and
        the size of the head; None while it is not complete.
    :raise BadAnswer: for what is no response head.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    status = _status_line(first)
    if status is None:
        raise BadAnswer("no HTTP/1.1 status line")
    fields: dict[str, str] = {}
    for line in lines:
        field = _field(line)
        if field is None:
            raise BadAnswer("malformed header line")
        name = field[1].lower()
        fields[name] = f"{fields[name]}, {field[2]}" if name in fields else field[2]
    return int(status[1]), fields, end + 4


def check_answer(
    status: int,
    fields: Mapping[str, str],
    key: str,
    *,
    subprotocols: Sequence[str] = (),
    compression: deflate.Settings | None = None,
) -> Acceptance:
    """Judge a server's answer (RFC 6455 4.1), given what was asked for.

    :param fields: by names in lower case.
    :raise BadAnswer: whatever fails the connection.
    """
    if status != 101:
        raise BadAnswer(f"status {status} instead of 101")
    if fields.get("upgrade", "").lower() != "websocket":
        raise BadAnswer("no 'Upgrade: websocket'")
    if not has_token(fields.get("connection", ""), "upgrade"):
        raise BadAnswer("no 'Connection: Upgrade'")
    if fields.get("sec-websocket-accept") != accept_key(key):
        raise BadAnswer("Sec-WebSocket-Accept does not belong to the key")
    subprotocol = fields.get("sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in subprotocols:
        raise BadAnswer("a subprotocol that was not asked for")
    return Acceptance(list(fields.items()), subprotocol, _agreement(fields, compression))


def _agreement(
    fields: Mapping[str, str], compression: deflate.Settings | None
) -> deflate.Agreement | None:
    value = fields.get("sec-websocket-extensions")
    if value is None:
        return None
    answers = read_extensions(value)
    # Only one extension can have been asked for, and it may be accepted once.
    if compression is None or not answers or len(answers) > 1 or answers[0][0] != deflate.NAME:
        raise BadAnswer("an extension that was not asked for")
    agreement = deflate.confirm(answers[0][1], compression)
    if agreement is None:
        raise BadAnswer("permessage-deflate with parameters that were not asked for")
    return agreement
