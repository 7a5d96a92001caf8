"""The shelf: all books of a process, and what is told to which."""

from __future__ import annotations

import os
import weakref
from typing import Any

from .errors import Errors
from .flights import Flights, stack_of
from .slow import Slow, story
from .statements import Statements

_shelves: weakref.WeakSet[Books] = weakref.WeakSet()

#: The type of an error that came without an exception.
NONE = "(none)"


class Books:
    """All books. `monitor.books`; what they hold goes with each snapshot as its `details`."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        #: Told of exceptions that only the server has answered, with their route.
        self.escaped: Any = lambda error, route: None
        self.begin_anew()
        _shelves.add(self)

    def begin_anew(self) -> None:
        """Have empty books: also in a forked child, where nobody gives locks back."""
        self._errors = Errors()
        self._slow = Slow()
        self._flights = Flights(self.monitor.recorder, self.monitor.taker)
        self._statements = Statements()

    def open(self) -> None:
        """Be written in, and read."""
        monitor = self.monitor
        monitor.books = self
        monitor.recorder.consider = self.consider
        details = monitor.taker.details
        details["errors"] = self.errors
        details["slow"] = self.slow
        details["inflight"] = self.inflight
        # What instruments of databases count by themselves, for all threads.
        self._counted: Any = details.get("statements")
        details["statements"] = self.statements

    def errors(self) -> list[dict[str, Any]]:
        """Errors by type, route and code, the latest first."""
        return self._errors.all()

    def slow(self) -> list[dict[str, Any]]:
        """Slow and failed requests, the slowest first."""
        return self._slow.all()

    def inflight(self) -> list[dict[str, Any]]:
        """Requests that are being answered, the oldest first."""
        return self._flights.look()

    def statements(self) -> list[dict[str, Any]]:
        """Statements of databases, that which has taken most time first."""
        counted = self._counted() if self._counted is not None else []
        return sorted(counted + self._statements.all(), key=lambda row: -float(row["total"]))

    def stack(self, ident: int) -> str | None:
        """Where a thread of this process is now; None for one that there is not."""
        return stack_of(ident)

    def statement(self, system: str, statement: str, took: float, failed: bool = False) -> None:
        """Count a call of a database. See `Statements.add`."""
        self._statements.add(system, statement, took, failed)

    def error(self, error: BaseException | None, route: str, code: str) -> None:
        """Enter an error."""
        if error is None:
            kind = NONE
        else:
            cls = type(error)
            builtin = cls.__module__ == "builtins"
            kind = cls.__qualname__ if builtin else f"{cls.__module__}.{cls.__qualname__}"
        self._errors.add(error, kind[:200], route, code)

    def consider(self, trace: Any, route: Any, status: str, took: float) -> None:
        """Look at a request that was slow, has failed or was aborted (the recorder calls)."""
        if route.left_out:
            return
        failed = status[0] == "5"
        error = trace.error
        if not trace.seen and (failed or error is not None):
            trace.seen = True
            if error is not None:
                self.escaped(error, route)
            self.error(error, route.name, status[:3])
        worst = failed or error is not None or took > route.slow
        stack = self._flights.taken(trace.live)
        if self._slow.wants(route.name, took, worst):
            self._slow.add(story(trace, route.name, status, took, stack), worst)

    def end(self) -> None:
        """Close them; what they hold stays to be read."""
        self.monitor.recorder.consider = None
        for name in ("errors", "slow", "inflight", "statements"):
            self.monitor.taker.details.pop(name, None)


def _forked() -> None:
    for books in list(_shelves):
        books.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
