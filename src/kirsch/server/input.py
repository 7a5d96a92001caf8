"""Request bodies as files: empty, already gathered (BytesIO), or read from the socket as needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..wire.errors import BadBody, ProtocolError
from .counters import BYTES_IN, TIMEOUTS_BODY
from .deadlines import patience
from .link import RUNNING
from .poller import wait_socket

if TYPE_CHECKING:
    from .connection import Connection

RECV = 65536
SLICE = 1.0  # seconds after which a reader looks whether the connection is still its own
OVER = "the request body cannot be read any more: its request is over"


class EmptyInput:
    """The body of a request without one; all requests share it."""

    __slots__ = ()
    done = True

    def read(self, size: int | None = -1) -> bytes:
        return b""

    def readline(self, size: int | None = -1) -> bytes:
        return b""

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """Nothing to close."""


EMPTY = EmptyInput()


class BodyTimeout(ProtocolError):
    """The body came too slowly."""


class BodyCut(BadBody):
    """The peer went away within the body."""


class StreamInput:
    """A body that has not arrived yet: reads block the worker, under the body's total deadline.

    Belongs to the worker that runs the handler. Raises ProtocolError (400, 408, 413), and
    ValueError as any closed file when the request is over.
    """

    __slots__ = ("chunk", "conn", "decoder", "lock", "pos", "state")

    def __init__(self, conn: Connection, gathered: bytes) -> None:
        self.conn: Connection | None = conn
        self.decoder = conn.decoder  # ours, as long as it is the connection's
        self.chunk = gathered
        self.pos = 0
        self.state = RUNNING  # what the connection is in while the body is ours
        # Held by whoever touches the connection for this body, or takes it away; never in a wait.
        self.lock = threading.Lock()

    def _more(self) -> bool:
        """Replace the used-up chunk by the next bytes; False at the end of the body."""
        conn = self.conn
        if conn is None or conn.decoder is not self.decoder or conn.state != self.state:
            # Reading on would take bytes of the next request from whoever serves it.
            raise ValueError(OVER)
        data = receive_body(conn, conn.worker.counts, self)
        self.chunk = data or b""
        self.pos = 0
        return bool(data)

    def arrive(self) -> bool:
        """Take in what has come, without waiting; False when more is due and nothing is here.

        Raises as `read` does, at its deadline too.
        """
        if self.pos < len(self.chunk) or self.decoder.done:
            return True
        conn = self.conn
        if conn is None or conn.decoder is not self.decoder or conn.state != RUNNING:
            raise ValueError(OVER)
        data = receive_body(conn, conn.worker.counts, self, False)
        if data is None:
            return False
        self.chunk, self.pos = data, 0
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; all that is left when negative or None."""
        if size is None or size < 0:
            parts = [self.chunk[self.pos :]]
            while self._more():
                parts.append(self.chunk)
            self.chunk = b""
            return b"".join(parts)
        data = self.chunk[self.pos : self.pos + size]
        self.pos += len(data)
        if len(data) == size:
            return data
        parts = [data]
        size -= len(data)
        while size and self._more():
            data = self.chunk[:size]
            self.pos = len(data)
            size -= len(data)
            parts.append(data)
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Read up to and with the next line feed, at most `size` bytes."""
        left = -1 if size is None or size < 0 else size
        parts = []
        while left:
            if self.pos >= len(self.chunk) and not self._more():
                break
            end = self.chunk.find(b"\n", self.pos) + 1 or len(self.chunk)
            if left > 0:
                end = min(end, self.pos + left)
            data = self.chunk[self.pos : end]
            self.pos = end
            left = left - len(data) if left > 0 else left
            parts.append(data)
            if data.endswith(b"\n"):
                break
        return b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read lines until the end, or until `hint` bytes are passed."""
        lines: list[bytes] = []
        total = 0
        while line := self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def close(self) -> None:
        """Nothing more can be read; what was not is drained by the connection."""
        self.conn = None
        self.chunk = b""

    def take_away(self) -> None:
        """From another thread, which has become the owner of the connection."""
        with self.lock:
            self.conn = None


def receive_body(
    conn: Any, counts: list[int], body: StreamInput, wait: bool = True
) -> bytes | None:
    """Block until more of the body is there, or without `wait` return None; b'' at its end.

    The worker owns `conn`, unless that is taken away from it while it waits.
    """
    decoder = body.decoder
    settings = conn.group.settings
    while not decoder.done:
        try:
            with body.lock:
                if body.conn is None:
                    raise ValueError(OVER)
                conn.send_continue()
                raw = conn.recv(RECV)
        except BlockingIOError:
            # Only waiting counts: the peer is not to blame for what the handler did meanwhile.
            began = time.monotonic()
            if conn.patience <= 0:
                counts[TIMEOUTS_BODY] += 1
                raise BodyTimeout(408, "The request body came too slowly.") from None
            if not wait:
                return None
            wait_socket(conn.sock, False, min(conn.patience, SLICE))
            conn.patience -= time.monotonic() - began
            continue
        except OSError:
            raw = b""
        if not raw:
            conn.gone = True
            raise BodyCut("The request body ended early.")
        counts[BYTES_IN] += len(raw)
        conn.patience = patience(
            conn.patience, 0.0, len(raw), settings.body_timeout, settings.body_min_rate
        )
        data: bytes = decoder.feed(raw)
        if data:
            conn.received += len(data)
            return data
    return b""
