"""The way from the wire to an application with nothing in between: no WSGI, no environment.

Law: whoever could tell the difference is not gone around; then requests go through WSGI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.server.gateway import FileWrapper
from kirsch.server.wsgi import WSGIGateway

from ..framework.errors import Suspended
from ..framework.exchange import Served, answer
from ..framework.tree import Tree

if TYPE_CHECKING:
    from kirsch.server.exchange import Exchange

    from .httpserver import HTTPServer

__all__ = ("DirectGateway",)


def _feed(*args: Any, **kwargs: Any) -> Any:
    """Make a feed; what few programs use is imported when they do."""
    from kirsch.server.feeds import Feed

    return Feed(*args, **kwargs)


def _park(*args: Any) -> Any:
    """Make what parks a request."""
    from kirsch.server.parked import Parked

    return Parked(*args)


Served.feed = staticmethod(_feed)
Suspended.park = staticmethod(_park)


class DirectGateway:
    """Answers exchanges: by an application of the tree itself where it can, else by WSGI.

    `request.wsgi_environ` is made if somebody asks for it.
    """

    speaks_wsgi = True

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.wsgi: WSGIGateway | None = None

    def __call__(self, exchange: Exchange) -> Any:
        kirsch = self.server.kirsch
        head: Any = exchange.head
        path = head.path
        tree = kirsch.app
        turn = exchange.connection.worker.turn
        app = tree.direct(path, turn) if type(tree) is Tree and path != "*" else None
        if app is None:
            foreign = tree.foreign(path) if type(tree) is Tree and path != "*" else None
            if foreign is not None:
                graft, script_name, rest = foreign
                return graft.answer(exchange, script_name, rest)
            return self.indirect(exchange, path)
        origin = exchange if self.speaks_wsgi else exchange.connection
        highest = kirsch.settings.protocol
        return answer(app, head, exchange.body, origin, FileWrapper, highest, True, turn)

    def indirect(self, exchange: Exchange, path: str) -> Any:
        """Serve what needs WSGI, or nothing."""
        if self.wsgi is None:
            self.wsgi = WSGIGateway(self.server.kirsch)
        return self.wsgi(exchange)
