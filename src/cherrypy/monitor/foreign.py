"""Requests that come by the WSGI server of others: gunicorn, uWSGI, mod_wsgi, waitress.

Their queues and sockets are theirs to know; what is seen begins and ends with the application.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..framework.errors import InternalRedirect
from ..framework.wsgi import AppResponse
from .patches import Patches
from .shards import own
from .traces import APP, WRITE, WSGI, clock

if TYPE_CHECKING:
    from .plugin import Monitor


def exchange_of(environ: dict[str, Any]) -> Any:
    """What the recorder looks at, out of a WSGI environment."""
    length = environ.get("CONTENT_LENGTH") or ""
    head = SimpleNamespace(
        method=environ.get("REQUEST_METHOD") or "GET",
        path=environ.get("PATH_INFO") or "/",
        minor=int(environ.get("SERVER_PROTOCOL") != "HTTP/1.0"),
        length=int(length) if length.isdecimal() and len(length) < 16 else 0,
        chunked=False,
        size=0,
    )
    return SimpleNamespace(
        head=head,
        connection=SimpleNamespace(scheme=environ.get("wsgi.url_scheme") or "http"),
        body=None,
    )


class Foreign(Patches):
    """Watches the WSGI responses of applications that no server of ours has taken the request of."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.recorder = monitor.recorder
        held = monitor.held
        run, whole = AppResponse.run, AppResponse.whole
        step, close = AppResponse.__next__, AppResponse.close
        end = self.finish

        def watched_run(response: Any) -> None:
            trace = own.trace
            # A server of ours sees it, or another response here.
            if trace.live is not None or held.paused:
                run(response)
                return
            trace.live = exchange = exchange_of(response.environ)
            trace.began = trace.since = clock()
            trace.layer = WSGI
            response.watched = [trace, exchange, 0, 0.0]
            try:
                run(response)
            except InternalRedirect:
                response.watched = None
                trace.forget()  # it goes on as another one
                raise
            except BaseException as error:
                trace.error = error
                end(response, "500", False)
                raise

        def watched_whole(response: Any, file_wrapper: Any = None) -> Any:
            watched = getattr(response, "watched", None)
            if watched is None:
                return whole(response, file_wrapper)
            status = response._response.status
            body = whole(response, file_wrapper)
            if body is not response:
                kind = type(body)
                if kind is bytes:
                    watched[2] = len(body)
                elif kind is list:
                    watched[2] = sum(map(len, body))
                end(response, status, False)
            return body

        def watched_step(response: Any) -> Any:
            watched = getattr(response, "watched", None)
            if watched is None:
                return step(response)
            trace = watched[0]
            before = trace.enter(APP)
            try:
                part = step(response)
            except StopIteration:
                watched[3] = watched[3] or clock()
                response.ended = True
                raise
            finally:
                trace.leave(before)
            watched[2] += len(part)
            watched[3] = watched[3] or clock()
            return part

        def watched_close(response: Any) -> None:
            watched = getattr(response, "watched", None)
            if watched is None:
                close(response)
                return
            status = getattr(response._response, "status", None) or "500"
            trace = watched[0]
            trace.enter(WRITE)
            try:
                close(response)
            finally:
                body = getattr(response._response, "_body", None)
                left = watched[3] > 0.0 and not getattr(response, "ended", False)
                end(response, str(status), left and type(body) not in (bytes, list))

        self.replace(AppResponse, "run", watched_run)
        self.replace(AppResponse, "whole", watched_whole)
        self.replace(AppResponse, "__next__", watched_step)
        self.replace(AppResponse, "close", watched_close)

    def finish(self, response: Any, status: str, aborted: bool) -> None:
        """Count a request that has ended, once."""
        trace, exchange, size, first = response.watched
        response.watched = None
        self.recorder.record(trace, exchange, status, size, clock(), 0.0, first, aborted)


def begin(monitor: Monitor) -> Foreign:
    """Watch what comes by other servers."""
    return Foreign(monitor)
