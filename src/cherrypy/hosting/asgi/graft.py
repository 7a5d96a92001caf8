"""An ASGI application as part of the tree: a WSGI callable that follows the engine.

Our own servers ask it directly (`hosting/direct.py`), which shows it the client's socket: then it
hears of a disconnect at once. Behind other WSGI servers, or middleware, it is served all the same.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

from kirsch.http.status import response_codes
from kirsch.server.gateway import FileWrapper, Upgrade
from kirsch.wire.websocket.handshake import Refusal, judge

from ...framework.site import site
from ...process.loops import shared
from .lifespan import Lifespan
from .peer import ConnectedPeer, Peer
from .scope import http_scope, is_websocket, websocket_scope
from .settings import SocketSettings
from .sockets import SocketTalk
from .talk import PLAIN_TEXT, Chunks, Talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from kirsch.server.exchange import Exchange

__all__ = ("GraftedASGI",)

LIFESPANS = ("auto", "on", "off")

ELSEWHERE = "This server cannot switch to WebSocket: it is not kirsch."

#: Seconds that coroutines get to end by themselves when their WebSockets are closed by a stop.
GRACE = 1.0

#: Fields that are no business of a WSGI application (PEP 3333, "Other HTTP Features").
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade")
)


class GraftedASGI:
    """An ASGI application in the tree. `cherrypy.tree.graft_asgi` makes and subscribes it.

    app
        The ASGI application (version 3: one callable with scope, receive and send).
    script_name
        Its mount point, for the log.
    lifespan
        'auto': the application takes part in the lifespan if it can. 'on': it must. 'off': it is
        not asked.

    Raises ValueError for another `lifespan`, TypeError for an `app` that cannot be called.
    """

    whole_bodies = False  # for the tree: they are read as they come

    start_timeout = 60.0
    """Seconds that the application's startup may take."""

    stop_timeout = 5.0
    """Seconds that its shutdown may take."""

    def __init__(
        self, bus: Any, app: Callable[..., Any], script_name: str = "", lifespan: str = "auto"
    ) -> None:
        if lifespan not in LIFESPANS:
            raise ValueError(f"lifespan must be one of {LIFESPANS}, not {lifespan!r}.")
        if not callable(app):
            raise TypeError(f"An ASGI application is a callable, not {app!r}.")
        self.bus = bus
        self.app = app
        self.where = script_name or "/"
        self.mode = lifespan
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lifespan: Lifespan | None = None
        self.websockets = SocketSettings()
        self.sockets: set[SocketTalk] = set()  # those that are open, or about to; for the loop
        self.warned = False
        self._lock = threading.Lock()  # started once, stopped once

    # -- life ------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """Follow the bus."""
        self.bus.subscribe("start", self.start)
        self.bus.subscribe("stop", self.stop)

    def unsubscribe(self) -> None:
        """Follow the bus no more."""
        self.bus.unsubscribe("start", self.start)
        self.bus.unsubscribe("stop", self.stop)

    def start(self) -> None:
        """Start the event loop and the application. Raises LifespanFailed.

        Nothing happens when they run already. Raises RuntimeError in a coroutine: it would wait for
        itself.
        """
        if shared.is_here():
            raise RuntimeError("An ASGI application cannot be started by a coroutine.")
        with self._lock:
            if self.loop is not None:
                return
            loop = shared.acquire()
            try:
                if self.mode != "off":
                    self.lifespan = Lifespan(self.app, self.where, self.mode == "on")
                    self._await(loop, self.lifespan.startup(self.start_timeout))
            except BaseException:
                self.lifespan = None
                shared.release()
                raise
            self.loop = loop

    # After what it may need, before the servers (75).
    start.priority = 72  # type: ignore[attr-defined]  # the bus reads it

    def stop(self) -> None:
        """Shut the application down, and the event loop if nobody else uses it."""
        if shared.is_here():
            # A coroutine takes the bus down. The process waits for this thread (`Bus.block`), which
            # shall not be a daemon because ours is.
            threading.Thread(target=self._stop, name="asgi-stop", daemon=False).start()
        else:
            self._stop()

    # After the servers (25) have answered, before what it may need.
    stop.priority = 40  # type: ignore[attr-defined]  # the bus reads it

    def _stop(self) -> None:
        with self._lock:
            loop, self.loop = self.loop, None
            if loop is None:
                return
            try:
                self._await(loop, self._end_sockets())
                if self.lifespan is not None:
                    self._await(loop, self.lifespan.shutdown(self.stop_timeout))
            finally:
                self.lifespan = None
                shared.release()

    async def _end_sockets(self) -> None:
        """Close the WebSockets that the servers have not, and cancel who does not end with them."""
        tasks = set()
        for talk in list(self.sockets):
            talk.go_away()
            if talk.task is not None:
                tasks.add(talk.task)
        if tasks:
            tasks = (await asyncio.wait(tasks, timeout=GRACE))[1]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)

    @staticmethod
    def _await(loop: asyncio.AbstractEventLoop, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the loop; started now when no engine has done so, as behind other servers."""
        loop = self.loop
        if loop is None:
            import atexit

            self.start()
            loop = self.loop
            atexit.register(self.stop)
            if loop is None:
                raise RuntimeError(f"The ASGI application at {self.where!r} is being stopped.")
        return loop

    # -- requests --------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a WSGI request."""
        status, fields, body = self._respond(environ, Peer)
        if type(body) is Upgrade:
            start_response(status, [])
            return body
        start_response(
            status,
            [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in fields
                if name.lower() not in HOP_BY_HOP
            ],
        )
        return body

    def answer(self, exchange: Exchange, script_name: str, rest: str) -> tuple[str, Any, Any]:
        """Serve a request of our own server, as a gateway does.

        script_name, rest
            The mount point, and the path below it.
        """
        environ = exchange.environ()
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = script_name, rest
        # Where the client is connected to, whatever the server calls itself; a path has no port.
        environ["SERVER_NAME"], environ["SERVER_PORT"] = host, port = exchange.local
        if not port and host.startswith("/"):
            environ["SERVER_PORT"] = None

        def peer(environ: dict[str, Any]) -> Peer:
            return ConnectedPeer(environ, exchange)

        status, fields, body = self._respond(environ, peer)
        if type(body) is Chunks and not body.first:
            # So an application asks to have the head sent now, and the body some time.
            exchange.start(status, fields).push(b"")
        return status, fields, body

    def _respond(
        self, environ: dict[str, Any], peer_of: Callable[[dict[str, Any]], Peer]
    ) -> tuple[str, list[tuple[bytes, bytes]], Any]:
        loop = self._running()
        lifespan = self.lifespan
        state = lifespan.state if lifespan is not None and lifespan.taken else None
        peer = peer_of(environ)
        if is_websocket(environ):
            return self._socket(environ, peer, loop, state)
        scope = http_scope(environ, state)
        talk = Talk(peer, loop, self.where)
        talk.tell(talk.begin, self.app, scope)
        return talk.response()

    def _socket(
        self, environ: dict[str, Any], peer: Peer, loop: asyncio.AbstractEventLoop, state: Any
    ) -> tuple[str, list[tuple[bytes, bytes]], Any]:
        """Serve a WebSocket, or what was meant to be one."""
        if environ.get("wsgi.file_wrapper") is not FileWrapper:
            return self._refuse()
        minor = 0 if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else 1
        try:
            acceptance = judge("GET", minor, environ, self.websockets.rules())
        except Refusal as refusal:
            fields = [(name.encode(), value.encode()) for name, value in refusal.headers]
            status = f"{refusal.status} {response_codes[refusal.status][0]}"
            return status, [*PLAIN_TEXT, *fields], [refusal.text.encode()]
        scope = websocket_scope(environ, state)
        talk = SocketTalk(peer, loop, self.where, self.websockets, acceptance, self.sockets)
        talk.tell(talk.begin, self.app, scope)
        return talk.response()

    def _refuse(self) -> tuple[str, list[tuple[bytes, bytes]], Any]:
        """Answer as the tool `websocket` does where nothing can switch."""
        if not self.warned:
            self.warned = True
            site.log(
                f"A WebSocket for the ASGI application at {self.where!r} was refused (501): "
                + ELSEWHERE,
                "ASGI",
                logging.WARNING,
            )
        return "501 Not Implemented", PLAIN_TEXT, [ELSEWHERE.encode()]
