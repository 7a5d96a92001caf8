"""Rooms: who gets what is said to all. A message is built once, and no member is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kirsch.server.broadcasts import Broadcaster

if TYPE_CHECKING:
    from .sockets import Socket

__all__ = ("Room", "payload_of")


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


class Room:
    """A set of sockets. Those that close leave by themselves. Every method is safe in any thread."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._lock = threading.Lock()  # guards the set
        self._members: set[Socket] = set()
        self._broadcaster = Broadcaster()

    def join(self, ws: Socket) -> None:
        """Let `ws` get what is sent to this room. One that is closed stays out."""
        with self._lock:
            self._members.add(ws)
        if not ws._enter(self):
            self.leave(ws)

    def leave(self, ws: Socket) -> None:
        """Send nothing more to `ws`."""
        with self._lock:
            self._members.discard(ws)

    def send(self, message: Any, binary: bool | None = None, but: Any = None) -> int:
        """Send a message to all members and return to how many it went.

        It is in the hands of the system, or of the server, when this returns; a member that does not
        read keeps nobody waiting and is dropped when too much waits for it. Right after another
        message to the same room it may be a millisecond until it leaves, together with that one.

        message
            Text, bytes, or a message object.
        but
            A member that does not get it, such as who said it.
        """
        data = payload_of(message, binary)
        with self._lock:
            members = list(self._members)
        wires = [wire for ws in members if ws is not but and (wire := ws._wire) is not None]
        return self._broadcaster.send(wires, data)

    def send_json(self, value: Any, but: Any = None) -> int:
        """Send a value as JSON; like `send`."""
        import json

        return self.send(json.dumps(value), but=but)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close all members."""
        for ws in self:
            ws.close(code, reason)

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, ws: object) -> bool:
        return ws in self._members
