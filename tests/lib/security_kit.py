"""What the tests of the security tools share: a site on a real socket, and a client for it."""

from __future__ import annotations

import contextlib
import http.client
import textwrap
from collections.abc import Iterator
from typing import Any

from cherrypy._cpserver import Server

import cherrypy


class Reply:
    """A response as it came from the socket."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode("utf-8", "replace")

    def __getitem__(self, name: str) -> str | None:
        return self.headers[name]

    @property
    def cookies(self) -> str:
        """All cookies as a browser would send them back."""
        set_cookie = self.headers.get_all("Set-Cookie") or []
        return "; ".join(line.partition(";")[0] for line in set_cookie)

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers.items()} {self.text[:300]!r}>"


class Client:
    """Asks the server at `address`, each time over a connection of its own."""

    timeout: float = 40

    def __init__(self, address: Any) -> None:
        self.address = address

    def __call__(
        self, path: str = "/", method: str = "GET", body: Any = None, **headers: Any
    ) -> Reply:
        """Keyword arguments are fields: `x_csrf_token="..."`; None leaves out what is usual."""
        connection = http.client.HTTPConnection(*self.address[:2], timeout=self.timeout)
        fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
        try:
            connection.putrequest(method, path, skip_host="Host" in fields)
            if body is not None:
                body = body.encode() if isinstance(body, str) else body
                fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
                fields["Content-Length"] = str(len(body))
            for name, value in fields.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            return Reply(connection.getresponse())
        finally:
            connection.close()


@contextlib.contextmanager
def served(root: Any, config: Any = None, native: bool = False) -> Iterator[Client]:
    """Serve `root` on a free port. `config`: a dict of sections, or the text of a file of them."""
    if isinstance(config, str):
        import io

        config = io.StringIO(textwrap.dedent(config))
    before, tree = dict(cherrypy.config), cherrypy.tree
    cherrypy.tree = cherrypy._cptree.Tree()
    cherrypy.config.update({"environment": "test_suite", "request.show_tracebacks": False})
    cherrypy.server.unsubscribe()
    adapter = Server()
    adapter.socket_port = 0
    app = cherrypy.tree.mount(root, "", config)
    app.log.screen = False
    if native:
        from cherrypy._cpnative_server import CPHTTPServer

        adapter.httpserver = CPHTTPServer(adapter)
    adapter.subscribe()
    cherrypy.engine.start()
    try:
        yield Client(adapter.bound_addr)
    finally:
        cherrypy.engine.exit()
        adapter.unsubscribe()
        cherrypy.server.subscribe()
        cherrypy.tree = tree
        cherrypy.config.clear()
        dict.update(cherrypy.config, before)
