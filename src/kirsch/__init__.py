"""Kirsch: a threaded HTTP/1.1 server for any WSGI application.

`Server` and `serve` are loaded when they are first asked for: who only needs the words of
`kirsch.http` does not pay for the sockets.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server.server import Server, serve

__version__ = "0.1.0"

__all__ = ["Server", "__version__", "serve"]


def __getattr__(name: str) -> Any:
    if name not in ("Server", "serve"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .server import server

    globals().update(Server=server.Server, serve=server.serve)
    return globals()[name]
