"""Queries: what of the history is asked for, worked out step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from math import ceil, floor, inf
from typing import Any

from ..histograms import Spread, floor_of
from ..metrics import COUNTER, GAUGE, HISTOGRAM, METRICS, Metric
from .frames import Cell, Frame, Names, Packed, together

#: Points that a series has at most, and that it has at most by itself.
MOST_POINTS, POINTS = 5000, 300

#: Steps that are easy on the eye, in seconds.
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
STATS = {
    COUNTER: ("rate", "delta"),
    GAUGE: ("value", "max", "min"),
    HISTOGRAM: ("rate", "delta", "sum", "mean", *QUANTILES, "max", "buckets"),
}

Row = tuple[str, ...]


class Series:
    """What a query has found.

    times
        When each step begins, in seconds since the epoch.
    step
        How many seconds each has.
    rows
        A value a step, by the values of the labels that were asked for; None where nothing is known.
    """

    __slots__ = ("rows", "step", "times")

    def __init__(self, times: list[float], step: float) -> None:
        self.times = times
        self.step = step
        self.rows: dict[Row, list[Any]] = {}


def metric_of(name: str) -> Metric:
    """The metric of a name. Raises ValueError if there is none, with the name that is nearest."""
    metric = METRICS.get(name)
    if metric is None:
        near = get_close_matches(name, METRICS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no metric {name!r}.{hint}")
    return metric


def labels_of(metric: Metric) -> tuple[str, ...]:
    """The labels that tell the series of a metric apart where the whole site is seen."""
    return (*metric.labels, "worker") if metric.merge == "each" else metric.labels


def check(metric: Metric, names: Iterable[str]) -> None:
    """Raise ValueError for a label that a metric has not."""
    labels = labels_of(metric)
    for name in names:
        if name not in labels:
            near = get_close_matches(name, labels, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            has = ", ".join(labels) or "none"
            raise ValueError(f"{metric.name} has no label {name!r}; its labels: {has}.{hint}")


def check_stat(metric: Metric, stat: str) -> None:
    """Raise ValueError for a figure that a metric of its kind has not."""
    stats = STATS[metric.kind]
    if stat not in stats:
        raise ValueError(
            f"{metric.name} is a {metric.kind}: ask for one of {', '.join(stats)}, not {stat!r}."
        )


def steps(start: float, end: float, step: float | None) -> tuple[list[float], float]:
    """The beginnings of the steps from `start` to `end`, and how long they are; infinite: one.

    Raises ValueError for a stretch that ends before it begins, or has too many steps.
    """
    if not (start < end and end - start < 1e11):  # nan is not less than anything
        words = f"A query from {start:g} to {end:g}: the end must be after the start"
        raise ValueError(f"{words}, and by less than 1e+11 seconds.")
    if step == inf:
        return [start], end - start
    if step is None:
        least = (end - start) / POINTS
        step = float(next((nice for nice in STEPS if nice >= least), ceil(least / 86400) * 86400))
    step = float(step)
    if not step >= 1.0:
        raise ValueError(f"A step of {step!r} s: the least is 1 s.")
    first = floor(start / step)
    number = ceil(end / step) - first
    if number > MOST_POINTS:
        raise ValueError(
            f"{number} steps of {step:g} s are more than {MOST_POINTS}: ask for longer ones."
        )
    return [(first + place) * step for place in range(number)], step


class Part:
    """A frame, or what is wanted of it, with the second that it begins at."""

    __slots__ = ("at", "frame", "packed")

    def __init__(self, at: float, frame: Frame | None = None, packed: bytes = b"") -> None:
        self.at = at
        self.frame = frame
        self.packed = packed


class Seen:
    """What has been seen of one metric within one step.

    seconds
        How many of them are known.
    counts, cells, spreads
        Of the series, put together as was asked for.
    """

    __slots__ = ("cells", "counts", "seconds", "spreads")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts: dict[Row, float] = {}
        self.cells: dict[Row, dict[int, Cell]] = {}  # by series: a mean each, then one of them
        self.spreads: dict[Row, Spread] = {}


class Gathering:
    """Gathers what a query asks for out of frames.

    wanted
        The row of each series, by its number.
    """

    def __init__(
        self, metric: Metric, names: Names, by: tuple[str, ...], where: dict[str, str]
    ) -> None:
        check(metric, (*by, *where))
        self.metric = metric
        self.by = by
        labels = labels_of(metric)
        places = [labels.index(name) for name in by]
        fixed = [(labels.index(name), str(value)) for name, value in where.items()]
        self.wanted: dict[int, Row] = {}
        self._keys: dict[tuple[Any, ...], int] = {}
        for number, values in names.of(metric).items():
            if len(values) != len(labels):
                continue
            if all(str(values[place]) == value for place, value in fixed):
                self.wanted[number] = tuple(str(values[place]) for place in places)
                self._keys[values] = number

    def take(self, part: Part, seen: Seen) -> None:
        """Add what a frame holds. Raises ValueError for a packed one that cannot be read."""
        if part.frame is not None:
            seen.seconds += part.frame.seconds
            self._take_open(part.frame, seen)
            return
        packed = Packed(part.packed)
        seen.seconds += packed.seconds
        kind, wanted = self.metric.kind, self.wanted
        if not wanted:
            return
        if kind == COUNTER:
            for number, count in packed.counts(wanted):
                row = wanted[number]
                seen.counts[row] = seen.counts.get(row, 0.0) + count
        elif kind == GAUGE:
            for number, cell in packed.gauges(wanted):
                cells = seen.cells.setdefault(wanted[number], {})
                known = cells.get(number)
                cells[number] = cell if known is None else together(known, cell)
        else:
            scale = self.metric.scale
            for number, total, most, buckets in packed.spreads(wanted):
                self._spread(seen, wanted[number]).add(Spread(scale, total, most, buckets))

    def _take_open(self, frame: Frame, seen: Seen) -> None:
        for values, number in self._keys.items():
            key, row = (self.metric, values), self.wanted[number]
            if (count := frame.counts.get(key)) is not None:
                seen.counts[row] = seen.counts.get(row, 0.0) + count
            elif (cell := frame.gauges.get(key)) is not None:
                cells = seen.cells.setdefault(row, {})
                known = cells.get(number)
                cells[number] = cell if known is None else together(known, cell)
            elif (spread := frame.spreads.get(key)) is not None:
                self._spread(seen, row).add(spread)

    def _spread(self, seen: Seen, row: Row) -> Spread:
        spread = seen.spreads.get(row)
        if spread is None:
            spread = seen.spreads[row] = Spread(self.metric.scale)
        return spread

    def rows(self, seen: Seen | None) -> Iterator[Row]:
        """The rows of which something has been seen."""
        if seen is not None:
            yield from seen.counts or seen.cells or seen.spreads

    def figure(self, seen: Seen | None, row: Row, stat: str) -> Any:
        """What a row comes to in a step; None where nothing is known."""
        if seen is None:
            return None
        kind = self.metric.kind
        if kind == GAUGE:
            return gauge_figure(self.metric, seen.cells.get(row), stat)
        if kind == COUNTER:
            count = seen.counts.get(row, 0.0)
            if stat == "delta":
                return count
            return count / seen.seconds if seen.seconds else None
        return spread_figure(seen.spreads.get(row), stat, seen.seconds)


def gauge_figure(metric: Metric, cells: dict[int, Cell] | None, stat: str) -> float | None:
    """What the series of a gauge have been together: each one's mean, greatest or least, as one."""
    if not cells:
        return None
    if stat == "value":
        values = [total / times for total, times, _, _ in cells.values()]
    else:
        values = [cell[3 if stat == "max" else 2] for cell in cells.values()]
    if len(values) == 1:
        return values[0]
    return float(TOGETHER[together_by(metric)](values))


TOGETHER: dict[str, Any] = {
    "sum": sum,
    "max": max,
    "min": min,
    "last": lambda values: values[-1],
}


def together_by(metric: Metric) -> str:
    """How several series of a gauge are one: seconds and shares do not add up, things do."""
    if metric.merge in ("max", "min", "last"):
        return metric.merge
    if metric.unit == "d":  # what is left until something ends
        return "min"
    return "max" if metric.unit in ("s", "%", "ratio") else "sum"


def spread_figure(spread: Spread | None, stat: str, seconds: float) -> Any:
    """What a histogram says of a step."""
    count = spread.count if spread is not None else 0
    if stat == "delta":
        return float(count)
    if stat in ("rate", "sum"):
        if not seconds:
            return None
        total = spread.total if spread is not None else 0.0
        return (count if stat == "rate" else total) / seconds
    if stat == "buckets":
        return buckets_of(spread)
    if spread is None or not count:
        return None
    if stat == "mean":
        return spread.total / count
    return spread.most if stat == "max" else spread.quantile(QUANTILES[stat])


def buckets_of(spread: Spread | None) -> dict[float, int]:
    """How many values have been in each bucket, by the least value that it holds."""
    found: dict[float, int] = {}
    if spread is not None:
        for number in sorted(spread.buckets, key=abs):
            low = floor_of(number)
            found[low] = found.get(low, 0) + spread.buckets[number]
    return found
