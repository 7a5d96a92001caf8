"""Derived metrics: what others come to, worked out where the whole site is seen.

Nobody records them; they are asked for like gauges.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf
from typing import Any

from .history.query import Row, Series, check, check_stat, steps
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


def query(
    history: Any,
    metric: Metric,
    start: float,
    end: float,
    step: float | None = None,
    *,
    by: tuple[str, ...] = (),
    where: dict[str, str] | None = None,
    stat: str = "value",
) -> Series:
    """Return what a derived metric has been; arguments and errors are those of `History.query`."""
    where = where or {}
    check_stat(metric, stat)
    check(metric, (*by, *where))
    if metric in GROUPED:
        return _grouped(history, metric, start, end, step, by, where)
    return OTHERS[metric](history, start, end, step, by, where)


def _grouped(
    history: Any,
    metric: Metric,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    source, label, work = GROUPED[metric]
    gathering, times, step, seen = history.gather(
        source, start, end, step, by=(*by, label), where=where
    )
    series = Series(times, step)
    if not by:
        series.rows[()] = [None] * len(times)
    for place, one in enumerate(seen):
        rows: dict[Row, Groups] = {}
        for row in gathering.rows(one):
            count = gathering.figure(one, row, "value" if source.kind == GAUGE else "delta")
            rows.setdefault(row[:-1], {})[row[-1]] = count
        for row, groups in rows.items():
            series.rows.setdefault(row, [None] * len(times))[place] = work(groups)
    series.rows = dict(sorted(series.rows.items()))
    return series


def _throughput(
    history: Any,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    """Requests a minute."""
    series: Series = history.query(
        requests.REQUESTS.name, start, end, step, by=by, where=where, stat="rate"
    )
    for row, values in series.rows.items():
        series.rows[row] = [None if value is None else value * 60.0 for value in values]
    return series


def _quantiles(
    history: Any,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    """Seconds within which a share of the requests were answered."""
    rest = {name: value for name, value in where.items() if name != "quantile"}
    others = tuple(name for name in by if name != "quantile")
    if "quantile" in where:
        wanted = [name for name in QUANTILES if name == str(where["quantile"])]
    else:
        wanted = list(QUANTILES) if "quantile" in by else [USUAL]
    gathering, times, step, seen = history.gather(
        requests.HTTP_SERVER_REQUEST_DURATION, start, end, step, by=others, where=rest
    )
    series = Series(times, step)
    if not by:
        series.rows[()] = [None] * len(times)
    for place, one in enumerate(seen):
        for row in gathering.rows(one):
            for name in wanted:
                values = dict(zip(others, row, strict=True), quantile=name)
                key = tuple(values[label] for label in by)
                known = series.rows.setdefault(key, [None] * len(times))
                known[place] = one.spreads[row].quantile(QUANTILES[name])
    return series


def _kept_alive(
    history: Any,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    """The share of requests that came on a connection that had served one before."""
    if by or where:  # what is known of each listener is known of the connections that have ended
        return _of_connections(history, start, end, step, by, where)
    number: Series = history.query(
        requests.HTTP_SERVER_REQUEST_DURATION.name, start, end, step, stat="delta"
    )
    accepted: Series = history.query(
        servers.SERVER_CONNECTIONS_ACCEPTED.name, start, end, step, stat="delta"
    )
    number.rows[()] = [
        None if not asked else max(0.0, 100.0 * (1.0 - (came or 0.0) / asked))
        for asked, came in zip(number.rows[()], accepted.rows[()], strict=True)
    ]
    return number


def _of_connections(
    history: Any,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    gathering, times, step, seen = history.gather(
        servers.SERVER_CONNECTION_REQUESTS, start, end, step, by=by, where=where
    )
    series = Series(times, step)
    for place, one in enumerate(seen):
        for row in gathering.rows(one):
            spread = one.spreads[row]
            if spread.total:
                values = series.rows.setdefault(row, [None] * len(times))
                values[place] = max(0.0, 100.0 * (1.0 - spread.count / spread.total))
    return series


def _increase(
    history: Any,
    start: float,
    end: float,
    step: float | None,
    by: tuple[str, ...],
    where: dict[str, str],
) -> Series:
    """How many times as many records as in the same ten minutes a day and a week ago.

    Where there were none then, one is believed.
    """
    times, step = steps(start, end, step)
    window = max(INCREASE, step)
    series = Series(times, step)
    now = _windows(history, times, step, window, 0.0, by, where)
    before = [_windows(history, times, step, window, ago, by, where) for ago in (DAY, WEEK)]
    for row in now or ({(): []} if not by else {}):
        values: list[float | None] = []
        for place in range(len(times)):
            present = _at(now, row, place)
            past = [_at(known, row, place) for known in before]
            counts = [count for count in past if count is not None]
            if present is None or not counts:
                values.append(None)
            else:
                values.append(present / max(1.0, sum(counts) / len(counts)))
        series.rows[row] = values
    return series


def _windows(
    history: Any,
    times: list[float],
    step: float,
    window: float,
    ago: float,
    by: tuple[str, ...],
    where: dict[str, str],
) -> dict[Row, list[float | None]]:
    """How many records in the window that ends with each step, some time ago; by row.

    None where nothing of the window is known; the row None tells where something is.
    """
    start, end = times[0] + step - window - ago, times[-1] + step - ago
    fine = 60.0 if (end - start) / 60.0 < 4000 else ceil((end - start) / 4000 / 600.0) * 600.0
    found: Series = history.query(
        logs.LOG_RECORDS.name, start, end, fine, by=by, where=where, stat="delta"
    )
    whole: Series = history.query(logs.LOG_RECORDS.name, start, end, fine, stat="delta")
    rows: dict[Any, list[float | None]] = {}
    for row, counts in [*found.rows.items(), (None, whole.rows[()])]:
        rows[row] = [
            _sum(found.times, counts, at + step - window - ago, at + step - ago) for at in times
        ]
    return rows


def _sum(times: list[float], counts: list[float | None], start: float, end: float) -> float | None:
    from bisect import bisect_left

    part = counts[bisect_left(times, start - 30.0) : bisect_left(times, end - 30.0)]
    known = [count for count in part if count is not None]
    return sum(known) if known else None


def _at(windows: dict[Any, list[float | None]], row: Row, place: int) -> float | None:
    """The count of a row; 0 where something is known and nothing of it."""
    if windows[None][place] is None:
        return None
    values = windows.get(row)
    return (values[place] if values else None) or 0.0


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
        series = query(history, metric, now - long, now, inf, by=by)
        for row, found in series.rows.items():
            if found[0] is not None:
                values[metric, row] = found[0]
    return values
