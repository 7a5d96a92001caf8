"""One WebSocket of a hosted application: its handshake, which a worker waits for, and its life after it.

Once it is open no thread belongs to it. The coroutine takes messages out of the server's inbox and puts
its own into the server's queue, and waits where either makes it (`kirsch.server.detached`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from kirsch.server.detached import Detached
from kirsch.server.endpoints import ConnectionClosed
from kirsch.server.gateway import Upgrade
from kirsch.server.upgrades import upgrade
from kirsch.server.websockets import INTERNAL_ERROR
from kirsch.wire.websocket.events import ABNORMAL, GOING_AWAY, NORMAL
from kirsch.wire.websocket.handshake import Acceptance

from ...framework.site import site
from .talk import PLAIN_TEXT, ClientGone, Talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from .peer import Peer
    from .settings import SocketSettings

__all__ = ("SocketTalk",)

#: What has happened last: nothing, the application has accepted, refused by a response, ended.
CONNECTING, ACCEPTED, REFUSING, ENDED = range(4)

#: Messages taken, or sent, without a pause; then others in the loop have their turn.
TURN = 32

FORBIDDEN = b"The application refused the WebSocket."
TOO_LATE = b"The application did not answer the handshake in time."


class Knock:
    """Sets an event in the loop, from any thread."""

    __slots__ = ("event", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        self.loop = loop
        self.event = event

    def release(self) -> None:
        """Set it."""
        try:
            self.loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:
            pass  # the loop has ended, with all who might wait


class Attachment:
    """Brings a WebSocket to its conversation, or the news that there will be none.

    An `Upgrade` may be dropped: a middleware knows no such body, or the client got another answer.
    """

    __slots__ = ("talk",)

    def __init__(self, talk: SocketTalk) -> None:
        self.talk: SocketTalk | None = talk

    def __call__(self, wire: Any) -> None:
        talk, self.talk = self.talk, None
        if talk is not None:
            talk.coming = wire

    def __del__(self) -> None:
        if self.talk is not None:
            self.talk.tell(self.talk.leave)


class SocketTalk(Talk):
    """The conversation of one WebSocket. L and W are those of `Talk`.

    settings
        Those of the application's mount point.
    acceptance
        What the server's side has to say to the handshake.
    others
        The set of all of them that run, for the loop only.
    """

    kinds = ("websocket.http.response.start", "websocket.http.response.body")

    def __init__(
        self,
        peer: Peer,
        loop: asyncio.AbstractEventLoop,
        where: str,
        settings: SocketSettings,
        acceptance: Acceptance,
        others: set[SocketTalk],
    ) -> None:
        self.settings = settings
        self.acceptance = acceptance
        self.others = others
        self.coming: Detached | None = None  # for the worker, until the 101 has gone
        self.wire: Detached | None = None  # guarded by the lock until it is there
        self.code = NORMAL  # to close with when the coroutine ends
        # For the loop only.
        self.state = CONNECTING
        self.connected = False  # `receive` has said so
        self.parting: dict[str, Any] | None = None  # the last message of `receive`
        self.turns = 0
        self.offered: tuple[str, ...] = ()
        self.turn = asyncio.Lock()  # one message after the other waits for the peer
        self.timer: asyncio.TimerHandle | None = None
        super().__init__(peer, loop, where)
        self.heard, self.roomy = Knock(loop, self.news), Knock(loop, self.room)
        self.room.set()  # cleared while the peer has too much to read

    def take(self, data: bytes, more: bool) -> None:
        """Drop the body of the handshake: it has none."""

    # -- the coroutine's side --------------------------------------------------------------

    def begin(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        """Call the application (L)."""
        self.others.add(self)
        self.offered = tuple(scope["subprotocols"])
        self.timer = self.loop.call_later(self.settings.accept_timeout, self.late)
        super().begin(app, scope)

    async def run(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        """Run the application to its end; so ends the WebSocket (L)."""
        self.code = GOING_AWAY  # what cancels us
        try:
            await app(scope, self.receive, self.send)
            self.code = NORMAL
            if self.wire is None and not (self.complete or self.gone or self.broken):
                text = f"The ASGI application at {self.where!r} ended within a handshake."
                site.log(text, "ASGI", logging.ERROR)
        except (ClientGone, asyncio.CancelledError):
            pass
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal = error
        except Exception as error:
            self.code = INTERNAL_ERROR if self.blame(error) else NORMAL
        finally:
            self.end()

    def end(self) -> None:
        """Close what is open, and tell the worker if it waits (L)."""
        self.state = ENDED
        self.others.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        self.say(None)  # from here on `ws_opened` knows
        wire = self.wire
        if wire is not None:
            self._part(wire)

    def _part(self, wire: Detached) -> None:
        if self.fatal is not None:
            wire.abort()
            wire.conn.group.server.interrupt = self.fatal
        elif self.code == INTERNAL_ERROR:
            wire.fail()
        else:
            wire.close(self.code)  # which says nothing when it is closed already

    def is_disconnect(self, error: BaseException | None) -> bool:
        """Return whether an error only says that the WebSocket is closed (L).

        Starlette's WebSocketDisconnect, which most let pass, has the code that it was told.
        """
        if self.parting is not None and getattr(error, "code", None) == self.parting["code"]:
            return True
        group = getattr(error, "exceptions", None)  # of tasks that were awaited together
        if isinstance(group, tuple) and group:
            return all(self.is_disconnect(one) for one in group)
        return super().is_disconnect(error)

    def late(self) -> None:
        """Answer in the place of an application that does not, or give the answer up (L)."""
        if self.state == CONNECTING and self.task is not None:
            text = (
                f"The ASGI application at {self.where!r} did not answer a WebSocket handshake "
                f"within {self.settings.accept_timeout:g} s."
            )
            site.log(text, "ASGI", logging.ERROR)
            self.refuse("503 Service Unavailable", TOO_LATE)
            self.task.cancel()
        elif self.wire is None:
            self.leave()  # the 101 was lost, and something still holds what should have told us

    def go_away(self) -> None:
        """Let the application know that all is over (L)."""
        wire = self.wire
        if wire is not None:
            wire.close(GOING_AWAY, "the application stops")
        else:
            self.leave()

    def refuse(self, status: str, text: bytes) -> None:
        """Answer the handshake by a response of our own (L)."""
        self.state, self.complete = ENDED, True
        self.say((status, PLAIN_TEXT), None)
        self.say(text, False, len(text))
        self.news.set()

    async def receive(self) -> dict[str, Any]:
        """Return the next message to the application (L)."""
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        if self.turns >= TURN:
            self.turns = 0
            await asyncio.sleep(0)  # a peer that sends without end has not the loop for itself
        while True:
            self.news.clear()
            wire = self.wire
            if wire is None:
                if self.gone or self.complete:
                    return self.part(ABNORMAL, "")
            else:
                try:
                    message = wire.take(self.heard)
                except ConnectionClosed as closed:
                    return self.part(closed.code, closed.reason)
                if message is not None:
                    self.turns += 1
                    key = "text" if isinstance(message, str) else "bytes"
                    return {"type": "websocket.receive", key: message}
            self.turns = 0
            await self.news.wait()

    def part(self, code: int, reason: str) -> dict[str, Any]:
        """Return the last message to the application (L)."""
        self.parting = {"type": "websocket.disconnect", "code": code, "reason": reason}
        return dict(self.parting)

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application (L); waits while the peer has too much to read.

        Raises RuntimeError for a message that may not come now, TypeError and ValueError for one
        that is malformed, ClientGone when nobody reads it.
        """
        kind, state = message["type"], self.state
        if state == CONNECTING and (self.gone or self.broken):
            raise ClientGone("the client has gone")
        if state == REFUSING or (state == CONNECTING and kind == self.kinds[0]):
            await super().send(message)  # its head, or the rest of it
            self.state = REFUSING
        elif state == CONNECTING and kind == "websocket.accept":
            await self._accept(message)
        elif state == CONNECTING and kind == "websocket.close":
            self.refuse("403 Forbidden", FORBIDDEN)
        elif state == ACCEPTED and kind == "websocket.send":
            await self._send(message)
        elif state == ACCEPTED and kind == "websocket.close":
            self._close(message)
        else:
            now = ("before it is accepted", "when it is accepted", "", "after its end")[state]
            raise RuntimeError(f"Unexpected ASGI message {kind!r} on a WebSocket {now}.")

    async def _accept(self, message: dict[str, Any]) -> None:
        acceptance, chosen = self.acceptance, message.get("subprotocol")
        if chosen is not None:
            # RFC 6455 4.1: a client that has not offered it would have to fail the connection.
            if chosen not in self.offered:
                raise ValueError(f"The client has not offered the subprotocol {chosen!r}.")
            fields = [*acceptance.headers, ("Sec-WebSocket-Protocol", chosen)]
            acceptance = Acceptance(fields, chosen, acceptance.agreement)
        more = [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in message.get("headers") or ()
        ]
        handler: Any = self  # of which `ws_opened` is called, and nothing else
        options, attachment = self.settings.options(), Attachment(self)
        answer = upgrade(acceptance, handler, options, attachment, more, Detached)
        self.state = ACCEPTED
        del attachment  # the answer alone holds it from here on
        self.say(answer, True)
        del answer
        while self.wire is None and not self.gone:
            self.news.clear()
            await self.news.wait()
        self._wired()
        if self.timer is not None:
            self.timer.cancel()

    def _wired(self) -> Detached:
        wire = self.wire
        if wire is None:
            # The 101 is still on its way; or there never will be one.
            raise (
                ClientGone("the client has gone")
                if self.gone
                else RuntimeError("A WebSocket is open when `send` has returned from accepting it.")
            )
        return wire

    async def _send(self, message: dict[str, Any]) -> None:
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError("An ASGI message 'websocket.send' has either text or bytes.")
        payload: Any = data if text is None else text
        kinds = (bytes, bytearray, memoryview) if text is None else str
        if not isinstance(payload, kinds):
            raise TypeError(f"A WebSocket sends str or bytes, not {type(payload).__name__}.")
        async with self.turn:
            await self.room.wait()  # whoever should have waited for it was cancelled, perhaps
            wire = self._wired()
            self.room.clear()
            try:
                free = wire.offer(payload, self.roomy)
            except BaseException as error:
                self.room.set()
                if isinstance(error, ConnectionClosed):
                    raise ClientGone(f"the WebSocket is closed: {error}") from None
                raise
            if not free:
                await self.room.wait()
                if wire.over:
                    raise ClientGone("the client has gone")
                return
            self.room.set()
        self.turns += 1
        if self.turns > TURN:
            self.turns = 0
            await asyncio.sleep(0)

    def _close(self, message: dict[str, Any]) -> None:
        wire = self._wired()
        if not wire.open:
            raise ClientGone("the WebSocket is closed")
        code = message.get("code")
        wire.close(NORMAL if code is None else code, message.get("reason") or "")
        self.state = ENDED

    # -- the worker's side -----------------------------------------------------------------

    def response(self) -> tuple[str, list[tuple[bytes, bytes]], Any]:
        """Return the answer to the handshake (W)."""
        head = self.hear()
        if head is not None and type(head[0]) is Upgrade:
            return "101 Switching Protocols", [], head[0]
        return self.respond(head)

    def ws_opened(self) -> None:
        """Let the coroutine have the WebSocket (W)."""
        wire, self.coming = self.coming, None
        if wire is None:
            return
        with self.lock:
            ended = self.over
            if not ended:
                self.wire = wire
        if ended:
            self._part(wire)
        else:
            self.tell(self.news.set)
            if self.over and self.loop.is_closed():
                wire.close(GOING_AWAY)
