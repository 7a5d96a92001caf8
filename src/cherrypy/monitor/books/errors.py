"""Errors, by their type, the route and the status that answered: how often, since when, and where."""

from __future__ import annotations

import threading
import time
from traceback import format_tb
from typing import Any

#: Errors that are told apart; the least frequent of the oldest makes room.
MOST = 200

#: Characters of a message, which may hold what a user has typed, and of a traceback.
MESSAGE, TRACEBACK = 200, 8192

#: Exceptions of a chain of causes that are shown.
CHAIN = 5

#: Seconds between two tracebacks that are written of the same error.
REST = 1.0


def where(error: BaseException | None) -> str:
    """Return the lines that an exception came through, its causes first; no values of anything."""
    parts: list[str] = []
    seen: list[int] = []
    while error is not None and len(seen) < CHAIN and id(error) not in seen:
        seen.append(id(error))
        lines = "".join(format_tb(error.__traceback__, -30))
        parts.append(f"{lines}{type(error).__qualname__}\n")
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        error = cause
    return "\n".join(reversed(parts))[-TRACEBACK:]


def message_of(error: BaseException | None) -> str:
    """Return the first words of an exception."""
    if error is None:
        return ""
    try:
        text = str(getattr(error, "_message", None) or error)
    except Exception:  # its own, and broken
        return ""
    text = "".join(char if char.isprintable() else " " for char in text[:MESSAGE])
    return text.encode("utf-8", "replace").decode()


class Errors:
    """The book of errors."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()  # guards: what is counted, and how much is kept
        self._known: dict[tuple[str, str, str], dict[str, Any]] = {}

    def add(self, error: BaseException | None, kind: str, route: str, code: str) -> None:
        """Count an error; None is one without an exception: a page that answers 500 by itself."""
        now = time.time()
        key = (kind, route, code)
        with self._lock:
            entry = self._known.get(key)
            if entry is None:
                if len(self._known) >= self.most:
                    self._make_room()
                entry = self._known[key] = {
                    "type": kind,
                    "route": route,
                    "code": code,
                    "count": 0,
                    "first": now,
                    "last": 0.0,
                    "message": "",
                    "traceback": "",
                    "written": 0.0,
                }
            entry["count"] += 1
            entry["last"] = now
            due = now - entry["written"] >= REST
            if due:
                entry["written"] = now
        if due:  # outside of the lock: it may read source files
            text, lines = message_of(error), where(error)
            entry["message"], entry["traceback"] = text, lines

    def _make_room(self) -> None:
        """Drop one of the older half: that which has come least often."""
        older = sorted(self._known, key=lambda key: self._known[key]["last"])
        half = older[: max(1, len(older) // 2)]
        del self._known[min(half, key=lambda key: self._known[key]["count"])]

    def all(self) -> list[dict[str, Any]]:
        """All of them, the latest first."""
        with self._lock:
            known = [
                {name: value for name, value in entry.items() if name != "written"}
                for entry in self._known.values()
            ]
        return sorted(known, key=lambda entry: -entry["last"])
