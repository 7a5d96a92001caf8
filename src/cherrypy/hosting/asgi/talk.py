"""One request of a hosted application: a coroutine in the event loop, and the worker that waits.

The loop never touches the connection and the worker never runs the application. What the coroutine
sends waits in `said` for the worker; what the worker reads is handed over by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from kirsch.http.status import response_codes

from ...framework.site import site
from .peer import Bell, Peer, bell_of_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Chunks", "ClientGone", "Talk")

#: Bytes that an application may be ahead of the worker; beyond them `send` waits.
AHEAD = 65536

PLAIN_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
UNEXPECTED = b"The server encountered an unexpected condition."


class ClientGone(ConnectionResetError):
    """What `send` raises once nobody reads any more (ASGI 2.4, "Disconnected Client")."""


class Talk:
    """The conversation of one request.

    Methods are marked by the thread that calls them: L, the loop; W, the worker.
    """

    kinds = ("http.response.start", "http.response.body")  # the two messages of a response

    def __init__(self, peer: Peer, loop: asyncio.AbstractEventLoop, where: str) -> None:
        self.peer = peer
        self.loop = loop
        self.where = where
        self.task: asyncio.Task[None] | None = None
        self.lock = threading.Lock()  # what is said, whether more comes, who waits for it
        self.said: deque[tuple[Any, Any, int]] = deque()
        self.ahead = 0
        self.wanted = False  # the coroutine waits for more of the body
        self.over = False  # nothing more will be said
        self.bell: Bell | None = None  # of the worker, while it waits
        self.broken = False  # the worker has left before the end
        self.fatal: BaseException | None = None
        # From here on for the loop only.
        self.started = self.complete = self.reading = self.body_done = self.gone = False
        self.inbox: deque[dict[str, Any]] = deque()
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        whole = peer.at_hand()
        if whole is not None:
            self.take(*whole)

    # -- the coroutine's side --------------------------------------------------------------

    def begin(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        """Call the application (L)."""
        self.task = self.loop.create_task(self.run(app, scope))

    async def run(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        """Run the application to its end, whatever end that is (L)."""
        try:
            await app(scope, self.receive, self.send)
            if not (self.complete or self.gone or self.broken):
                text = f"The ASGI application at {self.where!r} ended without a whole response."
                site.log(text, "ASGI", logging.ERROR)
        except (ClientGone, asyncio.CancelledError):
            pass
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal = error  # for the server, as when a page raises it
        except Exception as error:
            self.blame(error)
        finally:
            self.say(None)

    def blame(self, error: Exception) -> bool:
        """Log an error of the application; False when it is none (L)."""
        if self.is_disconnect(error):
            return False
        text = f"Error in the ASGI application at {self.where!r}"
        site.log(text, "ASGI", logging.ERROR, traceback=True)
        return True

    def is_disconnect(self, error: BaseException | None) -> bool:
        """Return whether an error only says that the client has left, in a framework's words (L)."""
        while error is not None:
            if isinstance(error, ClientGone):
                return True
            error = error.__cause__ or error.__context__
        return False

    async def receive(self) -> dict[str, Any]:
        """Return the next message to the application (L)."""
        while True:
            if self.inbox:
                return self.inbox.popleft()
            if self.gone or self.complete:
                return {"type": "http.disconnect"}
            if not (self.body_done or self.reading):
                self.reading = True
                self.want()
            self.news.clear()
            await self.news.wait()

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application (L); waits while it is too far ahead of the client.

        Raises RuntimeError for a message that may not come now, ClientGone when nobody reads it.
        """
        kind = message["type"]
        if self.broken:
            raise ClientGone("the client has gone")
        wanted = self.kinds[self.started]
        if kind != wanted or self.complete:
            now = "after the whole response" if self.complete else f"where {wanted!r} is due"
            raise RuntimeError(f"Unexpected ASGI message {kind!r} {now}.")
        if not self.started:
            self.say(_head(message), None)
            self.started = True
            return
        data, more = message.get("body", b""), bool(message.get("more_body"))
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"The body of an ASGI message must be bytes, not {data!r:.50}.")
        # Before it is taken: so neither tasks that all send at once, nor sends that are cancelled
        # in their wait, leave more than one message beyond the limit.
        while self.ahead > AHEAD and not (self.broken or self.complete):
            self.room.clear()
            await self.room.wait()
        if self.broken or self.complete:
            raise ClientGone("the client has gone, or the response is whole")
        self.complete = not more
        self.say(bytes(data), more, len(data) + 1)
        if self.complete:
            self.news.set()
            self.room.set()

    def want(self) -> None:
        """Ask the worker for more of the body (L)."""
        with self.lock:
            self.wanted = True
            bell, self.bell = self.bell, None
        if bell is not None:
            bell.ring()

    def say(self, what: Any, more: Any = None, size: int = 0) -> None:
        """Tell the worker something, or, with None, that this was all (L)."""
        with self.lock:
            if what is None:
                self.over = True
            else:
                self.said.append((what, more, size))
                self.ahead += size
            bell = None
            if more is not None or what is None:  # a head alone is not worth waking anybody
                bell, self.bell = self.bell, None
        if bell is not None:
            bell.ring()

    def take(self, data: bytes, more: bool) -> None:
        """Put more of the body where `receive` finds it (L, and before the beginning)."""
        self.reading = False
        self.body_done = not more
        self.inbox.append({"type": "http.request", "body": data, "more_body": more})
        self.news.set()

    def leave(self) -> None:
        """Let `receive` say that the client has gone, or that all is over (L)."""
        self.gone = True
        self.news.set()
        self.room.set()

    # -- the worker's side -----------------------------------------------------------------

    def tell(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call something (W)."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop has ended, with all who might want to know
            self.over = True

    def hear(self) -> tuple[Any, Any] | None:
        """Return what the application says next, None at its end; read its body meanwhile (W).

        Raises what reading the body raises, and what is meant for the whole process.
        """
        bell = bell_of_thread()
        while True:
            with self.lock:
                if self.said:
                    what, more, size = self.said.popleft()
                    full, self.ahead = self.ahead > AHEAD, self.ahead - size
                    roomy = full and self.ahead <= AHEAD
                    break
                if self.over:
                    if self.fatal is not None:
                        raise self.fatal
                    return None
                reading = self.wanted
                self.bell = bell
            if reading and self.peer.ready():
                self.feed()
                continue
            try:
                can_read, left = self.peer.wait(bell, reading)
            except ValueError:  # the server has closed the connection: it is to stop
                can_read, left = False, True
            if can_read and reading:
                self.feed()
            if left:
                self.tell(self.leave)
            if self.loop.is_closed():
                self.over = True  # stopped while this request was on its way to it
        if roomy:
            self.tell(self.room.set)
        return what, more

    def feed(self) -> None:
        """Read some of the body for the application, if there is any (W)."""
        try:
            found = self.peer.read()
        except BaseException:
            self.wanted = False
            self.broken = True
            self.tell(self.leave)
            raise
        if found is not None:
            self.wanted = False
            self.tell(self.take, *found)

    def response(self) -> tuple[str, list[tuple[bytes, bytes]], Any]:
        """Return status, fields and body: a list when it is all there (W)."""
        return self.respond(self.hear())

    def respond(self, head: Any) -> tuple[str, list[tuple[bytes, bytes]], list[bytes] | Chunks]:
        """Return the response that begins with what was heard first, `head` (W)."""
        first = None if head is None else self.hear()
        if head is None or first is None:
            left = self.gone
            self.finish(False)
            if left:
                # As nginx logs it: nobody is there to read an answer.
                return "499 Client Closed Request", [], [b""]
            return "500 Internal Server Error", PLAIN_TEXT, [UNEXPECTED]
        (status, fields), _ = head
        data, more = first
        if more:
            return status, fields, Chunks(self, data)
        self.finish(True)
        return status, fields, [data]

    def finish(self, whole: bool) -> None:
        """Have no more to do with this (W)."""
        self.broken = not whole
        self.tell(self.leave)


def _head(message: dict[str, Any]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return status and fields of a `http.response.start`. Raises TypeError, ValueError."""
    status = int(message["status"])
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is no status of a response.")
    reason = response_codes.get(status, ("Unknown", ""))[0]
    fields = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
    # How the body is framed is the server's business (ASGI HTTP spec, "Response Start").
    fields = [pair for pair in fields if pair[0].lower() != b"transfer-encoding"]
    return f"{status} {reason}", fields


class Chunks:
    """A body that the application has not sent to its end."""

    def __init__(self, talk: Talk, first: bytes) -> None:
        self.talk = talk
        self.first = first
        self.whole = False

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        data, self.first = self.first, b""
        while not data:
            if self.whole:
                raise StopIteration
            said = self.talk.hear()
            if said is None:
                # Only breaking off tells the client that the rest is missing (RFC 9112, 8).
                if self.talk.gone:
                    self.talk.peer.give_up()
                    raise ClientGone("the client has gone")
                raise RuntimeError("The ASGI application ended within its response.")
            data, more = said
            self.whole = not more
        return bytes(data)

    def close(self) -> None:
        """Let the application know that nobody reads any more."""
        self.talk.finish(self.whole)
