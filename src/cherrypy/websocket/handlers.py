"""Handlers as classes, under the names that ws4py gave them: called when something comes, no thread otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .messages import Message, PongControlMessage, received
from .sockets import Socket, log_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("EchoWebSocket", "WebSocket")


class WebSocket(Socket):
    """One connection. Override `opened`, `received_message`, `ponged`, `closed`.

    They are called one at a time and in order, in whichever thread of the server; one that takes long
    keeps only its own peer waiting. `send` and `close` may be called from any thread.
    """

    heartbeat_freq: float | None = None
    """Seconds of silence after which the peer is asked for a sign of life; 0: never; None: 20."""

    protocols: Any = None
    extensions: Any = None
    stream: Any = None  # ws4py's reader of frames: there is none to be touched here
    reading_buffer_size: int = 65536

    _environ: Any = None
    _sock: Any = None

    def __init__(
        self,
        sock: Any = None,
        protocols: Any = None,
        extensions: Any = None,
        environ: Any = None,
        heartbeat_freq: float | None = None,
    ) -> None:
        if sock is not None:
            self._sock = sock
        if protocols:
            self.protocols = protocols
        if extensions:
            self.extensions = extensions
        if environ is not None:
            self._environ = environ
        if heartbeat_freq is not None:
            self.heartbeat_freq = heartbeat_freq

    # -- to be overridden ----------------------------------------------------------------------

    def opened(self) -> Any:
        """The connection is open."""

    def received_message(self, message: Message) -> Any:
        """A message has come: a `TextMessage` or a `BinaryMessage`."""

    def ponged(self, pong: PongControlMessage) -> Any:
        """A pong has come."""

    def closed(self, code: int, reason: str | None = None) -> Any:
        """The connection is over: the last call."""

    def unhandled_error(self, error: BaseException) -> Any:
        """One of these has raised; the connection is being closed with 1011."""
        log_failure(error)

    # -- sending -------------------------------------------------------------------------------

    def send(self, payload: Any, binary: bool = False) -> None:
        """Send text, bytes, a message, or what an iterator yields as one fragmented message.

        binary
            How bytes are sent: False, as in ws4py, as a text in UTF-8. A message knows by itself.

        Raises ConnectionClosed.
        """
        wire = self._wire or self._wired()
        if isinstance(payload, Message):
            payload = payload.payload()
            binary = not isinstance(payload, str)
        if isinstance(payload, str):
            if binary:
                wire.binary(payload.encode())
            else:
                wire.text(payload)
        elif isinstance(payload, (bytes, bytearray, memoryview)):
            if binary:
                wire.binary(payload)
            else:
                wire.text(bytes(payload).decode())
        elif hasattr(payload, "__iter__"):
            wire.fragments(self._pieces(payload, binary))
        else:
            raise TypeError(f"cannot send {type(payload).__name__}")

    def _pieces(self, payload: Iterable[Any], binary: bool) -> Iterable[Any]:
        for piece in payload:
            data = piece.payload() if isinstance(piece, Message) else piece
            if binary:
                yield data.encode() if isinstance(data, str) else data
            else:
                yield data if isinstance(data, str) else bytes(data).decode()

    def ping(self, message: Any = b"") -> None:
        """Send a ping."""
        self._wired().ping(_bytes(message))

    def pong(self, message: Any = b"") -> None:
        """Send a pong nobody asked for."""
        self._wired().pong(_bytes(message))

    def close_connection(self) -> None:
        """Drop the connection without a word."""
        self._wired().abort()

    terminate = close_connection

    # -- state ---------------------------------------------------------------------------------

    @property
    def terminated(self) -> bool:
        """Whether it is closed for both."""
        return self._ended

    @property
    def server_terminated(self) -> bool:
        """Whether we have said that we close."""
        wire = self._wire
        return self._ended or (wire is not None and wire.core.close_sent)

    @property
    def client_terminated(self) -> bool:
        """Whether the peer has."""
        wire = self._wire
        return self._ended or (wire is not None and wire.core.ending is not None)

    @property
    def sock(self) -> Any:
        """The socket. To be looked at only: the server reads it."""
        wire = self._wire
        return self._sock if wire is None else wire.conn.sock

    connection = sock

    @property
    def environ(self) -> dict[str, Any]:
        """The WSGI environment of the request that opened it; made when first asked for."""
        made = self._environ
        if callable(made):
            made = self._environ = made()
        return made or {}

    @environ.setter
    def environ(self, value: Any) -> None:
        self._environ = value

    def once(self) -> bool:
        """Return False: the server reads by itself."""
        return False

    def run(self) -> None:
        """Do nothing: the server reads by itself."""

    # -- what the server calls -----------------------------------------------------------------

    def ws_opened(self) -> object:
        return self.opened()

    def ws_message(self, message: str | bytes) -> object:
        return self.received_message(received(message))

    def ws_ponged(self, data: bytes) -> object:
        return self.ponged(PongControlMessage(data))

    def ws_closed(self, code: int, reason: str) -> object:
        self._end(code, reason)
        return self.closed(code, reason)

    def ws_failed(self, error: BaseException) -> object:
        return self.unhandled_error(error)


def _bytes(message: Any) -> bytes:
    if isinstance(message, Message):
        return message.data
    return message.encode() if isinstance(message, str) else bytes(message)


class EchoWebSocket(WebSocket):
    """Sends back what comes."""

    def received_message(self, message: Message) -> None:
        """Send it back, as what it was."""
        self._send(message.payload())
