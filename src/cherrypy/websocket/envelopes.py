"""What goes from process to process: a line of JSON that says for whom, then the message as it is.

Anybody may write one, such as `{"room": "lobby"}`, a line end, and a text. No socket, no thread.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

__all__ = ("Envelope", "Malformed", "pack", "unpack")

#: The longest line (bytes) that is read: a room of 200 characters, all of them escaped, fits.
MOST_HEAD = 4096


class Malformed(ValueError):
    """No envelope; the words say why, and repeat nothing of it."""


class Envelope(NamedTuple):
    """A message: `room` ('' for everybody), `data`, and the process it comes from ('' for a stranger)."""

    room: str
    data: str | bytes
    sender: str


@lru_cache(maxsize=1024)
def _head(room: str, binary: bool, sender: str) -> bytes:
    fields: dict[str, str | bool] = {"from": sender}
    if room:
        fields["room"] = room
    if binary:
        fields["binary"] = True
    return json.dumps(fields).encode() + b"\n"


def pack(room: str, data: str | bytes, sender: str) -> bytes:
    """Return the envelope of a message. Raises UnicodeEncodeError for a lone surrogate."""
    if isinstance(data, str):
        return _head(room, False, sender) + data.encode()
    return _head(room, True, sender) + data


@lru_cache(maxsize=1024)
def _read_head(head: bytes) -> tuple[str, bool, str]:
    try:
        fields = json.loads(head)
    except (ValueError, RecursionError):
        raise Malformed("its first line is no JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("its first line is no JSON object")
    room, binary, sender = (
        fields.get("room", ""),
        fields.get("binary", False),
        fields.get("from", ""),
    )
    if not isinstance(room, str) or not isinstance(sender, str):
        raise Malformed("'room' and 'from' must be strings")
    if not isinstance(binary, bool):
        raise Malformed("'binary' must be true or false")
    return room, binary, sender


def unpack(raw: bytes, most: int) -> Envelope:
    """Read an envelope whose message has `most` bytes at most. Raises Malformed."""
    end = raw.find(b"\n", 0, MOST_HEAD + 1)
    if end < 0:
        raise Malformed("there is no first line of JSON")
    if len(raw) - end - 1 > most:
        raise Malformed(f"the message is larger than {most} bytes")
    room, binary, sender = _read_head(raw[:end])
    data = raw[end + 1 :]
    if binary:
        return Envelope(room, data, sender)
    try:
        return Envelope(room, data.decode(), sender)
    except UnicodeDecodeError:
        raise Malformed("the text is not UTF-8") from None
