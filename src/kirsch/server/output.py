"""Response bodies on their way out: what the socket did not take waits here for the poller.

Nothing in ``Pending`` blocks. A ``Stream`` belongs to the worker that pulls the generator; its lock
says who may send on the socket, the worker or the holder of the baton that flushes meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..wire.errors import RESPONSE_TOO_LONG
from ..wire.http1.responses import LAST_CHUNK, encode_chunk
from .counters import BYTES_OUT, CLASS, RESPONSES, TIMEOUTS_WRITE
from .deadlines import NEVER, patience
from .poller import MUTE, OUT, wait_socket

if TYPE_CHECKING:
    from .exchange import Exchange
    from .link import Link

SENDFILE_BLOCK = 1 << 20  # a quick disk must not keep the holder of the baton at one connection


class Truncated(Exception):
    """A file ended before the length that was promised for it."""


class Pending:
    """Bytes, then perhaps a span of a file, that the peer has not taken yet."""

    __slots__ = ("count", "counted", "fd", "left", "offset", "parts", "sent", "since", "size")

    def __init__(self, parts: deque[Any], fd: int = -1, offset: int = 0, count: int = 0) -> None:
        self.parts = parts
        self.size = sum(map(len, parts))
        self.fd = fd
        self.offset = offset
        self.count = count
        self.sent = 0
        self.restart()

    def restart(self) -> None:
        """Begin to wait for the peer anew."""
        self.since = time.monotonic()
        self.counted = self.sent
        self.left: float | None = None

    def add(self, data: Any) -> None:
        """Queue more bytes; the clock of the peer's patience starts when there were none."""
        if not self.parts:
            self.restart()
        self.parts.append(data)
        self.size += len(data)

    def first(self) -> Any:
        """Return the bytes that are sent next; they are the first of the parts."""
        return self.parts[0]

    def flush(self, conn: Link) -> bool:
        """Send what the socket takes; True when nothing is left. Raises OSError, Truncated."""
        parts = self.parts
        while parts:
            data = self.first()
            try:
                sent = conn.send(data)
            except BlockingIOError:
                return False
            self.size -= sent
            self.sent += sent
            if sent < len(data):
                parts[0] = memoryview(data)[sent:]
                return False
            parts.popleft()
        if self.count:
            return self._flush_file(conn)
        return True

    def _flush_file(self, conn: Link) -> bool:
        try:
            if conn.plain:
                sent = os.sendfile(conn.fd, self.fd, self.offset, min(self.count, SENDFILE_BLOCK))
            else:
                data = os.pread(self.fd, min(self.count, 65536), self.offset)
                sent = conn.send(data) if data else 0
        except BlockingIOError:
            return False
        if not sent:
            raise Truncated
        self.offset += sent
        self.count -= sent
        self.sent += sent
        return not self.count

    def deadline(self, settings: Any) -> float:
        """When a peer that takes less than write_min_rate is given up (the sender calls it)."""
        timeout: float = settings.write_timeout
        left = timeout if self.left is None else self.left
        moved = self.sent - self.counted
        if moved or self.left is None:
            now = time.monotonic()
            self.left = left = patience(
                left, now - self.since, moved, timeout, settings.write_min_rate
            )
            self.since, self.counted = now, self.sent
        return self.since + left


class Stream:
    """A response body sent as it is made, by the one worker that makes it.

    While it is ``conn.stream``, the holder of the baton may flush and time it out as well.
    """

    __slots__ = ("begun", "conn", "counts", "framing", "kind", "left", "lock", "pending", "worker")

    def __init__(self, conn: Link, framing: str, left: int | None, head: bytes) -> None:
        self.conn = conn
        self.framing = framing
        self.left = left  # bytes that Content-Length still promises
        self.lock = threading.Lock()  # who holds it may send on this socket
        self.begun = False  # the first block was put behind the head
        self.kind: int | None = None  # the counter of its status, None for a success
        self.pending = Pending(deque((head,)))
        self.worker = conn.worker
        self.counts = conn.worker.counts

    def write(self, data: bytes) -> None:
        """Send `data` or keep it for the poller; waits when too far ahead of the peer.

        Raises ConnectionError when the peer is gone or too slow, ValueError when the body passes
        its Content-Length.
        """
        if type(data) is not bytes:
            data = as_bytes(data, self.conn)
        if not data:
            return
        framing = self.framing
        if framing == "chunked":
            data = encode_chunk(data)
        elif framing == "none":
            return
        elif self.left is not None:
            if len(data) > self.left:
                if self.left and self.pending.sent:
                    self.push(data[: self.left])
                self.left = 0
                raise ValueError(RESPONSE_TOO_LONG)
            self.left -= len(data)
        self.push(data)

    def push(self, data: bytes) -> None:
        """Send raw bytes behind what is pending already."""
        conn, pending = self.conn, self.pending
        with self.lock:
            if conn.gone:
                raise ConnectionResetError("the peer is gone")
            if not self.begun:
                if not self.worker.settle(conn):
                    raise ConnectionResetError("somebody else has answered")
                self.begun = True
                if len(data) < 65536:
                    data = pending.parts.popleft() + data  # the head with the first block
                    pending.size = 0
            pending.add(data)
            before = pending.sent
            try:
                done = pending.flush(conn)
            except OSError:
                conn.gone = True
                raise
            self.counts[BYTES_OUT] += pending.sent - before
        if not done:
            self.behind()

    def behind(self) -> None:
        """Let the poller flush, and wait only beyond output_buffer."""
        conn, pending = self.conn, self.pending
        conn.worker.give_up(conn)
        settings = conn.group.settings
        if pending.size > settings.output_buffer:
            with self.lock:
                conn.interest(MUTE)
            while pending.size > settings.output_buffer // 2:
                with self.lock:
                    left = pending.deadline(settings) - time.monotonic()
                    if left <= 0 and not conn.gone:
                        self.counts[TIMEOUTS_WRITE] += 1
                        conn.gone = True
                if conn.gone:
                    raise ConnectionResetError("the peer does not read")
                wait_socket(conn.sock, True, min(left, 1.0))
                self.flush()
        with self.lock:
            if pending.parts and not conn.gone:
                conn.set_deadline(pending.deadline(settings))
                conn.interest(OUT)

    def late(self, now: float) -> bool:
        """Whether the peer's patience is over (the holder asks when the wheel says so)."""
        conn, pending = self.conn, self.pending
        with self.lock:
            if conn.stream is not self or conn.gone or not pending.parts:
                return False  # over, given up already, or it is the application that is slow
            deadline = pending.deadline(conn.group.settings)
            if deadline > now:
                conn.group.wheel.set(conn, deadline)
                return False
            conn.gone = True
            conn.shutdown()  # wakes the worker, should it wait for this peer
            return True

    def lost(self) -> None:
        """The peer is gone (the holder was told): the next block will find out."""
        conn = self.conn
        with self.lock:
            if conn.stream is self:
                conn.gone = True
                conn.interest(MUTE)

    def detach(self) -> None:
        """Take the connection back from the poller: the response is over, or has failed."""
        conn = self.conn
        with self.lock:
            conn.stream = None
            if conn.mask == OUT:
                conn.interest(MUTE)
                conn.group.wheel.set(conn, NEVER)

    def flush(self) -> None:
        """Send what the socket takes (the worker, or the holder while the worker is elsewhere)."""
        conn, pending = self.conn, self.pending
        with self.lock:
            if conn.stream is not self:
                return  # the holder was late: the worker has finished meanwhile
            before = pending.sent
            try:
                done = pending.flush(conn)
            except OSError:
                conn.gone = True
                conn.interest(MUTE)
                return
            self.counts[BYTES_OUT] += pending.sent - before
            if done:
                conn.interest(MUTE)
                conn.set_deadline(NEVER)

    def finish(self) -> bool:
        """End the body; False when it is shorter than promised, so that the connection must close."""
        if self.framing == "chunked":
            self.push(LAST_CHUNK)
        elif self.pending.parts:
            self.push(b"")
        return not (self.framing == "length" and self.left)


def as_bytes(data: Any, conn: Link) -> bytes:
    """Body data that is not bytes: other buffers are copied, str is forgiven as latin-1."""
    if isinstance(data, str):
        server = conn.group.server
        if not server.warned_str:
            server.warned_str = True
            server.log("a response body item is str, not bytes; sent as latin-1", 30)
        return data.encode("latin-1")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a response body item must be bytes, not {type(data).__name__}")


def open_stream(exchange: Exchange, status: str, headers: list[Any]) -> Stream:
    """Make the stream of an exchange; its head leaves with the first block of the body."""
    conn = exchange.connection
    worker = conn.worker
    if not worker.settle(conn):
        raise ConnectionResetError("somebody else has answered")
    try:
        head = conn.make_head(exchange, status, headers, None)
        counts = worker.counts
        counts[RESPONSES] += 1
        left = head.length if head.framing == "length" else None
        stream = Stream(conn, head.framing, left, head.data)
        if status[0] != "2":
            stream.kind = kind = CLASS[status[0]]
            counts[kind] += 1
        exchange.stream = conn.stream = stream
    finally:
        worker.offer(exchange)  # until the first block
    return stream
