"""Requests in flight: what each thread is at now, and a look at the stack of one."""

from __future__ import annotations

import sys
import threading
from traceback import extract_stack
from typing import Any

from .. import shards
from ..traces import LAYERS, clock

#: Seconds after which a request's stack is looked at, at each look: there is one a second, so all that
#: run for two are seen.
LONG = 1.0

#: Requests that are listed: the oldest; characters of a path and of a stack; frames of that.
MOST, PATH, STACK, FRAMES = 100, 200, 8192, 60


#: What is said in the place of a stack where there is none to be had.
UNREADABLE = (
    "This Python runs without the GIL. Where a thread is cannot be read while it runs: the process would "
    "end. Run the program with PYTHON_GIL=1 to see it."
)


def is_readable() -> bool:
    """Tell whether the stack of a thread can be read that may be running."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def stack_of(ident: int) -> str | None:
    """Return where a thread is, the innermost call last; None for one that there is not."""
    if not is_readable():
        return UNREADABLE
    frame = sys._current_frames().get(ident)
    if frame is None:
        return None
    try:
        lines = extract_stack(frame, FRAMES).format()
    finally:
        del frame
    return "".join(lines)[-STACK:]


class Flights:
    """The book of what is in flight.

    recorder
        Whose routes they go by.
    taker
        Who knows the name of this process.
    """

    def __init__(self, recorder: Any, taker: Any) -> None:
        self.recorder = recorder
        self.taker = taker
        # By thread: the exchange that was looked at, and its stack then.
        self._stacks: dict[int, tuple[Any, str]] = {}

    def look(self) -> list[dict[str, Any]]:
        """List what is in flight, and take the stacks of what has been so for long."""
        now = clock()
        names: dict[int | None, str] = {}
        found: list[dict[str, Any]] = []
        busy: set[int] = set()
        for ident, trace in shards.traces():
            exchange = trace.live
            if exchange is None:
                continue
            busy.add(ident)
            if not names:  # most looks find nothing
                names = {thread.ident: thread.name for thread in threading.enumerate()}
            age = now - trace.began
            if age >= LONG:
                self._take_stack(ident, exchange)
            found.append(self._entry(trace, exchange, age, ident, names.get(ident, "")))
        for _ in range(3):
            try:
                parked = list(self.recorder.parked.values())
                break
            except RuntimeError:  # one came or went meanwhile
                parked = []
        for moved, exchange, _ in parked:
            found.append(self._entry(moved, exchange, now - moved.began, 0, "(parked)"))
        for ident in set(self._stacks) - busy:
            self._stacks.pop(ident, None)
        return sorted(found, key=lambda entry: -entry["age"])[:MOST]

    def _take_stack(self, ident: int, exchange: Any) -> None:
        stack = stack_of(ident)
        if stack is not None:
            self._stacks[ident] = (exchange, stack)

    def _entry(
        self, trace: Any, exchange: Any, age: float, ident: int, name: str
    ) -> dict[str, Any]:
        head = exchange.head
        return {
            "worker": self.taker.worker,
            "thread": name,
            "ident": ident,
            "route": self._route(trace),
            "method": str(head.method)[:20],
            "path": str(head.path)[:PATH],
            "age": round(max(0.0, age), 3),
            "phase": LAYERS[trace.layer],
        }

    def _route(self, trace: Any) -> str:
        """The route, once the request has come to its page; before, it is anybody's guess."""
        request, page = trace.request, trace.page
        if request is None or page is None:
            return ""
        try:
            return str(self.recorder.routes.of(request, page).name)
        except Exception:  # its thread is changing it just now
            return ""

    def taken(self, exchange: Any) -> str | None:
        """The stack that was taken of a request which this thread has served; it is given once."""
        ident = threading.get_ident()
        known = self._stacks.get(ident)
        if known is None or known[0] is not exchange:
            return None
        self._stacks.pop(ident, None)
        return known[1]
