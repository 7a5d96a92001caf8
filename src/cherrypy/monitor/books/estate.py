"""The estate: what the books of processes held that have ended. Law: any number of them may end.

The errors of all are one list, as are their slow requests; each says whose it was.
"""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]

#: Kinds of errors that are kept, and slow requests: half of them the slowest, half the latest.
MOST_ERRORS, MOST_SLOW = 200, 60

#: Characters of each text of an entry, and of what a slow request has to tell.
_TEXTS = {"type": 200, "route": 400, "code": 10, "message": 200, "traceback": 8192}
LONGEST = 64_000


def left_by(details: dict[str, Any]) -> dict[str, list[Entry]]:
    """Return what is worth keeping of a process's books; what makes no sense is left out."""
    found: dict[str, list[Entry]] = {"errors": [], "slow": []}
    for name, kept, most in (("errors", _error, MOST_ERRORS), ("slow", _slow, 2 * MOST_SLOW)):
        entries = details.get(name)
        for entry in (entries if isinstance(entries, list) else [])[:most]:
            try:
                found[name].append(kept(entry))
            except (TypeError, ValueError, AttributeError, KeyError, OverflowError):
                continue
    return found


def _error(entry: Entry) -> Entry:
    made: Entry = {name: str(entry.get(name, ""))[-most:] for name, most in _TEXTS.items()}
    made["worker"] = str(entry.get("worker", ""))[:100]
    made["count"] = int(entry["count"])
    made["first"], made["last"] = float(entry["first"]), float(entry["last"])
    return made


def _slow(entry: Entry) -> Entry:
    if len(repr(entry)) > LONGEST:
        raise ValueError("a request that tells too much")
    return {**entry, "at": float(entry["at"]), "duration": float(entry["duration"])}


class Estate:
    """What has been left by those that ended long ago."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, str, str], Entry] = {}
        self._slow: list[Entry] = []

    def add(self, worker: str, left: dict[str, list[Entry]]) -> None:
        """Add what a process has left: `left_by` its details."""
        for entry in left.get("errors", ()):
            self._add_error({**entry, "worker": worker})
        self._slow += [{**entry, "worker": worker} for entry in left.get("slow", ())]
        if len(self._slow) > MOST_SLOW:
            half = MOST_SLOW // 2
            slowest = sorted(self._slow, key=lambda one: -one["duration"])
            self._slow = slowest[:half]
            self._slow += sorted(slowest[half:], key=lambda one: -one["at"])[:half]

    def take(self, left: dict[str, list[Entry]]) -> None:
        """Take over another estate: what its `book` gave, whose entries say whose they were."""
        for name in ("errors", "slow"):
            for entry in left.get(name, ()):
                self.add(str(entry.get("worker", "")), {name: [entry]})

    def _add_error(self, entry: Entry) -> None:
        key = (entry["type"], entry["route"], entry["code"])
        known = self._errors.pop(key, None)
        if known is not None:
            newer, older = (entry, known) if entry["last"] >= known["last"] else (known, entry)
            entry = {
                **newer,
                "count": newer["count"] + older["count"],
                "first": min(newer["first"], older["first"]),
            }
        self._errors[key] = entry
        if len(self._errors) > MOST_ERRORS:
            del self._errors[min(self._errors, key=lambda one: self._errors[one]["last"])]

    def book(self, name: str) -> list[Entry]:
        """Return the entries of a book: 'errors' or 'slow'."""
        if name == "errors":
            return list(self._errors.values())
        return list(self._slow) if name == "slow" else []
