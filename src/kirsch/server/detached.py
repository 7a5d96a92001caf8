"""WebSockets whose handler lives elsewhere, in an event loop say: it takes messages when it wants them.

Law: no worker ever runs for such a handler, waits for it, or is waited for. What it has not taken stays in
the inbox, and an inbox that is full pauses the peer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from ..wire.websocket.events import NO_STATUS, Close
from .counters import HANDLER_ERRORS
from .websockets import INTERNAL_ERROR, WebSocket

if TYPE_CHECKING:
    from ..wire.websocket.protocol import Protocol as Core
    from .endpoints import Options
    from .link import Link
    from .workers import Worker


class Knock(Protocol):
    """How somebody who waits is told. Called in any thread, with our lock held: returns at once."""

    def release(self) -> object: ...


class Detached(WebSocket):
    """One connection. Its handler is called once, `ws_opened()`, when the 101 is on its way.

    From then on `take`, `offer`, `close` and `abort` may be called in any thread, and nothing blocks.
    """

    __slots__ = ("_deaf", "_offered")

    def __init__(self, conn: Link, core: Core, handler: Any, options: Options, packs: bool) -> None:
        super().__init__(conn, core, handler, options, packs)
        self._deaf = False  # we have said that we close: nobody wants what still comes
        self._offered = 0  # bytes of the frame that was offered last

    @property
    def over(self) -> bool:
        """Whether nothing goes out any more, not even what waits."""
        return self._over

    def take(self, knock: Knock) -> str | bytes | None:
        """The next message; None when there is none yet, and then `knock` once there may be.

        Raises ConnectionClosed behind the last one, again and again.
        """
        with self._lock:
            message: str | bytes | None = self._take_message()
            if message is None:
                self._waiter = knock
            return message

    def offer(self, message: Any, knock: Knock) -> bool:
        """Send a `str`, or anything else as bytes. False: nothing else shall be offered until `knock`, the peer lags.

        It lags when more than half of `max_output` waits for it. Raises ConnectionClosed, and
        UnicodeEncodeError for text that UTF-8 cannot hold.
        """
        with self._lock:
            core = self.core
            if self._over or core.close_sent:
                raise self._closed()
            frame = core.text(message) if isinstance(message, str) else core.binary(message)
            self._offered = len(frame)
            self._put(frame)
            out = self._out
            if out is None or out.weight <= self.options.max_output // 2:
                return True
            self._room = knock
            return False

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Begin to close; `take` gives what had come before, then says so. Raises ValueError."""
        with self._lock:
            frame = self.core.close(code, reason)
            if not frame or self._over:
                return
            # Before the peer can answer: its Close repeats the code, and seldom the reason.
            self._add(Close(NO_STATUS if code is None else code, reason))
            self._deaf = True
            self._close_by = time.monotonic() + self.options.close_timeout
            self._put(frame, own=False)
            if self.core.ending is None and not self._over:
                self._paused = False  # or the peer's answer would not be read
                self._arm()
            self._schedule()
            self._wake_waiter()

    def fail(self) -> None:
        """The handler has raised: count it, and begin to close with 1011."""
        counters = self.conn.group.server.counters_
        counts = counters.shard()
        counts[HANDLER_ERRORS] += 1
        counters.retire(counts)
        self.close(INTERNAL_ERROR)

    # -- in place of what calls handlers ---------------------------------------------------------

    def run(self, worker: Worker, event: Any = None) -> bool:
        """The 101 has gone (`_busy` stays true from here on: nobody calls this again)."""
        self.work(worker)
        return worker.holding

    def work(self, worker: Any) -> None:
        """The same without the baton."""
        with self._lock:
            inbox: Any = self._inbox
            inbox.popleft()  # OPENED
        handler, self.handler = self.handler, None  # the two would hold each other
        handler.ws_opened()

    # -- with the lock held ----------------------------------------------------------------------

    def _end_of(self, event: Any) -> None:
        """The peer's last event is answered at once: nobody knows when the handler gets there."""
        self._answer_end()

    def _add(self, event: Any, size: int = 0) -> None:
        if not self._deaf or type(event) is Close:
            super()._add(event, size)

    def _put(self, frame: bytes, own: bool = True) -> bool:
        # What the handler offers, one message at a time, is kept whatever its size. A peer that does
        # not read cannot make us queue pongs beyond that.
        out = self._out
        if out is not None and (own or out.weight <= self.options.max_output + self._offered):
            out.add(frame)
            return False
        return super()._put(frame, own)
