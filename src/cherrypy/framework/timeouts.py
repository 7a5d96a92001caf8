"""The timeout monitor: finds the responses that take too long, and has their clients answered.

Law: a request pays nothing for being watched. What is in flight is read from what its thread keeps
anyway (`serving.lives`), and no answer is given twice.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import accumulate, chain, repeat, starmap
from operator import attrgetter, itemgetter
from time import time
from typing import Any

from ..process.plugins import Monitor
from ..process.wspbus import ChannelFailures
from .errors import HTTPError, timeout_error
from .exchange import NoEntity
from .response import may_log
from .serving import Life, lives, serving
from .site import site

__all__ = ("TimeoutMonitor",)

#: What a server offers: called with the number of a thread and a function that says of what its
#: handler answers whether it is the request that is meant. Returns a function that answers in place
#: of the handler (status, fields, bytes), True when it has cut a body short, or None.
Taker = Callable[[int, Callable[[Any], bool]], Any]

UNAVAILABLE = "503 Service Unavailable"
AGAIN = 0.25  # seconds until a handler that could not be answered for is looked at again


class TimeoutMonitor(Monitor):
    """`engine.timeout_monitor`: looks every `frequency` seconds, and when a time-out is up.

    A response that is late is marked (`response.timed_out`), which the stages of its request look
    at. If the server lets us, the client is answered at once, whatever the handler does.
    """

    status: Any = 503
    """The status of the answer, where `response.timeout_status` says nothing."""

    legacy: bool = False
    """Look only once, at the end of the request, as CherryPy 3 to 11 did; take nothing over."""

    take: Taker | None = None
    """How to get at a connection; set by the room that knows the servers."""

    marked = 0
    """How many responses were found to be late."""

    answered = 0
    """How many clients were answered, or cut off, in place of a handler."""

    def __init__(self, bus: Any) -> None:
        super().__init__(bus, self.run)

    @property
    def servings(self) -> list[tuple[Any, Any]]:
        """The requests in flight, each with its response."""
        return [pair for life in lives() if (pair := _pair(life)) is not None]

    def subscribe(self) -> None:
        """Watch, from now on if the engine runs already."""
        super().subscribe()
        if self.thread is None and self.bus.state is self.bus.states.STARTED:
            self.start()

    def unsubscribe(self) -> None:
        """Watch no more."""
        super().unsubscribe()
        if self.thread is not None:
            self.stop()

    def run(self) -> None:
        """Look at all responses in flight, once."""
        thread = self.thread
        mine = thread is not None and thread is threading.current_thread()
        if self.frequency <= 0:  # set while the thread runs
            if thread is not None and mine:
                thread.interval = 1.0
            return
        now = time()
        soonest = now + self.frequency
        for life in lives():
            pair = _pair(life)
            if pair is not None:
                soonest = min(soonest, self._look(life, *pair, now))
        if thread is not None and mine:
            thread.interval = max(0.001, min(self.frequency, soonest - time() + 0.001))

    def _look(self, life: Life, request: Any, response: Any, now: float) -> float:
        """Look at one response; returns when to look again at the latest."""
        try:
            new = not response.timed_out
            response.check_timeout()
            late = response.timed_out
            if not late:
                due = float("inf") if response.timeout is None else response.time + response.timeout
                return float(due) if due > now else now + self.frequency
        except Exception:
            self.bus.log("A response has no time-out that makes sense.", 40, traceback=True)
            return now + self.frequency
        if new:
            self.marked += 1
            with contextlib.suppress(ChannelFailures):  # the bus has said it
                self.bus.publish("timeout", request, response)
        if self.take is None or self.legacy or request._logs is False:
            return now + self.frequency
        return self._take_over(life, request, response, now)

    def _take_over(self, life: Life, request: Any, response: Any, now: float) -> float:
        """Answer in place of the handler, if the server lets us."""
        assert self.take is not None
        held = life.held

        def wanted(origin: Any) -> bool:
            """Whether the request is what the thread is at; its line in the log is ours then."""
            if held.get("request") is not request or not _came_from(request, origin):
                return False
            # Whoever writes the line answers. If the request has written it its response leaves in
            # this moment, unless that is made while it is sent.
            if may_log(request, False):
                return True
            return type(response._body) not in (bytes, list)

        own = getattr(life, "take", None)  # of a request that no thread is at
        try:
            taken = self.take(life.ident, wanted) if own is None else own(wanted)
        except Exception:
            self.bus.log("Could not answer in place of a handler.", 40, traceback=True)
            return now + self.frequency
        if taken is None:
            return now + min(self.frequency, AGAIN)
        self.answered += 1
        try:
            where = _where(life.ident) if own is None else life.where()  # type: ignore[attr-defined]  # it has `take`
            work = _Answer(request, response, taken, where)
        except Exception:  # classes of the program's own
            self.bus.log("Could not make the answer in place of a handler.", 40, traceback=True)
            if taken is not True:
                taken(UNAVAILABLE, [("Content-Type", "text/plain")], b"")
            return now + self.frequency
        try:
            # An error page is code of the program: it must not keep the monitor.
            threading.Thread(target=work, name="late answer", daemon=True).start()
        except RuntimeError:
            work()
        return now + self.frequency


def _pair(life: Life) -> tuple[Any, Any] | None:
    held = life.held
    request, response = held.get("request"), held.get("response")
    if request is None or response is None or request.closed:
        return None
    return request, response


def _came_from(request: Any, origin: Any) -> bool:
    """Whether `request` is one that came on the connection `origin`."""
    mine = request._origin
    if mine is None:
        return request._wsgi_environ is not None
    return getattr(mine, "connection", mine) is origin


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    import gc

    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


#: Frames shown at most.
_DEPTH = 100


def _where(ident: int) -> str:
    """The stack of another thread, as text; '' when there is none to be had."""
    import traceback

    # Who steps from frame to frame while that thread may run reads what is no longer there, and
    # the process is gone. So it is one call in C, in which the interpreter lets nobody else run.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return ""
    top = map(itemgetter(ident), starmap(sys._current_frames, [()]))
    frames = accumulate(chain(top, repeat("f_back", _DEPTH)), getattr)
    found: list[tuple[Any, int]] = []
    # Before 3.12.3 a collection within this call may bring the process to a stop (gh-106883).
    with _no_collection(), contextlib.suppress(AttributeError, KeyError):
        found.extend(map(attrgetter("f_code", "f_lineno"), frames))  # to the frame that is None
    return "".join(
        traceback.format_list(
            [
                traceback.FrameSummary(code.co_filename, line, code.co_name)
                for code, line in reversed(found)
            ]
        )
    )


class _TooLate(HTTPError):
    """The answer; shows where the handler is, to those who may see that."""

    stack = ""

    def get_error_page(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body of the answer."""
        if serving.request.show_tracebacks:
            kwargs["traceback"] = self.stack
        return super().get_error_page(*args, **kwargs)


class _Answer:
    """One answer, made and sent by a thread of its own.

    The error page and the log see a copy of the request, as the original is another thread's.
    """

    def __init__(self, request: Any, response: Any, send: Any, stack: str) -> None:
        self.send = send
        self.line = f"{request.request_line}: no response in {response.timeout} seconds"
        self.stack = stack
        self.request = copy = object.__new__(type(request))
        with _no_collection():  # nor may the dict of what another thread uses be made within one
            copy.__dict__.update(request.__dict__)
        copy.rfile = NoEntity()
        self.response = fresh = type(response)()
        fresh.time, fresh.timed_out = response.time, True
        for name in ("timeout", "timeout_status", "timeout_message", "_promised"):
            setattr(fresh, name, getattr(response, name))
        if response._headers is not None:
            dict.update(fresh.headers, response._headers)

    def __call__(self) -> None:
        serving.load(self.request, self.response)
        try:
            if self.send is True:
                site.log(f"{self.line}; its body was cut short.\n{self.stack}", "HTTP", 40)
            else:
                self.answer()
        finally:
            serving.clear()

    def answer(self) -> None:
        """Make the error page, send it, and write the lines."""
        response = self.response
        status, pairs, body = UNAVAILABLE, [("Content-Type", "text/plain")], b""
        try:
            plain = timeout_error(response)
            error = _TooLate(plain.status, response.timeout_message)
            error.stack = self.stack
            error.set_response()
            response.finalize()
            status, pairs, body = response.status, response.pairs(), response.collapse_body()
        except Exception:
            response.status = status
            site.log("The answer in place of a handler failed.", "HTTP", 40, traceback=True)
        try:
            site.log.access()
        except Exception:
            site.log("The access log failed.", "HTTP", 40, traceback=True)
        self.send(status, pairs, body)
        site.log(f"{self.line}; answered {status} in its place.\n{self.stack}", "HTTP", 40)
