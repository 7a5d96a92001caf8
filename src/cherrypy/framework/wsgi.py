"""WSGI: an application as a WSGI callable, and the middleware around it.

Law: whatever goes wrong ends in an answer, or, once output has begun, in an exception the server
sees; the request is released exactly once.
"""

from __future__ import annotations

import threading
from typing import Any

from kirsch.http.hosts import Host, urljoin

from .errors import Again, InternalRedirect
from .exchange import Served, recoded, redirected, status_text, trapped
from .facts import field_title
from .request import Request

__all__ = (
    "AppResponse",
    "CPWSGIApp",
    "ExceptionTrapper",
    "InternalRedirector",
    "VirtualHost",
    "downgrade_wsgi_ux_to_1x",
)


def downgrade_wsgi_ux_to_1x(environ: dict[str, Any]) -> dict[str, Any]:
    """Return a WSGI 1.x environment for one of the old `wsgi.version` ('u', 0)."""
    encoding = environ.get("wsgi.url_encoding", "utf-8")
    env1x: dict[str, Any] = {}
    for key, value in environ.items():
        if key in ("PATH_INFO", "SCRIPT_NAME", "QUERY_STRING") and isinstance(value, str):
            value = value.encode(encoding).decode("latin-1")
        env1x[key] = value
    return env1x


def fit(app: Any, environ: dict[str, Any]) -> dict[str, Any]:
    """Return the environment of a body in chunks for an application, which may want it whole."""
    if not getattr(app, "whole_bodies", True):
        return environ
    from .gathered import gather

    return gather(environ)


class VirtualHost:
    """A WSGI application for each domain.

    default
        Serves the domains that are not in `domains`.
    domains
        `{'www.example.com': wsgi_callable}`.
    use_x_forwarded_host
        Take the domain from `X-Forwarded-Host` where that is given.
    """

    default: Any = None
    use_x_forwarded_host = True
    domains: dict[str, Any] = {}
    whole_bodies = False  # its applications may, each for itself

    def __init__(
        self, default: Any, domains: dict[str, Any] | None = None, use_x_forwarded_host: bool = True
    ) -> None:
        self.default = default
        self.domains = domains or {}
        self.use_x_forwarded_host = use_x_forwarded_host

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        domain = environ.get("HTTP_HOST", "")
        if self.use_x_forwarded_host:
            domain = environ.get("HTTP_X_FORWARDED_HOST", domain)
        app = self.domains.get(domain)
        if app is None:
            app = self.default
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ = fit(app, environ)
        return app(environ, start_response)


class InternalRedirector:
    """WSGI middleware that goes on elsewhere when the application raises InternalRedirect.

    recursive
        Let a URL be visited again within one request. Off: that is an endless loop.
    """

    def __init__(self, nextapp: Any, recursive: bool = False) -> None:
        self.nextapp = nextapp
        self.recursive = recursive

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        visited: list[str] | None = None if self.recursive else []
        while True:
            try:
                return self.nextapp(environ, start_response)
            except InternalRedirect as redirect:
                environ = redirected(environ, redirect, visited)


class ExceptionTrapper:
    """WSGI middleware that answers exceptions, except those in `throws`."""

    def __init__(self, nextapp: Any, throws: Any = (KeyboardInterrupt, SystemExit)) -> None:
        self.nextapp = nextapp
        self.throws = throws

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return _TrappedResponse(self.nextapp, environ, start_response, self.throws)


class _TrappedResponse:
    """A response whose exceptions are answered, or passed on once output has begun."""

    response: Any = iter([])

    def __init__(self, nextapp: Any, environ: Any, start_response: Any, throws: Any) -> None:
        self.nextapp = nextapp
        self.environ = environ
        self.start_response = start_response
        self.throws = throws
        self.started_response = False
        self.response = self.trap(self.nextapp, self.environ, self.start_response)
        self.iter_response = iter(self.response)

    @classmethod
    def around(cls, response: Any, start_response: Any) -> _TrappedResponse:
        """Watch over a response that is there already."""
        self = cls.__new__(cls)
        self.start_response = start_response
        self.throws = (KeyboardInterrupt, SystemExit)
        self.started_response = False
        self.response = response
        self.iter_response = iter(response)
        return self

    def __iter__(self) -> _TrappedResponse:
        return self

    def __next__(self) -> bytes:
        chunk: bytes = self.trap(next, self.iter_response)
        self.started_response = True
        return chunk

    next = __next__

    def close(self) -> None:
        """Close the response within."""
        if hasattr(self.response, "close"):
            self.response.close()

    def trap(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Call `func`; if it raises, answer in its place."""
        try:
            return func(*args, **kwargs)
        except StopIteration:
            raise
        except BaseException as exc:
            if isinstance(exc, self.throws):
                raise
            status, headers, body = trapped()
            if self.started_response:
                # Some of the body is out: only breaking off tells the client that the rest is
                # missing (RFC 9112, 8).
                raise
            import sys

            self.iter_response = iter(())
            self.start_response(status, headers, sys.exc_info())
            if func is next:
                self.iter_response = iter(body[1:])
                return body[0]
            return body


class AppResponse(Served):
    """The WSGI response of an application to one request.

    The request runs while this is made; iterating gives the body, closing ends the request.
    """

    headerNames = {
        "HTTP_CGI_AUTHORIZATION": "Authorization",
        "CONTENT_LENGTH": "Content-Length",
        "CONTENT_TYPE": "Content-Type",
        "REMOTE_HOST": "Remote-Host",
        "REMOTE_ADDR": "Remote-Addr",
    }

    _own_headers = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_headers = cls.translate_headers is not AppResponse.translate_headers

    def __init__(self, environ: dict[str, Any], start_response: Any, cpapp: Any) -> None:
        self.cpapp = cpapp
        self.environ = environ
        try:
            self.run()
            response = self._response
            status = response.status if response._output_status is None else status_text(response)
            self.write = start_response(status, response.pairs())
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Make the request of the environment and run it; once more if it is to be begun anew."""
        try:
            self._run()
            return
        except Again as again:
            first = again.request
        self.close()
        self._run(first)

    def _run(self, anew: Any = None) -> None:
        environ = self.environ
        cpapp = self.cpapp
        get = environ.get
        local = remote = None
        if cpapp.request_class is not Request:
            # Who made a class of their own may count on the arguments of its constructor.
            local = Host("", int(get("SERVER_PORT") or 80), get("SERVER_NAME", ""))
            remote = Host(
                get("REMOTE_ADDR", ""), int(get("REMOTE_PORT") or -1), get("REMOTE_HOST", "")
            )
        request, response = cpapp.get_serving(
            local,
            remote,
            get("wsgi.url_scheme", "http"),
            get("ACTUAL_SERVER_PROTOCOL") or "HTTP/1.1",
        )
        self._request = request
        self._response = response
        request._wsgi_environ = environ
        if anew is not None:
            request._anew = anew
        path = get("PATH_INFO") or ""
        script_name = get("SCRIPT_NAME")
        if script_name or "//" in path:
            path = urljoin(script_name or "", path)
        query = get("QUERY_STRING") or ""
        if not path.isascii():
            path, query = self.recode_path_qs(path, query)
        request.run(
            get("REQUEST_METHOD") or "GET",
            path,
            query,
            get("SERVER_PROTOCOL") or "HTTP/1.1",
            environ if not self._own_headers else list(self.translate_headers(environ)),
            get("wsgi.input"),
        )

    def recode_path_qs(self, path: str, qs: str) -> tuple[str, str]:
        """Read path and query as UTF-8, where that is what their bytes are."""
        return recoded(self.cpapp, path, qs)

    def translate_headers(self, environ: dict[str, Any]) -> Any:
        """Yield the header fields of a WSGI environment as pairs of name and value."""
        for key, value in environ.items():
            title = field_title(key)
            if title:
                yield (title if key in self.headerNames else key[5:].replace("_", "-")), value


class CPWSGIApp:
    """An application as a WSGI callable, with a pipeline of middleware before it.

    `pipeline` is a list of `(name, class)`, the outermost first; `config` has the keyword
    arguments of each by name. Both may be configured: `wsgi.pipeline`, `wsgi.<name>.<argument>`.
    """

    pipeline: list[tuple[str, Any]] = [
        ("ExceptionTrapper", ExceptionTrapper),
        ("InternalRedirector", InternalRedirector),
    ]

    head: Any = None
    """The first of the pipeline, made for the first request; None to have it made again."""

    config: dict[str, dict[str, Any]] = {}
    response_class: Any = AppResponse

    _chain: Any = None
    #: Two first requests at once get the same pipeline: what is in it may have a state. Re-entrant,
    #: since what is made in it may be another pipeline.
    _making = threading.RLock()

    def __init__(self, cpapp: Any, pipeline: list[tuple[str, Any]] | None = None) -> None:
        self.cpapp = cpapp
        self.pipeline = self.pipeline[:]
        if pipeline:
            self.pipeline.extend(pipeline)
        self.config = self.config.copy()

    def tail(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The end of the pipeline: the application itself."""
        return self.response_class(environ, start_response, self.cpapp)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a WSGI request."""
        if self.pipeline != _USUAL or self.head is not None or self.config:
            return self._head()(environ, start_response)
        # What the two classes of the usual pipeline do, without an object of each.
        try:
            try:
                response = self.response_class(environ, start_response, self.cpapp)
            except InternalRedirect as redirect:
                visited: list[str] = []
                environ = redirected(environ, redirect, visited)
                response = self._follow(environ, start_response, visited)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            import sys

            status, headers, body = trapped()
            start_response(status, headers, sys.exc_info())
            return body
        if type(response) is AppResponse:
            kind = type(response._response._body)
            if kind is bytes or kind is list:
                body = response.whole()
                return [body] if type(body) is bytes else body
            wrapper = environ.get("wsgi.file_wrapper")
            if wrapper is not None and hasattr(kind, "give_file"):
                body = response.whole(wrapper)
                if body is not response:
                    return body
            if hasattr(kind, "give_upgrade"):
                body = response._response._body
                pairs = response._response.pairs()
                response.close()
                return body.give_upgrade(pairs)
        return _TrappedResponse.around(response, start_response)

    def _follow(self, environ: dict[str, Any], start_response: Any, visited: list[str]) -> Any:
        while True:
            try:
                return self.response_class(environ, start_response, self.cpapp)
            except InternalRedirect as redirect:
                environ = redirected(environ, redirect, visited)

    def _head(self) -> Any:
        """Return the first of the pipeline, making it when it is not there or has changed."""
        if self.head is not None:
            return self.head
        state = (self.pipeline[:], {name: dict(conf) for name, conf in self.config.items()})
        chain = self._chain
        if chain is not None and chain[0] == state:
            return chain[1]
        with self._making:
            chain = self._chain
            if chain is None or chain[0] != state:
                head: Any = self.tail
                for name, middleware in reversed(state[0]):
                    head = middleware(head, **state[1].get(name, {}))
                self._chain = chain = (state, head)
        return chain[1]

    def namespace_handler(self, k: str, v: Any) -> None:
        """`wsgi.pipeline` extends the pipeline, `wsgi.<name>.<argument>` configures a part."""
        if k == "pipeline":
            self.pipeline.extend(v)
        elif k == "response_class":
            self.response_class = v
        else:
            name, arg = k.split(".", 1)
            self.config.setdefault(name, {})[arg] = v


_USUAL = CPWSGIApp.pipeline[:]
