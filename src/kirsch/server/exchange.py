"""One request on its way to a gateway: what arrived, and how to read the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..wire.http1.requests import RequestHead
    from .connection import Connection
    from .output import Stream
    from .server import Server


class Exchange:
    """What a gateway is called with.

    head        the RequestHead
    body        a file-like object: read, readline, readlines, iteration
    connection  the Connection it came on (shared by its requests)
    stream      the response once its head has gone out bit by bit, else None
    watch       what whoever watches keeps for this request; set by them alone
    """

    __slots__ = ("body", "connection", "head", "stream", "watch")

    watch: Any

    hands_over = True  # the server knows what to do with a `Handover`

    def __init__(self, connection: Connection, head: RequestHead, body: Any) -> None:
        self.connection = connection
        self.head = head
        self.body = body
        self.stream: Stream | None = None

    @property
    def remote(self) -> tuple[str, int]:
        """The peer's (address, port); ('', 0) on a unix socket."""
        return self.connection.remote

    @property
    def local(self) -> tuple[str, int]:
        """Our end's (address, port); (path, 0) on a unix socket."""
        return self.connection.local

    @property
    def scheme(self) -> str:
        """'http' or 'https'."""
        return self.connection.scheme

    @property
    def server(self) -> Server:
        """The server that took the request."""
        return self.connection.group.server

    def environ(self) -> dict[str, Any]:
        """Make the WSGI environment of this request (PEP 3333), one of its own at each call."""
        from .wsgi import environ_of

        return environ_of(self)

    def start(self, status: str, headers: list[Any]) -> Stream:
        """Send the response head now and return the stream its body is written to.

        The gateway still returns (status, headers, body): the rest of the body follows on the
        stream. Raises ValueError for a head that cannot be sent.
        """
        from .output import open_stream

        return open_stream(self, status, headers)
