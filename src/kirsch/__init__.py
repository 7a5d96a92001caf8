"""Kirsch: a threaded HTTP/1.1 server for any WSGI application."""

from .server.limits import VERSION as __version__
from .server.server import Server
from .server.server import serve as serve

__all__ = ["Server", "__version__", "serve"]
