"""The watch: what the recorder replaces in the framework while it is on."""

from __future__ import annotations

from _thread import get_ident
from types import MethodType
from typing import TYPE_CHECKING, Any

from kirsch.server.parked import Parked

from ..framework.dispatch.handlers import AWAITED, PageHandler, awaited
from ..framework.dispatch.handlers import LateParamPageHandler as Late
from ..framework.errors import HTTPError, HTTPRedirect
from ..framework.hooks import Hook
from ..framework.request import Request
from ..framework.serving import serving
from .patches import Patches
from .shards import begin, own, shards
from .traces import APP, TOOLS, WSGI, clock

if TYPE_CHECKING:
    from .recorder import Recorder


original = PageHandler.__call__


def within(trace: Any, before: int, call: Any, handler: Any) -> Any:
    """Call a page from a layer that is not the framework's, a tool's say."""
    now = clock()
    trace.seconds[before] += now - trace.since
    trace.since = now
    trace.layer = APP
    try:
        return call(handler)
    finally:
        now = clock()
        trace.seconds[APP] += now - trace.since
        trace.since = now
        trace.layer = before


class Watch(Patches):
    """What the recorder replaces in framework and server, until `end`."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        run_hook, run_hooks, resume = Hook.__call__, Request._run_hooks, Parked.resume
        known = shards

        def watched_hook(hook: Any) -> Any:
            try:
                trace = known[get_ident()].trace
            except KeyError:
                trace = begin().trace
            if trace.live is None:
                return run_hook(hook)
            request = serving.request
            if trace.request is not request:
                self.begun(trace, request)
            before, seconds = trace.layer, trace.seconds
            trace.layer = TOOLS
            now = clock()
            if before != WSGI:
                seconds[before] += now - trace.since
            trace.since = now
            try:
                return run_hook(hook)
            finally:
                now = clock()
                seconds[TOOLS] += now - trace.since
                trace.since = now
                trace.layer = before

        def watched_hooks(request: Any, point: str) -> None:
            try:
                trace = known[get_ident()].trace
            except KeyError:
                trace = begin().trace
            if trace.live is None:
                run_hooks(request, point)
                return
            if trace.request is not request:
                self.begun(trace, request)
            before, seconds = trace.layer, trace.seconds
            trace.layer = TOOLS
            now = clock()
            if before != WSGI:
                seconds[before] += now - trace.since
            trace.since = now
            try:
                run_hooks(request, point)
            finally:
                now = clock()
                seconds[TOOLS] += now - trace.since
                trace.since = now
                trace.layer = before

        def watched_resume(parked: Any, work: Any) -> None:
            resume(parked, recorder.resumed(parked, work))

        for kind in (HTTPError, HTTPRedirect):
            self.replace(kind, "set_response", self.seen(kind.set_response))
        self.replace(PageHandler, "__call__", self.paged(PageHandler.__call__))
        self.replace(Hook, "__call__", watched_hook)
        self.replace(Request, "_run_hooks", watched_hooks)
        self.replace(Parked, "resume", watched_resume)

    @staticmethod
    def paged(call: Any) -> Any:
        """Return what calls pages in the place of `PageHandler.__call__`, and times them.

        call
            What is in that place: `PageHandler.__call__`, or that of an agent.
        """
        plain, app, wsgi = call is original, APP, WSGI

        def watched_page(handler: Any) -> Any:
            # As `PageHandler.__call__`, which may be that of an agent, would need a call more.
            request = serving.request
            try:
                trace = request._origin.watch
                before = trace.layer
            except AttributeError:  # it comes another way, or has been handed on
                trace = own.trace
                before = trace.layer
            if trace.live is None:  # nobody counts this one: its time would be the next one's
                return call(handler)
            trace.request = request
            page = handler.callable
            # The function: what it is a method of may have been made for this request alone.
            trace.page = page.__func__ if type(page) is MethodType else page
            if before != wsgi:  # whose time is what remains
                return within(trace, before, call, handler)
            trace.layer = app
            trace.since = clock()
            try:
                if not plain or type(handler) is not Late or handler._kwargs:
                    return call(handler)
                try:
                    result = page(*request.args, **request.params)
                except TypeError as error:
                    handler.blame(error)
                    raise
                return awaited(handler, result) if type(result) in AWAITED else result
            finally:
                trace.seconds[app] += clock() - trace.since
                trace.layer = wsgi

        return watched_page

    @staticmethod
    def begun(trace: Any, request: Any) -> None:
        """Note a request and its page before tools may put something in the place of that."""
        trace.request = request
        page = getattr(request.handler, "callable", None)
        if type(page) is MethodType:
            page = page.__func__
        trace.page = None if isinstance(page, Exception) else page  # a NotFound is its own

    @staticmethod
    def seen(set_response: Any) -> Any:
        """Return what notes whose request an exception answers: no page may have been called."""

        def seen(error: Any, *args: Any, **kwargs: Any) -> Any:
            own.trace.request = serving.request
            return set_response(error, *args, **kwargs)

        return seen
