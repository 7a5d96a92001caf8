"""A site on a real port, started and ended by the engine as programs do it; asks nothing but CherryPy's names."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from typing import Any

from compat_process import free_port

import cherrypy


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        self.body = response.read()
        self.text = self.body.decode("utf-8", "replace")

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name)

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers.items()} {self.text[:400]!r}>"


class Ask:
    """Asks the site at `port`: keyword arguments are fields."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, path: str = "/", method: str = "GET", body: bytes | None = None, **fields: str
    ) -> Reply:
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            peer.request(method, path, body, {"Connection": "close", **headers})
            return Reply(peer.getresponse())
        finally:
            peer.close()

    def raw(self, data: bytes, timeout: float = 10) -> bytes:
        """Everything that comes back until the server closes the connection."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as peer:
            peer.sendall(data)
            while block := peer.recv(65536):
                answer += block
        return answer


FORM = "application/x-www-form-urlencoded"


@contextlib.contextmanager
def served(
    root: Any, config: Any = None, *, httpserver: Any = None, **settings: Any
) -> Iterator[Ask]:
    """Serve `root` by the steps of `cherrypy.quickstart`; `settings` go to `cherrypy.config`."""
    before, apps = dict(cherrypy.config), dict(cherrypy.tree.apps)
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    port = free_port()
    cherrypy.config.update({"server.socket_host": "127.0.0.1", "server.socket_port": port})
    cherrypy.config.update(settings)
    app = cherrypy.tree.mount(root, "", config)
    app.log.screen = False
    cherrypy.server.httpserver = httpserver  # not one that was left here
    cherrypy.engine.start()
    try:
        yield Ask(port)
    finally:
        cherrypy.engine.exit()
        cherrypy.server.httpserver = None
        cherrypy.tree.apps.clear()
        cherrypy.tree.apps.update(apps)
        cherrypy.config.clear()
        dict.update(cherrypy.config, before)
