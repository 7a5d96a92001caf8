"""Request bodies: bytes in, decoded bytes out, whatever the splits; framing is never guessed at."""

from __future__ import annotations

import re
import sys
from typing import Final

from kirsch.http.grammar import CHUNK_EXT, FIELD_VALUE, TOKEN
from kirsch.wire import errors
from kirsch.wire.errors import BadBody, BodyTooLarge, HeadTooLarge

__all__ = ["BodyLimits", "ChunkedBody", "LengthBody"]


class BodyLimits:
    """How much body a peer may send; 0 lifts a limit.

    :param max_body: decoded bytes of the body; passing it is 413.
    :param max_chunk_line: bytes of a chunk-size line with extensions and line end; passing it is
        400. Extensions carry nothing anybody uses, so this is short (CVE-2023-39326 and kin).
    :param max_trailer: bytes of the trailer section; passing it is 431.
    :param max_fields: number of trailer lines; passing it is 431.
    """

    __slots__ = ("max_body", "max_chunk_line", "max_fields", "max_trailer")

    def __init__(
        self,
        max_body: int = 0,
        max_chunk_line: int = 256,
        max_trailer: int = 8192,
        max_fields: int = 128,
    ) -> None:
        self.max_body = max_body or sys.maxsize
        self.max_chunk_line = max_chunk_line or sys.maxsize
        self.max_trailer = max_trailer or sys.maxsize
        self.max_fields = max_fields or sys.maxsize


class LengthBody:
    """A body of *length* bytes (RFC 9112 6.2).

    :param length: bytes; what follows is the next request.
    :param max_body: refuse at once what is longer; 0 lifts the limit.
    :raise BodyTooLarge: 413.
    """

    __slots__ = ("done", "remaining", "rest")

    def __init__(self, length: int, max_body: int = 0) -> None:
        if 0 < max_body < length:
            raise BodyTooLarge
        self.remaining = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what of *data* belongs to the body; the remainder goes to ``rest``."""
        remaining = self.remaining - len(data)
        if remaining > 0:
            self.remaining = remaining
            return data
        body = data if remaining == 0 else data[: self.remaining]
        # += and not =: bytes fed after the end belong to what follows.
        self.rest += data[len(body) :]
        self.remaining = 0
        self.done = True
        return body


# RFC 9112 7.1: chunk = chunk-size [ chunk-ext ] CRLF; chunk-size = 1*HEXDIG. 15 digits are more
# than any limit and less than any overflow.
_chunk_line = re.compile(f"([0-9A-Fa-f]{{1,15}}){CHUNK_EXT}").fullmatch
_trailer_line = re.compile(f"{TOKEN}:{FIELD_VALUE}").fullmatch

_BAD_SIZE: Final = "Malformed chunk size."
_BAD_END: Final = "Chunk data must be followed by CRLF."
_BAD_TRAILER: Final = "Illegal trailer line."

# states
_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedBody:
    """A chunked body (RFC 9112 7.1). Trailers are held to the field grammar, limited and dropped.

    :raise BadBody: (from `feed`) 400.
    :raise BodyTooLarge: (from `feed`) 413, as soon as a chunk announces too much.
    :raise HeadTooLarge: (from `feed`) 431, for trailers.
    """

    __slots__ = (
        "_held",
        "_limits",
        "_remaining",
        "_state",
        "_total",
        "_trailer_fields",
        "_trailer_size",
        "rest",
    )

    def __init__(self, limits: BodyLimits) -> None:
        self.rest = b""
        self._limits = limits
        self._held = b""  # an unfinished line; bounded by max_chunk_line or max_trailer
        self._state = _SIZE
        self._remaining = 0
        self._total = 0
        self._trailer_size = 0
        self._trailer_fields = 0

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailer section have been read."""
        return self._state == _DONE

    def feed(self, data: bytes) -> bytes:
        """Return the decoded bytes in *data*; what follows the body goes to ``rest``."""
        if self._held:
            data = self._held + data
            self._held = b""
        parts: list[bytes] = []
        at = 0
        size = len(data)
        while at < size:
            state = self._state
            if state == _DATA:
                piece = data[at : at + self._remaining]
                parts.append(piece)
                at += len(piece)
                self._remaining -= len(piece)
                if not self._remaining:
                    self._state = _DATA_END
                continue
            if state == _DONE:
                self.rest += data[at:]
                break
            if state == _DATA_END:
                end = self._after_data(data, at)
            else:
                end = self._line(data, at, state)
            if not end:
                self._held = data[at:]
                break
            at = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _after_data(self, data: bytes, at: int) -> int:
        """Strictly CRLF: anything else would let two readers disagree where the chunk ends."""
        found = data[at : at + 2]
        if found == b"\r\n":
            self._state = _SIZE
            return at + 2
        if found == b"\r":
            return 0
        raise BadBody(_BAD_END)

    def _line(self, data: bytes, at: int, state: int) -> int:
        """Take one line that starts at *at*; return where it ends, 0 when it is not complete."""
        limits = self._limits
        end = data.find(b"\n", at) + 1
        length = (end or len(data)) - at
        if state == _SIZE:
            if length > limits.max_chunk_line:
                raise BadBody(_BAD_SIZE)
        elif self._trailer_size + length > limits.max_trailer:
            raise HeadTooLarge(431, errors.HEAD_TOO_LARGE)
        if not end:
            return 0
        line = str(data[at:end], "latin-1")
        if line[-2:-1] != "\r":
            raise BadBody(errors.CRLF_REQUIRED)
        if state == _SIZE:
            self._size_line(line[:-2])
        elif length == 2:
            self._state = _DONE
        else:
            self._trailer_size += length
            self._trailer_fields += 1
            if self._trailer_fields > limits.max_fields:
                raise HeadTooLarge(431, errors.HEAD_TOO_LARGE)
            if _trailer_line(line[:-2]) is None:
                raise BadBody(_BAD_TRAILER)
        return end

    def _size_line(self, line: str) -> None:
        match = _chunk_line(line)
        if match is None:
            raise BadBody(_BAD_SIZE)
        size = int(match[1], 16)
        if not size:
            self._state = _TRAILER
            return
        self._total += size
        if self._total > self._limits.max_body:
            raise BodyTooLarge
        self._remaining = size
        self._state = _DATA
