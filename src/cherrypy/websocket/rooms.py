"""Rooms: who gets what is said to all. A message is built once, and no member is waited for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kirsch.server.broadcasts import Broadcaster

if TYPE_CHECKING:
    from .sockets import Socket

__all__ = ("Room", "deliver_shared", "everybody", "payload_of")

#: The longest name (characters) of a room that other processes know: it goes with each message.
NAME_LIMIT = 200

#: What takes a message for a shared room (its name, '' for everybody) to the other processes,
#: without waiting. A relay that was started puts itself here.
carry: Callable[[str, str | bytes], None] | None = None


def payload_of(message: Any, binary: bool | None = None) -> str | bytes:
    """Return what is sent for a message: `str` as text, `bytes` as bytes, or as `binary` says."""
    whole = getattr(message, "payload", None)
    if whole is not None:
        message = whole()
    if not isinstance(message, (str, bytes)):
        message = bytes(message)
    data: str | bytes = message
    if binary is None:
        return data
    if binary:
        return data.encode() if isinstance(data, str) else data
    return data if isinstance(data, str) else data.decode()


class Members:
    """A set of sockets, and the one loop that sends to them."""

    __slots__ = ("__weakref__", "broadcaster", "lock", "sockets")

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the set
        self.sockets: set[Socket] = set()
        self.broadcaster = Broadcaster()

    def deliver(self, data: str | bytes, but: Any = None) -> int:
        """Send to all but `but`; to how many it went. Nobody is waited for."""
        with self.lock:
            members = list(self.sockets)
        wires = [wire for ws in members if ws is not but and (wire := ws._wire) is not None]
        return self.broadcaster.send(wires, data)


# The members of shared rooms by name: whoever makes a room of the same name gets the same ones.
_shared: weakref.WeakValueDictionary[str, Members] = weakref.WeakValueDictionary()
_sharing = threading.Lock()  # guards that a name has one set of members


def _members_of(name: str) -> Members:
    with _sharing:
        members = _shared.get(name)
        if members is None:
            members = _shared[name] = Members()
        return members


def deliver_shared(name: str, data: str | bytes) -> int:
    """Send what another process said in a shared room to its members here, if there are any."""
    with _sharing:
        members = _shared.get(name)
    return 0 if members is None else members.deliver(data)


class Room:
    """A set of sockets. Those that close leave by themselves. Every method is safe in any thread.

    name
        What it is called.
    shared
        It is the same room wherever one of this name is shared: in this process, and with
        `engine.websocket.redis` in all others. Who is counted, listed and closed are the sockets of
        this process.

    Raises ValueError for a shared room without a name, or with one of more than 200 characters.
    """

    def __init__(self, name: str = "", shared: bool = False) -> None:
        if shared and not 0 < len(name) <= NAME_LIMIT:
            raise ValueError(f"a shared room needs a name of 1 to {NAME_LIMIT} characters")
        self.name = name
        self.shared = shared
        self._members = _members_of(name) if shared else Members()

    def join(self, ws: Socket) -> None:
        """Let `ws` get what is sent to this room. One that is closed stays out."""
        members = self._members
        with members.lock:
            members.sockets.add(ws)
        if not ws._enter(self):
            self.leave(ws)

    def leave(self, ws: Socket) -> None:
        """Send nothing more to `ws`."""
        # In this order: a socket that is among the members must know of the room, as it leaves at
        # its end by what it knows.
        ws._left(self)
        members = self._members
        with members.lock:
            members.sockets.discard(ws)

    def send(self, message: Any, binary: bool | None = None, but: Any = None) -> int:
        """Send a message to all members and return to how many of this process it went.

        It is in the hands of the system, or of the server, when this returns; a member that does not
        read keeps nobody waiting and is dropped when too much waits for it. Right after another
        message to the same room it may be a millisecond until it leaves, together with that one.

        message
            Text, bytes, or a message object.
        but
            A member that does not get it, such as who said it.

        Raises ValueError, with nothing sent, for what is too large for the other processes.
        """
        data = payload_of(message, binary)
        take = carry  # once: a relay may stop meanwhile
        if take is not None and self.shared:
            take(self.name, data)
        return self._members.deliver(data, but)

    def send_json(self, value: Any, but: Any = None) -> int:
        """Send a value as JSON; like `send`."""
        import json

        return self.send(json.dumps(value), but=but)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close all members."""
        for ws in self:
            ws.close(code, reason)

    def __iter__(self) -> Iterator[Any]:
        members = self._members
        with members.lock:
            return iter(list(members.sockets))

    def __len__(self) -> int:
        return len(self._members.sockets)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, ws: object) -> bool:
        return ws in self._members.sockets


def everybody() -> Room:
    """Return the room of all sockets, of all processes: what is broadcast on the bus goes there."""
    room = Room()
    room.shared, room._members = True, _members_of(room.name)
    return room
