"""The keeper: joins the history and the monitor, and marks what happens to the program."""

from __future__ import annotations

import time
from typing import Any

from ..snapshots import Snapshot
from ..table.itself import MONITOR_CPU_TIME
from .history import History

_STORE = ("store",)


class Keeper:
    """Adds each second what the site has done to `monitor.history`."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.history = History(monitor.settings["store.retention"], None, monitor.broken)
        monitor.history = self.history
        # What has been counted before is not of this second.
        monitor.site.take(monitor.taker.take())
        self.history.add(monitor.site.merged())
        self.history.mark("restart", "started")
        monitor.beats.append(self.beat)
        monitor.settings.changed.append(self.changed)

    def beat(self, snapshot: Snapshot) -> None:
        """Take a second."""
        began = time.thread_time()
        self.history.add(snapshot)
        MONITOR_CPU_TIME.add(time.thread_time() - began, _STORE)

    def changed(self, name: str) -> None:
        """Mark that a setting has another value: which one is nobody's business, it may be secret."""
        self.history.mark("config", f"monitor.{name} was changed")

    def end(self) -> None:
        """End; what is known can still be asked for."""
        self.monitor.beats.remove(self.beat)
        self.monitor.settings.changed.remove(self.changed)
        self.history.close()
