"""What any thread may ask of a WebSocket: its out-queue, its inbox, and the lock that guards both.

Law: nothing here blocks but a handler in its own thread, for its own peer, within a deadline. A peer that
does not read is dropped at ``max_output`` bytes or at the write deadline, whichever comes first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..wire.websocket.copies import Copies
from ..wire.websocket.events import Close
from ..wire.websocket.protocol import Protocol as Core
from .deadlines import NEVER
from .endpoints import ConnectionClosed, Handler, Options
from .link import READING, SWITCHED
from .outqueue import JOIN, OutQueue
from .poller import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .link import Link
    from .workers import Worker

INBOX_BYTES = 1 << 20  # of messages that wait for their handler; beyond it reading pauses


class Sender:
    """One connection, for every thread."""

    __slots__ = (
        "__weakref__",
        "_busy",
        "_close_by",
        "_ending",
        "_failed",
        "_finished",
        "_heard",
        "_held",
        "_held_size",
        "_inbox",
        "_inbox_size",
        "_lock",
        "_out",
        "_over",
        "_packs",
        "_paused",
        "_pinged",
        "_room",
        "_slow",
        "_waiter",
        "_worker",
        "conn",
        "core",
        "handler",
        "options",
    )

    def __init__(
        self, conn: Link, core: Core, handler: Handler, options: Options, packs: bool
    ) -> None:
        self.conn = conn
        self.core = core
        self.handler: Any = handler
        self.options = options
        self._packs = packs  # compression was agreed upon
        # Guards all below, and that frames leave in the order they were built.
        self._lock = threading.Lock()
        self._out: OutQueue | None = None  # None: the socket has taken everything
        # Frames that leave with their batch; then there is nothing in the out-queue.
        self._held: bytes | list[bytes] | None = None
        self._held_size = 0
        self._inbox: deque[Any] | None = None  # events that wait for the handler
        self._inbox_size = 0
        self._busy = True  # somebody runs the handler, or is about to
        self._worker: Worker | None = None  # that one
        self._paused = False  # the handler lags: nothing is read
        self._ending = False  # TCP is closed as soon as all is sent
        self._over = False  # the socket is not ours any more
        self._failed = False  # the handler raised: no more messages for it
        self._finished = False  # the handler is told of the end
        self._slow = False  # dropped because it does not read
        self._close_by = NEVER
        self._heard = 0.0
        self._pinged = 0.0  # when a sign of life was asked for; 0: none is due
        self._waiter: Any = None  # held by who waits in recv()
        self._room: Any = None  # held by who waits for the peer to read

    # -- for every thread ------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return not (self._over or self.core.close_sent)

    def text(self, text: str) -> None:
        """Send a text message. Raises ConnectionClosed.

        In the handler's own thread it waits, within the write deadline, for a peer that is more than
        ``max_output`` behind. In any other thread nothing ever waits: such a peer is dropped.
        """
        with self._lock:
            core = self.core
            if self._over or core.close_sent:
                raise self._closed()
            wait = self._put(core.text(text))
        if wait:
            self._wait_for_room()

    def binary(self, data: Any) -> None:
        """Send a binary message; like `text`."""
        with self._lock:
            core = self.core
            if self._over or core.close_sent:
                raise self._closed()
            wait = self._put(core.binary(data))
        if wait:
            self._wait_for_room()

    def fragments(self, pieces: Iterable[Any]) -> None:
        """Send one message in fragments, as an iterable of str or of bytes makes them.

        They are made before the first is sent: frames of two messages must not mix (RFC 6455 5.4),
        and nobody shall wait for an iterable.
        """
        made = list(pieces) or [""]
        with self._lock:
            if not self.open:
                raise self._closed()
            begin: Any = self.core.text if isinstance(made[0], str) else self.core.binary
            frames = [begin(made[0], last=len(made) == 1)]
            frames += [self.core.more(piece) for piece in made[1:-1]]
            if len(made) > 1:
                frames.append(self.core.more(made[-1], last=True))
            wait = self._put(b"".join(frames))
        if wait:
            self._wait_for_room()

    def deliver(self, copies: Copies, later: bool = False) -> bool:
        """Send one of many copies of a message; never waits, and a peer too far behind is dropped.

        later: it may leave with others, see `broadcasts`.
        False when the connection is closed, or closing.
        """
        with self._lock:
            core = self.core
            if self._over or core.close_sent:
                return False
            frame = copies.frame(core) if self._packs else copies.plain
            if not later or self._out is not None or len(frame) > JOIN:
                self._put(frame, own=False)
            elif self._held is None:
                self._held = frame
                self.conn.group.held.append(self)
            else:
                self._held_more(frame)
            return True

    def release(self) -> None:
        """Send what was held back (who ends the batch calls)."""
        with self._lock:
            self._release()

    def ping(self, data: bytes = b"") -> None:
        """Send a Ping. Raises ConnectionClosed."""
        with self._lock:
            if not self.open:
                raise self._closed()
            self._put(self.core.ping(data))

    def pong(self, data: bytes = b"") -> None:
        """Send a Pong nobody asked for. Raises ConnectionClosed."""
        with self._lock:
            if not self.open:
                raise self._closed()
            self._put(self.core.pong(data))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Begin the closing handshake; returns at once. Raises ValueError for a wrong code."""
        with self._lock:
            frame = self.core.close(code, reason)
            if frame and not self._over:
                self._close_by = time.monotonic() + self.options.close_timeout
                self._put(frame, own=False)
                self._schedule()

    def abort(self) -> None:
        """Drop the connection without ceremony."""
        with self._lock:
            self._release()
            if not self._over:
                self._drop()

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message, in the thread that runs the handler.

        Raises ConnectionClosed, and TimeoutError after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                message: str | bytes | None = self._take_message()
                if message is not None:
                    return message
                late = deadline is not None and time.monotonic() >= deadline
                if late:
                    self._waiter = None
                    raise TimeoutError("no message came in time")
                waiter = self._waiter = threading.Lock()
                waiter.acquire()
            self._step_aside()
            waiter.acquire(timeout=-1 if deadline is None else max(0, deadline - time.monotonic()))

    # -- with the lock held ----------------------------------------------------------------------

    def _closed(self) -> ConnectionClosed:
        return ConnectionClosed(self.core.code, self.core.reason)

    def _take_message(self) -> Any:
        inbox = self._inbox
        while inbox:
            event = inbox[0]
            kind = type(event)
            if kind is Close:  # stays, for the handler itself
                raise ConnectionClosed(event.code, event.reason)
            inbox.popleft()
            if kind is str or kind is bytes:
                self._lighter(event)
                return event
        if self._over:
            raise self._closed()
        return None

    def _lighter(self, event: Any) -> None:
        """A message has left the inbox: perhaps the peer may go on."""
        self._inbox_size -= len(event)
        if self._paused and self.core.ending is None and not self._over:
            inbox: Any = self._inbox
            few = len(inbox) <= self.options.max_queue // 2
            if few and self._inbox_size <= INBOX_BYTES // 2:
                self._paused = False
                self._arm()

    def _add(self, event: Any, size: int = 0) -> None:
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = deque()
        inbox.append(event)
        self._inbox_size += size
        if len(inbox) > self.options.max_queue or self._inbox_size > INBOX_BYTES:
            self._paused = True

    def _put(self, frame: bytes, own: bool = True) -> bool:
        """Send a frame, hold or queue it; True when its sender should wait for the peer."""
        out = self._out
        if out is not None:
            weight, limit = out.weight, self.options.max_output
            own = own and self._mine()
            if weight > limit and not own:
                self._slow = True
                self._drop()
                return False
            out.add(frame)
            return own and weight + len(frame) > limit
        if self._over:
            return False
        if self._inbox and self._batched(frame):
            return False
        if self._held is None:
            return self._send(frame, own)
        self._held_more(frame)
        return self._release(own)

    def _batched(self, frame: bytes) -> bool:
        """Hold a frame back when this is the handler's thread, with more messages to answer at once."""
        worker = self._worker
        if not self._mine() or not worker.token or len(frame) > JOIN:  # type: ignore[union-attr]  # it is mine
            return False
        if self._held is None:
            group = self.conn.group
            self._held = frame
            group.held.append(self)
            group.held_till = 0.0
        else:
            self._held_more(frame)
        # Again: who takes the baton takes the token first, and then sends what is held.
        if not worker.token:  # type: ignore[union-attr]  # as above
            self._release()
        return True

    def _mine(self) -> bool:
        """Whether this is the thread that runs the handler."""
        worker = self._worker
        return worker is not None and worker.ident == get_ident()

    def _held_more(self, frame: bytes) -> None:
        """Add to what is held, or make room for it."""
        held = self._held
        if not isinstance(held, list):
            held = self._held = [held or b""]
            self._held_size = len(held[0])
        held.append(frame)
        self._held_size += len(frame)
        if self._held_size > JOIN:
            self._release()

    def _release(self, own: bool = False) -> bool:
        """Send what is held; like `_send`."""
        held = self._held
        if held is None:
            return False
        self._held = None
        return self._send(held if isinstance(held, bytes) else b"".join(held), own)

    def _send(self, frame: bytes, own: bool) -> bool:
        """Send at once what the socket takes; True when its sender should wait for the peer."""
        try:
            sent = self.conn.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return False
        if sent == len(frame):
            return False
        self._out = out = OutQueue(memoryview(frame)[sent:] if sent else frame)
        self._arm()
        self._schedule()
        return own and out.weight > self.options.max_output and self._mine()

    def _arm(self) -> None:
        """Say what to wait for. Only who waits for bytes alone is READING (`Worker.receive`)."""
        if self._over:
            return  # it waits for its end, see `_drop`
        conn = self.conn
        if self._out is None and not self._paused:
            conn.interest(IN)
            conn.state = READING
        else:
            conn.state = SWITCHED
            conn.interest((0 if self._paused else IN) | (0 if self._out is None else OUT))

    def _schedule(self) -> None:
        """Set the soonest of our deadlines."""
        deadline = self._close_by
        if self._out is not None:
            deadline = min(deadline, self._out.deadline(self.conn.group.settings))
        options = self.options
        if options.ping_interval and not self.core.close_sent:
            pinged = self._pinged
            beat = pinged + options.ping_timeout if pinged else self._heard + options.ping_interval
            deadline = min(deadline, beat)
        self.conn.set_deadline(deadline)

    def _drop(self) -> None:
        """Have the holder find the connection dead."""
        self._lose()
        conn = self.conn
        conn.reset_on_close()
        conn.state = SWITCHED
        conn.interest(IN)
        conn.shutdown()

    def _lose(self) -> None:
        """The socket is not ours any more: nobody waits for it."""
        self._over = True
        self._out = self._held = None
        self._signal_room()
        self._wake_waiter()

    def _signal_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.release()

    def _step_aside(self) -> None:
        """Let somebody else poll: the handler is about to wait."""
        if self._mine():
            self._worker.step_aside()  # type: ignore[union-attr]  # it is mine

    def _wait_for_room(self) -> None:
        """Let the peer read on; whether it does is for the write deadline to say."""
        self._step_aside()
        while True:
            with self._lock:
                out = self._out
                if out is None or out.weight <= self.options.max_output // 2:
                    return
                room = self._room = threading.Lock()
                room.acquire()
            room.acquire()

    def _wake_waiter(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.release()
