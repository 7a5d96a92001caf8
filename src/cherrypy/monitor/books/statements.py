"""Statements of databases without their values: how often each ran, and for how long."""

from __future__ import annotations

import threading
import time
from typing import Any

#: Statements that are told apart; that which has taken least makes room.
MOST = 100

#: Characters of one.
LONGEST = 500


class Statements:
    """The book of statements."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()  # guards: sums that belong together, and how much is kept
        self._known: dict[tuple[str, str], list[float]] = {}

    def add(self, system: str, statement: str, took: float, failed: bool = False) -> None:
        """Count a call.

        system
            As OpenTelemetry calls it: 'postgresql'.
        statement
            Without literals and parameters.
        took
            Seconds.
        """
        key = (system, statement[:LONGEST])
        with self._lock:
            sums = self._known.get(key)
            if sums is None:
                if len(self._known) >= self.most:
                    del self._known[min(self._known, key=lambda one: self._known[one][1])]
                sums = self._known[key] = [0, 0.0, 0.0, 0, 0.0]
            sums[0] += 1
            sums[1] += took
            sums[2] = max(sums[2], took)
            sums[3] += failed
            sums[4] = time.time()

    def all(self) -> list[dict[str, Any]]:
        """All of them, that which has taken most first."""
        with self._lock:
            known = [(key, list(sums)) for key, sums in self._known.items()]
        known.sort(key=lambda one: -one[1][1])
        return [
            {
                "system": system,
                "statement": statement,
                "count": int(count),
                "total": round(total, 6),
                "longest": round(longest, 6),
                "errors": int(errors),
                "last": last,
            }
            for (system, statement), (count, total, longest, errors, last) in known
        ]
