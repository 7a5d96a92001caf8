"""The native server: requests go from the wire to the application without WSGI in between.

Applications with a WSGI pipeline of their own are still served, through it. Grafted WSGI
callables are not: the start says which, and a request for one is an error. Grafted ASGI applications
need no WSGI.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..framework.application import Application
from ..framework.site import site
from .direct import DirectGateway
from .httpserver import HTTPServer

if TYPE_CHECKING:
    from kirsch.server.exchange import Exchange

    from .adapter import Server

__all__ = ("CPHTTPServer", "NativeGateway")


class NativeGateway(DirectGateway):
    """Answers exchanges by the applications of the tree, and knows no WSGI environment."""

    speaks_wsgi = False

    def indirect(self, exchange: Exchange, path: str) -> Any:
        """Serve what needs WSGI, or nothing; refuse what is grafted."""
        tree = self.server.kirsch.app
        mounted = tree.script_name(path)
        app = None if mounted is None else tree.apps.get(mounted)
        if app is not None and not isinstance(app, Application):
            message = (
                f"The WSGI application grafted at {mounted or '/'!r} cannot be served by the "
                "native server. Use the default server for it, which speaks WSGI."
            )
            self.server.error_log(message, logging.ERROR)
            return "500 Internal Server Error", [("Content-Type", "text/plain")], message.encode()
        return super().indirect(exchange, path)


class CPHTTPServer(HTTPServer):
    """The HTTP server that calls the applications of `cherrypy.tree` directly.

    `cherrypy.server.httpserver = CPHTTPServer(cherrypy.server)` puts it in the place of the
    WSGI server.
    """

    def __init__(self, server_adapter: Server | None = None) -> None:
        gateway = NativeGateway(self)
        super().__init__(server_adapter or site.server, app=site.tree, gateway=gateway)

    def start(self) -> None:
        """Serve until `stop()`; warn first of what is mounted and cannot be served."""
        for path, app in list(site.tree.apps.items()):
            if not isinstance(app, Application) and not hasattr(app, "answer"):
                self.error_log(
                    f"The native server cannot serve the WSGI application grafted at "
                    f"{path or '/'!r}: requests for it get status 500.",
                    logging.WARNING,
                )
        super().start()
