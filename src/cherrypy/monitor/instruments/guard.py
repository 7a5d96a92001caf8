"""Guards: who hears of an instrument's failures, and ends an instrument that goes on failing.

Law: a failure of an instrument is never its caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

#: Failures after which an instrument is taken off.
MOST_FAILURES = 3


class Guard:
    """The guard of one instrument.

    name
        The instrument's.
    tell
        Told of each failure, with the name: `Monitor.broken`.
    end
        Takes the instrument off.
    """

    def __init__(self, name: str, tell: Callable[[str, Exception], object] | None = None) -> None:
        self.name = name
        self.tell = tell
        self.end: Callable[[], object] = lambda: None
        self.failures = 0
        self.off = False
        self._lock = threading.Lock()  # guards: it is taken off once

    def failed(self, error: Exception) -> None:
        """Count a failure; the third is the last."""
        with self._lock:
            if self.off:
                return
            self.failures += 1
            last = self.failures >= MOST_FAILURES
            self.off = last
        self.say(error)
        if last:
            self.say(RuntimeError(f"switched off after {MOST_FAILURES} failures"))
            try:
                self.end()
            except Exception as more:
                self.say(more)

    def say(self, error: Exception) -> None:
        """Tell of an error; nobody to tell is no error."""
        if self.tell is None:
            return
        try:
            self.tell(f"instrument of {self.name}", error)
        except Exception:  # a log that fails is not the caller's business either
            return


#: The guards of all instruments, by name.
GUARDS: dict[str, Guard] = {}


def guard_of(name: str) -> Guard:
    """The guard of an instrument: the present one, or one that tells nobody."""
    return GUARDS.get(name) or GUARDS.setdefault(name, Guard(name))


def failed(name: str, error: Any) -> None:
    """Tell an instrument's guard of a failure."""
    guard_of(name).failed(error)
