"""A client for tests that calls the application in the thread of the test: no socket, no other thread.

Law: what is asked goes the whole way through WSGI, as under any server; only the wire is left out.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import cherrypy
from cherrypy.framework.serving import serving, witness
from cherrypy.framework.tree import Tree

from .answers import Answer
from .asking import Asker
from .engines import EngineForTests
from .packing import fields_of

__all__ = ("Client", "tree_of")


def tree_of(app: Any, config: Any = None) -> Any:
    """Return the tree with what is to be tested: an application, a root object, or a tree.

    None: `cherrypy.tree`, whichever it is when somebody asks.
    """
    if app is None or isinstance(app, Tree):
        return app
    tree = Tree()
    tree.mount(app, "", config)
    return tree


class Client(Asker):
    """Asks an application in this process and this thread: exceptions and debuggers are at home.

    app
        An `Application`, or a root object, to be mounted with `config`, or a `Tree`. None:
        `cherrypy.tree`, with all that is mounted there.
    raise_errors
        Raise the exception of a page here, in place of the answer 500. Its hooks and error pages
        have run before, as they do for visitors. `HTTPError` and redirects are answers.
    headers
        Fields of every request, unless it has its own.
    follow
        Whether redirects are followed, unless a request says.
    base_url
        Where the application believes itself to be; with `https` it sees TLS.
    remote
        Address and port of the visitor.
    max_body
        Bytes of an answer that are kept; TooLong is raised for more.

    It can be asked at once, without the engine. In a `with` block the engine runs, if it did not
    before: without its HTTP servers and without the autoreloader.
    """

    __test__ = False  # for pytest: no test, whatever its name

    def __init__(
        self,
        app: Any = None,
        config: Any = None,
        *,
        raise_errors: bool = False,
        remote: tuple[str, int] = ("127.0.0.1", 50000),
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.raise_errors = raise_errors
        self.remote = remote
        self._tree = tree_of(app, config)
        self._engine = EngineForTests(cherrypy.engine)
        self._sockets: Any = None  # a TestClient, from the first WebSocket on

    def __enter__(self) -> Client:
        self._engine.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its WebSockets, and stop the engine if it was started here."""
        sockets, self._sockets = self._sockets, None
        try:
            if sockets is not None:
                sockets.close()
        finally:
            self._engine.stop()

    def _send(
        self, method: str, target: str, body: Any, fields: HTTPMessage, options: dict[str, Any]
    ) -> Answer:
        raise_errors = options.pop("raise_errors", self.raise_errors)
        if options:
            raise TypeError(f"unknown arguments: {', '.join(options)}")
        app = cherrypy.tree if self._tree is None else self._tree
        environ = environ_of(method, target, body, fields, self.base_url, self.remote)
        call = Call(app, environ, raise_errors)
        status, headers = call.begin()
        number, _, reason = status.partition(" ")
        pieces = call.pieces()
        if method == "HEAD":  # whatever a foreign application says, no server would send it
            call.close()
            pieces = iter(())
        return Answer(int(number), reason, fields_of(headers), pieces, call.close, self.max_body)

    def websocket_connect(self, path: str, headers: Any = (), **options: Any) -> Any:
        """Open a WebSocket and return its client; see `TestClient.websocket_connect`.

        WebSockets need the server: one without a port runs from the first of them to `close`.
        """
        if self._sockets is None:
            from cherrypy.test.client import TestClient

            self._sockets = TestClient(self._tree, headers=self.headers)
            self._sockets.__enter__()
        self._sockets.cookies = self.cookies  # one jar
        return self._sockets.websocket_connect(path, headers, **options)


def _decoded(path: str) -> str:
    """Return the bytes of a quoted path, as Latin-1. An encoded slash stays one, as on the wire."""
    segments = re.split("%2[fF]", path)
    return "%2F".join(unquote_to_bytes(segment).decode("latin-1") for segment in segments)


def environ_of(
    method: str,
    target: str,
    body: Any,
    fields: HTTPMessage,
    base_url: str,
    remote: tuple[str, int],
) -> dict[str, Any]:
    """Return the WSGI environment of a request (PEP 3333)."""
    url = urlsplit(base_url)
    path, _, query = target.partition("?")
    if hasattr(body, "read"):
        body = body.read()
    elif body is not None and not isinstance(body, (bytes, bytearray, memoryview)):
        body = b"".join(body)
    content = bytes(body or b"")
    if (body is not None or method in ("POST", "PUT", "PATCH")) and "Content-Length" not in fields:
        fields["Content-Length"] = str(len(content))
    if "Host" not in fields:
        fields["Host"] = url.netloc
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _decoded(path),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "ACTUAL_SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": url.hostname or "localhost",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "REMOTE_ADDR": remote[0],
        "REMOTE_PORT": str(remote[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name in dict.fromkeys(key.lower() for key in fields):
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        joint = "; " if name == "cookie" else ", "
        values = [value.encode("utf-8").decode("latin-1") for value in fields.get_all(name, [])]
        environ[key] = joint.join(values)
    return environ


class Call:
    """One request on its way through a WSGI application, step by step.

    Between the steps this thread serves what it served before: a page may ask another, and a body
    that is read later does not leave its request lying about.
    """

    def __init__(self, app: Any, environ: dict[str, Any], raise_errors: bool) -> None:
        self.app = app
        self.environ = environ
        self.raise_errors = raise_errors
        self.status = ""
        self.fields: list[tuple[str, str]] = []
        self.ready: list[bytes] = []  # come, and not given away yet
        self.sent = False
        self.closed = False
        self.result: Any = None
        self.pull: Iterator[bytes] = iter(())
        self.held: dict[str, Any] = {}  # what this thread serves during the steps

    def start_response(
        self, status: str, fields: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Take the head of the answer (PEP 3333): again only with an error, before output."""
        if exc_info is not None and self.sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self.status:
            raise AssertionError("start_response was called twice")
        self.status, self.fields = status, list(fields)
        return self.ready.append

    def begin(self) -> tuple[str, list[tuple[str, str]]]:
        """Run the request until its head is there, and return that: status and fields."""
        try:
            self.result = self.step(self.app, self.environ, self.start_response)
            self.pull = iter(self.result)
            while not self.ready:
                try:
                    self.ready.append(self.step(next, self.pull))
                except StopIteration:
                    break
                if self.ready == [b""]:
                    self.ready.clear()
            if not self.status:
                raise AssertionError("the application never called start_response")
        except Exception:
            self.close()
            if self.raise_errors or self.sent:
                raise
            # What a server does with an application that raises.
            cherrypy.log("", "HTTP", 40, traceback=True)
            self.status, self.pull = "500 Internal Server Error", iter(())
            self.fields, self.ready = [("Content-Type", "text/plain")], [b"500"]
        except BaseException:
            self.close()
            raise
        return self.status, self.fields

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes. An exception in the midst of it is raised in any case."""
        self.sent = True
        try:
            while not self.closed or self.ready:
                if self.ready:
                    yield self.ready.pop(0)
                    continue
                try:
                    piece = self.step(next, self.pull)
                except StopIteration:
                    break
                if piece:
                    yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Close what the application has returned, once."""
        if self.closed:
            return
        self.closed = True
        close = getattr(self.result, "close", None)
        if close is not None:
            self.step(close)

    def step(self, func: Any, *args: Any) -> Any:
        """Call something of the application's; raise what it has answered with 500, if asked to."""
        mine, outer = serving.__dict__.copy(), witness.errors
        serving.clear()
        serving.__dict__.update(self.held)
        seen: list[BaseException] = []
        witness.errors = seen
        try:
            result = func(*args)
        finally:
            witness.errors = outer
            self.held = serving.__dict__.copy()
            serving.clear()
            serving.__dict__.update(mine)
        if seen and self.raise_errors:
            if self.result is None:
                self.result = result
            self.close()
            raise seen[0]
        return result
