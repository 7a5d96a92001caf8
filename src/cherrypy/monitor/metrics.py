"""Metrics: what can be measured, declared once with name, kind, unit and labels.

Law: whoever counts writes to the shard of its own thread (`shards`), without a lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from .histograms import COUNTED, SCALES
from .shards import own

#: Series that a metric may have; what comes after them is counted as one, see `OVERFLOW`.
MOST_SERIES = 500

#: What stands in the place of a label's value that is one too many (as OpenTelemetry has it).
OVERFLOW = "otel.metric.overflow"

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

Labels = tuple[Any, ...]

#: All metrics, by name, in the order of their declaration.
METRICS: dict[str, Metric] = {}


class Metric:
    """One thing that is measured.

    name
        As OpenTelemetry names things: 'http.server.request.duration'.
    kind
        'counter', 'gauge' or 'histogram'.
    unit
        As UCUM has it: 's', 'By', '{request}', '1'.
    labels
        The names of what tells its series apart.
    level
        At which `monitor.level` it is recorded.
    help
        What it is, in a sentence.
    merge
        What a gauge of several processes is in all: 'sum', 'max', 'min' or 'last'.
    derived
        It is worked out from others, where the whole site is seen; nobody records it.
    most
        How many series it may have.
    """

    __slots__ = (
        "_admitted",
        "_lock",
        "derived",
        "help",
        "kind",
        "labels",
        "level",
        "merge",
        "most",
        "name",
        "on",
        "scale",
        "source",
        "unit",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        unit: str,
        labels: tuple[str, ...] = (),
        *,
        help: str,
        level: int = 1,
        merge: str = "sum",
        derived: bool = False,
        most: int = MOST_SERIES,
    ) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.labels = labels
        self.level = level
        self.help = help
        self.merge = merge
        self.derived = derived
        self.most = most
        self.on = False
        self.scale = SCALES.get(unit, COUNTED)
        # Gives the values when they are wanted, `{labels: value}`; nobody adds to such a metric.
        self.source: Callable[[], dict[Labels, float]] | None = None
        # Of those that may be taken twice: a finalizer or a signal's handler may count, too.
        self._lock = threading.RLock()  # guards: no more series are admitted than `most`
        self._admitted: set[Labels] = set()
        METRICS[name] = self

    def __repr__(self) -> str:
        return f"<Metric {self.name}>"

    def add(self, amount: float = 1, labels: Labels = ()) -> None:
        """Count. `labels` are the values in the order of the metric's labels."""
        if not self.on:
            return
        counts = own.shard.counts
        try:
            counts[self, labels] += amount
        except KeyError:
            key = self.admit(labels)
            counts[self, key] = counts.get((self, key), 0) + amount

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Add a value to a histogram."""
        if not self.on:
            return
        spreads = own.shard.spreads
        try:
            spread = spreads[self, labels]
        except KeyError:
            spread = own.shard.spread(self, self.admit(labels))
        spread.observe(value)

    def sample(self, source: Callable[[], dict[Labels, float]]) -> Callable[[], Any]:
        """Have the values given by `source` whenever they are wanted (decorator)."""
        self.source = source
        return source

    def admit(self, labels: Labels) -> Labels:
        """Return the labels to count under: those given, or what stands for one too many."""
        admitted = self._admitted
        if labels in admitted:
            return labels
        with self._lock:
            if len(admitted) < self.most:
                admitted.add(labels)
                return labels
        own.shard.overflowed(self.name)
        return (OVERFLOW,) * len(self.labels)

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._admitted)

    def forget(self) -> None:
        """Admit series anew."""
        with self._lock:
            self._admitted = set()


def counter(name: str, unit: str, *labels: str, help: str, **more: Any) -> Metric:
    """Declare what only grows."""
    return Metric(name, COUNTER, unit, labels, help=help, **more)


def gauge(name: str, unit: str, *labels: str, help: str, **more: Any) -> Metric:
    """Declare what goes up and down."""
    return Metric(name, GAUGE, unit, labels, help=help, **more)


def histogram(name: str, unit: str, *labels: str, help: str, **more: Any) -> Metric:
    """Declare a distribution."""
    return Metric(name, HISTOGRAM, unit, labels, help=help, **more)


#: Another number for each choice of metrics, and for the time in which it is being changed.
selection = 0


def select(level: int, include: list[str], exclude: list[str]) -> None:
    """Switch metrics on and off: up to a level, by shell patterns of their names.

    A metric that a pattern of `include` names whole is on whatever its level is.
    """
    global selection
    selection += 1
    for name, metric in METRICS.items():
        wanted = metric.level <= level and any(fnmatchcase(name, glob) for glob in include)
        wanted = wanted or name in include
        metric.on = wanted and not any(fnmatchcase(name, glob) for glob in exclude)
    selection += 1


def _forked() -> None:
    """A child has one thread, which holds none of these locks."""
    for metric in METRICS.values():
        metric._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def recorded() -> Iterator[Metric]:
    """The metrics that are on."""
    return (metric for metric in METRICS.values() if metric.on)
