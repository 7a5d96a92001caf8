"""The part of the monitor that puts instruments on libraries, and takes them off again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import databases, external, guard, logs, pools
from . import statements as statements_
from .databases import limits
from .imports import Finder
from .seen import SEEN
from .statements import statements
from .table import INSTRUMENTS, Instrument


class Instruments:
    """The instruments that are on.

    globs
        Patterns of the libraries that are seen: the setting `libraries`.
    tell
        Told of failures: `Monitor.broken`.
    """

    def __init__(self, globs: list[str], tell: Callable[[str, Exception], object]) -> None:
        self.globs = globs
        self.tell = tell
        self.finder = Finder(self.broken)
        self.settings: Any = None
        self.users = 0  # monitors that share them
        self.lock = threading.RLock()  # guards: what is on is what was wanted last
        #: What takes off each that is on, the last put on the last.
        self.on: dict[Instrument, Callable[[], object]] = {}

    def begin(self) -> None:
        """Put on those of the libraries that are imported, and of the others when they are."""
        with self.lock:
            self.finder.begin()
            for row in INSTRUMENTS:
                if row.selected(self.globs):
                    self.finder.after(row.module, self.hook(row))

    def hook(self, row: Instrument) -> Callable[[ModuleType], None]:
        """What puts a row on its module."""

        def put_on(module: ModuleType) -> None:
            watcher = guard.GUARDS.get(row.name)
            if watcher is None:
                watcher = guard.GUARDS[row.name] = guard.Guard(row.name)
            watcher.tell = self.tell
            watcher.end = lambda: self.take_off(row.name)
            if not watcher.off:
                self.on[row] = row.function()(module)
                SEEN.update(row.libraries)

        return put_on

    def take_off(self, name: str) -> None:
        """Take off what is on of a library."""
        for row in reversed([row for row in self.on if row.name == name]):
            undo = self.on.pop(row, None)
            SEEN.difference_update(row.libraries)
            if undo is not None:
                undo()

    def broken(self, name: str, error: Exception) -> None:
        """An instrument could not be put on: that library goes unseen."""
        self.tell(f"instrument of {name}", error)

    def follow(self, settings: Any) -> None:
        """Use a monitor's settings from now on."""
        self.settings = settings
        limits.slow = float(settings["db.slow_threshold"])
        settings.changed.append(self.changed)
        with self.lock:
            self.select(self.wanted())

    def changed(self, name: str) -> None:
        """A setting has changed."""
        if name == "db.slow_threshold":
            limits.slow = float(self.settings[name])
        elif name in ("libraries", "level"):
            with self.lock:
                self.select(self.wanted())

    def wanted(self) -> list[str]:
        """Patterns of the libraries that are to be seen: of none where only servers count."""
        return list(self.settings["libraries"]) if self.settings["level"] else []

    def select(self, globs: list[str]) -> None:
        """See other libraries."""
        if globs == self.globs:
            return
        self.end()
        self.globs = globs
        self.begin()

    def end(self) -> None:
        """Take all off; objects that were made meanwhile stay what they are."""
        with self.lock:
            self.finder.end()
            SEEN.clear()
            while self.on:
                row, undo = self.on.popitem()
                try:
                    undo()
                except Exception as error:
                    self.broken(row.name, error)
            for watcher in guard.GUARDS.values():
                watcher.off = False
                watcher.failures = 0


class Part:
    """What the monitor ends."""

    def __init__(self, monitor: Any, instruments: Instruments) -> None:
        self.monitor = monitor
        self.instruments = instruments

    def end(self) -> None:
        """Take the instruments off."""
        changed = self.monitor.settings.changed
        if self.instruments.changed in changed:
            changed.remove(self.instruments.changed)
        self.monitor.taker.details.pop("statements", None)
        self.instruments.users -= 1
        if not self.instruments.users:
            _present.clear()
            self.instruments.end()


#: Those that are on, if any: two would count everything twice.
_present: list[Instruments] = []


def early(globs: list[str] | None = None) -> Instruments:
    """Put instruments on before the program is imported: `from sqlite3 import connect` is seen then.

    Until a monitor begins, nothing is recorded.
    globs
        Patterns of libraries; all by default.
    """
    if not _present:
        instruments = Instruments(globs or ["*"], lambda name, error: None)
        instruments.begin()
        _present.append(instruments)
    return _present[0]


def begin(monitor: Any) -> Part:
    """Put instruments on, or take over those that are, of `early` or of another monitor."""
    if _present:
        instruments = _present[0]
    else:
        instruments = Instruments(list(monitor.settings["libraries"]), monitor.broken)
        instruments.begin()
        _present.append(instruments)
    instruments.users += 1
    instruments.tell = monitor.broken
    for watcher in guard.GUARDS.values():
        watcher.tell = monitor.broken
    instruments.follow(monitor.settings)
    monitor.taker.details["statements"] = statements
    return Part(monitor, instruments)


def _forked() -> None:
    """A child has one thread, which holds none of these locks."""
    for module in (databases, external, logs, pools, statements_):
        vars(module)["_lock"] = threading.RLock()
    for instruments in _present:
        instruments.lock = threading.RLock()
    for watcher in guard.GUARDS.values():
        watcher._lock = threading.Lock()
    external._under_way.clear()  # the calls of threads that have stayed with the parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
