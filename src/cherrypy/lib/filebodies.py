"""Files that are opened to be sent, and bodies that are files: all of one, a span of it, or several spans as parts.

Law: the file is closed once the body has been sent, or given up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from cherrypy.framework.errors import NotFound

from . import file_generator

__all__ = ("FileBody", "PartsBody", "as_file", "open_regular", "read_whole")


# O_NONBLOCK: to open a pipe would wait for its other end. Means nothing to a regular file.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file; return its descriptor and what is known about it. Raises NotFound."""
    try:
        fd = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError):
        # Also what we may not read, and names that no file can have: nobody's business.
        raise NotFound() from None
    # Of the open file, so that what we tell about it holds whatever happens to its name.
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise NotFound()
    return fd, status


def as_file(fd: int, path: str) -> Any:
    """Return the file object of an open file, which knows its name."""
    return open(path, "rb", opener=lambda *_: fd)


def read_whole(fd: int, size: int) -> bytes:
    """Read a file of that size from where it stands."""
    data = os.read(fd, size)
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data


class FileBody(file_generator):
    """The bytes of a file from `offset` on, `length` of them; None means up to its end.

    `input` is the open file.
    """

    _given = False

    def __init__(
        self, input: Any, length: int | None = None, offset: int = 0, chunkSize: int = 65536
    ) -> None:
        super().__init__(input, chunkSize)
        self.length = length
        self.offset = offset
        self.remaining = length

    def __next__(self) -> Any:
        remaining = self.remaining
        if remaining is None:
            return super().__next__()
        if remaining > 0:
            chunk = self.input.read(min(self.chunkSize, remaining))
            if chunk:
                self.remaining = remaining - len(chunk)
                return chunk
        self.close()
        raise StopIteration

    next = __next__

    def give_file(self) -> Any:
        """Give the file to somebody else to send and to close; None if it has to be iterated.

        That is: nothing has been pulled, and all the rest of the file is to be sent.
        """
        file, length = self.input, self.length
        if length is None or self.remaining != length:
            return None
        try:
            if os.fstat(file.fileno()).st_size - file.tell() != length:
                return None
        except (AttributeError, OSError, ValueError):
            return None
        self._given = True
        self.remaining = 0
        return file

    def __del__(self) -> None:
        """Close the file of a response that nobody read, unless it is somebody else's now."""
        if not self._given:
            super().__del__()

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.input, "close", None)
        if close is not None:
            close()


class PartsBody(FileBody):
    """Several ranges of a file as a multipart/byteranges entity (RFC 9110, 14.6)."""

    def __init__(
        self, input: Any, ranges: list[tuple[int, int]], heads: list[bytes], tail: bytes
    ) -> None:
        super().__init__(input)
        self._parts = self._pull(ranges, heads, tail)

    def give_file(self) -> Any:
        """Give nothing: there is more to send than the file."""

    def _pull(
        self, ranges: list[tuple[int, int]], heads: list[bytes], tail: bytes
    ) -> Iterator[bytes]:
        for (start, stop), head in zip(ranges, heads, strict=True):
            yield head
            self.input.seek(start)
            left = stop - start
            while left > 0:
                chunk = self.input.read(min(self.chunkSize, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            yield b"\r\n"
        yield tail
        self.close()

    def __next__(self) -> Any:
        return next(self._parts)

    next = __next__
