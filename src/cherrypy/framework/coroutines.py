"""Pages that are coroutines: they run on the event loop, and no thread waits for them.

A page begins and ends in a worker, with all its hooks; only the coroutine itself runs on the loop. Law:
within a coroutine, and whatever tasks and threads it starts, `cherrypy.request` is its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent import futures
from contextvars import ContextVar, copy_context
from types import AsyncGeneratorType
from typing import Any

from ..process.loops import shared
from .dispatch.handlers import AWAITED
from .errors import HTTPError, Suspended, format_exc
from .exchange import resumed
from .logs import access_logged
from .request import Request
from .response import late, look_at_time, may_log
from .results import settled
from .serving import Serving, serving, watch
from .site import site

__all__ = ("Waiting", "in_context", "pages", "result_of")

GONE = "499 Client Closed Request"  # as nginx logs it: nobody is there to read an answer
LOOK_UP = 0.25  # seconds after which a thread that waits for a coroutine looks at the time

_held: ContextVar[dict[str, Any] | None] = ContextVar("cherrypy_serving", default=None)


class _FromContext:
    """An attribute of `serving` for threads that serve nothing themselves: what the context serves.

    What a thread has itself is found before this, which has no `__set__`.
    """

    def __init__(self, name: str, *default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        held = _held.get() if obj is not None else None
        if held is not None and self.name in held:
            return held[self.name]
        if self.default:
            return self.default[0]
        raise AttributeError(self.name)


_known: set[str] = set()
_guard = threading.Lock()  # guards: each attribute is replaced once


def _show(held: dict[str, Any]) -> None:
    """Have `serving` look into the context for all that is in `held`."""
    if _known.issuperset(held):
        return
    with _guard:
        for name in held:
            if name in _known:
                continue
            _known.add(name)
            if name in ("request", "response"):
                setattr(Serving, name, _FromContext(name, vars(Serving)[name]))
            elif not hasattr(Serving, name):
                setattr(Serving, name, _FromContext(name))


def in_context(held: dict[str, Any], call: Any, *args: Any) -> Any:
    """Call something in a context in which `held` is what is served."""
    _show(held)
    context = copy_context()
    context.run(_held.set, held)
    return context.run(call, *args)


class Pages:
    """The pages' share in the event loop: taken with the first coroutine, given back at the stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # taken once, given back once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bus: Any = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs."""
        with self._lock:
            if self._loop is None:
                if self._bus is not site.engine:
                    import atexit

                    self._bus = site.engine
                    self._bus.subscribe("stop", self.stop)
                    atexit.register(self.stop)  # behind servers that know no engine
                self._loop = shared.acquire()
            return self._loop

    def stop(self) -> None:
        """Do without the loop; coroutines that still run are cancelled."""
        if shared.is_here():
            threading.Thread(target=self.stop, name="loop-stop").start()
            return
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                shared.release()

    def forget(self) -> None:
        """In a forked child: the loop has stayed with the parent."""
        self._lock = threading.Lock()
        self._loop = None

    # After the servers (25) have answered.
    stop.priority = 45  # type: ignore[attr-defined]  # the bus reads it


pages = Pages()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pages.forget)


def result_of(handler: Any, made: Any) -> Any:
    """Return what a page has promised, or suspend its request until that is there.

    made
        A coroutine, or an asynchronous generator, which becomes a body.

    Raises Suspended where no thread need wait, and whatever the coroutine raises where one must:
    behind other servers, and inside handlers that we know nothing of.
    """
    if type(made) is AsyncGeneratorType:
        from .asyncbodies import AsyncBody

        return AsyncBody.of(made)
    request = serving.request
    encoded = _encoded(request, handler)
    if (
        encoded is None
        or Suspended.park is None
        or type(request) is not Request
        or not hasattr(request._origin, "hands_over")
    ):
        result = _wait_for(made)
        return result_of(handler, result) if type(result) in AWAITED else result
    raise Suspended(Waiting(request, handler, made, encoded))


def _encoded(request: Any, handler: Any) -> bool | None:
    """Whether an encoder is around the page; None if something is of which we know too little.

    Who calls the page and goes on with what it returns must get its result; who only changes what
    it returns, and does nothing before, may as well be called when it is there.
    """
    outer = request.handler
    encoded = False
    while outer is not handler:
        if not getattr(outer, "changes_results", False):
            return None
        inner = getattr(outer, "oldhandler", None)
        encoded = encoded or inner is not None
        outer = request._json_inner_handler if inner is None else inner
    return encoded


def _wait_for(made: Any) -> Any:
    """Return the result of a coroutine; this thread waits for it."""
    if shared.is_here():
        made.close()
        raise RuntimeError("A page was called by a coroutine, which cannot wait for it.")
    held = dict(serving.__dict__)
    future = in_context(held, asyncio.run_coroutine_threadsafe, _guarded(made), pages.loop())
    while True:
        try:
            value, error = future.result(LOOK_UP)
        except futures.TimeoutError:
            if late:
                try:
                    look_at_time(serving.request)
                except BaseException:
                    future.cancel()
                    raise
        except futures.CancelledError:
            raise HTTPError(503) from None
        else:
            if error is not None:
                raise error
            return value


async def _guarded(made: Any) -> tuple[Any, BaseException | None]:
    """Run a coroutine; what would end the loop comes back as a value."""
    try:
        return await made, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error


class Waiting:
    """A request whose page runs on the loop: what its thread was serving, and how it goes on.

    The timeout monitor sees it beside the threads that serve (`serving.watch`).
    """

    ident = 0

    def __init__(self, request: Any, handler: Any, made: Any, encoded: bool) -> None:
        self.request = request
        self.response = serving.response
        self.handler = handler
        self.made = made
        self.encoded = encoded
        self.held: dict[str, Any] = {}
        self.parked: Any = None
        self.arguments: tuple[Any, ...] = ()
        self.loop: Any = None
        self.task: asyncio.Task[Any] | None = None
        self.gone = False  # the client has left
        self.cancelled = False  # before it has begun
        self.place = ""  # where the page was when somebody answered in its place
        self.value: Any = None
        self.error: BaseException | None = None
        # The stages let this exception pass, and do not run the hooks of the end yet.
        self.points = request._points
        self.throws = request.__dict__.get("throws")
        request._points = {}
        request.throws = (*request.throws, Suspended)

    def leave(self, *arguments: Any) -> tuple[str, list[Any], Any]:
        """Return what a server takes for "later"; the thread has nothing to do with us any more.

        arguments
            What `resumed` needs.
        """
        self.arguments = arguments
        self.request._points = self.points
        if self.throws is None:
            del self.request.throws
        else:
            self.request.throws = self.throws
        self.held = dict(serving.__dict__)
        serving.__dict__.clear()
        self.parked = Suspended.park(self.start, self.leaving)
        return "200 OK", [], self.parked.handover()

    # -- the loop's side -----------------------------------------------------------------------

    def start(self) -> None:
        """Have the loop begin with the page (some worker)."""
        watch(self)
        self.loop = pages.loop()
        try:
            self.loop.call_soon_threadsafe(self._start)
        except RuntimeError:  # it has been stopped in this moment
            self.made.close()
            self._finish(None, HTTPError(503))

    def _start(self) -> None:
        if self.cancelled:
            self.made.close()
            self._finish(None, asyncio.CancelledError())
            return
        self.task = in_context(self.held, self.loop.create_task, self._run())

    async def _run(self) -> None:
        try:
            value, error = await _guarded(self.made)
        except asyncio.CancelledError as cancelled:
            value, error = None, cancelled
        self._finish(value, error)

    def _finish(self, value: Any, error: BaseException | None) -> None:
        """Let a worker go on."""
        self.value, self.error = value, error
        self.parked.resume(self.go_on)

    def cancel(self) -> None:
        """Cancel the coroutine (any thread)."""
        self.cancelled = True  # a task that is cancelled before its first step never knows
        loop = self.loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                pass  # the loop has ended, and cancelled all there was

    def _cancel(self) -> None:
        if self.task is not None:
            # Behind its first step, which `_start` may have queued behind us just now.
            self.loop.call_soon(self.task.cancel)

    # -- the server's and the monitor's --------------------------------------------------------

    def leaving(self) -> None:
        """The client has left: nobody waits for what the page is about to say."""
        self.gone = True
        self.cancel()

    def take(self, wanted: Any) -> Any:
        """Give up the connection to who answers in place of the page, which is cancelled."""
        parked = self.parked
        answer = None if parked is None else parked.take(wanted)
        if answer is not None:
            self.place = self._place()  # now: once it is cancelled it is nowhere any more
            self.cancel()
        return answer

    def where(self) -> str:
        """Return the stack of the coroutine when its answer was given up, as text."""
        return self.place

    def _place(self) -> str:
        lines = []
        waits: Any = self.made
        while waits is not None:
            frame = getattr(waits, "cr_frame", None)
            if frame is None:
                break
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}\n')
            waits = getattr(waits, "cr_await", None)
        return "".join(lines)

    # -- a worker's ----------------------------------------------------------------------------

    def go_on(self) -> tuple[str, list[tuple[str, str]], Any]:
        """Take the stages after the page and return the response."""
        serving.__dict__.clear()
        serving.__dict__.update(self.held)
        site.engine.publish("acquire_thread")
        app, asked, origin, file_wrapper, highest = self.arguments
        self.parked = self.task = None  # they have us, too
        return resumed(app, asked, origin, file_wrapper, highest, self.request, self._take_stages)

    def _take_stages(self) -> None:
        """Do what `Request.run` does, from the page on."""
        request = self.request
        request._do_respond = self._rest
        try:
            request.respond(request.path_info)
        except request.throws:
            raise
        except BaseException:
            if request.throw_errors:
                raise
            _unrecoverable(request)
        finally:
            request.__dict__.pop("_do_respond", None)
        response = serving.response
        if request.method == "HEAD":
            body = response.body
            response.body = None
            if hasattr(body, "close"):
                body.close()
        if access_logged(request.app) and may_log(request, True):
            try:
                site.log.access()
            except Exception:
                site.log("The access log failed.", "HTTP", 40, traceback=True)
        request.stage = "done"

    def _rest(self, path_info: str) -> None:
        """The stages of a request that goes well, from the page on."""
        request, response = self.request, serving.response
        if late:
            look_at_time(request)
        request.stage = "handler"
        page = self.handler.callable
        self.handler.callable = self._result
        try:
            result = request.handler()
        finally:
            self.handler.callable = page
        if late:
            look_at_time(request, result)
        held = request._template
        if self.encoded or held is None or held.before_handler is None or held.encode is None:
            response.body = result
        elif settled(request, response, held.encode, result):
            return
        if "before_finalize" in request._points:
            request.stage = "before_finalize"
            request._run_hooks("before_finalize")
        response.finalize()

    def _result(self, *args: Any, **kwargs: Any) -> Any:
        """Stand for the page: return what it has returned, raise what it has raised."""
        error = self.error
        if error is None:
            return self.value
        self.error = None  # the two hold each other
        if isinstance(error, asyncio.CancelledError):
            if self.gone:
                raise HTTPError(GONE)
            raise HTTPError(503) from None  # the loop has been stopped
        raise error


def _unrecoverable(request: Any) -> None:
    """Answer when even the error page has failed."""
    from .errors import bare_error

    request.stage = "error"
    site.log("Unrecoverable error.", "HTTP", 40, traceback=True)
    trace = format_exc() if request.show_tracebacks else ""
    response = serving.response
    response.output_status, response.header_list, response.body = bare_error(trace)
    response.status = "500 Internal Server Error"
