"""A client for tests that needs no port: the whole server, and sockets that lead straight into it.

Law: nothing is simulated. What answers is the server that serves visitors, with its threads and limits.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

import cherrypy
from cherrypy.framework.tree import Tree
from cherrypy.hosting.adapter import Server
from cherrypy.hosting.wsgi import CPWSGIServer
from cherrypy.websocket.client import Client, connect
from cherrypy.websocket.dialing import Deadline
from kirsch.http.dates import parse_date

__all__ = ("Answer", "TestClient")

#: Where the server believes itself to be, and its visitors to come from.
HERE, THERE = ("127.0.0.1", 80), ("127.0.0.1", 50000)

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class _End(socket.socket):
    """The server's end of a pair of sockets, with an address as applications expect one."""

    def getsockname(self) -> Any:
        """Return where the server believes itself to be."""
        return HERE


class _Door(_End):
    """A listening socket without a port: what was knocked for is accepted."""

    def __init__(self) -> None:
        inner, self.bell = socket.socketpair()
        super().__init__(fileno=inner.detach())
        self._waiting: deque[_End] = deque()

    def knock(self) -> socket.socket:
        """Return a connection to the server."""
        outer, inner = socket.socketpair()
        self._waiting.append(_End(fileno=inner.detach()))
        self.bell.send(b"!")
        return outer

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next one. Raises BlockingIOError when there is none."""
        if not self.recv(1):
            raise BlockingIOError
        return self._waiting.popleft(), THERE

    def listen(self, backlog: int = 0, /) -> None:
        """Do nothing: it listens."""

    def close(self) -> None:
        """Close, with all who have not been let in."""
        super().close()
        self.bell.close()
        while self._waiting:
            self._waiting.popleft().close()


class Answer:
    """A response: `status`, `reason`, `headers` (as `http.client` has them), `body`."""

    def __init__(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        self.body = body

    @property
    def text(self) -> str:
        """The body as a text, in the encoding that it names, or UTF-8."""
        return self.body.decode(self.headers.get_content_charset("utf-8"), "replace")

    def json(self) -> Any:
        """Return the body read as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body[:80]!r}>"


def _whole(response: http.client.HTTPResponse, sock: socket.socket, deadline: Deadline) -> bytes:
    """The body. Some have no end: the deadline is for all of it."""
    pieces: list[bytes] = []
    what = "no end of the answer"
    try:
        while True:
            sock.settimeout(deadline.left(what))
            piece = response.read1(65536)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
    except TimeoutError:
        raise TimeoutError(f"{what} within {deadline.seconds:g} s") from None


class TestClient:
    """Asks an application, and speaks with its WebSockets, without a port and without the engine.

    A context manager: its server runs from `with` to the end of the block. `cookies` are kept from
    one answer to the next request, and may be read and changed.

    app
        An `Application`, or a root object, to be mounted with `config`. None: `cherrypy.tree`, with
        all that is mounted there.
    timeout
        Seconds for each answer, and for each wait on a WebSocket that names none of its own.
    headers
        Fields of every request, unless it has its own.
    """

    __test__ = False  # for pytest: no test, whatever its name

    def __init__(
        self,
        app: Any = None,
        config: Any = None,
        *,
        timeout: float = 10.0,
        headers: Fields = (),
    ) -> None:
        self.timeout = timeout
        self.headers = dict(headers)
        self.cookies: dict[str, str] = {}
        self._app, self._config = app, config
        self._door: _Door | None = None
        self._server: Any = None
        self._clients: list[Client] = []

    def __enter__(self) -> TestClient:
        tree = cherrypy.tree
        if self._app is not None:
            tree = Tree()
            tree.mount(self._app, "", self._config)
        adapter = Server()
        adapter.thread_pool = 2
        adapter.shutdown_timeout = 1
        server = CPWSGIServer(adapter)
        server.wsgi_app = tree
        self._door = _Door()
        server.kirsch.binds = [self._door]
        server.kirsch.start()
        self._server = server
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is connected and stop the server."""
        for client in self._clients:
            client.sock.close()
        self._clients = []
        server, self._server = self._server, None
        if server is not None:
            server.kirsch.stop()
        door, self._door = self._door, None
        if door is not None:
            door.close()

    def _connection(self) -> socket.socket:
        if self._door is None:
            raise RuntimeError("a TestClient works within its with block")
        sock = self._door.knock()
        sock.settimeout(self.timeout)
        return sock

    def request(
        self, method: str, path: str, body: Any = None, headers: Fields = (), **more: Any
    ) -> Answer:
        """Send a request and return the answer; redirects are not followed.

        path
            With its query, as it is sent.
        body
            Bytes, a text, or what `http.client` takes.
        json
            A value to send as JSON in place of a body.

        Raises TimeoutError when it has not come as a whole in time, and what `http.client` raises.
        """
        fields = {**self.headers, **dict(headers)}
        if "json" in more:
            body = json.dumps(more.pop("json"))
            fields.setdefault("Content-Type", "application/json")
        if more:
            raise TypeError(f"unknown arguments: {', '.join(more)}")
        if isinstance(body, str):
            body = body.encode()
        if self.cookies:
            fields.setdefault("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items()))
        deadline = Deadline(self.timeout)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock = self._connection()
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            answer = Answer(response, _whole(response, sock, deadline))
        finally:
            connection.close()
            sock.close()
        for field in answer.headers.get_all("Set-Cookie") or ():
            self._keep(field)
        return answer

    def get(self, path: str, headers: Fields = ()) -> Answer:
        """Send a GET request; see `request`."""
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: Any = b"", headers: Fields = (), **more: Any) -> Answer:
        """Send a POST request; see `request`. A dict is sent as a form."""
        if isinstance(body, Mapping):
            from urllib.parse import urlencode

            body = urlencode(body)
            headers = {"Content-Type": "application/x-www-form-urlencoded", **dict(headers)}
        return self.request("POST", path, body, headers, **more)

    def websocket_connect(self, path: str, headers: Fields = (), **options: Any) -> Client:
        """Open a WebSocket and return its client, a context manager.

        options
            Those of `cherrypy.websocket.client.connect`: `subprotocols`, `cookies`, `origin`,
            `compression`, `timeout`, `max_message`.

        Raises Refused with the answer when the server opens none.
        """
        cookies = {**self.cookies, **(options.pop("cookies", None) or {})}
        options.setdefault("timeout", self.timeout)
        fields = {**self.headers, **dict(headers)}
        sock = self._connection()
        try:
            url = f"ws://localhost{path}"
            client = connect(url, headers=fields, cookies=cookies, sock=sock, **options)
        except BaseException:
            sock.close()
            raise
        self._clients.append(client)
        # They come joined by commas, of which the dates in them have some: the first one counts.
        self._keep(client.headers.get("set-cookie", ""))
        return client

    def _keep(self, field: str) -> None:
        """Keep a cookie, or forget one that is over."""
        try:
            found = SimpleCookie(field)
        except CookieError:
            return
        for name, morsel in found.items():
            when = parse_date(morsel["expires"])
            if morsel["max-age"] == "0" or (when is not None and when < time.time()):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
