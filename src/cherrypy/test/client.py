"""A client for tests that needs no port: the whole server, and sockets that lead straight into it.

Law: nothing is simulated. What answers is the server that serves visitors, with its threads and limits.
"""

from __future__ import annotations

import http.client
import socket
from collections import deque
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import Any

import cherrypy
from cherrypy.hosting.adapter import Server
from cherrypy.hosting.wsgi import CPWSGIServer
from cherrypy.testing.answers import Answer
from cherrypy.testing.asking import Asker
from cherrypy.testing.inside import tree_of
from cherrypy.testing.packing import Fields
from cherrypy.websocket.client import Client, connect
from cherrypy.websocket.dialing import Deadline

__all__ = ("Answer", "TestClient")

#: Where the server believes itself to be, and its visitors to come from.
HERE, THERE = ("127.0.0.1", 80), ("127.0.0.1", 50000)


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


class _Pieces:
    """A body as it comes. Some have no end: the deadline is for all of it."""

    def __init__(
        self, response: http.client.HTTPResponse, sock: socket.socket, deadline: Deadline
    ) -> None:
        self.response = response
        self.sock = sock
        self.deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        what = "no end of the answer"
        try:
            while True:
                self.sock.settimeout(self.deadline.left(what))
                piece = self.response.read1(65536)
                if not piece:
                    return
                yield piece
        except TimeoutError:
            raise TimeoutError(f"{what} within {self.deadline.seconds:g} s") from None
        finally:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.response.close()
        self.sock.close()


class TestClient(Asker):
    """Asks an application, and speaks with its WebSockets, without a port and without the engine.

    A context manager: its server runs from `with` to the end of the block. `cookies` are kept from
    one answer to the next request, and may be read and changed.

    app
        An `Application`, or a root object, to be mounted with `config`, or a `Tree`. None:
        `cherrypy.tree`, with all that is mounted there.
    timeout
        Seconds for each answer, and for each wait on a WebSocket that names none of its own.
    headers, follow, base_url, max_body
        See `cherrypy.testing.Client`, which has the same methods and needs no server.
    """

    __test__ = False  # for pytest: no test, whatever its name

    def __init__(
        self,
        app: Any = None,
        config: Any = None,
        *,
        timeout: float = 10.0,
        headers: Fields = (),
        **more: Any,
    ) -> None:
        super().__init__(headers=headers, **more)
        self.timeout = timeout
        self._tree = tree_of(app, config)
        self._door: _Door | None = None
        self._server: Any = None
        self._clients: list[Client] = []

    def __enter__(self) -> TestClient:
        adapter = Server()
        adapter.thread_pool = 2
        adapter.shutdown_timeout = 1
        server = CPWSGIServer(adapter)
        server.wsgi_app = cherrypy.tree if self._tree is None else self._tree
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

    def _send(
        self, method: str, target: str, body: Any, fields: HTTPMessage, options: dict[str, Any]
    ) -> Answer:
        """Send a request.

        Raises TimeoutError when the answer has not come as a whole in time, and what `http.client`
        raises.
        """
        if options:
            raise TypeError(f"unknown arguments: {', '.join(options)}")
        deadline = Deadline(self.timeout)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock = self._connection()
        try:
            connection.request(method, target, body, fields)  # type: ignore[arg-type]  # a mapping in all that counts
            response = connection.getresponse()
        except BaseException:
            connection.close()
            sock.close()
            raise
        pieces = _Pieces(response, sock, deadline)
        return Answer(
            response.status,
            response.reason,
            response.headers,
            pieces,
            pieces.close,
            self.max_body,
        )

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
