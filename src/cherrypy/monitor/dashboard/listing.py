"""Listing: the loggers of all processes of the site, as they were some seconds ago."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from .. import loggers
from ..processes.asking import each

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds for which what was answered is good, and that an answer may take: a page waits for it.
LASTS, PATIENCE = 5.0, 0.5

#: Loggers that are shown.
MOST = 500


class Loggers:
    """The loggers of a site."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._lock = threading.Lock()  # guards: the processes are asked by one thread at a time
        self._found: dict[str, Counter[str]] = {}
        self._silent: list[str] = []
        self._due = 0.0

    def look(self) -> tuple[dict[str, str], list[str]]:
        """Return the level of each logger by its name, and sentences about who has not answered.

        Where processes differ, both are told: 'INFO (2), DEBUG (1)'.
        """
        with self._lock:
            if time.monotonic() >= self._due:
                self._ask()
                self._due = time.monotonic() + LASTS
            silent = list(self._silent)
            found = {name: Counter(levels) for name, levels in self._found.items()}
        for name, level in loggers.all_of_them():
            found.setdefault(name, Counter())[level] += 1
        return {name: _words(found[name]) for name in sorted(found)[:MOST]}, silent

    def _ask(self) -> None:
        told, silent = each(self.monitor, {"ask": "loggers"}, PATIENCE)
        self._found, self._silent = {}, list(silent.values())
        for worker, answer in told.items():
            try:
                for name, level in answer["loggers"][: loggers.MOST]:
                    known = self._found.setdefault(str(name)[: loggers.LONGEST_NAME], Counter())
                    known[str(level)[:40]] += 1
            except (KeyError, TypeError, ValueError):
                self._silent.append(f"The process {worker} has answered nonsense.")


def _words(levels: Counter[str]) -> str:
    if len(levels) == 1:
        return next(iter(levels))
    return ", ".join(f"{level} ({many})" for level, many in levels.most_common())
