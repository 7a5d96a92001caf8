"""Streams: what a page returns that goes on telling, and the life of one.

Law: all tools have had their say, and the session is given back, before the first event; the request
ends, with its line in the access log, when the stream does.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.logs import access_logged
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .events import BEAT, Event, event_of, opening
from .queues import Queue
from .rooms import Room, room_of

__all__ = ("PulledStream", "Stream", "limits", "stream")

#: What a response says that is an event stream, whatever it said before.
_FIELDS = {
    "Content-Type": "text/event-stream;charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would wait for more before it passes anything on
}
_NOT_OURS = ("Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Accept-Ranges")


class _TooMany(HTTPError):
    def __init__(self) -> None:
        super().__init__(503, "There are too many event streams just now.")

    def set_response(self) -> None:
        """Make the response; it says when to try again."""
        super().set_response()
        serving.response.headers["Retry-After"] = str(limits.retry_after)


class Limits:
    """How many streams there may be in this process at a time; beyond it 503 and `Retry-After`."""

    def __init__(self) -> None:
        self.streams = 10_000
        self.retry_after = 5
        self._lock = threading.Lock()  # guards: no more are let in than may be
        self._open = 0

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    def enter(self) -> None:
        """Count one in. Raises HTTPError 503 when there are too many."""
        with self._lock:
            full = self._open >= self.streams
            if not full:
                self._open += 1
        if full:
            raise _TooMany()

    def leave(self) -> None:
        """Count one out."""
        with self._lock:
            self._open -= 1


limits = Limits()


class Stream:
    """One client's stream; `stream()` makes it. `send` and `close` may be called from any thread.

    `last_id` is what the client has heard before it came back.
    """

    feed: Any = None  # where events go: kirsch's, or a queue that a thread waits at
    room: Room | None = None

    def __init__(
        self,
        room: Room | None,
        request: Any,
        last_id: str | None,
        recent: int,
        options: dict[str, Any],
        retry: float | None,
    ) -> None:
        self.room = room
        self._request = weakref.ref(request)  # it has us
        self.last_id = last_id
        self._recent = recent
        self._options = options
        self._opening = opening(retry)
        self._lock = threading.Lock()  # guards: what was sent before the beginning comes first
        self._early: list[bytes] | None = []
        self._ended = False
        self._counted = False
        self._taken = False  # it was the body when the handler had returned
        self._line = False  # the line of the access log is for us to write
        hooks = request.hooks
        hooks.attach("before_finalize", self._take_out, priority=0)
        hooks.attach("before_finalize", self._put_in, priority=110)
        hooks.attach("on_end_resource", self._hold_line, priority=100)
        hooks.attach("on_end_request", self._finish_request, failsafe=True, priority=100)

    # -- for everybody -------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether events still get anywhere."""
        feed = self.feed
        return not self._ended and (feed is None or feed.open)

    @property
    def request(self) -> Any:
        """The request that is answered; None when all is over."""
        return self._request()

    @property
    def dropped(self) -> int:
        """How many events were dropped because the client does not keep up."""
        return 0 if self.feed is None else int(self.feed.dropped)

    def send(
        self,
        data: Any = None,
        event: str | None = None,
        id: str | int | None = None,
        retry: float | None = None,
    ) -> bool:
        """Send an event; like `Event`. False when the stream is over. Never waits."""
        one = data if isinstance(data, Event) else Event(data, event, id, retry)
        return self._deliver(one.encode())

    def comment(self, text: str = "") -> bool:
        """Send what clients ignore."""
        lines = text.replace("\r", "\n").split("\n")
        return self._deliver("".join([f": {line}\n" for line in lines]).encode() + b"\n")

    def close(self) -> None:
        """End the stream; what was sent before still arrives. Browsers come back, see `retry`."""
        with self._lock:
            self._ended = True
            feed = self.feed
        if feed is not None:
            feed.finish()

    # -- for rooms and the end -----------------------------------------------------------------

    def _deliver(self, piece: bytes) -> bool:
        """Send bytes, or keep them until the stream begins."""
        if self._early is not None:
            with self._lock:
                if self._early is not None:
                    if self._ended:
                        return False
                    self._early.append(piece)
                    del self._early[: -self._options["most"]]
                    return True
        return bool(self.feed.send(piece))

    def _fresh(self) -> None:
        """Make sure that this is the first time that somebody wants to send us."""
        if self.feed is not None:
            raise RuntimeError("An event stream answers one request: make one for each.")

    def _begin(self) -> None:
        """The head is on its way."""
        if self.room is None:
            self._start()
        else:
            self.room.join(self, self.last_id, self._recent)
        if self._ended:
            self.feed.finish()

    def _start(self) -> None:
        """Say what has waited for the head."""
        with self._lock:
            for piece in (self._opening, *(self._early or ())):
                self.feed.send(piece)
            self._early = None  # from here on nobody asks for the lock

    # -- hooks of the request ------------------------------------------------------------------

    def _take_out(self) -> None:
        """Before all other hooks: they shall see an empty body, not one without an end."""
        response = serving.response
        if response._body is self:
            self._taken = True
            response.body = b""

    def _put_in(self) -> None:
        """Behind them: the response is a stream, unless one of them has made it something else."""
        response = serving.response
        if not self._taken or response.status not in (None, 200, "200 OK"):
            return
        if not self._counted:
            limits.enter()
            self._counted = True
        for name in _NOT_OURS:
            response.headers.pop(name, None)
        response.headers.update(_FIELDS)
        response.body = self
        response.stream = True
        response.timeout = None  # what it has to say may take days

    def _hold_line(self) -> None:
        # The line is written when all has been sent.
        request = serving.request
        if serving.response._body is self and request.method != "HEAD":
            self._line = True
            request._logs = False

    def _finish_request(self) -> None:
        """The request is over, however it went."""
        self._release()
        if self._line:
            self._line = False
            serving.response.headers["Content-Length"] = str(
                0 if self.feed is None else self.feed.length
            )
            if access_logged(serving.request.app):
                site.log.access()

    def _release(self) -> None:
        """Nothing more is sent."""
        self._ended = True
        if self.room is not None:
            self.room.leave(self)
        with self._lock:
            counted, self._counted = self._counted, False
        if counted:
            limits.leave()

    # -- what the server asks for --------------------------------------------------------------

    def give_feed(self, served: Any) -> Any:
        """Return what our own server sends while no thread waits."""
        self._fresh()
        self.feed = served.feed(self._begin, served.close, **self._options)
        return self.feed.handover()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the stream for other servers, whose thread waits here."""
        self._fresh()
        self.feed = Queue(**self._options)
        self._begin()
        return self._drain(self.feed)

    def _drain(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        finally:
            self._release()  # not every middleware closes what it has used up


class PulledStream(Stream):
    """A stream whose events an iterable makes, in the thread that serves the request."""

    give_feed: Any = None
    length = 0

    def __init__(self, source: Iterable[Any], *args: Any) -> None:
        super().__init__(None, *args)
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        self.feed = Queue(**self._options)
        self._begin()
        return self._drain(self._pull())

    def _pull(self) -> Iterator[bytes]:
        queue = self.feed
        yield from queue.take()
        for item in self._source:
            piece = item if isinstance(item, bytes) else event_of(item).encode()
            queue.length += len(piece)
            yield piece
            if not queue.open:
                return

    def close(self) -> None:
        """End the stream, and what makes its events."""
        super().close()
        close = getattr(self._source, "close", None)
        if close is not None:
            try:
                close()
            except ValueError:
                pass  # it runs, and its next event will be the last


def _encoded(item: Any) -> bytes:
    return event_of(item).encode()


class PumpedStream(PulledStream):
    """A stream whose events an asynchronous iterator makes, on the event loop."""

    def __init__(self, source: Any, *args: Any) -> None:
        from cherrypy.framework.asyncbodies import AsyncBody

        # Behind other servers a thread waits for each.
        super().__init__(AsyncBody(source, _encoded), *args)
        self._items = source
        self._pump: Any = None

    def _give_feed(self, served: Any) -> Any:
        from cherrypy.framework.asyncbodies import Pump

        self._pump = pump = Pump(self._items, served.held, _encoded)
        options = {**self._options, "most": sys.maxsize, "most_bytes": sys.maxsize}
        self.feed = served.feed(self._begin, served.close, room=pump.room, **options)
        return self.feed.handover()

    give_feed: Any = _give_feed

    def _begin(self) -> None:
        super()._begin()
        if self._pump is not None:
            self._pump.start(self.feed)

    def close(self) -> None:
        """End the stream, and what makes its events."""
        if self._pump is None:
            super().close()
        else:
            Stream.close(self)
            self._pump.stop()


def stream(
    source: Room | Iterable[Any] | AsyncIterable[Any] | None = None,
    *,
    channel: str | None = None,
    format: Callable[..., Any] | None = None,
    history: int = 100,
    recent: int = 0,
    heartbeat: float = 15.0,
    retry: float | None = None,
    queue: int = 100,
    queue_bytes: int = 1 << 20,
    overflow: str = "drop",
    timeout: float | None = None,
) -> Stream:
    """Return a stream of events, for a page to return: `return sse.stream(channel='news')`.

    source
        A `Room`, or an iterable of events. None: whoever has the stream sends, see `Stream.send`.
        An asynchronous iterable waits for the client, on the event loop; any other holds a thread.
    channel
        A channel of the bus in place of it: what is published there is sent.
    format
        Makes an event, or its data, of what is published; None for what is not to be sent. By
        default the first argument is the data.
    history
        Events of a channel that are kept for clients that come back; the first stream says.
    recent
        How many of the last events a client gets that comes for the first time.
    heartbeat
        Seconds of silence after which a comment is sent; 0: none.
    retry
        Seconds after which the client is to come back; None leaves it to the client.
    queue, queue_bytes
        How many events, and bytes, may wait for a client that does not read.
    overflow
        What happens beyond that: 'drop' the oldest, or 'close' the stream.
    timeout
        Seconds after which the stream ends; None: never. `response.timeout` does not matter to it.

    Raises ValueError for settings that make no sense, RuntimeError outside of a request.
    """
    request = serving.request
    if request.app is None:
        raise RuntimeError("An event stream answers a request, and there is none.")
    if overflow not in ("drop", "close"):
        raise ValueError(f"overflow must be 'drop' or 'close', not {overflow!r}.")
    if queue < 1 or queue_bytes < 1:
        raise ValueError("A queue holds at least one event, of at least one byte.")
    if channel is not None:
        if source is not None:
            raise ValueError("Events come from a source or from a channel, not from both.")
        source = room_of(channel, format, history)
    options = {
        "most": queue,
        "most_bytes": queue_bytes,
        "drop": overflow == "drop",
        "beat": BEAT if heartbeat > 0 else b"",
        "interval": float(heartbeat),
        "limit": timeout,
    }
    last_id = request.headers.get("Last-Event-ID") or None
    rest = (request, last_id, recent, options, retry)
    if source is None or isinstance(source, Room):
        return Stream(source, *rest)
    if hasattr(source, "__aiter__"):
        return PumpedStream(source, *rest)
    return PulledStream(source, *rest)
