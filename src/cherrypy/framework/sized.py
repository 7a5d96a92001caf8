"""Reading an entity: never beyond its length, and never more than a limit.

Law: memory is bounded by what the caller asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import HTTPError

__all__ = ("SizedReader",)

inf = float("inf")

DEFAULT_BUFFER_SIZE = 8192


class SizedReader:
    """A file of known or unknown length that never reads beyond its end, or a limit.

    Args:
        fp: the file below.
        length: its bytes; None if its end says.
        maxbytes: beyond that reading raises HTTPError 413; None or 0 for no limit.
        bufsize: bytes to read at once for lines.
        has_trailers: whether fields may follow a chunked body; they go to `trailers`.
    """

    def __init__(
        self,
        fp: Any,
        length: int | None,
        maxbytes: int | None,
        bufsize: int = DEFAULT_BUFFER_SIZE,
        has_trailers: bool = False,
    ) -> None:
        self.fp = fp
        self.length = length
        self.maxbytes = maxbytes
        self.buffer = b""
        self.bufsize = bufsize
        self.bytes_read = 0
        self.done = False
        self.has_trailers = has_trailers

    def _next(self, size: int) -> bytes:
        """Return up to `size` bytes, of the buffer first; b'' at the end."""
        if self.buffer:
            data: bytes = self.buffer[:size]
            self.buffer = self.buffer[size:]
            return data
        if self.length is not None:
            size = min(size, self.length - self.bytes_read)
        if size <= 0 or self.done:
            self.finish()
            return b""
        try:
            data = self.fp.read(size)
        except Exception as exc:
            raise _as_answer(exc) from exc
        if not data:
            self.finish()
            return b""
        self.bytes_read += len(data)
        if self.maxbytes and self.bytes_read > self.maxbytes:
            raise HTTPError(413)
        return data

    def read(self, size: int | None = None, fp_out: Any = None) -> Any:
        """Return `size` bytes, or all there are; with `fp_out` write them there instead."""
        if size is None or size < 0:
            size = -1
        elif fp_out is None and size <= 65536:
            data = self._next(size) if size else b""
            if len(data) == size or not data:
                return data
            # A short read: the rest comes in pieces.
            return data + b"".join(self._pieces(size - len(data)))
        if fp_out is None:
            return b"".join(self._pieces(size))
        for data in self._pieces(size):
            fp_out.write(data)
        return None

    def _pieces(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes, or all there are if that is negative, block by block."""
        while size:
            data = self._next(65536 if size < 0 else min(65536, size))
            if not data:
                return
            yield data
            if size > 0:
                size -= len(data)

    def readline(self, size: int | None = None) -> bytes:
        """Return a line, of at most `size` bytes; b'' at the end."""
        left = inf if size is None or size < 0 else size
        pieces = []
        while left > 0:
            data = self._next(int(min(left, self.bufsize)))
            if not data:
                break
            end = data.find(b"\n") + 1
            if end:
                pieces.append(data[:end])
                self.buffer = data[end:] + self.buffer
                break
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def readlines(self, sizehint: int | None = None) -> list[bytes]:
        """Return lines, until they have `sizehint` bytes or all have been read."""
        lines = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if sizehint and size >= sizehint:
                break
        return lines

    def finish(self) -> None:
        """Note the end: take the trailer fields from the file below, if it has some."""
        if self.done:
            return
        self.done = True
        if not self.has_trailers or not hasattr(self.fp, "read_trailer_lines"):
            return
        self.trailers: dict[str, str] = {}
        for line in self.fp.read_trailer_lines():
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise HTTPError(400, "Illegal header line.")
            name, value = name.strip().title(), value.strip()
            known = self.trailers.get(name)
            self.trailers[name] = value if known is None else f"{known}, {value}"


def _as_answer(exc: Exception) -> Exception:
    """Return what a failed read is for the client, if the file below has said so.

    Servers below raise errors with a `status` (ours), or called MaxSizeExceeded (Cheroot).
    """
    status = getattr(exc, "status", None)
    if type(exc).__name__ == "MaxSizeExceeded":
        status = 413
    if isinstance(status, int) and 400 <= status <= 499 and not isinstance(exc, HTTPError):
        return HTTPError(status, getattr(exc, "text", None))
    return exc
