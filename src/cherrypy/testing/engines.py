"""The engine for a test: what applications have on the bus runs, its servers and its autoreloader do not."""

from __future__ import annotations

from typing import Any

from cherrypy.process.plugins import Autoreloader
from cherrypy.process.servers import ServerAdapter

__all__ = ("EngineForTests",)


class EngineForTests:
    """Starts a bus for the length of a test, unless it runs already."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.depth = 0  # of with blocks within each other
        self.started = False
        self.aside: list[Any] = []  # left out, and to be subscribed again

    def start(self) -> None:
        """Start the bus. Raises what its listeners raise; then all is as it was before."""
        self.depth += 1
        if self.depth > 1 or self.bus.state is self.bus.states.STARTED:
            return
        owners = [getattr(one, "__self__", None) for one in self.bus.listeners.get("start", ())]
        self.aside = [one for one in owners if isinstance(one, (ServerAdapter, Autoreloader))]
        for one in self.aside:
            one.unsubscribe()
        self.started = True
        try:
            self.bus.start()
        except BaseException:
            self.started, self.depth = False, 0
            self._put_back()
            raise

    def stop(self) -> None:
        """Stop the bus if it was started here, and take leave of this thread."""
        self.depth = max(self.depth - 1, 0)
        if self.depth:
            return
        started, self.started = self.started, False
        try:
            if started:
                self.bus.exit()
            else:
                self.bus.publish("release_thread")
        finally:
            self._put_back()

    def _put_back(self) -> None:
        aside, self.aside = self.aside, []
        for one in aside:
            one.subscribe()
