"""Live: the figures of the last seconds, and who is told of them each second. No thread is held for it."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import Any

from kirsch.server.feeds import Feed

from ..histograms import Spread
from ..metrics import METRICS
from ..snapshots import Snapshot
from .asked import Answer, Refusal

#: Seconds over which the present is looked at.
WINDOW = 10
#: Listeners at once, and the seconds after which each has to come again.
MOST = 32
LASTS = 3600.0

EVENTS = (("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no"))


class Live:
    """The present."""

    def __init__(self, front: Any) -> None:
        self.front = front
        self._seen: deque[Snapshot] = deque(maxlen=WINDOW + 1)
        self._lock = threading.Lock()  # guards: a feed is in the set as long as it is open
        self._feeds: set[Feed] = set()

    def beat(self, snapshot: Snapshot) -> None:
        """A second has passed: tell everybody (the monitor's thread)."""
        self._seen.append(snapshot)
        with self._lock:
            feeds = list(self._feeds)
        if feeds:
            piece = event(self.now())
            for feed in feeds:
                feed.send(piece)

    def listen(self) -> Answer:
        """Return an answer that goes on telling."""
        with self._lock:
            if len(self._feeds) >= MOST:
                after = ("Retry-After", "10")
                words = f"{MOST} pages are listening already: close some, or ask for /api/now."
                raise Refusal("503 Service Unavailable", words, after)

            def began() -> None:
                feed.send(b"retry: 2000\n\n" + event(self.now()))

            def ended() -> None:
                with self._lock:
                    self._feeds.discard(feed)

            feed = Feed(began, ended, most=5, beat=b":\n\n", interval=15.0, limit=LASTS)
            self._feeds.add(feed)
        return Answer(feed.handover(), "text/event-stream", fields=EVENTS[1:])

    def end(self) -> None:
        """Nobody is told any more."""
        with self._lock:
            feeds = list(self._feeds)
        for feed in feeds:
            feed.finish()

    def now(self) -> dict[str, Any]:
        """Return the figures of the last seconds; None for what is not known."""
        seen = list(self._seen)
        facts: dict[str, Any] = {"at": time.time()}
        if seen:
            facts.update(figures(seen[0], seen[-1]))
            facts["workers"] = len(seen[-1].details)
        facts["inflight"] = self._inflight(seen[-1] if seen else None)
        facts["alerts"] = len(self.front.data.alerts())
        return facts

    def _inflight(self, last: Snapshot | None) -> float | None:
        if last is None:
            return None
        found = _total(last.gauges, "http.server.active_requests")
        if found is not None:
            return found
        entries = [details.get("inflight") for details in last.details.values()]
        known = [one for one in entries if isinstance(one, list)]
        return float(sum(len(one) for one in known)) if known else None


def event(facts: dict[str, Any]) -> bytes:
    """Return figures as an event."""
    return b"event: now\ndata: " + json.dumps(facts, separators=(",", ":")).encode() + b"\n\n"


def figures(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return what has happened between two snapshots of the site."""
    seconds = after.at - before.at
    memory = _total(after.gauges, "process.memory.usage")
    facts: dict[str, Any] = {"memory": memory}
    if seconds <= 0.5:
        return facts
    requests = _grown(before, after, "cherrypy.responses", 0)
    every = sum(requests.values())
    facts["rate"] = every / seconds
    if every > 0:
        failed = requests.get("5xx", 0.0)
        facts["errors"] = 100 * (failed + requests.get("4xx", 0.0)) / every
        facts["failures"] = 100 * failed / every
    else:
        facts["errors"] = facts["failures"] = None
    spread = _spread(before, after, "http.server.request.duration")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        facts[name] = spread.quantile(share) if spread is not None and spread.buckets else None
    groups = _grown(before, after, "cherrypy.apdex.requests", 2)
    judged = sum(groups.values())
    good = groups.get("satisfied", 0.0) + groups.get("tolerating", 0.0) / 2
    facts["apdex"] = good / judged if judged > 0 else None
    spent = _grown(before, after, "process.cpu.time", 0)
    facts["cpu"] = 100 * sum(spent.values()) / seconds if spent else None
    return facts


def _total(numbers: dict[Any, float], name: str) -> float | None:
    metric = METRICS[name]
    found = [value for (one, _), value in numbers.items() if one is metric]
    return sum(found) if found else None


def _grown(before: Snapshot, after: Snapshot, name: str, label: int) -> dict[str, float]:
    """How much a counter has grown, by the value of one of its labels."""
    metric = METRICS[name]
    grown: dict[str, float] = {}
    for (one, labels), value in after.counts.items():
        if one is metric:
            key = str(labels[label])
            more = max(0.0, value - before.counts.get((one, labels), 0.0))
            grown[key] = grown.get(key, 0.0) + more
    return grown


def _spread(before: Snapshot, after: Snapshot, name: str) -> Spread | None:
    metric = METRICS[name]
    whole: Spread | None = None
    for key, spread in after.spreads.items():
        if key[0] is metric:
            grown = spread.since(before.spreads.get(key))
            if whole is None:
                whole = Spread(spread.scale)
            whole.add(grown)
    return whole
