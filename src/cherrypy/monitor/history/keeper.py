"""The keeper: joins the history and the monitor, and marks what happens to the program."""

from __future__ import annotations

import os
import time
from typing import Any

from ..snapshots import Snapshot
from ..table.itself import MONITOR_CPU_TIME, MONITOR_STORE_BYTES
from .history import History
from .levels import resolutions

_STORE = ("store",)


class Keeper:
    """Adds each second what the site has done to `monitor.history`."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.history = _history(monitor)
        monitor.history = self.history
        # What has been counted before is not of this second.
        monitor.site.take(monitor.taker.take())
        self.history.add(monitor.site.merged(seen=True))
        self._mark_start()
        monitor.beats.append(self.beat)
        monitor.settings.changed.append(self.changed)

    def _mark_start(self) -> None:
        store, version = self.history.store, self.monitor.settings["app_version"]
        killed = store is not None and "running" in store.meta
        self.history.mark("restart", "started after it was killed" if killed else "started")
        if store is not None:
            store.put("running", str(os.getpid()))
            MONITOR_STORE_BYTES.sample(lambda: {(): float(store.bytes())})
        if version is not None:
            self._deployed(str(version))

    def _deployed(self, version: str) -> None:
        """Mark a version that has not run before this one."""
        store = self.history.store
        known = None if store is None else store.meta.get("version")
        if known != version:
            was = f" after {known}" if known else ""
            self.history.mark("deploy", f"version {version}{was}")
            if store is not None:
                store.put("version", version)

    def beat(self, snapshot: Snapshot) -> None:
        """Take a second."""
        began = time.thread_time()
        self.history.add(snapshot)
        MONITOR_CPU_TIME.add(time.thread_time() - began, _STORE)

    def changed(self, name: str) -> None:
        """Mark that a setting has another value: which one is nobody's business, it may be secret."""
        version = self.monitor.settings["app_version"]
        if name == "app_version" and version is not None:
            self._deployed(str(version))
        else:
            self.history.mark("config", f"monitor.{name} was changed")

    def end(self) -> None:
        """End; what is in memory can still be asked for."""
        self.monitor.beats.remove(self.beat)
        self.monitor.settings.changed.remove(self.changed)
        MONITOR_STORE_BYTES.source = None
        self.history.close()


def _history(monitor: Any) -> History:
    """The history that the settings ask for; in memory alone where its file cannot be had."""
    settings = monitor.settings
    retention, path = settings["store.retention"], settings["store.path"]
    try:
        resolutions(retention)
    except ValueError as error:
        monitor.bus.log(f"{error} The default is used.", 40)
        retention = None
    if path is None:
        history = History(retention, None, monitor.broken)
        known = getattr(monitor, "history", None)
        if known is not None and known.resolutions == history.resolutions and known.store is None:
            known.rest()  # the engine was stopped and is started again
            return known  # type: ignore[no-any-return]  # monitors are not typed here
        return history
    from .store import Foreign, Store

    try:
        store = Store(path, settings["store.max_bytes"], monitor.bus.log)
        return History(retention, store, monitor.broken)
    except Foreign as error:
        monitor.bus.log(f"The monitor's history stays in memory: {error}.", 40)
        return History(retention, None, monitor.broken)
