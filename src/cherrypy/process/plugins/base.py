"""What every plugin is: an object whose methods are named like the channels they listen on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("SimplePlugin",)


class SimplePlugin:
    """Subscribes its own methods to the channels of the same names.

    A method's ``priority`` attribute is the listener's priority.
    """

    bus: Bus

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    def subscribe(self) -> None:
        """Listen on every channel of the bus that this object has a method for."""
        for channel in list(self.bus.listeners):
            method = getattr(self, channel, None)
            if callable(method):
                self.bus.subscribe(channel, method)

    def unsubscribe(self) -> None:
        """Stop listening."""
        for channel in list(self.bus.listeners):
            method = getattr(self, channel, None)
            if callable(method):
                self.bus.unsubscribe(channel, method)


SimplePlugin.bus = None  # type: ignore[assignment] # Historical: readable on the class.
