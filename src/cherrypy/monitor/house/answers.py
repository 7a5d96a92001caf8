"""Answers that are no pages: exceptions, error pages, redirects; and what is being answered now."""

from __future__ import annotations

import threading
from sys import exc_info
from typing import Any

from ...framework import exchange as exchanges
from ...framework.errors import HTTPError, HTTPRedirect, InternalRedirect
from ...framework.request import Request
from ...framework.serving import serving
from .. import shards
from ..metrics import Labels
from ..recorder import METHODS, OTHER
from ..routes import OVERFLOW, UNMATCHED
from ..shards import own
from ..table import requests as r
from ..traces import clock
from .house import House

#: Names of exceptions that are told apart.
MOST_TYPES = 100

#: Exceptions that belong to the framework's own way of answering are its own if they come from here.
_FRAMEWORK = ("cherrypy.", "kirsch.")
_PROGRAMS = ("cherrypy.test", "cherrypy.tutorial")


class Types:
    """The names of exceptions, of which a program may make any number."""

    def __init__(self, most: int = MOST_TYPES) -> None:
        self.most = most
        self._lock = threading.Lock()  # guards: no more names than `most`
        self._known: set[str] = set()

    def name_of(self, error: BaseException | type[BaseException]) -> str:
        """Return the name of an exception's class, or what stands for one too many."""
        kind = error if isinstance(error, type) else type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
        if name not in self._known:
            with self._lock:
                if len(self._known) >= self.most:
                    return OVERFLOW
                self._known.add(name)
        return name


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"[:200]


def raised_by(error: BaseException) -> str:
    """Whose code has raised an exception: 'app' or 'framework'."""
    trace = error.__traceback__
    if trace is None:
        return "framework"
    while trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__", ""))
    ours = name.startswith(_FRAMEWORK) and not name.startswith(_PROGRAMS)
    return "framework" if ours or name == "cherrypy" else "app"


class Answers:
    """Counts exceptions, each once, with the route of its request."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.routes = house.recorder.routes
        self.types = Types()

    @property
    def books(self) -> Any:
        """Where errors are kept, if they are."""
        return getattr(self.house.monitor, "books", None)

    def route(self) -> Any:
        """The route of the request that this thread serves."""
        trace = own.trace
        request = trace.request if trace.request is not None else serving.request
        try:
            return self.routes.of(request, trace.page)
        except Exception:  # it had not come so far
            return self.routes.get("", UNMATCHED)

    def failed(self, error: BaseException, code: str) -> None:
        """Count an exception that nobody had anticipated."""
        trace = own.trace
        if trace.live is not None and trace.seen and trace.error is error:
            return
        trace.error = error
        trace.seen = trace.more = True
        route = self.route()
        if route.left_out:
            return
        r.EXCEPTIONS.add(1, (self.types.name_of(error), route.name, "false"))
        if self.books is not None:
            self.books.error(error, route.name, code)

    def escaped(self, error: BaseException, route: Any) -> None:
        """Count an exception that not even the framework has answered: the server has."""
        r.EXCEPTIONS.add(1, (self.types.name_of(error), route.name, "false"))

    def answered(self, error: Any) -> None:
        """Count an exception that is an answer."""
        code = str(error.code)
        route = self.route()
        if route.left_out:
            return
        if _raised(error):  # and not only used
            r.EXCEPTIONS.add(1, (self.types.name_of(error), route.name, "true"))
        r.HTTP_ERRORS.add(1, (code, raised_by(error)))
        if code[0] == "5":
            trace = own.trace
            trace.error = error
            trace.seen = trace.more = True
            if self.books is not None:
                self.books.error(error, route.name, code)


def begin(house: House) -> None:
    """Count what is raised."""
    answers = Answers(house)
    broken = house.monitor.broken
    if answers.books is not None:
        answers.books.escaped = answers.escaped

    def handle_error(request: Any) -> None:
        error = exc_info()[1]
        own.trace.request = request
        try:
            handle(request)
        finally:
            if error is not None:
                try:
                    answers.failed(error, str(serving.response.status or "500")[:3])
                except Exception as mistake:
                    broken("house.handle_error", mistake)

    def trapped() -> Any:
        error = exc_info()[1]
        if error is not None:
            try:
                answers.failed(error, "500")
            except Exception as mistake:
                broken("house.trapped", mistake)
        return trap()

    handle = house.patches.replace(Request, "handle_error", handle_error)
    trap = house.patches.replace(exchanges, "trapped", trapped)
    house.before(HTTPError, "set_response", answers.answered)
    house.before(HTTPRedirect, "set_response", _redirected)
    house.before(InternalRedirect, "__init__", lambda *args: r.REDIRECTS.add(1, ("internal",)))
    house.sample(r.HTTP_SERVER_ACTIVE_REQUESTS, lambda: active(house.recorder))
    house.sample(r.REQUEST_INFLIGHT_OLDEST, lambda: oldest(house.recorder))


def _raised(error: Any) -> bool:
    return exc_info()[1] is error


def _redirected(error: Any) -> None:
    if error.status != 304:  # which sends nobody anywhere
        r.REDIRECTS.add(1, ("external",))


def _in_flight(recorder: Any) -> list[Any]:
    """The traces of requests that are being answered, also of those that wait without a thread."""
    found = [trace for _, trace in shards.traces() if trace.live is not None]
    for _ in range(3):
        try:
            return found + [moved for moved, _, _ in list(recorder.parked.values())]
        except RuntimeError:  # one came or went meanwhile
            continue
    return found


def active(recorder: Any) -> dict[Labels, float]:
    """How many requests are being answered, by method, scheme and application."""
    counts: dict[Labels, float] = {}
    for trace in _in_flight(recorder):
        exchange, request = trace.live, trace.request
        if exchange is None:  # it has ended meanwhile
            continue
        method = exchange.head.method
        app = getattr(getattr(request, "app", None), "_script_name", None) or ""
        key = (method if method in METHODS else OTHER, exchange.connection.scheme, app)
        counts[key] = counts.get(key, 0) + 1
    return counts


def oldest(recorder: Any) -> dict[Labels, float]:
    """For how long the oldest request has been waiting for its answer; 0 without any."""
    now = clock()
    return {(): max((now - trace.began for trace in _in_flight(recorder)), default=0.0)}
