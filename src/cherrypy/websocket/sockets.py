"""A WebSocket as handlers see it: sending from any thread, receiving, and who is at the other end."""

from __future__ import annotations

from collections.abc import Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from kirsch.server.endpoints import ConnectionClosed

from .rooms import payload_of

if TYPE_CHECKING:
    from kirsch.server.websockets import WebSocket as Wire

    from .rooms import Room

__all__ = ("ConnectionClosed", "PageSocket", "Socket")


class Socket:
    """What both styles of handlers have in common."""

    _wire: Wire | None = None
    _head: Any = None  # the request's head, from which the environment can be made
    _rooms: set[Room] | None = None
    _ended: bool = False
    _code: int = 1006
    _reason: str = ""

    subprotocol: str | None = None
    """The one agreed upon, or None."""

    # -- asking --------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        wire = self._wire
        return wire is not None and wire.open

    @property
    def close_code(self) -> int | None:
        """Why it was closed (1006: without a word); None while it is not."""
        return self._code if self._ended else None

    @property
    def close_reason(self) -> str:
        """The words of whoever closed it."""
        return self._reason

    @property
    def peer_address(self) -> tuple[str, int]:
        """The peer's address and port."""
        return self._wired().conn.remote

    @property
    def local_address(self) -> tuple[str, int]:
        """Our address and port."""
        return self._wired().conn.local

    def _wired(self) -> Wire:
        wire = self._wire
        if wire is None:
            raise RuntimeError(
                "The WebSocket is not open yet: it opens when the page has returned."
            )
        return wire

    # -- sending, from any thread --------------------------------------------------------------

    def _send(self, data: str | bytes) -> None:
        wire = self._wired()
        if isinstance(data, str):
            wire.text(data)
        else:
            wire.binary(data)

    def send_json(self, value: Any) -> None:
        """Send a value as JSON text. Raises ConnectionClosed."""
        import json

        self._wired().text(json.dumps(value))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close; returns at once. What was sent before still arrives."""
        self._wired().close(code, reason)

    # -- rooms ---------------------------------------------------------------------------------

    def _enter(self, room: Room) -> bool:
        """Note that we are in a room; False when we are closed."""
        if self._rooms is None:
            self._rooms = set()
        self._rooms.add(room)
        return not self._ended

    def _left(self, room: Room) -> None:
        """Forget a room: who goes from one to the next must not gather them."""
        if self._rooms is not None:
            self._rooms.discard(room)

    def _end(self, code: int, reason: str) -> None:
        self._code, self._reason = code, reason
        self._ended = True
        for room in list(self._rooms or ()):
            room.leave(self)

    # -- what the server calls -----------------------------------------------------------------

    def ws_opened(self) -> object:
        raise NotImplementedError

    def ws_message(self, message: str | bytes) -> object:
        raise NotImplementedError

    def ws_ponged(self, data: bytes) -> object:
        """Nobody wants to know."""

    def ws_closed(self, code: int, reason: str) -> object:
        self._end(code, reason)
        return None

    def ws_failed(self, error: BaseException) -> object:
        log_failure(error)
        return None


def log_failure(error: BaseException) -> None:
    """Write a handler's exception to the error log, with its traceback."""
    from cherrypy.framework.site import site

    try:
        raise error
    except BaseException:
        site.log("A WebSocket handler failed.", "WEBSOCKET", 40, traceback=True)


class PageSocket(Socket):
    """What a page gets that is a conversation: `def chat(self, ws): for message in ws: ...`.

    `send` and `close` may be called in any thread, `recv` in that of the page. `request` is the
    request that opened it, and `session` a copy of what the session held: the session itself is
    given back when the WebSocket opens, as it would be locked for hours.
    """

    def __init__(self, page: Any, args: Any, kwargs: Any, request: Any, session: Any) -> None:
        self._page = (page, args, kwargs)
        self.request = request
        self.session: dict[str, Any] = session

    @property
    def login(self) -> Any:
        """The name of the user, where a tool has found one."""
        return self.request.login

    def send(self, message: Any, binary: bool | None = None) -> None:
        """Send `str` as text, `bytes` as a binary message. Raises ConnectionClosed.

        In the page's own thread it waits for a peer that is far behind, within the server's write
        timeout. In other threads nothing waits: such a peer is dropped.
        """
        self._send(payload_of(message, binary))

    def ping(self, data: bytes = b"") -> None:
        """Ask for a sign of life (the server does so by itself)."""
        self._wired().ping(data)

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message. Raises ConnectionClosed, and TimeoutError after `timeout` s."""
        return self._wired().recv(timeout)

    def receive_json(self, timeout: float | None = None) -> Any:
        """Wait for the next message and read it as JSON. Raises ValueError when it is none."""
        import json

        return json.loads(self.recv(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        """Yield messages until the connection is closed."""
        while True:
            try:
                message = self.recv()
            except ConnectionClosed:
                return
            yield message

    def ws_opened(self) -> object:
        """Run the page; the connection ends with it."""
        from cherrypy.framework.serving import serving

        page, args, kwargs = self._page
        request = self.request
        serving.load(request, None)
        try:
            made = page(self, *args, **kwargs)
            if isinstance(made, CoroutineType):
                made.close()
                raise TypeError("A WebSocket page has a thread of its own: it is no coroutine.")
        finally:
            serving.clear()
        self.close()
        return None
