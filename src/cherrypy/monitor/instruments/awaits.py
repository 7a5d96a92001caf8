"""Calls that a coroutine waits for: while it does, its thread does other things.

Their time is the layer's of the page that waits, as long as at least one of its calls is under way;
of several at once the first says which layer that is.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

from ...framework.serving import serving
from ..shards import own
from ..traces import MOST_STEPS, Trace, clock

#: Whether this is in a call that is counted: the requests that it makes for itself are not.
covered: ContextVar[bool] = ContextVar("covered", default=False)


def uncover(token: Token[bool]) -> None:
    """Undo `covered.set`, which has returned the token."""
    try:
        covered.reset(token)
    except ValueError:  # the coroutine is closed by another, its context is gone
        return


class Wait:
    """A call under way.

    began
        When it began, by the monotonic clock.
    """

    __slots__ = ("began", "layer", "trace")

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self.trace = trace = _trace()
        if trace is not None:
            if not trace.waits:
                trace.outer = trace.enter(layer)
            trace.waits += 1
        self.began = clock()

    def end(self, label: str) -> float:
        """The call has ended. Returns its seconds."""
        now = clock()
        trace = self.trace
        # A page that has not waited for it may be over.
        if trace is not None and trace.waits and trace.live is not None:
            trace.waits -= 1
            if not trace.waits:
                trace.leave(trace.outer)
            trace.calls[self.layer] = trace.calls.get(self.layer, 0) + 1
            if len(trace.steps) < MOST_STEPS:
                trace.steps.append((self.layer, label, self.began, now))
        self.trace = None
        return now - self.began


def _trace() -> Trace | None:
    """The trace of the page whose coroutine this is, or that runs a loop of its own."""
    request: Any = serving.request
    trace: Trace | None = getattr(request, "_trace", None)
    if trace is None:
        trace = own.trace
    return trace if trace.live is not None else None
