"""Traces: where the time of a request goes, in layers that exclude each other.

A thread is in one layer at a time. Entering another stops the clock of the one before and starts its
own, so the layers of a request add up to its time whatever calls what. What no other layer has is
the time of the WSGI layer, the framework's own.
"""

from __future__ import annotations

import time
from typing import Any

#: The layers, in the order in which they are shown.
LAYERS = (
    "frontend",
    "queue",
    "read",
    "wsgi",
    "tools",
    "app",
    "model",
    "db",
    "external",
    "template",
    "session",
    "cache",
    "encode",
    "write",
)
(
    FRONTEND,
    QUEUE,
    READ,
    WSGI,
    TOOLS,
    APP,
    MODEL,
    DB,
    EXTERNAL,
    TEMPLATE,
    SESSION,
    CACHE,
    ENCODE,
    WRITE,
) = range(len(LAYERS))

ZEROS = [0.0] * len(LAYERS)

#: Steps of one request that are remembered for its waterfall.
MOST_STEPS = 200

clock = time.monotonic


class Trace:
    """What a thread is doing for a request.

    live
        The exchange being served; None between requests.
    began
        When it came, by the monotonic clock.
    seconds
        The time in each layer, up to `since`, when the present `layer` was entered.
    steps
        What was called on the way: `(layer, label, began, ended)`.
    """

    __slots__ = (
        "began",
        "calls",
        "cpu",
        "error",
        "layer",
        "live",
        "more",
        "outer",
        "page",
        "request",
        "seconds",
        "seen",
        "since",
        "steps",
        "waits",
    )

    def __init__(self) -> None:
        self.live: Any = None
        self.request: Any = None
        self.page: Any = None  # what answers, once it has been called: a function or a method
        self.began = 0.0
        self.since = 0.0
        self.layer = WSGI
        self.seconds = ZEROS.copy()
        self.more = False  # other layers than the usual have been entered, or steps taken
        self.steps: list[tuple[int, str, float, float]] = []
        self.calls: dict[int, int] = {}  # by layer
        self.error: Any = None  # what the request failed of
        self.seen = False  # that has been counted
        # At level 2: the thread's identity and processor time when the request began.
        self.cpu: tuple[int, float] | None = None
        # Calls of its coroutines that are under way, and the layer that the first of them left.
        self.waits = 0
        self.outer = WSGI

    def enter(self, layer: int) -> int:
        """Go on in another layer, and return the present one for `leave`."""
        now = clock()
        before = self.layer
        self.seconds[before] += now - self.since
        self.since = now
        self.layer = layer
        self.more = True
        return before

    def leave(self, before: int, label: str = "", began: float = 0.0) -> float:
        """Go back to the layer that `enter` returned. Returns the time.

        label, began
            Remember as a step what has been done since `began`; a label holds no value of a user.
        """
        now = clock()
        self.seconds[self.layer] += now - self.since
        self.since = now
        if label and self.live is not None:
            layer = self.layer
            self.calls[layer] = self.calls.get(layer, 0) + 1
            if len(self.steps) < MOST_STEPS:
                self.steps.append((layer, label, began, now))
        self.layer = before
        return now

    def moved(self) -> Trace:
        """Return a trace that goes on with the request; this one is free for another."""
        other = Trace()
        other.take(self)
        return other

    def take(self, other: Trace) -> None:
        """Go on with the request of another trace."""
        for name in (
            "live",
            "request",
            "page",
            "began",
            "since",
            "layer",
            "more",
            "steps",
            "calls",
            "cpu",
            "error",
            "seen",
        ):
            setattr(self, name, getattr(other, name))
        self.seconds[:] = other.seconds
        other.forget()

    def forget(self) -> None:
        """Be a thread that serves nothing."""
        if self.more:
            self.more = False
            self.steps = []
            self.calls = {}
        self.live = self.request = self.page = self.error = self.cpu = None
        self.seen = False
        self.layer = WSGI
        self.waits = 0
        self.seconds[:] = ZEROS
