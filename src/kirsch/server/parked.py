"""Parked requests: their handlers have let go of the worker, and come back with an answer.

Law: one answer, whoever gives it; the work that a request still is, is done exactly once, even when
nobody waits for its answer any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .away import Away
from .counters import HANDLER_ERRORS, PARKED, TIMEOUTS_RESPONSE
from .deadlines import NEVER
from .gateway import Handover, close_body
from .input import StreamInput
from .link import RUNNING, SWITCHED
from .poller import MUTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange import Exchange
    from .workers import Worker


class Parked(Away):
    """One request without a thread.

    :param started: called in the worker, once, when the connection is parked.
    :param gone: called once, by the holder of the baton, when the peer has left or the server has
        given up waiting; it must be quick. `resume` is still to come.
    """

    __slots__ = ("decided", "exchange", "gone", "reply", "started", "taken", "told", "work")

    def __init__(self, started: Callable[[], object], gone: Callable[[], object]) -> None:
        super().__init__()
        self.started = started
        self.gone = gone
        self.decided = False  # somebody gives the answer
        self.taken = False  # and the work is being done
        self.told = False  # `gone` was called
        self.work: Any = None
        self.reply: Any = None
        self.exchange: Exchange | None = None

    def handover(self) -> Handover:
        """What a gateway returns in place of a body."""
        return Handover(self.begin, self.refused)

    # -- the worker that begins it ---------------------------------------------------------------

    def refused(self, conn: Any) -> None:
        """Somebody has answered in our place, before we were parked."""
        self.conn = conn
        self.over = self.decided = True
        self.started()

    def begin(
        self, conn: Any, worker: Worker, exchange: Exchange, status: str, headers: Any
    ) -> None:
        """Leave the connection to the poller."""
        worker.counts[PARKED] += 1
        self.exchange = exchange
        self.detach(conn)
        with self.lock:
            if self.unread:
                self.deaf = True  # it is the handler that reads
                exchange.body.state = SWITCHED
            self.arm()
        self.started()

    # -- any thread ------------------------------------------------------------------------------

    def resume(self, work: Callable[[], Any]) -> None:
        """Have a worker call `work`, which returns what a gateway returns. To be called once."""
        with self.lock:
            self.work = work
            mine = not (self.decided or self.over)
            self.decided = True
        if mine:
            self.call_holder()
        else:
            self._discard_later()

    def take(self, wanted: Callable[[Any], bool]) -> Callable[[str, list[Any], bytes], None] | None:
        """Return what answers in place of the handler, to be called once; None: it is too late.

        wanted: asked last, with the connection, whether this is the request that is meant.
        """
        with self.lock:
            if self.decided or self.over or not wanted(self.conn):
                return None
            self.decided = True
        return self.answer

    def answer(self, status: str, headers: list[Any], data: bytes) -> None:
        """Send a whole response and close the connection."""
        with self.lock:
            self.reply = (status, [*headers, ("Connection", "close")], data)
        self.call_holder()

    def _take_work(self) -> bool:
        with self.lock:
            mine = self.work is not None and not self.taken
            self.taken = self.taken or mine
        return mine

    def _discard_later(self) -> None:
        if self._take_work():
            self.run_errand(self._discard)

    def call_holder(self) -> None:
        """Have the holder call `go_on`; when there is none any more, end the work without it."""
        if self.conn.group.disposed:
            self._discard_later()
        else:
            super().call_holder()

    # -- the holder of the baton -----------------------------------------------------------------

    def go_on(self, worker: Worker) -> None:
        """There is an answer, or work that makes one."""
        with self.lock:
            reply, self.reply = self.reply, None
            if self.over:
                return
            works = reply is None and self.work is not None and not self.taken
            if reply is None and not works:
                return
            self.over = True
            self.taken = self.taken or works
            conn = self.give_back()
        conn.state = RUNNING
        if self.unread:
            self.exchange.body.state = RUNNING  # type: ignore[union-attr]  # set by then
        conn.group.wheel.set(conn, NEVER)
        conn.interest(MUTE)
        if reply is None:
            self.run_errand(self._run)
            return
        exchange: Any = self.exchange
        if type(exchange.body) is StreamInput:
            exchange.body.take_away()
        conn.worker = worker
        worker.counts[TIMEOUTS_RESPONSE] += 1
        conn.respond(worker, exchange, *reply, None)
        self._discard_later()

    def forsake(self) -> None:
        """The server has stopped; `lost` follows."""

    def lost(self, worker: Any) -> None:
        """The connection is closed."""
        with self.lock:
            told, self.told = self.told, True
        if not told:
            self.gone()
        self._discard_later()

    # -- some worker -----------------------------------------------------------------------------

    def _run(self, worker: Any) -> None:
        """Do the work and send what it returns."""
        conn, exchange = self.conn, self.exchange
        if not hasattr(worker, "stake"):  # the server has ended
            if worker is not None:
                conn.close(worker)
            self._discard(worker)
            return
        if not worker.announced:
            worker.announce()
        worker.current = conn
        worker.key = exchange.head.path  # type: ignore[union-attr]  # set by then
        conn.worker = worker
        with conn.group.steal:
            worker.stake = exchange
        try:
            status, headers, body = self.work()
        except BaseException as error:
            conn.failed(worker, exchange, error)
        else:
            conn.reply(worker, exchange, status, headers, body)
        worker.current = None
        self._forget()

    def _discard(self, worker: Any) -> None:
        """Do the work, of which nobody wants to see the result."""
        server = self.conn.group.server
        announced = getattr(worker, "announced", True)
        if not announced:
            worker.announce()
        try:
            _, _, body = self.work()
            if type(body) is Handover:
                body.lost(self.conn)
            else:
                close_body(body, server.log)
        except (KeyboardInterrupt, SystemExit) as error:
            server.interrupt = error
        except BaseException as error:
            if worker is not None:
                worker.counts[HANDLER_ERRORS] += 1
            server.log_error("error in the application", error)
        self._forget()

    def _forget(self) -> None:
        """Whose work it was has us, too: no cycle shall keep the request in memory."""
        self.started = self.gone = _nothing
        self.work = None


def _nothing() -> None:
    """What there is to do for a request that is over."""
