"""An exchange: one request under way, from the call that runs it to the end of its body.

Law: whatever goes wrong ends in an answer, and the request is released exactly once.
"""

from __future__ import annotations

from sys import exc_info
from types import GeneratorType
from typing import Any

from kirsch.http.hosts import Host, urljoin

from .errors import Again, InternalRedirect, Suspended, bare_error, format_exc
from .request import Request
from .response import bare_pairs, late, look_at_time
from .serving import serving, witness
from .site import site

__all__ = ("Asked", "Origin", "Served", "answer")


def redirected(
    environ: dict[str, Any], redirect: InternalRedirect, visited: list[str] | None
) -> dict[str, Any]:
    """Return the environment of the request that an InternalRedirect asks for.

    visited
        The URLs so far, to end loops; None to let them be.

    Raises RuntimeError when a URL comes again.
    """
    script_name = environ.get("SCRIPT_NAME") or ""
    path = environ.get("PATH_INFO") or ""
    query = environ.get("QUERY_STRING") or ""
    if visited is not None:
        old = urljoin(script_name, path) + (query and "?" + query)
        visited.append(old)
        new = script_name + redirect.path + (redirect.query_string and "?" + redirect.query_string)
        if new in visited:
            raise RuntimeError(f"InternalRedirector visited the same URL twice: {new!r}")
    environ = environ.copy()
    environ.update(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": wsgi_string(redirect.path),
            "QUERY_STRING": redirect.query_string,
            "wsgi.input": NoEntity(),
            "CONTENT_LENGTH": "0",
            "cherrypy.previous_request": redirect.request,
        }
    )
    return environ


def wsgi_string(path: str) -> str:
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1")


class NoEntity:
    """The entity of a request that has none: the first one has been read."""

    def read(self, size: int = -1) -> bytes:
        return b""

    readline = read

    def readlines(self, hint: int = 0) -> list[bytes]:
        return []

    def __iter__(self) -> Any:
        return iter(())

    def close(self) -> None:
        """Do nothing."""


def trapped() -> tuple[str, list[tuple[str, str]], list[bytes]]:
    """Log the exception being handled and return the answer: status, fields, body."""
    trace = format_exc()
    if witness.errors is not None:
        witness.errors.append(exc_info()[1] or RuntimeError(trace))
    site.log("", "HTTP", 40, traceback=True)
    # The request may be gone by now; then what holds for the whole site decides.
    if not (serving.request.show_tracebacks or site.config.get("request.show_tracebacks")):
        trace = ""
    status, fields, body = bare_error(trace)
    return (
        status.decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields],
        body,
    )


def status_text(response: Any) -> str:
    """Return the status of a response as text, when somebody has looked at `output_status`.

    Raises TypeError if a hook has put text there.
    """
    status = response._output_status
    if not isinstance(status, bytes):
        raise TypeError(f"response.output_status {status!r} is not a byte string.")
    return status.decode("latin-1")


class OnePiece:
    """A body of one piece whose end somebody awaits.

    By its length a server knows that there is no more to come (PEP 3333, "Handling the
    Content-Length Header").
    """

    __slots__ = ("close", "data")

    def __init__(self, data: bytes, close: Any) -> None:
        self.data = data
        self.close = close

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter((self.data,))


class Served:
    """A response on its way out: iterating gives the body, closing ends the request.

    A server may pull and close in another thread than the one that ran the request.
    """

    feed: Any = None
    """How to have a body sent that others make while no thread waits; set by the room that knows
    the servers. Called with what to call at its beginning and at its end, and with its limits."""

    held: dict[str, Any] = {}
    """What else the thread was serving that has handed the request on."""

    iter_response: Any = None
    _request: Any = None
    _response: Any = None

    def __init__(self, cpapp: Any, request: Any, response: Any) -> None:
        self.cpapp = cpapp
        self._request = request
        self._response = response

    def __iter__(self) -> Any:
        body = self._response._body
        kind = type(body)
        if kind is bytes:
            return iter((body,))
        if kind is list:
            return iter(body)
        return self

    def __next__(self) -> Any:
        chunks = self.iter_response
        if chunks is None:
            chunks = self.iter_response = iter(self._response.body)
        request = self._request
        if serving.request is request or request is None:
            if late and request is not None:
                look_at_time(request)
            return next(chunks)
        # Another thread is pulling, or this one has gone on to something else meanwhile.
        before = dict(serving.__dict__)
        serving.load(request, self._response)
        try:
            if late:
                look_at_time(request)
            return next(chunks)
        finally:
            serving.clear()
            serving.__dict__.update(before)

    next = __next__

    def whole(self, file_wrapper: Any = None) -> Any:
        """Return a body that is all there: bytes or a list, or one piece that is to be closed.

        Where nobody awaits its end the request is released here and now, so this is to be called
        in the thread that has run it.

        file_wrapper
            Takes an open file and returns what the server sends as a file (PEP 3333).
        """
        body = self._response._body
        kind = type(body)
        request = self._request
        if is_awaited(request):
            if kind is list and len(body) == 1:
                body = body[0]
            return OnePiece(body, self.close) if type(body) is bytes else self
        if file_wrapper is not None and kind is not bytes and kind is not list:
            file = body.give_file()
            if file is None:
                return self
            body = file_wrapper(file)
        self._request = None
        self.cpapp.release_serving()
        return body

    def close(self) -> None:
        """Close the body and end the request, once."""
        request = self._request
        if request is None:
            return
        self._request = None
        before = None
        if serving.request is not request:
            before = dict(serving.__dict__)
            serving.__dict__.update(self.held)
            serving.load(request, self._response)
        try:
            body = self._response._body
            if type(body) is not bytes and type(body) is not list:
                self._close_body(body)
        finally:
            self.cpapp.release_serving()
            if before is not None:
                serving.__dict__.update(before)

    def _close_body(self, body: Any) -> None:
        """Call `close` of the body, once; of what its `__iter__` made only where it has none.

        A generator that `__iter__` made is ended first: it may hold what the body closes.
        """
        chunks, self.iter_response = self.iter_response, None
        try:
            if chunks is not body and isinstance(chunks, GeneratorType):
                chunks.close()
        finally:
            close = getattr(body, "close", None) or getattr(chunks, "close", None)
            if close is not None:
                close()


def is_awaited(request: Any) -> bool:
    """Return whether the end of the request means anything to anybody."""
    hooks = request._hooks
    if hooks is None:
        if "on_end_request" in request._points and request.needs_closing():
            return True
    elif hooks.get("on_end_request"):
        return True
    return type(request).close is not Request.close


def recoded(app: Any, path: str, query: str) -> tuple[str, str]:
    """Return path and query as UTF-8, where that is what their bytes are."""
    encoding = app.find_config(path, "request.uri_encoding", "utf-8")
    try:
        path = path.encode("latin-1").decode(encoding)
        return path, query.encode("latin-1").decode(encoding)
    except (UnicodeError, LookupError):
        return path, query


class Origin:
    """Where a request comes from, for callers that know no more than that.

    A server hands over an object of its own, with these three and perhaps `environ()`, which
    makes the WSGI environment of the request.
    """

    __slots__ = ("local", "remote", "scheme")

    def __init__(self, local: Any, remote: Any, scheme: str) -> None:
        self.local = local
        self.remote = remote
        self.scheme = scheme


class Asked:
    """What is asked, for callers that have no object of their own like it.

    `path` as in WSGI: percent-decoded bytes as Latin-1; `query` is what follows the '?'; `fields`
    the header fields under their CGI names; `minor` that of the protocol version.
    """

    __slots__ = ("fields", "method", "minor", "path", "query")

    def __init__(
        self, method: str, path: str, query: str, fields: dict[str, str], minor: int
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.minor = minor


PROTOCOLS = ("HTTP/1.0", "HTTP/1.1")


def answer(
    app: Any,
    asked: Any,
    rfile: Any,
    origin: Any,
    file_wrapper: Any = None,
    highest: str = "HTTP/1.1",
    dated: bool = False,
    turn: object | None = None,
) -> tuple[str, list[tuple[str, str]], Any]:
    """Serve a request without WSGI.

    asked
        An `Asked`, or a server's own object like it.
    rfile
        The entity: a file-like object.
    origin
        An `Origin`, or a server's own object like it.
    file_wrapper
        Makes of an open file a body that the server sends as it likes; it must close it.
    highest
        The highest protocol version of the server.
    dated
        The server adds `Date` and our `Server` by itself where they are missing.
    turn
        What is the same for all requests that had come when this one was taken up (see `Request._turn`).

    Returns the status ('200 OK'), the fields, and the body: bytes, a list of bytes, or an
    iterable whose `close` ends the request and must be called.
    """
    request = response = None
    try:
        try:
            if app.request_class is Request:
                request, response = app.get_serving(None, None, origin.scheme, highest)
                request._origin = origin
                request._turn = turn
            else:
                request, response = _begun(app, origin, highest)
            path, query = asked.path, asked.query
            if "//" in path:
                path = urljoin(path)
            if not path.isascii():
                path, query = recoded(app, path, query)
            protocol = PROTOCOLS[asked.minor]
            request.run(asked.method, path, query, protocol, asked.fields, rfile)
        except InternalRedirect as redirect:
            first, request = request, None
            request, response = _followed(app, asked, origin, highest, first, redirect)
        final = response._final
        if dated and type(final) is int and response._header_list is None:
            status, pairs = "200 OK", bare_pairs(final, response._cookies)
        else:
            status = response.status if response._output_status is None else status_text(response)
            pairs = response.pairs()
    except Suspended as away:
        return away.waiting.leave(app, asked, origin, file_wrapper, highest)  # type: ignore[no-any-return]  # a triple
    except BaseException as exc:
        return _failed(app, request, response, exc)
    body = response._body
    kind = type(body)
    if kind is bytes or kind is list:
        if not request._quiet:
            if is_awaited(request):
                return status, pairs, Served(app, request, response).whole()
            request._ends_idly = True
        app.release_serving()
        return status, pairs, body
    return status, pairs, outgoing(app, request, response, origin, file_wrapper, pairs)


def _failed(
    app: Any, request: Any, response: Any, error: BaseException
) -> tuple[str, list[tuple[str, str]], Any]:
    """Answer when even the error page has failed (while `error` is being handled)."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        _given_up(app, request, response)
        raise error
    last_resort = trapped()
    _given_up(app, request, response)
    return last_resort


def outgoing(
    app: Any,
    request: Any,
    response: Any,
    origin: Any,
    file_wrapper: Any,
    pairs: list[tuple[str, str]],
) -> Any:
    """Return the body as the server is to get it, of whatever kind it is."""
    body = response._body
    kind = type(body)
    served = Served(app, request, response)
    if kind is bytes or kind is list:
        return served.whole()
    if file_wrapper is not None and hasattr(kind, "give_file"):
        return served.whole(file_wrapper)
    if hasattr(kind, "give_upgrade"):
        # The request ends here, and with it all that it holds; the connection goes on without it.
        served.close()
        return body.give_upgrade(pairs)
    give_feed = getattr(body, "give_feed", None)
    if give_feed is not None and served.feed is not None and hasattr(origin, "hands_over"):
        # The request goes on, but not in this thread.
        served.held = dict(serving.__dict__)
        serving.__dict__.clear()
        return give_feed(served)
    return served


def resumed(
    app: Any, asked: Any, origin: Any, file_wrapper: Any, highest: str, request: Any, go_on: Any
) -> tuple[str, list[tuple[str, str]], Any]:
    """Return the response to a request that was suspended: `go_on` takes the stages still due.

    The other arguments are those of `answer`; the request is that of this thread again.
    """
    response = serving.response
    request._turn = None  # what was looked up for it may have changed since
    try:
        try:
            go_on()
        except InternalRedirect as redirect:
            first, request = request, None
            request, response = _followed(app, asked, origin, highest, first, redirect)
        status = response.status if response._output_status is None else status_text(response)
        pairs = response.pairs()
    except Suspended as away:
        return away.waiting.leave(app, asked, origin, file_wrapper, highest)  # type: ignore[no-any-return]  # a triple
    except BaseException as exc:
        return _failed(app, request, response, exc)
    return status, pairs, outgoing(app, request, response, origin, file_wrapper, pairs)


def _begun(app: Any, origin: Any, highest: str) -> tuple[Any, Any]:
    """Return a new request, of whatever class, and its response."""
    # Who made a class of their own may count on the arguments of its constructor.
    ends = [
        end if isinstance(end, Host) else Host(*(end or ("", None))[:2])
        for end in (origin.local, origin.remote)
    ]
    request, response = app.get_serving(*ends, origin.scheme, highest)
    request._origin = origin
    return request, response


def _given_up(app: Any, request: Any, response: Any) -> None:
    """End a request of which no response comes."""
    if request is not None:
        Served(app, request, response).close()


def _followed(
    app: Any, asked: Any, origin: Any, highest: str, request: Any, redirect: InternalRedirect
) -> tuple[Any, Any]:
    """Go on where InternalRedirect says, as the `InternalRedirector` of WSGI does; or once more with the same.

    Returns the last request and its response.
    """
    script_name = app._script_name or ""
    visited: list[str] = []
    environ: dict[str, Any] = {
        "SCRIPT_NAME": script_name,
        "PATH_INFO": request.path_info,
        "QUERY_STRING": request.query_string,
    }
    # As it was asked, whatever the program has made of it; it may have been redirected and suspended before.
    method, fields, path, query = asked.method, asked.fields, request._target, asked.query
    if request.prev is not None:
        method, fields = "GET", {**fields, "CONTENT_LENGTH": "0"}
    if request.prev is not None or not path.isascii():
        query = request.query_string
    protocol = PROTOCOLS[asked.minor]
    while True:
        before, anew = redirect.request, None
        if type(redirect) is Again:
            before, anew = before.prev, before
        else:
            environ = redirected(environ, redirect, visited)
            method, fields = "GET", {**asked.fields, "CONTENT_LENGTH": "0"}
            path, query = script_name + environ["PATH_INFO"], environ["QUERY_STRING"]
            if not path.isascii():
                path, query = recoded(app, path, query)
        _given_up(app, request, serving.response)
        request, response = _begun(app, origin, highest)
        request.prev, request._anew = before, anew
        try:
            request.run(method, path, query, protocol, fields, NoEntity())
            return request, response
        except InternalRedirect as again:
            redirect = again
        except Suspended:
            raise
        except BaseException:
            _given_up(app, request, response)
            raise
