"""The interface between the server and what answers: a callable from exchange to response.

``gateway(exchange) -> (status, headers, body)``. The body is bytes, a list of bytes, a FileWrapper,
or any iterable of bytes; its ``close()`` is called exactly once, whatever happens.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Union

from .exchange import Exchange

Headers = list[Any]  # (name, value) pairs of str or of bytes
Body = Union[bytes, "list[bytes]", "FileWrapper", Iterable[bytes]]
Response = tuple[str, Headers, Body]
Gateway = Callable[[Exchange], tuple[str, Headers, Any]]

BLOCK = 65536


class FileWrapper:
    """A file as a body (wsgi.file_wrapper): sent by sendfile when it is a real file.

    `filelike` needs read(); what it holds is sent from its current position.
    """

    __slots__ = ("block", "close", "filelike")

    def __init__(self, filelike: Any, block: int = BLOCK) -> None:
        self.filelike = filelike
        self.block = block
        close = getattr(filelike, "close", None)
        self.close: Callable[[], object] = close if close is not None else _nothing

    def __iter__(self) -> Iterator[bytes]:
        read, block = self.filelike.read, self.block
        while data := read(block):
            yield data

    def span(self) -> tuple[int, int, int] | None:
        """(descriptor, offset, bytes left) of a regular file opened for bytes, else None."""
        try:
            fd = self.filelike.fileno()
            offset = self.filelike.tell()
            info = os.fstat(fd)
        except (AttributeError, OSError, ValueError, TypeError):
            return None
        if not stat.S_ISREG(info.st_mode) or not isinstance(offset, int):
            return None
        if hasattr(self.filelike, "encoding"):
            return None  # a text file: its position is not an offset
        return fd, offset, max(0, info.st_size - offset)


class Closing:
    """A whole body of one piece, with an owner that is to be closed after it has gone.

    `data` is the body; `close` is called exactly once, in the thread of the handler.
    """

    __slots__ = ("close", "data")

    def __init__(self, data: Any, close: Callable[[], object]) -> None:
        self.data = data
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        yield self.data


class Upgrade:
    """In place of a body: the connection switches protocols (RFC 9110 7.8).

    `head` is the 101 response. `begin` is called with the connection, the worker and the bytes
    that came behind the request, and sends it.
    """

    __slots__ = ("begin", "head")

    def __init__(self, head: bytes, begin: Callable[[Any, Any, bytes], object]) -> None:
        self.head = head
        self.begin = begin

    def __iter__(self) -> Iterator[bytes]:
        # Something between gateway and server takes it for a body.
        raise RuntimeError("a response that switches protocols has no body")


class Handover:
    """In place of a body: somebody else answers from here on, and no thread waits for that.

    `begin` is called with the connection, the worker, the exchange, the status and the fields, and
    owns the connection; `lost` instead, with the connection, when somebody has answered already.
    """

    __slots__ = ("begin", "lost")

    def __init__(
        self,
        begin: Callable[[Any, Any, Exchange, str, Headers], object],
        lost: Callable[[Any], object],
    ) -> None:
        self.begin = begin
        self.lost = lost

    def __iter__(self) -> Iterator[bytes]:
        # Something between gateway and server takes it for a body.
        raise RuntimeError("a response that is made elsewhere has no body here")


def single(body: Any) -> Closing | None:
    """The only item of a body whose len() is 1, with its close(); None for any other body.

    PEP 3333, "Handling the Content-Length Header": such a body is known whole by its first item.
    Raises what the body raises.
    """
    try:
        if len(body) != 1:
            return None
    except TypeError:
        return None  # a __len__ that is not meant
    close = getattr(body, "close", None)
    return Closing(next(iter(body), b""), close if close is not None else _nothing)


def _nothing() -> None:
    """Close what has nothing to close."""


def close_body(body: Any, log: Callable[..., object]) -> None:
    """Call the body's close(), if it has one; its faults are logged, not raised."""
    close = getattr(body, "close", None)
    if close is not None:
        try:
            close()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            log("error while closing a response body", 40, True)
