"""WebSockets on the server: a connection after its 101, parked in the poller like all others.

The holder of the baton reads, answers pings, watches deadlines and closes; whoever likes sends
(`senders`). The handler is called in a worker, with the baton in hand when it has proved quick, else
without; one call at a time and in order, so a slow one stops nobody but its own peer.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..wire.websocket.events import Close, Ping, Pong
from .counters import HANDLER_ERRORS, MESSAGES, SLOW_PEERS, UNANSWERED
from .deadlines import NEVER
from .endpoints import ConnectionClosed
from .senders import Sender
from .workers import NOTED, QUICK

if TYPE_CHECKING:
    from .workers import Worker

GOING_AWAY, INTERNAL_ERROR = 1001, 1011  # RFC 6455 7.4.1
OPENED = object()  # what happens first
ANSWER = object()  # the place of our answer to the peer's Close, behind its messages


class _Nobody:
    """Stands for a connection while a handler has the baton: nothing happens to ours meanwhile."""

    def __init__(self) -> None:
        self.state = 0
        self.deadline = NEVER
        self.due: int | None = None
        self.gone = False

    def interest(self, mask: int) -> None:
        """Our connection stays readable: there is nothing to mute."""

    def close(self, worker: Any) -> None:
        """A fault of ours is dealt with where it happens."""


NOBODY: Any = _Nobody()


class WebSocket(Sender):
    """One connection, for the holder of the baton and for the worker that calls its handler."""

    __slots__ = ()

    # -- for the holder of the baton -------------------------------------------------------------

    def received(self, data: bytes, worker: Worker) -> bool:
        """Take in what has come; False when the baton has left this worker meanwhile."""
        self._heard = worker.now
        events = self.core.feed(data)
        if len(events) == 1:
            event = events[0]
            kind = type(event)
            if kind is str or kind is bytes:
                worker.counts[MESSAGES] += 1
                with self._lock:
                    if self._busy:
                        self._queue(event)
                        return True
                    self._busy = True
                return self.run(worker, event)
        if not events:
            return True
        with self._lock:
            wanted = self._sort(events, worker)
            ended = self.core.ending is not None and not self._deferred()
            mine = wanted and not self._busy and not ended
            if mine:
                self._busy = True
        if ended:
            self.ended(worker)
            return True
        return self.run(worker) if mine else True

    def _queue(self, event: Any) -> None:
        """Put a message in the inbox, wake who waits for it, and pause a peer that is ahead."""
        self._add(event, len(event))
        self._wake_waiter()
        if self._paused:
            self._arm()

    def _sort(self, events: list[Any], worker: Worker) -> bool:
        """Answer what the protocol answers, queue what the handler wants; whether there is any."""
        for event in events:
            kind = type(event)
            if kind is str or kind is bytes:
                worker.counts[MESSAGES] += 1
                self._add(event, len(event))
            elif kind is Pong:
                if self.options.pongs:
                    self._add(event)
            elif kind is Ping:
                self._put(self.core.pong(event.data), own=False)
            else:
                self._end_of(event)
        self._wake_waiter()
        if self._paused and not self._over:
            self._arm()
        return bool(self._inbox)

    def _end_of(self, event: Any) -> None:
        """The peer's last event: answer it, behind the answers to what came before it."""
        if self.options.blocking or not (self._busy or self._inbox):
            self._answer_end()
            return
        self._add(ANSWER)
        self._paused = True
        self._close_by = min(self._close_by, time.monotonic() + self.options.close_timeout)
        self._schedule()

    def _deferred(self) -> bool:
        """Whether the handler has yet to get to the end of its messages."""
        return bool(self._inbox) and ANSWER in self._inbox  # type: ignore[operator]  # not None

    def _answer_end(self) -> None:
        if not self._over:
            frame = self.core.answer(self.core.ending)  # type: ignore[arg-type]  # it has ended
            if frame:
                self._put(frame, own=False)

    def ended(self, worker: Worker) -> None:
        """The peer's half is over: close when all is sent (RFC 6455 7.1.1: the server first)."""
        with self._lock:
            if self._over:
                return
            self._ending = True
            self._release()
            waits = self._out is not None
            if waits:
                self._paused = True
                limit = time.monotonic() + self.options.close_timeout
                self._close_by = min(self._close_by, limit)
                self._arm()
                self._schedule()
        if not waits:
            self.end(worker)

    def end(self, worker: Any) -> None:
        """Give the socket up, so that what we sent last can be read."""
        with self._lock:
            self._release()
            if self._over:
                return
            self._lose()
        conn: Any = self.conn
        conn.close_gently(worker, type(self.core.ending) is not Close)
        self.finish(worker)

    def finish(self, worker: Any) -> None:
        """Have the handler told of the end, behind everything that came before it."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
            code, reason = self.core.code, self.core.reason
            self._add(Close(code, reason))
            self._wake_waiter()
            mine = not self._busy
            self._busy = True
        self.conn.upgraded = None
        if mine:
            self._later(worker)

    def _later(self, worker: Any) -> None:
        """Leave the handler to the next worker that can be had."""
        group = self.conn.group
        group.errands.append(self.work)
        group.called = True
        if not getattr(worker, "holding", False):
            group.poller.wake()

    def flush(self, worker: Worker) -> None:
        """Send more of what waits."""
        ended = False
        with self._lock:
            out = self._out
            if out is None:
                return
            try:
                done = out.flush(self.conn)
            except OSError:
                self._drop()
                return
            if done:
                self._out = None
                self._arm()
                ended = self._ending
            self._schedule()
            if self._room is not None and (done or out.weight <= self.options.max_output // 2):
                self._signal_room()
        if ended:
            self.end(worker)

    def on_deadline(self, worker: Worker, now: float) -> None:
        """One of our deadlines has passed, or has moved."""
        lost = silent = gentle = False
        with self._lock:
            out = self._out
            if self._over:
                lost = True  # dropped, and nobody has told us
            elif now >= self._close_by:
                # A handler that takes too long does not keep the peer from its Close frame.
                gentle = self.core.ending is not None and not self.core.close_sent
                if gentle:
                    self._answer_end()
                lost = not gentle
            elif out is not None and out.deadline(self.conn.group.settings) <= now:
                lost = True
                worker.counts[SLOW_PEERS] += 1
            elif self.options.ping_interval and not self.core.close_sent:
                silent = self._beat(now)
            if silent:
                worker.counts[UNANSWERED] += 1
                self._put(self.core.close(INTERNAL_ERROR, "no answer to a ping"), own=False)
            elif not lost and not gentle:
                self._schedule()
        if lost:
            self.conn.reset_on_close()
            self.conn.close(worker)
        elif silent or gentle:
            self.end(worker)

    def _beat(self, now: float) -> bool:
        """Ask a silent peer for a sign of life; True when it has not given the last one."""
        pinged = self._pinged
        if pinged and (self._heard >= pinged or self._paused):
            pinged = self._pinged = 0.0
            if self._paused:
                self._heard = now  # we do not listen: that is not its fault
        if pinged:
            return now >= pinged + self.options.ping_timeout
        if now >= self._heard + self.options.ping_interval:
            self._pinged = now
            self._put(self.core.ping(), own=False)
        return False

    def go_away(self) -> None:
        """The server stops: say so (RFC 6455 7.4.1)."""
        if not self.core.close_sent:
            self.close(GOING_AWAY, "the server stops")

    # -- calling the handler ---------------------------------------------------------------------

    def run(self, worker: Worker, event: Any = None) -> bool:
        """From the holder: call the handler for what is there; False when the baton is gone."""
        group, options = worker.group, self.options
        if options.blocking or group.means.get(options.key, 1.0) > QUICK or worker.leads:
            return self._run_slow(worker, event)
        if not worker.announced:
            worker.announce()
        worker.since = start = worker.now
        worker.running = True
        worker.token.append(NOBODY)
        if group.house.asleep:
            group.house.wake()
        worker.current = NOBODY
        count = self._serve(worker, event)
        worker.back()
        worker.now = now = time.monotonic()
        if now - start > NOTED:
            self._note((now - start) / count)
        return worker.holding

    def _run_slow(self, worker: Worker, event: Any) -> bool:
        """Pass the baton on first, or leave it to another worker."""
        if event is not None:
            with self._lock:
                if self._inbox is None:
                    self._inbox = deque()
                self._inbox.appendleft(event)
                self._inbox_size += len(event)
        if worker.leads:  # which runs no handlers
            self._later(worker)
            return True
        worker.holding = False
        worker.group.flush(worker)
        worker.group.baton.pass_on()
        self.work(worker)
        return False

    def work(self, worker: Any) -> None:
        """Call the handler for what is there, in a worker without the baton.

        Who made `_busy` true calls. The worker may be but a stand-in, when the server has ended.
        """
        start = time.monotonic()
        if not getattr(worker, "announced", True):
            worker.announce()
        worker.current = NOBODY
        count = self._serve(worker, None)
        worker.current = None
        if count and not self.options.blocking:
            self._note((time.monotonic() - start) / count)

    def _serve(self, worker: Any, event: Any) -> int:
        """Call the handler until nothing waits for it; how many calls it took.

        event: what has just come and was not put into the inbox, or None.
        """
        self._worker = worker
        count = 0
        while True:
            if event is not None:
                count += 1
                if type(event) is str or type(event) is bytes:
                    try:
                        if not self._failed:
                            self.handler.ws_message(event)
                    except BaseException as error:
                        self._handle(worker, error)
                else:
                    self._call(worker, event)
            with self._lock:
                inbox = self._inbox
                if not inbox:  # the handler is idle from now on
                    self._inbox = self._worker = None
                    self._busy = False
                    return count
                event = inbox.popleft()
                if type(event) is str or type(event) is bytes:
                    self._lighter(event)

    def _note(self, took: float) -> None:
        """Keep the books: the running mean of a call."""
        means, key = self.conn.group.means, self.options.key
        mean = means.get(key)
        took = min(took, 1.0)
        means[key] = took if mean is None else mean * 0.8 + took * 0.2

    def _call(self, worker: Any, event: Any) -> None:
        """Tell of anything but a message."""
        kind, handler = type(event), self.handler
        try:
            if event is OPENED:
                handler.ws_opened()
            elif event is ANSWER:
                with self._lock:
                    self._answer_end()
                self.conn.group.ready.append(self.conn)  # type: ignore[arg-type]  # every link is a connection
                # Always: the baton may have been taken from us, without our knowing yet.
                self.conn.group.poller.wake()
            elif kind is Pong:
                handler.ws_ponged(event.data)
            else:
                handler.ws_closed(event.code, event.reason)
        except BaseException as error:
            self._handle(worker, error)
        if kind is Close:
            self.handler = None  # the two hold each other

    def _handle(self, worker: Any, error: BaseException) -> None:
        """Whatever a handler raises closes this connection and nothing else."""
        self._failed = True
        server = self.conn.group.server
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.abort()
            server.interrupt = error
            return
        if isinstance(error, ConnectionClosed) and not self.open:
            return  # it sent to a peer that had gone meanwhile: no fault of its
        worker.counts[HANDLER_ERRORS] += 1
        try:
            self.handler.ws_failed(error)
        except BaseException as second:
            server.log_error("error in a WebSocket handler", second)
        self.close(INTERNAL_ERROR)
