"""Announcing the threads that serve requests, each once, by a small number."""

from __future__ import annotations

from _thread import get_ident
from threading import Lock
from typing import TYPE_CHECKING

from cherrypy.process.plugins.base import SimplePlugin

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("ThreadManager",)


class ThreadManager(SimplePlugin):
    """Publishes ``start_thread`` and ``stop_thread`` with the thread's index, from 1 on.

    Whoever serves requests publishes ``acquire_thread`` at the beginning of each and
    ``release_thread`` when a thread ends. Only the first ``acquire_thread`` of a thread
    announces it. An index is given to one thread at a time and the smallest free one is next.
    """

    threads: dict[int, int]  # thread ident -> index

    def __init__(self, bus: Bus) -> None:
        self.threads = {}
        self.alone = {self.acquire_thread}  # the listeners of acquire_thread, as a rule
        self._numbering = Lock()  # Held while indices are given out or taken back.
        super().__init__(bus)
        for channel in ("acquire_thread", "start_thread", "release_thread", "stop_thread"):
            bus.listeners.setdefault(channel, set())

    def acquire_thread(self) -> None:
        """Announce this thread unless that has been done. Called for every request."""
        if get_ident() in self.threads:
            return
        with self._numbering:
            taken = set(self.threads.values())
            index = 1
            while index in taken:
                index += 1
            self.threads[get_ident()] = index
        self.bus.publish("start_thread", index)

    def release_thread(self) -> None:
        """Take leave of this thread, if it was announced."""
        index = self.threads.pop(get_ident(), None)
        if index is not None:
            self.bus.publish("stop_thread", index)

    def stop(self) -> None:
        """Take leave of all threads; those that go on serving are announced again."""
        with self._numbering:
            indices = sorted(self.threads.values())
            self.threads.clear()
        failure: Exception | None = None
        for index in indices:
            try:
                self.bus.publish("stop_thread", index)
            except Exception as exc:  # The other threads' resources are to be freed as well.
                failure = failure or exc
        if failure is not None:
            raise failure

    graceful = stop


ThreadManager.threads = None  # type: ignore[assignment] # Historical: readable on the class.
