"""Multipart bodies as a stream: the bytes of one part after the other.

Law: linear time and two blocks of memory, whatever the bytes are. Knows no request.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ("BLOCK", "BoundaryReader", "valid_boundary")

#: Bytes asked of the stream below at once.
BLOCK = 64 * 1024

# RFC 2046, 5.1.1 allows 70 characters; 201 has been the limit here for long.
_BOUNDARY = re.compile(r"[ -~]{0,200}[!-~]")

# What follows `CRLF "--" boundary`: `--` at the end of it all, transport padding, the line end.
_REST_OF_DELIMITER = re.compile(rb"(--)?[ \t]{0,128}\r\n")
_MAY_BE_DELIMITER = re.compile(rb"(?:-|(?:--)?[ \t]{0,128}\r?)\Z")
_LAST_DELIMITER = re.compile(rb"--[ \t]{0,128}\r?\Z")


def valid_boundary(text: str) -> bytes:
    """Return the boundary parameter of a content type as bytes. Raises ValueError."""
    text = text.strip('"')
    if not _BOUNDARY.fullmatch(text):
        raise ValueError(f"Invalid boundary in multipart form: {text[:80]!r}")
    return text.encode("ascii")


class BoundaryReader:
    """Reads the parts of a multipart body from `fp`: a file for the data of one at a time.

    Args:
        fp: anything with `read(size)`.
        boundary: as in the content type.
        inside: True if `fp` stands in the data of a part, not before the first delimiter.

    `advance` goes to the next part. Reading raises EOFError if the body ends in a part.
    """

    def __init__(self, fp: Any, boundary: bytes, inside: bool = False) -> None:
        self.fp = fp
        self.depth: int = getattr(fp, "depth", 0) + 1
        self._marker = b"\r\n--" + boundary
        # The line end before the first delimiter may be missing, so there is one beforehand.
        self._buffer = b"" if inside else b"\r\n"
        self._position = 0
        self._ready = 0  # bytes from the position on that are data for sure
        self._next: int | None = None  # where the next part begins, once the delimiter is found
        self.last = False  # the delimiter found was the closing one
        self.empty = True  # no byte has come

    def _more(self) -> bool:
        block = self.fp.read(BLOCK)
        if not block:
            return False
        self.empty = False
        self._buffer = self._buffer[self._position :] + block
        self._position = 0
        return True

    def _scan(self) -> bool:
        """Find data that can be handed out. False at the end of the part."""
        if self._ready:
            return True
        if self._next is not None:
            return False
        marker = self._marker
        start = self._position
        while True:
            buffer = self._buffer
            found = buffer.find(marker, start)
            if found < 0:
                # All but what could be the beginning of a delimiter.
                self._ready = max(0, len(buffer) - len(marker) + 1 - self._position)
            else:
                after = found + len(marker)
                rest = _REST_OF_DELIMITER.match(buffer, after)
                if rest:
                    self._ready = found - self._position
                    self._next = rest.end()
                    self.last = rest[1] is not None
                    return self._ready > 0
                if not _MAY_BE_DELIMITER.match(buffer, after):
                    start = found + 2  # data that looks like it; a marker begins with CR LF
                    continue
                self._ready = found - self._position
            if self._ready:
                return True
            if not self._more():
                if found >= 0 and _LAST_DELIMITER.match(buffer, after):
                    self._next, self.last = len(buffer), True
                    return False
                raise EOFError("Illegal end of multipart body.")
            start = 0

    def _take(self, size: int) -> bytes:
        begin = self._position
        self._position = end = begin + size
        self._ready -= size
        return self._buffer[begin:end]

    def read_block(self) -> bytes:
        """Return some of the part's data, as it comes; b'' at its end."""
        return self._take(self._ready) if self._scan() else b""

    def read(self, size: int | None = None, fp_out: Any = None) -> Any:
        """Return `size` bytes of the part's data, or all of it; or write it to `fp_out`."""
        left = float("inf") if size is None or size < 0 else size
        blocks = []
        while left and self._scan():
            block = self._take(int(min(left, self._ready)))
            left -= len(block)
            if fp_out is None:
                blocks.append(block)
            else:
                fp_out.write(block)
        return b"".join(blocks) if fp_out is None else None

    def readline(self, size: int | None = None) -> bytes:
        """Return the next line of the part's data, of at most `size` bytes; b'' at its end."""
        left = float("inf") if size is None or size < 0 else size
        pieces = []
        while left and self._scan():
            limit = int(min(left, self._ready))
            end = self._buffer.find(b"\n", self._position, self._position + limit)
            if end >= 0:
                pieces.append(self._take(end + 1 - self._position))
                break
            left -= limit
            pieces.append(self._take(limit))
        return b"".join(pieces)

    def readlines(self, sizehint: int | None = None) -> list[bytes]:
        """Return the lines of the part's data, until they have `sizehint` bytes."""
        lines: list[bytes] = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if sizehint and size >= sizehint:
                break
        return lines

    def advance(self) -> bool:
        """Skip what is left of the part and go to the next one; False if it was the last."""
        while self.read_block():
            pass
        if self.last or self._next is None:
            return False
        self._position = self._next
        self._next = None
        return True
