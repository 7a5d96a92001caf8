"""Derived metrics: what others come to, worked out where the whole site is seen.

Nobody records them; they are asked for like gauges.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from math import ceil, inf
from typing import Any, NamedTuple

from .history.query import Gathering, Row, Seen, Series, check, check_stat, steps
from .metrics import GAUGE, Labels, Metric
from .table import logs, requests, servers, toolbox

#: Seconds that the present value is worked out from, and those of the increase of the log.
PRESENT, INCREASE = 60.0, 600.0

DAY, WEEK = 86400.0, 604800.0

#: The values of the label 'quantile', as shares; the one that is meant where none is named.
QUANTILES = {"0.5": 0.5, "0.9": 0.9, "0.95": 0.95, "0.99": 0.99, "0.999": 0.999, "1": 1.0}
USUAL = "0.95"

#: Counts by the value of one more label.
Groups = dict[str, float]


def errors(groups: Groups) -> float | None:
    """The share of answers from 400 on."""
    return _percent(groups, lambda code: code[:1] in ("4", "5"))


def server_errors(groups: Groups) -> float | None:
    """The share of answers from 500 on."""
    return _percent(groups, lambda code: code[:1] == "5")


def busy(groups: Groups) -> float | None:
    """The share of threads that are busy."""
    return _percent(groups, lambda state: state == "busy")


def hits(groups: Groups) -> float | None:
    """The share of what was found of what was looked for."""
    looked: Groups = {name: groups[name] for name in ("hit", "miss") if name in groups}
    return _percent(looked, lambda result: result == "hit")


def apdex(groups: Groups) -> float | None:
    """From 0, all frustrated, to 1, all satisfied."""
    number = sum(groups.values())
    if not number:
        return None
    return (groups.get("satisfied", 0.0) + groups.get("tolerating", 0.0) / 2) / number


def _percent(groups: Groups, counts: Callable[[str], bool]) -> float | None:
    whole = sum(groups.values())
    if not whole:
        return None
    return 100.0 * sum(count for name, count in groups.items() if counts(name)) / whole


#: Those that are worked out from one other: which, by which label of it, and how.
GROUPED: dict[Metric, tuple[Metric, str, Callable[[Groups], float | None]]] = {
    requests.REQUEST_ERROR_RATIO: (
        requests.HTTP_SERVER_REQUEST_DURATION,
        "http.response.status_code",
        errors,
    ),
    requests.REQUEST_SERVER_ERROR_RATIO: (
        requests.HTTP_SERVER_REQUEST_DURATION,
        "http.response.status_code",
        server_errors,
    ),
    requests.APDEX: (requests.APDEX_REQUESTS, "group", apdex),
    servers.SERVER_CAPACITY_UTILIZATION: (servers.SERVER_THREADS, "state", busy),
    toolbox.CACHE_HIT_RATIO: (toolbox.CACHE_REQUESTS, "result", hits),
}


class Wanted(NamedTuple):
    """What is asked of a history; the names are those of `History.query`."""

    history: Any
    start: float
    end: float
    step: float | None = None
    by: tuple[str, ...] = ()
    where: dict[str, str] = {}

    def gather(self, metric: Metric, *more: str) -> tuple[Gathering, Series, list[Seen | None]]:
        """Return what has been seen of a metric, by more labels, and a series for what comes of it."""
        gathering, times, step, seen = self.history.gather(
            metric, self.start, self.end, self.step, by=(*self.by, *more), where=self.where
        )
        series = Series(times, step)
        if not self.by:
            series.rows[()] = [None] * len(times)
        return gathering, series, seen

    def ask(self, metric: Metric, stat: str) -> Series:
        """Return a figure of another metric, asked for alike."""
        found: Series = self.history.query(metric.name, *self[1:4], **self.conditions, stat=stat)
        return found

    @property
    def conditions(self) -> dict[str, Any]:
        """By what, and where."""
        return {"by": self.by, "where": self.where}


def query(metric: Metric, wanted: Wanted, stat: str = "value") -> Series:
    """Return what a derived metric has been; arguments and errors are those of `History.query`."""
    check_stat(metric, stat)
    check(metric, (*wanted.by, *wanted.where))
    return _grouped(metric, wanted) if metric in GROUPED else OTHERS[metric](wanted)


def _put(series: Series, row: Row, place: int, value: float | None) -> None:
    """Set the value of a row in a step."""
    series.rows.setdefault(row, [None] * len(series.times))[place] = value


def _grouped(metric: Metric, wanted: Wanted) -> Series:
    source, label, work = GROUPED[metric]
    gathering, series, seen = wanted.gather(source, label)
    for place, one in enumerate(seen):
        rows: dict[Row, Groups] = {}
        for row in gathering.rows(one):
            count = gathering.figure(one, row, "value" if source.kind == GAUGE else "delta")
            rows.setdefault(row[:-1], {})[row[-1]] = count
        for row, groups in rows.items():
            _put(series, row, place, work(groups))
    series.rows = dict(sorted(series.rows.items()))
    return series


def _throughput(wanted: Wanted) -> Series:
    """Requests a minute."""
    series = wanted.ask(requests.REQUESTS, "rate")
    for row, values in series.rows.items():
        series.rows[row] = [None if value is None else value * 60.0 for value in values]
    return series


def _quantiles(wanted: Wanted) -> Series:
    """Seconds within which a share of the requests were answered."""
    rest = {name: value for name, value in wanted.where.items() if name != "quantile"}
    others = tuple(name for name in wanted.by if name != "quantile")
    if "quantile" in wanted.where:
        shares = [name for name in QUANTILES if name == str(wanted.where["quantile"])]
    else:
        shares = list(QUANTILES) if "quantile" in wanted.by else [USUAL]
    source = wanted._replace(by=others, where=rest)
    gathering, series, seen = source.gather(requests.HTTP_SERVER_REQUEST_DURATION)
    if wanted.by:
        series.rows.clear()
    for place, one in enumerate(seen):
        if one is None:
            continue
        for row in gathering.rows(one):
            for name in shares:
                values = dict(zip(others, row, strict=True), quantile=name)
                key = tuple(values[label] for label in wanted.by)
                _put(series, key, place, one.spreads[row].quantile(QUANTILES[name]))
    return series


def _kept_alive(wanted: Wanted) -> Series:
    """The share of requests that came on a connection that had served one before."""
    if wanted.by or wanted.where:
        # What is known of each listener is known of the connections that have ended.
        return _of_connections(wanted)
    number = wanted.ask(requests.HTTP_SERVER_REQUEST_DURATION, "delta")
    accepted = wanted.ask(servers.SERVER_CONNECTIONS_ACCEPTED, "delta")
    number.rows[()] = [
        None if not asked else max(0.0, 100.0 * (1.0 - (came or 0.0) / asked))
        for asked, came in zip(number.rows[()], accepted.rows[()], strict=True)
    ]
    return number


def _of_connections(wanted: Wanted) -> Series:
    gathering, series, seen = wanted.gather(servers.SERVER_CONNECTION_REQUESTS)
    for place, one in enumerate(seen):
        if one is None:
            continue
        for row in gathering.rows(one):
            spread = one.spreads[row]
            if spread.total:
                _put(series, row, place, max(0.0, 100.0 * (1.0 - spread.count / spread.total)))
    return series


def _increase(wanted: Wanted) -> Series:
    """How many times as many records as in the same ten minutes a day and a week ago.

    Where there were none then, one is believed.
    """
    times, step = steps(wanted.start, wanted.end, wanted.step)
    series = Series(times, step)
    now = Windows(wanted, series, 0.0)
    before = [Windows(wanted, series, ago) for ago in (DAY, WEEK)]
    for row in now.rows or ([] if wanted.by else [()]):
        values: list[float | None] = []
        for place in range(len(times)):
            present = now.at(row, place)
            past = [known.at(row, place) for known in before]
            counts = [count for count in past if count is not None]
            if present is None or not counts:
                values.append(None)
            else:
                values.append(present / max(1.0, sum(counts) / len(counts)))
        series.rows[row] = values
    return series


class Windows:
    """How many records came in the window that ends with each step of a series, some time ago.

    rows
        Their counts, by row; None where nothing of the window is known.
    """

    def __init__(self, wanted: Wanted, series: Series, ago: float) -> None:
        window = max(INCREASE, series.step)
        last = series.step - ago  # from the beginning of a step to the end of its window
        start, end = series.times[0] + last - window, series.times[-1] + last
        fine = 60.0 if (end - start) / 60.0 < 4000 else ceil((end - start) / 4000 / 600.0) * 600.0
        source = wanted._replace(start=start, end=end, step=fine)

        def summed(found: Series, row: Row) -> list[float | None]:
            counts = found.rows[row]
            return [_sum(found.times, counts, at + last - window, at + last) for at in series.times]

        found = source.ask(logs.LOG_RECORDS, "delta")
        self.rows = {row: summed(found, row) for row in found.rows}
        # Tells where anything is known.
        self._whole = summed(source._replace(by=(), where={}).ask(logs.LOG_RECORDS, "delta"), ())

    def at(self, row: Row, place: int) -> float | None:
        """The count of a row; 0 where something is known and nothing of it."""
        if self._whole[place] is None:
            return None
        values = self.rows.get(row)
        return (values[place] if values else None) or 0.0


def _sum(times: list[float], counts: list[float | None], start: float, end: float) -> float | None:
    part = counts[bisect_left(times, start - 30.0) : bisect_left(times, end - 30.0)]
    known = [count for count in part if count is not None]
    return sum(known) if known else None


OTHERS: dict[Metric, Callable[..., Series]] = {
    requests.REQUEST_THROUGHPUT: _throughput,
    requests.REQUEST_DURATION_QUANTILE: _quantiles,
    servers.SERVER_KEEPALIVE_RATIO: _kept_alive,
    logs.LOG_INCREASE: _increase,
}


def gauges(history: Any) -> dict[tuple[Metric, Labels], float]:
    """Return what all derived metrics are now: of the last minute, of the last ten for the log."""
    values: dict[tuple[Metric, Labels], float] = {}
    now = history.now()
    for metric in (*GROUPED, *OTHERS):
        if not metric.on:
            continue
        long = INCREASE if metric is logs.LOG_INCREASE else PRESENT
        by = (*metric.labels, "worker") if metric.merge == "each" else metric.labels
        series = query(metric, Wanted(history, now - long, now, inf, by))
        for row, found in series.rows.items():
            if found[0] is not None:
                values[metric, row] = found[0]
    return values
