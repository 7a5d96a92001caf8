"""What is told to others again and again, in a thread of its own: a dead listener harms nobody else."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from .series import Told

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds that the end of the monitor waits for what is told last.
PATIENCE = 3.0


class Periodic:
    """Tells what there is every so many seconds while a setting names a listener, and once more at the end.

    Subclasses have `name`, `where` (the setting that names the listener), `interval` (that of the
    seconds), and `tell(last)`, which may raise: that is counted, and said by the monitor.
    """

    name = ""
    where = ""
    interval = ""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.ending = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()  # guards: one thread at a time
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()  # a forked child has this object, but tells nothing
        monitor.settings.changed.append(self._changed)
        self._begin()

    def _changed(self, name: str) -> None:
        if name == self.where:
            self._begin()
        if name in (self.where, self.interval):
            self._wake.set()

    def _begin(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._thread is None and self.monitor.settings[self.where]:
                self.began()
                self._thread = threading.Thread(
                    target=self._run, name=f"monitor-{self.name}", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(float(self.monitor.settings[self.interval]))
            woken = self._wake.is_set()
            self._wake.clear()
            ending = self.ending.is_set()
            with self._lock:
                if not self.monitor.settings[self.where]:
                    self._thread = None
                    return
            if ending or not woken:
                self._tell(ending)
            if ending:
                return

    def _tell(self, last: bool) -> None:
        try:
            with Told(self.name):
                self.tell(last)
        except Exception as error:
            self.monitor.broken(self.name, error)

    def began(self) -> None:
        """There is a listener from now on."""

    def tell(self, last: bool) -> None:
        """Tell what there is. `last`: it is over, and there is little time."""
        raise NotImplementedError

    def end(self) -> None:
        """Tell what there is for the last time, within `PATIENCE`."""
        changed = self.monitor.settings.changed
        if self._changed in changed:
            changed.remove(self._changed)
        self.ending.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)
