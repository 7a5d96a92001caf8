"""An exchange: one request under way, from the call that runs it to the end of its body.

Law: whatever goes wrong ends in an answer, and the request is released exactly once.
"""

from __future__ import annotations

from types import GeneratorType
from typing import Any

from kirsch.http.hosts import Host, urljoin

from .errors import InternalRedirect, bare_error, format_exc
from .request import Request
from .serving import serving
from .site import site

__all__ = ("Exchange", "Served")


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
            "wsgi.input": _NoEntity(),
            "CONTENT_LENGTH": "0",
            "cherrypy.previous_request": redirect.request,
        }
    )
    return environ


def wsgi_string(path: str) -> str:
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1")


class _NoEntity:
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

    cpapp: Any
    iter_response: Any = None
    _request: Any = None
    _response: Any = None

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
            return next(chunks)
        # Another thread is pulling, or this one has gone on to something else meanwhile.
        before = dict(serving.__dict__)
        serving.load(request, self._response)
        try:
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
        ends = "on_end_request" in request._points or type(request) is not Request
        if ends and self._is_awaited():
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

    def _is_awaited(self) -> bool:
        """Return whether the end of the request means anything to anybody."""
        request = self._request
        hooks = request._hooks
        if hooks is None:
            if "on_end_request" in request._points and request.needs_closing():
                return True
        elif hooks.get("on_end_request"):
            return True
        return type(request).close is not Request.close

    def close(self) -> None:
        """Close the body and end the request, once."""
        request = self._request
        if request is None:
            return
        self._request = None
        before = None
        if serving.request is not request:
            before = dict(serving.__dict__)
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

    def recode_path_qs(self, path: str, qs: str) -> tuple[str, str]:
        """Read path and query as UTF-8, where that is what their bytes are."""
        encoding = self.cpapp.find_config(path, "request.uri_encoding", "utf-8")
        try:
            path = path.encode("latin-1").decode(encoding)
            return path, qs.encode("latin-1").decode(encoding)
        except (UnicodeError, LookupError):
            return path, qs


class Exchange(Served):
    """One request to an application without WSGI: what `Application.respond` does."""

    def __init__(
        self,
        app: Any,
        fields: dict[str, str],
        rfile: Any,
        local: Any,
        remote: Any,
        scheme: str,
        protocol: str,
        file_wrapper: Any = None,
    ) -> None:
        self.cpapp = app
        self.fields = fields
        self.rfile = rfile
        self.local = local
        self.remote = remote
        self.scheme = scheme
        self.protocol = protocol
        self.file_wrapper = file_wrapper

    def respond(self, method: str, path: str, query: str) -> tuple[str, list[tuple[str, str]], Any]:
        """Serve the request; see `Application.respond`."""
        try:
            try:
                self._run(method, path, query)
            except InternalRedirect as redirect:
                self._follow(path, query, redirect)
            response = self._response
            status = response.status if response._output_status is None else status_text(response)
            pairs = response.pairs()
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise
        except BaseException:
            status, pairs, body = trapped()
            self.close()
            return status, pairs, body
        kind = type(response._body)
        if kind is bytes or kind is list:
            return status, pairs, self.whole()
        if self.file_wrapper is not None and hasattr(kind, "give_file"):
            return status, pairs, self.whole(self.file_wrapper)
        return status, pairs, self

    def _run(self, method: str, path: str, query: str, prev: Any = None) -> None:
        app = self.cpapp
        local, remote = self.local, self.remote
        if app.request_class is Request:
            request, response = app.get_serving(None, None, self.scheme, "HTTP/1.1")
        else:
            # Who made a class of their own may count on the arguments of its constructor.
            local = local if isinstance(local, Host) else Host(*(local or ("", None))[:2])
            remote = remote if isinstance(remote, Host) else Host(*(remote or ("", None))[:2])
            request, response = app.get_serving(local, remote, self.scheme, "HTTP/1.1")
        self._request = request
        self._response = response
        request._local = local
        request._remote = remote
        if prev is not None:
            request.prev = prev
        if "//" in path:
            path = urljoin(path)
        if not path.isascii():
            path, query = self.recode_path_qs(path, query)
        request.run(method, path, query, self.protocol, self.fields, self.rfile)

    def _follow(self, path: str, query: str, redirect: InternalRedirect) -> None:
        """Go on where InternalRedirect says, as the `InternalRedirector` of WSGI does."""
        script_name = self.cpapp._script_name or ""
        visited: list[str] = []
        environ: dict[str, Any] = {
            "SCRIPT_NAME": script_name,
            "PATH_INFO": path[len(script_name) :],
            "QUERY_STRING": query,
        }
        while True:
            environ = redirected(environ, redirect, visited)
            self.close()
            self.fields = {**self.fields, "CONTENT_LENGTH": "0"}
            self.rfile = environ["wsgi.input"]
            try:
                self._run(
                    "GET",
                    script_name + environ["PATH_INFO"],
                    environ["QUERY_STRING"],
                    redirect.request,
                )
                return
            except InternalRedirect as again:
                redirect = again
