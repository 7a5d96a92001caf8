"""The WSGI server of the framework: `cherrypy.tree`, or any WSGI callable, on kirsch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.server.exchange import Exchange

from ..framework.site import site
from .direct import DirectGateway
from .httpserver import HTTPServer

if TYPE_CHECKING:
    from .adapter import Server

__all__ = ("CPWSGIHTTPRequest", "CPWSGIServer")

#: The historical name of what the server hands to its gateway.
CPWSGIHTTPRequest = Exchange


class CPWSGIServer(HTTPServer):
    """The HTTP server that calls `wsgi_app`, which is `cherrypy.tree` until replaced."""

    def __init__(self, server_adapter: Server | None = None) -> None:
        # Nothing would be gained by asking our own tree through WSGI.
        gateway = DirectGateway(self)
        super().__init__(server_adapter or site.server, app=site.tree, gateway=gateway)

    @property
    def wsgi_app(self) -> Any:
        """The WSGI callable. May be replaced at any time; each request reads it anew."""
        return self.kirsch.app

    @wsgi_app.setter
    def wsgi_app(self, app: Any) -> None:
        self.kirsch.app = app

    @property
    def wsgi_version(self) -> tuple[Any, ...]:
        """The WSGI version handed to the application."""
        return self.server_adapter.wsgi_version
