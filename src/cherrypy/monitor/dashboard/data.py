"""The data behind the pages: the history over a span of time, and what is no number.

All of it may be missing: a part that is off, a metric that nobody has recorded. Then there is nothing,
and no error.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from math import ceil, inf
from typing import Any, NamedTuple

from ..derived import QUANTILES
from ..history.query import POINTS, STEPS, labels_of
from ..metrics import HISTOGRAM, METRICS, Metric
from ..table.requests import HTTP_SERVER_REQUEST_DURATION as REQUESTS
from .asked import Asked, Refusal

Values = list[Any]
Where = dict[str, str]

#: The ranges of time to choose from: name -> (seconds, seconds of a step).
RANGES: dict[str, tuple[int, int]] = {
    "5m": (300, 5),
    "15m": (900, 10),
    "1h": (3600, 20),
    "6h": (21600, 120),
    "24h": (86400, 600),
    "7d": (604800, 3600),
    "30d": (2592000, 10800),
}
WORDS = {
    "5m": "5 minutes",
    "15m": "15 minutes",
    "1h": "1 hour",
    "6h": "6 hours",
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
}
#: Steps of a stretch of time that was asked for by its ends.
MOST_STEPS = 240
#: Questions about any metric that are answered at once, how many wait for their turn, and the seconds.
#: The listener has more threads than these together.
TURNS, WAITING, PATIENCE = 2, 2, 10.0
#: Values that the answer to one has at most.
MOST_CELLS = 2_000_000
#: Histograms that are read out of frames for it, and figures of them, together: some seconds' work.
MOST_WORK = 400_000
#: What a number takes in terms of a histogram, and what a series of others in the same frames does.
LIGHT, BESIDE = 0.1, 0.05
#: Results that are kept for others who look.
MOST_KEPT = 32
#: What is laid over the present: name -> seconds ago.
BEFORE = {"24 h ago": 86400, "7 d ago": 604800}


class Span:
    """Some time, divided into steps.

    name
        Of the range that was chosen; '' where the ends were.
    times
        Where each step begins.
    where
        Labels that all that is asked about shall have.
    """

    def __init__(
        self, data: Data, name: str, now: float | None = None, where: Where | None = None
    ) -> None:
        length, step = RANGES[name]
        self.data = data
        self.name = name
        self.step = step
        self.now = time.time() if now is None else now
        # The step that is not over yet would look like a fall.
        self.end = float(int(self.now) // step * step)
        self.start = self.end - length
        self.length = float(length)
        self.times = [self.start + step * index for index in range(length // step)]
        self.where = where or {}
        # What the history has read for this span: several figures are worked out from it.
        self._read: dict[Any, Any] = {}

    @classmethod
    def between(cls, data: Data, start: float, end: float) -> Span:
        """From one moment to another, in steps that are easy on the eye. It has no name."""
        span = cls.__new__(cls)
        length = end - start
        step = next((nice for nice in STEPS if length / nice <= MOST_STEPS), 0)
        step = step or ceil(length / MOST_STEPS / 86400) * 86400
        span.data, span.name, span.step, span.now = data, "", step, time.time()
        span.start = float(start // step * step)
        count = max(1, ceil((end - span.start) / step))
        span.times = [span.start + step * index for index in range(count)]
        span.end = span.start + step * count
        span.length = span.end - span.start
        span.where, span._read = {}, {}
        return span

    def earlier(self, seconds: float) -> Span:
        """The same span some time ago."""
        other = Span.__new__(Span)
        other.__dict__.update(self.__dict__)
        other.start, other.end = self.start - seconds, self.end - seconds
        other.times = [at - seconds for at in self.times]
        other._read = {}
        return other

    def rows(
        self,
        metric: str,
        stat: str = "rate",
        by: tuple[str, ...] = (),
        where: Where | None = None,
    ) -> dict[tuple[str, ...], Values]:
        """Return the values of each step, by the values of the labels `by`."""
        wanted = {**self._known(metric), **(where or {})}
        series = self._series(metric, stat, by, wanted, self.end, self.step)
        if series is None:
            return {}
        places = [round((at - self.start) / self.step) for at in series.times]
        # Where nothing so fine is kept, a value stands for several steps.
        wide = max(1, round(getattr(series, "step", self.step) / self.step))
        count = len(self.times)
        found = {}
        for key, values in series.rows.items():
            row: Values = [None] * count
            for place, value in zip(places, values):  # noqa: B905 a history may be a step short
                if value is not None:
                    for one in range(max(0, place), min(count, place + wide)):
                        row[one] = value
            if any(value is not None for value in row):
                found[tuple(map(str, key))] = row
        return found

    def _series(
        self, metric: str, stat: str, by: tuple[str, ...], where: Where, end: float, step: float
    ) -> Any:
        declared, history = METRICS.get(metric), self.data.history
        if declared is None or declared.derived or not hasattr(history, "figures"):
            return self.data.ask(metric, self.start, end, step, by=by, where=where, stat=stat)
        key = (metric, by, tuple(where.items()), step)
        try:
            if key not in self._read:
                self._read[key] = history.gather(
                    declared, self.start, end, step, by=by, where=where
                )
            return history.figures(self._read[key], by, stat)
        except ValueError:  # no such label, or figure
            return None

    def row(self, metric: str, stat: str = "rate", where: Where | None = None) -> Values | None:
        """Return the values of each step, of all series together; None where nothing is known."""
        return self.rows(metric, stat, (), where).get(())

    def totals(
        self,
        metric: str,
        stat: str = "delta",
        by: tuple[str, ...] = (),
        where: Where | None = None,
    ) -> dict[tuple[str, ...], float]:
        """Return one value for the whole span, by the values of the labels `by`."""
        wanted = {**self._known(metric), **(where or {})}
        series = self._series(metric, stat, by, wanted, self.now, inf)
        if series is None:
            return {}
        found = {}
        for key, values in series.rows.items():
            known = [value for value in values if value is not None]
            if known:
                found[tuple(map(str, key))] = sum(known) if stat == "delta" else known[-1]
        return found

    def total(self, metric: str, stat: str = "delta", where: Where | None = None) -> float | None:
        """Return one value for the whole span and all series."""
        return self.totals(metric, stat, (), where).get(())

    def _known(self, metric: str) -> Where:
        """Of the labels that all is asked about, those that a metric has."""
        declared = METRICS.get(metric)
        labels = declared.labels if declared is not None else ()
        return {name: value for name, value in self.where.items() if name in labels}


class Wanted(NamedTuple):
    """A question about one metric, from `start` to `end`, in steps of so many seconds, or the usual ones."""

    metric: Metric
    start: float
    end: float
    step: float | None = None
    by: tuple[str, ...] = ()
    where: Where = {}  # nobody puts anything into it

    @property
    def steps(self) -> float:
        """How many steps that is."""
        return (self.end - self.start) / self.step if self.step else float(POINTS)


class Data:
    """What is asked: the history of a monitor, and its books."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self._kept: dict[Any, tuple[float, Any, Any]] = {}
        # Guards: what takes seconds keeps no more threads than this from the rest of the pages.
        self._turns = threading.BoundedSemaphore(TURNS)
        self._waiting = threading.BoundedSemaphore(WAITING)

    @contextlib.contextmanager
    def turn(self, wanted: Wanted) -> Iterator[None]:
        """Answer a question when it is its turn. Raises Refusal if that is too much work."""
        cells = self.rows(wanted.metric, wanted.by) * wanted.steps
        if cells > MOST_CELLS:
            raise Refusal(
                "400 Bad Request",
                f"That would be {cells:,.0f} values, more than {MOST_CELLS:,}: ask for longer steps, "
                "fewer labels, or less time.",
            )
        if self.work(wanted) > MOST_WORK:
            raise Refusal("400 Bad Request", self._instead(wanted))
        if not self._turns.acquire(blocking=False) and not self._wait():
            words = "Other questions take long just now: ask again in a while."
            raise Refusal("503 Service Unavailable", words, ("Retry-After", "10"))
        try:
            yield
        finally:
            self._turns.release()

    def _wait(self) -> bool:
        """Wait for a turn, unless so many do that there would be no thread left for the other pages."""
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._turns.acquire(timeout=PATIENCE)
        finally:
            self._waiting.release()

    def work(self, wanted: Wanted) -> float:
        """Return what it takes to answer a question: histograms that are read, and worked out.

        Raises Refusal for labels that there are not.
        """
        effort = getattr(self.history, "effort", None)
        if effort is None:
            return 0.0
        metric, by, where = wanted.metric, wanted.by, wanted.where
        if metric.derived:  # what it is worked out from is requests, for the most part
            metric, by, where = REQUESTS, (), {}
        try:
            frames, series, long = effort(
                metric, wanted.start, wanted.end, wanted.step, by=by, where=where
            )
        except ValueError as error:
            raise Refusal("400 Bad Request", str(error)) from None
        cells = min(series, self.rows(metric, by)) * long
        worth = 1.0 if metric.kind == HISTOGRAM else LIGHT
        return float(worth * (frames * (series + len(self.history.names) * BESIDE) + cells))

    def _instead(self, wanted: Wanted) -> str:
        """What to ask in the place of a question that is too much: the least step that is not."""
        for nice in STEPS:
            longer = wanted._replace(step=float(nice))
            if nice > (wanted.step or 0.0) and longer.steps >= 1 and self.work(longer) <= MOST_WORK:
                better = f"for a step of {nice} s, "
                break
        else:
            better = ""
        return (
            f"Too much would have to be read for that: ask {better}with a condition "
            "(where.LABEL=...), by fewer labels, or for less time."
        )

    def rows(self, metric: Metric, by: tuple[str, ...]) -> int:
        """How many rows a metric has by some labels, as far as is known."""
        if self.history is None or not by:
            return 1
        # What is worked out has no series of its own: by route and application there are as many.
        source = REQUESTS if metric.derived else metric
        labels = labels_of(source)
        places = [labels.index(name) for name in by if name in labels]
        known = self.history.names.of(source).values()
        rows = {
            tuple(values[at] for at in places) for values in known if len(values) == len(labels)
        }
        return max(1, len(rows)) * (len(QUANTILES) if "quantile" in by else 1)

    def kept(self, key: Any, span: Span, seconds: float, make: Callable[[Span], Any]) -> Any:
        """Return what `make` makes of a span: for all who look within so many seconds once."""
        until, history, found = self._kept.get(key, (0.0, None, None))
        if until < span.now or history is not self.history:
            found = make(span)
            if len(self._kept) >= MOST_KEPT:
                self._kept = {}
            # Two threads may have made the same; any of both will do.
            self._kept[key] = (span.now + seconds, self.history, found)
        return found

    @property
    def history(self) -> Any:
        """The history, None if there is none."""
        return getattr(self.monitor, "history", None)

    def span(self, asked: Asked, where: Where | None = None) -> Span:
        """Return the span that was asked for, else one that fits how much is known."""
        name = asked.params.get("range", "")
        if not name:
            name = self.fitting()
        if name not in RANGES:
            raise Refusal("400 Bad Request", f"range must be one of {', '.join(RANGES)}.")
        return Span(self, name, where=where)

    @staticmethod
    def length(asked: Asked) -> float:
        """Return how many seconds are asked for by a range; an hour without one. Raises Refusal."""
        name = asked.params.get("range", "") or "1h"
        if name not in RANGES:
            raise Refusal("400 Bad Request", f"range must be one of {', '.join(RANGES)}.")
        return float(RANGES[name][0])

    def fitting(self) -> str:
        """The name of the range to begin with."""
        known = self.known()
        for name in ("5m", "15m"):
            if known < RANGES[name][0]:
                return name
        return "1h"

    def known(self) -> float:
        """Return how many seconds the history reaches back."""
        history = self.history
        if history is None:
            return 0.0
        start, end = history.span()
        known = max(0.0, float(end - start))
        levels = getattr(history, "levels", None)
        if levels and history.store is None and known < 3600:
            # A step that has begun counts from its beginning there; the seconds are more exact.
            first = next(iter(levels[0].rows.copy()), None)
            if first is not None and end - first < 290:
                known = end - first
        return known

    def ask(self, metric: str, start: float, end: float, step: float | None, **more: Any) -> Any:
        """Ask the history; None if it has nothing of the kind, whatever the reason."""
        history = self.history
        if history is None or metric not in METRICS:
            return None
        try:
            return history.query(metric, start, end, step, **more)
        except ValueError:  # no such label, or figure
            return None

    def marks(self, span: Span, end: float | None = None) -> list[dict[str, Any]]:
        """Return what happened within a span, or until `end`: restarts, deploys, alerts."""
        history = self.history
        if history is None:
            return []
        found = history.marks(span.start, span.end if end is None else end)
        return [{"at": one.at, "kind": one.kind, "text": one.text} for one in found[-100:]]

    def latest(self) -> Any:
        """The last snapshot of the site, None before the first."""
        history = self.history
        return None if history is None else history.latest()

    def workers(self) -> list[str]:
        """The names of the processes of which something is known now."""
        latest = self.latest()
        return sorted(latest.details) if latest is not None else []

    def book(self, name: str) -> list[dict[str, Any]]:
        """Return what the books of all processes say: 'errors', 'slow', 'inflight', 'statements'.

        Each entry has the worker's name; processes that are gone have left what they held.
        """
        latest = self.latest()
        if latest is None:
            return []
        found = []
        for worker, details in latest.details.items():
            entries = details.get(name)
            found += [
                {**entry, "worker": str(entry.get("worker", worker))}
                for entry in (entries if isinstance(entries, list) else [])
                if isinstance(entry, dict)
            ]
        site = getattr(self.monitor, "site", None)
        return found + (site.left(name) if site is not None else [])

    def errors(self) -> list[dict[str, Any]]:
        """Return each kind of error once, with the last traceback of any process; the last first."""
        merged: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry in self.book("errors"):
            key = (entry.get("type"), entry.get("route"), entry.get("code"))
            known = merged.get(key)
            if known is None:
                merged[key] = dict(entry)
                continue
            newer, older = sorted((entry, known), key=lambda one: -float(one.get("last") or 0))
            merged[key] = {
                **newer,
                "count": int(newer.get("count") or 0) + int(older.get("count") or 0),
                "first": min(float(newer.get("first") or 0), float(older.get("first") or 0)),
            }
        return sorted(merged.values(), key=lambda one: -float(one.get("last") or 0))

    def statements(self) -> list[dict[str, Any]]:
        """Return each statement of a database once, as all processes know it; those that took most first."""
        merged: dict[tuple[Any, ...], dict[str, Any]] = {}
        for entry in self.book("statements"):
            key = (str(entry.get("system")), str(entry.get("statement")))
            fresh = {name: value for name, value in entry.items() if name != "worker"}
            known = merged.get(key)
            if known is not None:
                for name in ("count", "total", "errors"):
                    fresh[name] = (known.get(name) or 0) + (fresh.get(name) or 0)
                for name in ("longest", "last"):
                    fresh[name] = max(known.get(name) or 0, fresh.get(name) or 0)
            merged[key] = fresh
        return sorted(merged.values(), key=lambda one: -float(one.get("total") or 0))

    def slow(self) -> list[dict[str, Any]]:
        """Return the slow requests that were kept, the slowest first."""
        return sorted(self.book("slow"), key=lambda one: -float(one.get("duration") or 0))

    def inflight(self) -> list[dict[str, Any]]:
        """Return the requests that are being served, the oldest first: of this process as they are now."""
        entries = self.book("inflight")
        books = getattr(self.monitor, "books", None)
        if books is not None and hasattr(books, "inflight"):
            mine = str(self.monitor.taker.worker)
            entries = [one for one in entries if one["worker"] != mine]
            entries += [{"worker": mine, **one} for one in books.inflight()]
        return sorted(entries, key=lambda one: -float(one.get("age") or 0))

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire, the worst first."""
        alerts = getattr(self.monitor, "alerts", None)
        return [
            {
                name: getattr(one, name, None)
                for name in ("name", "text", "severity", "since", "value", "limit", "labels")
            }
            for one in (alerts.firing() if alerts is not None else ())
        ]

    def gauge(self, name: str, **where: str) -> float | None:
        """Return the present value of a gauge: all its series together, with these labels."""
        latest = self.latest()
        metric = METRICS.get(name)
        if latest is None or metric is None:
            return None
        found = [
            value
            for (one, labels), value in latest.gauges.items()
            if one is metric and _has(metric.labels, labels, where)
        ]
        return sum(found) if found else None

    def values(self, names: Iterable[str]) -> dict[str, float | None]:
        """Return present values of gauges."""
        return {name: self.gauge(name) for name in names}


def _has(names: tuple[str, ...], labels: tuple[Any, ...], where: Where) -> bool:
    known = dict(zip((*names, "worker"), labels))  # noqa: B905 only merged series have a worker
    return all(str(known.get(name)) == value for name, value in where.items())
