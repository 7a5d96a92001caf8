"""Rooms: who hears what is said to all, and what was said before. No listener is waited for.

A channel of the bus is a room as well, from the first stream of it on.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cherrypy.framework.site import site

from .events import Event, event_of

if TYPE_CHECKING:
    from .streams import Stream

__all__ = ("Room", "room_of")

#: Rooms of channels without a listener: so many are kept, and so many seconds each, for clients
#: that come back and ask for what they have missed.
IDLE_ROOMS = 100
IDLE_SECONDS = 300.0


class Room:
    """Streams that get the same events. Every method is safe in any thread.

    history
        Events that are kept for clients that come back; they get what came after the id they
        have seen last, or all that is there if that is not known. 0: none are kept, and events
        have no id unless one is given.
    history_bytes
        And how much they may be together.
    """

    def __init__(self, name: str = "", history: int = 100, history_bytes: int = 1 << 18) -> None:
        self.name = name
        self.history = history
        self.history_bytes = history_bytes
        # Guards all below, and that everybody hears everything in the same order.
        self._lock = threading.Lock()
        self._streams: dict[Stream, None] = {}
        self._past: deque[tuple[str | None, bytes]] = deque()
        self._size = 0
        # An id of before a restart must not be taken for one of ours.
        self._era = os.urandom(4).hex()
        self._count = 0

    def send(
        self,
        data: Any = None,
        event: str | None = None,
        id: str | int | None = None,
        retry: float | None = None,
    ) -> int:
        """Send an event to all and return to how many streams it went.

        Nobody is waited for: what a client does not take waits, within the limits of its stream.

        data
            An `Event`, which says all the rest by itself; or what `Event` takes.

        Raises ValueError and TypeError as `Event` does.
        """
        one = data if isinstance(data, Event) else Event(data, event, id, retry)
        with self._lock:
            own = one.id
            if own is None and self.history:
                self._count += 1
                own = f"{self._era}-{self._count}"
            piece = _with_id(one, own).encode()
            if self.history:
                self._keep(own, piece)
            return sum([stream._deliver(piece) for stream in self._streams])

    def _keep(self, id: str | None, piece: bytes) -> None:
        past = self._past
        past.append((id, piece))
        self._size += len(piece)
        while past and (len(past) > self.history or self._size > self.history_bytes):
            self._size -= len(past.popleft()[1])

    def join(self, stream: Stream, last_id: str | None = None, recent: int = 0) -> None:
        """Begin `stream` with what it has missed, and let it hear what is said from now on.

        last_id
            The id it has heard last.
        recent
            How many of the last events one gets that comes for the first time.
        """
        with self._lock:
            past = list(self._past)
            if last_id is not None:
                known = [at for at, (id, _) in enumerate(past, 1) if id == last_id]
                missed = past[known[-1] :] if known else past
            else:
                missed = past[-recent:] if recent > 0 else []
            stream._start()
            for _, piece in missed:
                stream._deliver(piece)
            if stream.open:
                self._streams[stream] = None

    def leave(self, stream: Stream) -> None:
        """Send nothing more to `stream`."""
        with self._lock:
            self._streams.pop(stream, None)

    def close(self) -> None:
        """End all streams."""
        for stream in self:
            stream.close()

    def __iter__(self) -> Iterator[Stream]:
        with self._lock:
            return iter(list(self._streams))

    def __len__(self) -> int:
        with self._lock:
            return len(self._streams)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, stream: object) -> bool:
        return stream in self._streams


def _with_id(event: Event, id: str | None) -> Event:
    if event.id == id:
        return event
    copy = Event(event.data, event.event, id)
    copy.retry = event.retry
    return copy


class _Channel(Room):
    """A room whose events are what is published on a channel of the bus."""

    def __init__(self, bus: Any, name: str, shape: Callable[..., Any] | None, history: int) -> None:
        super().__init__(name, history)
        self.bus = bus
        self.shape = shape
        self.idle_since: float | None = None
        bus.subscribe(name, self.heard)

    def heard(self, *args: Any, **kwargs: Any) -> None:
        """Something was published."""
        what = args[0] if self.shape is None and args else None
        if self.shape is not None:
            what = self.shape(*args, **kwargs)
        if what is not None:
            self.send(event_of(what))

    def leave(self, stream: Stream) -> None:
        """Send nothing more to `stream`; without any the channel is listened to for a while."""
        super().leave(stream)
        with _guard:
            if not self._streams:
                self.idle_since = time.monotonic()
                _forget_idle()


_guard = threading.Lock()  # guards the table, and that a room in it listens
_rooms: dict[tuple[str, Any], _Channel] = {}


def room_of(channel: str, shape: Callable[..., Any] | None, history: int) -> Room:
    """Return the room of a channel of the bus, which listens from now on.

    shape
        Makes an event, or its data, of what is published; None for what nobody is to hear. By
        default the first argument is the data.
    """
    key = (channel, shape)
    bus = site.engine
    with _guard:
        room = _rooms.get(key)
        if room is None or room.bus is not bus:
            room = _rooms[key] = _Channel(bus, channel, shape, history)
        room.idle_since = None
        _forget_idle()
        return room


def _forget_idle() -> None:
    """Listen no more to channels that nobody has listened to for long (with the guard held)."""
    now = time.monotonic()
    idle = [
        (room.idle_since, key)
        for key, room in _rooms.items()
        if room.idle_since is not None and not room._streams
    ]
    idle.sort(key=lambda pair: pair[0])
    for number, (since, key) in enumerate(idle):
        if len(idle) - number > IDLE_ROOMS or now - since > IDLE_SECONDS or not _rooms[key].history:
            room = _rooms.pop(key)
            room.bus.unsubscribe(room.name, room.heard)
