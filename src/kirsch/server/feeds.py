"""Feeds: response bodies that any thread adds to, while the connection is parked in the poller.

Law: `send` never waits. What a peer does not take waits in an out-queue, up to a limit at which the
oldest pieces are dropped, or the peer.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from ..wire.http1.responses import LAST_CHUNK, encode_chunk
from .away import Away
from .counters import BYTES_OUT, CLASS, FEEDS, RESETS, RESPONSES, SLOW_FEEDS, TIMEOUTS_WRITE
from .deadlines import NEVER
from .gateway import Handover
from .outqueue import OutQueue
from .poller import OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange import Exchange
    from .workers import Worker

_last: tuple[bytes, bytes] = (b"", b"")  # the last piece, and it as a chunk

FAREWELL = 1.0  # seconds that a peer which lags behind has when the server stops


class Feed(Away):
    """One response whose body comes bit by bit, and its end.

    :param began: called once in some worker, when the head is on its way; from then on `send` serves.
    :param ended: called once in some worker when all is over, however it ended.
    :param most: pieces that may wait for a peer that does not read.
    :param most_bytes: and their bytes.
    :param drop: beyond that drop the oldest pieces; False: drop the peer.
    :param beat: a piece to send when nothing else was sent for `interval` seconds; b"" for none.
    :param limit: seconds until the body ends by itself; None for no limit.
    :param room: called by the holder of the baton when a queue has become half empty; must be quick.
    """

    __slots__ = (
        "beat",
        "begun",
        "chunked",
        "closes_by",
        "drop",
        "dropped",
        "ended",
        "ending",
        "interval",
        "length",
        "limit",
        "most",
        "most_bytes",
        "out",
        "room",
        "sent_at",
        "slow",
        "told",
    )

    def __init__(
        self,
        began: Callable[[], object],
        ended: Callable[[], object],
        *,
        most: int = 100,
        most_bytes: int = 1 << 20,
        drop: bool = True,
        beat: bytes = b"",
        interval: float = 0.0,
        limit: float | None = None,
        room: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        self.begun = began
        self.ended = ended
        self.most = most
        self.most_bytes = most_bytes
        self.drop = drop
        self.beat = beat
        self.interval = interval if beat else 0.0
        self.limit = limit
        self.room = room
        self.chunked = False
        self.ending = False  # no more is taken: the body ends when all has been sent
        self.told = False  # `ended` was called, or is about to be
        self.slow = False  # dropped because it does not read
        self.out: OutQueue | None = None  # None: the socket has taken everything
        self.length = 0  # bytes of the body that were sent, or wait to be
        self.dropped = 0  # pieces
        self.sent_at = 0.0
        self.closes_by = NEVER

    def handover(self) -> Handover:
        """What a gateway returns in place of a body."""
        return Handover(self.begin, self.refused)

    # -- for every thread ------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether more can be sent."""
        return not (self.over or self.ending)

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not taken, roughly."""
        out = self.out
        return 0 if out is None else out.weight

    def send(self, piece: bytes) -> bool:
        """Add a piece to the body; False when it is over."""
        with self.lock:
            if self.over or self.ending or not piece:
                return not (self.over or self.ending)
            self._add(piece)
            return not self.over

    def finish(self) -> None:
        """End the body; what was sent before still arrives."""
        with self.lock:
            if self.over or self.ending:
                return
            self.ending = True
            if self.chunked:
                self._put(LAST_CHUNK)
            waits = self.out is not None
        if not waits:
            self.call_holder()

    def abort(self) -> None:
        """Break the body off, so that the peer sees that it is incomplete."""
        with self.lock:
            if not self.over:
                self._drop()

    # -- the worker that begins it ---------------------------------------------------------------

    def refused(self, conn: Any) -> None:
        """Somebody has answered in our place."""
        self.conn = conn
        self.over = self.told = True
        self.ended()

    def begin(
        self, conn: Any, worker: Worker, exchange: Exchange, status: str, headers: Any
    ) -> None:
        """Send the head, and leave the connection to the poller."""
        if conn.decoder is not None and not conn.decoder.done:
            headers = [*headers, ("Connection", "close")]
        try:
            head = conn.make_head(exchange, status, headers, None)
        except Exception as error:
            self.refused(conn)
            conn.failed(worker, exchange, error)
            return
        begun = self.begun  # the end may come first
        counts = worker.counts
        counts[RESPONSES] += 1
        counts[FEEDS] += 1
        if status[0] != "2":
            counts[CLASS[status[0]]] += 1
        self.chunked = head.framing == "chunked"
        bodiless = head.framing == "none"
        if head.framing == "length":
            conn.keep_alive = False
        now = time.monotonic()
        if self.limit is not None:
            self.closes_by = now + self.limit
        self.watch(conn, self.interval * 2)
        self.detach(conn)
        with self.lock:
            self._put(head.data)
            self.ending = bodiless
            if not self.over:
                self.arm(0 if self.out is None else OUT)
                self._schedule()
        if bodiless:
            self.call_holder()
        if worker.holding:
            self.run_errand(lambda worker: begun())  # it may have to wait for its turn
        else:
            begun()

    @staticmethod
    def watch(conn: Any, patience: float) -> None:
        """Have the system give up a peer that acknowledges nothing for `patience` seconds; 0: as usual."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)  # RFC 5482; Linux
        if option is not None and conn.sock.family != getattr(socket, "AF_UNIX", None):
            try:
                conn.sock.setsockopt(socket.IPPROTO_TCP, option, int(patience * 1000))
            except OSError:
                pass

    # -- with the lock held ----------------------------------------------------------------------

    def _add(self, piece: bytes) -> None:
        """Put a piece of the body on its way."""
        global _last
        data = piece
        if self.chunked:
            # Many feeds get the same piece, and those that lag shall share its memory.
            last, data = _last
            if last is not piece:
                data = encode_chunk(piece)
                _last = (piece, data)
        out = self.out
        if out is not None and not self._make_room(out, len(data)):
            return
        self.length += len(piece)
        self._put(data)

    def _make_room(self, out: OutQueue, size: int) -> bool:
        """Keep the queue within its limits; False when the peer was dropped.

        The first piece may have gone out in part, and stays.
        """
        parts = out.parts
        while len(parts) > self.most or (
            out.size + size > self.most_bytes and len(parts) > self.drop
        ):
            if not self.drop:
                self.slow = True
                self._drop()
                return False
            old = parts[1]
            del parts[1]
            out.size -= len(old)
            self.length -= self._content(old)
            self.dropped += 1
        return True

    def _content(self, data: Any) -> int:
        """How much of the body `data` is."""
        size = len(data)
        if not self.chunked or type(data) is not bytes:
            return size
        digits = data.find(b"\r\n", 0, 20)
        return max(0, size - digits - 4)

    def _put(self, data: bytes) -> None:
        """Send bytes as they are, or keep them for the poller."""
        out = self.out
        if out is not None:
            out.add(data)
            return
        if self.over:
            return
        conn = self.conn
        self.sent_at = time.monotonic()
        try:
            sent = conn.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent < len(data):
            self.out = OutQueue(memoryview(data)[sent:] if sent else data)
            if conn.upgraded is self:
                self.arm(OUT)
                self._schedule()

    def _schedule(self) -> None:
        """Set the soonest of our deadlines."""
        deadline = self.closes_by
        if self.out is not None:
            deadline = min(deadline, self.out.deadline(self.conn.group.settings))
        elif self.interval:
            deadline = min(deadline, self.sent_at + self.interval)
        self.conn.set_deadline(deadline)

    def _drop(self) -> None:
        """Have the holder find the connection dead."""
        self.over = True
        self.deaf = False
        conn = self.conn
        conn.reset_on_close()
        self.arm()
        conn.shutdown()

    # -- the holder of the baton -----------------------------------------------------------------

    def on_writable(self, worker: Worker) -> None:
        """Send more of what waits."""
        finished = half = False
        with self.lock:
            out = self.out
            if out is None or self.over:
                return
            before = out.sent
            try:
                done = out.flush(self.conn)
            except OSError:
                worker.counts[RESETS] += 1
                self._drop()
                return
            finally:
                worker.counts[BYTES_OUT] += out.sent - before
            if out.sent > before:
                self.sent_at = worker.now
            if done:
                self.out = None
                self.arm()
                finished = self.ending
            half = done or out.weight <= self.most_bytes // 2
            self._schedule()
        if finished:
            self.complete(worker)
        room = self.room
        if half and room is not None:
            room()

    def on_deadline(self, worker: Worker, now: float) -> None:
        """The peer lags, the time is up, or a beat is due."""
        lost = over = False
        with self.lock:
            out = self.out
            if self.over:
                lost = True
            elif out is not None and out.deadline(self.conn.group.settings) <= now:
                lost = True
                worker.counts[TIMEOUTS_WRITE] += 1
            elif now >= self.closes_by:
                over = not self.ending
                lost = self.ending  # it had its time
            elif out is None and self.interval and now >= self.sent_at + self.interval:
                self._add(self.beat)
            if over:
                self.closes_by = now + FAREWELL
            if not (lost or self.over):
                self._schedule()
        if lost:
            self.conn.reset_on_close()
            self.conn.close(worker)
        elif over:
            self.finish()

    def go_on(self, worker: Worker) -> None:
        """The body has come to its end, unless some of it still waits."""
        if self.ending and self.out is None and not self.over:
            self.complete(worker)

    def complete(self, worker: Worker) -> None:
        """All has been sent: the connection goes on as any other."""
        with self.lock:
            if self.over:
                return
            self.over = True
            if self.interval:
                self.watch(self.conn, 0)
            conn = self.give_back()
        conn.response_done(worker)
        self._tell()

    def retire(self) -> None:
        """The server stops: the body ends here."""
        with self.lock:
            self.closes_by = min(self.closes_by, time.monotonic() + FAREWELL)
            if not self.over:
                self._schedule()
        self.finish()

    def forsake(self) -> None:
        """The server has stopped."""
        with self.lock:
            self.over = True

    def lost(self, worker: Any) -> None:
        """The connection is closed; what the peer did not take was no part of the response."""
        with self.lock:
            out, self.out = self.out, None
            if out is not None:
                self.length = max(0, self.length - sum(self._content(part) for part in out.parts))
            if self.slow:
                self.slow = False
                worker.counts[SLOW_FEEDS] += 1
        self._tell()

    def _tell(self) -> None:
        """Have a worker say that all is over, once."""
        with self.lock:
            if self.told:
                return
            self.told = True
        room = self.room
        self.run_errand(self._end)
        if room is not None:
            room()

    def _end(self, worker: Any) -> None:
        """Say that all is over (some worker)."""
        announced = getattr(worker, "announced", True)
        if not announced:
            worker.announce()
        try:
            self.ended()
        except BaseException as error:
            self.conn.group.server.log_error("error at the end of a feed", error)
        self.begun = self.ended = _nothing  # who made us has us, too
        self.room = None


def _nothing() -> None:
    """What there is to do for a feed that is over."""
