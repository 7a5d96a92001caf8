"""Slow requests: the slowest of each route, and the latest that were too slow or failed."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from ..traces import FRONTEND, LAYERS, QUEUE, Trace

#: Requests of one route that are kept, and routes; what made no route slow for an hour is dropped.
EACH, ROUTES, AGE = 3, 30, 3600.0

#: The latest that were beyond the threshold or failed.
LATEST = 30

#: Steps of a request: the longest are kept.
STEPS = 40


def story(trace: Trace, route: str, status: str, took: float, stack: str | None) -> dict[str, Any]:
    """Return what there is to tell of a request, as JSON can have it."""
    seconds = trace.seconds
    layers = {LAYERS[layer]: round(value, 6) for layer, value in enumerate(seconds) if value > 0}
    waited = took - sum(value for layer, value in enumerate(seconds) if layer != FRONTEND)
    if waited > 1e-6:
        layers[LAYERS[QUEUE]] = round(waited, 6)
    steps = sorted(trace.steps, key=lambda step: step[2] - step[3])[:STEPS]
    began = trace.began
    return {
        "route": route,
        "method": str(getattr(getattr(trace.live, "head", None), "method", ""))[:20],
        "status": status[:3],
        "at": time.time() - took,
        "duration": round(took, 6),
        "layers": layers,
        "steps": [
            [LAYERS[layer], label[:200], round(start - began, 6), round(end - began, 6)]
            for layer, label, start, end in sorted(steps, key=lambda step: step[2])
        ],
        "stack": stack,
    }


class Slow:
    """The book of slow requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards: both of them, and how much is kept
        self._slowest: dict[str, list[dict[str, Any]]] = {}
        self._latest: deque[dict[str, Any]] = deque(maxlen=LATEST)

    def wants(self, route: str, took: float, worst: bool) -> bool:
        """Whether a request would be kept; `worst`: beyond the threshold, or failed."""
        if worst:
            return True
        kept = self._slowest.get(route)
        return kept is None or len(kept) < EACH or took > kept[-1]["duration"]

    def add(self, entry: dict[str, Any], worst: bool) -> None:
        """Keep a request."""
        route = entry["route"]
        with self._lock:
            if worst:
                self._latest.append(entry)
            self._forget(entry["at"])
            kept = self._slowest.setdefault(route, [])
            kept.append(entry)
            kept.sort(key=lambda one: -one["duration"])
            del kept[EACH:]
            if len(self._slowest) > ROUTES:
                quickest = min(self._slowest, key=lambda name: self._slowest[name][0]["duration"])
                del self._slowest[quickest]

    def _forget(self, now: float) -> None:
        for route, kept in list(self._slowest.items()):
            kept[:] = [one for one in kept if now - one["at"] < AGE]
            if not kept:
                del self._slowest[route]

    def all(self) -> list[dict[str, Any]]:
        """All of them, the slowest first."""
        with self._lock:
            known = {id(one): one for kept in self._slowest.values() for one in kept}
            known.update((id(one), one) for one in self._latest)
        return sorted(known.values(), key=lambda one: -one["duration"])
