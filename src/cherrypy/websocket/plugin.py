"""ws4py's plugin and manager: everybody who is connected, and what is said to all of them on the bus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cherrypy.process.plugins.base import SimplePlugin

from .messages import Message
from .relay import Relay
from .rooms import Room, everybody

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("WebSocketManager", "WebSocketPlugin")


class WebSocketManager:
    """A room of everybody. It needs no thread: the server watches the sockets."""

    def __init__(self, poller: Any = None, room: Room | None = None) -> None:
        self._room = Room("all") if room is None else room

    def add(self, websocket: Any) -> None:
        """Let `websocket` get what is broadcast."""
        self._room.join(websocket)

    def remove(self, websocket: Any) -> None:
        """Send nothing more to `websocket`."""
        self._room.leave(websocket)

    def broadcast(self, message: Any, binary: bool = False) -> None:
        """Send to all; returns at once, whoever reads or not."""
        self._room.send(message, None if isinstance(message, Message) else binary)

    def close_all(self, code: int = 1001, message: str = "Server is shutting down") -> None:
        """Begin to close all."""
        self._room.close(code, message)

    def start(self) -> None:
        """Do nothing: there is no thread."""

    run = start

    def stop(self) -> None:
        """Do nothing: the server closes its sockets."""

    def join(self, timeout: float | None = None) -> None:
        """Do nothing: there is no thread to wait for."""

    def __len__(self) -> int:
        return len(self._room)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._room)

    def __contains__(self, websocket: object) -> bool:
        return websocket in self._room


class WebSocketPlugin(SimplePlugin):
    """Listens on 'handle-websocket' (a new one) and 'websocket-broadcast' (message, binary=False).

    With `engine.websocket.redis` what is broadcast reaches the sockets of all processes.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.manager = WebSocketManager(room=everybody())

    def __setattr__(self, name: str, value: Any) -> None:
        """Pass `engine.websocket.redis` on where programs have called this plugin `engine.websocket`."""
        if name != "redis" and not name.startswith("redis_"):
            super().__setattr__(name, value)
            return
        relay = self.__dict__.get("relay")
        if relay is None:
            relay = self.__dict__["relay"] = Relay(self.bus)
            relay.subscribe()
        setattr(relay, name, value)

    def subscribe(self) -> None:
        """Listen."""
        super().subscribe()
        self.bus.subscribe("handle-websocket", self.handle)
        self.bus.subscribe("websocket-broadcast", self.broadcast)

    def unsubscribe(self) -> None:
        """Stop listening."""
        super().unsubscribe()
        self.bus.unsubscribe("handle-websocket", self.handle)
        self.bus.unsubscribe("websocket-broadcast", self.broadcast)

    def handle(self, ws_handler: Any, peer_addr: Any) -> None:
        """Take in a new one."""
        self.manager.add(ws_handler)

    def broadcast(self, message: Any, binary: bool = False) -> None:
        """Send to all."""
        self.manager.broadcast(message, binary)

    def stop(self) -> None:
        """Say goodbye to all (the server waits for their answers)."""
        self.manager.close_all()
