"""The native server: requests go from the wire to the application without WSGI in between.

Applications with a WSGI pipeline of their own are still served, through it. Grafted WSGI
callables are not: the start says which, and a request for one is an error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kirsch.server.gateway import FileWrapper
from kirsch.server.wsgi import WSGIGateway

from ..framework.application import Application
from ..framework.site import site
from .httpserver import HTTPServer

if TYPE_CHECKING:
    from kirsch.server.exchange import Exchange

    from .adapter import Server

__all__ = ("CPHTTPServer", "NativeGateway")

PROTOCOLS = ("HTTP/1.0", "HTTP/1.1")


class NativeGateway:
    """Answers exchanges by the applications of `cherrypy.tree`."""

    def __init__(self, server: CPHTTPServer) -> None:
        self.server = server
        self._wsgi: WSGIGateway | None = None

    def __call__(self, exchange: Exchange) -> Any:
        head = exchange.head
        path = head.path
        app = site.tree.native(path)
        if app is None:
            return self._other(exchange, path)
        connection = exchange.connection
        local = connection.listener.address
        return app.respond(
            head.method,
            path,
            head.query,
            head.fields,
            exchange.body,
            local if type(local) is tuple else None,  # a unix socket has no host and port
            connection.remote,
            connection.scheme,
            PROTOCOLS[head.minor > 0],
            FileWrapper,
        )

    def _other(self, exchange: Exchange, path: str) -> Any:
        """Serve what needs WSGI, or nothing."""
        mounted = site.tree.script_name(path)
        app = None if mounted is None else site.tree.apps.get(mounted)
        if app is not None and not isinstance(app, Application):
            message = (
                f"The WSGI application grafted at {mounted or '/'!r} cannot be served by the "
                "native server. Use the default server for it, which speaks WSGI."
            )
            self.server.error_log(message, logging.ERROR)
            return "500 Internal Server Error", [("Content-Type", "text/plain")], message.encode()
        if self._wsgi is None:
            self._wsgi = WSGIGateway(self.server.kirsch)
        return self._wsgi(exchange)


class CPHTTPServer(HTTPServer):
    """The HTTP server that calls the applications of `cherrypy.tree` directly.

    `cherrypy.server.httpserver = CPHTTPServer(cherrypy.server)` puts it in the place of the
    WSGI server.
    """

    def __init__(self, server_adapter: Server | None = None) -> None:
        self.gateway = NativeGateway(self)
        super().__init__(server_adapter or site.server, app=site.tree, gateway=self.gateway)

    def start(self) -> None:
        """Serve until `stop()`; warn first of what is mounted and cannot be served."""
        for path, app in list(site.tree.apps.items()):
            if not isinstance(app, Application):
                self.error_log(
                    f"The native server cannot serve the WSGI application grafted at "
                    f"{path or '/'!r}: requests for it get status 500.",
                    logging.WARNING,
                )
        super().start()
