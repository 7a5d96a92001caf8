"""The WSGI gateway: PEP 3333, one copy of the connection's environ a request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .exchange import Exchange
from .gateway import FileWrapper, Response, Upgrade, close_body, single

if TYPE_CHECKING:
    from ..wire.http1.requests import RequestHead
    from .link import Link

Environ = dict[str, Any]
App = Callable[..., Iterable[bytes]]


class _Errors:
    """wsgi.errors: whatever sys.stderr is at the moment, so that redirection works."""

    def write(self, text: str) -> int:
        stream = sys.stderr
        return stream.write(text) if stream is not None else 0

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        stream = sys.stderr
        if stream is not None:
            stream.flush()


ERRORS = _Errors()


def listener_template(conn: Link) -> Environ:
    """What all requests that come through one listener have in common."""
    listener = conn.listener
    server = conn.group.server
    port = str(listener.address[1]) if isinstance(listener.address, tuple) else ""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server.host_name(listener),
        "SERVER_PORT": port,
        "SERVER_SOFTWARE": server.settings.server_name,
        "ACTUAL_SERVER_PROTOCOL": server.settings.protocol,  # ours; SERVER_PROTOCOL is the client's
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": conn.scheme,
        "wsgi.errors": ERRORS,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def fill_environ(conn: Link, head: RequestHead) -> Environ:
    """Make the connection's template, which is only ever copied, fit the request `head`.

    Most requests of a connection send the same fields (then `fields` is the same dict), and many
    are the same altogether.
    """
    environ = conn.template
    seen = conn.template_head
    if environ is None or seen is None or seen.fields is not head.fields:
        template = conn.listener.environ
        if template is None:
            template = conn.listener.environ = listener_template(conn)
        environ = template.copy()
        remote = conn.remote
        environ["REMOTE_ADDR"] = remote[0]
        environ["REMOTE_PORT"] = str(remote[1]) if remote[0] else ""
        if not conn.plain:
            environ.update(conn.ssl_environ())
        environ.update(head.fields)
        conn.template = environ
    path = head.path
    environ["REQUEST_METHOD"] = head.method
    environ["PATH_INFO"] = path if path != "*" else "/*"
    environ["QUERY_STRING"] = head.query
    environ["REQUEST_URI"] = environ["RAW_URI"] = head.target
    environ["SERVER_PROTOCOL"] = PROTOCOLS[head.minor > 0]
    conn.template_head = head
    return environ


PROTOCOLS = ("HTTP/1.0", "HTTP/1.1")


def environ_of(exchange: Exchange) -> Environ:
    """The WSGI environment of a request."""
    conn = exchange.connection
    head = exchange.head
    template: Any = conn.template
    if head is not conn.template_head:
        template = fill_environ(conn, head)
    environ: Environ = template.copy()
    environ["wsgi.input"] = exchange.body
    return environ


class _Call:
    """One call of the application: what start_response was told, and what write() was given."""

    __slots__ = ("exchange", "gone", "headers", "status")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.status: str | None = None
        self.headers: list[Any] = []
        self.gone = False  # the head has left, or is leaving, for the peer

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """PEP 3333 start_response."""
        if exc_info is not None:
            try:
                if self.gone:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the traceback refers to this frame
        elif self.status is not None:
            raise AssertionError("start_response called a second time without exc_info")
        if type(status) is not str:
            raise TypeError(f"the status must be a str, not {status!r}")
        if type(headers) is not list:
            raise TypeError(f"the headers must be a list, not {headers!r}")
        self.status = status
        self.headers = headers
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333 write(): goes out at once, before anything the application returns."""
        stream = self.exchange.stream
        if stream is None:
            if self.status is None:
                raise AssertionError("write() before start_response")
            self.gone = True
            stream = self.exchange.start(self.status, self.headers)
        stream.write(data)


class _Rest:
    """An iterable whose first item was pulled to learn the status; one pass, one close()."""

    __slots__ = ("first", "iterator", "owner")

    def __init__(self, first: bytes, iterator: Iterator[bytes], owner: Any) -> None:
        self.first: bytes | None = first
        self.iterator = iterator
        self.owner = owner

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first = self.first
        if first is not None:
            self.first = None
            return first
        return next(self.iterator)

    def close(self) -> None:
        close = getattr(self.owner, "close", None)
        if close is not None:
            close()


class WSGIGateway:
    """Calls ``server.app``, read anew for each request so that it may be replaced while serving."""

    __slots__ = ("server",)

    def __init__(self, server: Any) -> None:
        self.server = server

    def __call__(self, exchange: Exchange) -> Response:
        environ = environ_of(exchange)
        call = _Call(exchange)
        body = self.server.app(environ, call.start_response)
        kind = type(body)
        if (kind is list or kind is tuple) and call.status is not None:
            call.gone = True
            return call.status, call.headers, body
        if (kind is FileWrapper or kind is Upgrade) and call.status is not None:
            call.gone = True
            return call.status, call.headers, body
        return self.iterate(call, body)

    def iterate(self, call: _Call, body: Any) -> Response:
        """Pull the first bytes: start_response may come, or change, until they are there."""
        try:
            if hasattr(type(body), "__len__") and call.exchange.stream is None:
                whole = single(body)
                if whole is not None and call.status is not None:
                    call.gone = True
                    return call.status, call.headers, whole
            iterator = iter(body)
            first: Any = b""
            for first in iterator:
                if first:
                    break
            if call.status is None:
                raise AssertionError("the application did not call start_response")
        except BaseException:
            close_body(body, self.server.log)
            raise
        call.gone = True
        return call.status, call.headers, _Rest(first, iterator, body)
