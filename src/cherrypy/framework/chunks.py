"""A body that comes in chunks, with what programs know of Cheroot's file for it: `buffer`, `_fetch()`, `closed`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ("ChunkedFile",)

_BLOCK = 65536


class ChunkedFile:
    """`request.rfile` of a request with ``Transfer-Encoding: chunked``.

    Programs that take such bodies apart themselves call `_fetch` until `closed`, and cut from `buffer`.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        #: What `_fetch` has read; whoever takes of it assigns the rest.
        self.buffer = b""
        self._over = False

    @property
    def closed(self) -> bool:
        """Whether `_fetch` has come to the end."""
        return self._over or bool(getattr(self.inner, "closed", False))

    def _fetch(self) -> None:
        """Add some of the body to `buffer`, or note its end. Raises what reading raises."""
        if self.closed:
            return
        data = self.inner.read(_BLOCK)
        if data:
            self.buffer += data
        else:
            self._over = True

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; all that is left when negative or None."""
        inner: Any = self.inner
        if size is None or size < 0:
            data, self.buffer = self.buffer, b""
            return data + inner.read()  # type: ignore[no-any-return]  # a file of bytes
        if not self.buffer:
            return inner.read(size)  # type: ignore[no-any-return]  # a file of bytes
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        if len(data) < size:
            data += inner.read(size - len(data))
        return data

    def readline(self, size: int | None = -1) -> bytes:
        """Read up to and with the next line feed, at most `size` bytes."""
        inner: Any = self.inner
        left = -1 if size is None or size < 0 else size
        if not self.buffer:
            return inner.readline(left)  # type: ignore[no-any-return]  # a file of bytes
        end = self.buffer.find(b"\n") + 1 or len(self.buffer)
        if left >= 0:
            end = min(end, left)
        line, self.buffer = self.buffer[:end], self.buffer[end:]
        if not line.endswith(b"\n") and len(line) != left:
            line += inner.readline(left - len(line) if left >= 0 else -1)
        return line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read lines until the end, or until `hint` bytes are passed."""
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def close(self) -> None:
        """Nothing more can be read."""
        self.buffer = b""
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
