"""Judging: whether a condition holds, by what the history knows."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from ..metrics import GAUGE, Metric
from .grammar import OPERATORS, Condition

Row = tuple[str, ...]


class Reading(NamedTuple):
    """What one row of a condition has come to.

    row
        The values of the condition's labels.
    value, limit
        What it is, and what it is compared with; None where that is not known.
    holds, stays
        Whether it begins to be bad, and whether it goes on to be, if it was.
    """

    row: Row
    value: float | None
    limit: float | None
    holds: bool
    stays: bool


def judge(condition: Condition, history: Any, now: float) -> list[Reading]:
    """Return what each row of a condition has come to; rows of which nothing is known are not there."""
    if condition.absent:
        return [_absent(condition, history, now)]
    if condition.allowed is not None:
        return _budget(condition, history, now)
    readings = []
    before: dict[Row, float] = {}
    if condition.ago is not None:
        before = _values(condition, history, now - condition.ago, condition.over[0])
    for row, value in _values(condition, history, now, condition.over[0]).items():
        limit: float | None = condition.limit
        if condition.ago is not None:
            past = before.get(row)
            limit = None if past is None else condition.limit * past
        readings.append(_read(condition, row, value, limit))
    return readings


def _read(condition: Condition, row: Row, value: float, limit: float | None) -> Reading:
    if limit is None:
        return Reading(row, value, None, False, False)
    holds = OPERATORS[condition.operator](value, limit)
    if condition.least is not None and value < condition.least:
        holds = False
    stays = holds
    if condition.until is not None:
        operator, back = condition.until
        stays = not OPERATORS[operator](value, back)
    return Reading(row, value, limit, holds, stays)


def _absent(condition: Condition, history: Any, now: float) -> Reading:
    """Nothing is known, or nothing has been counted."""
    counts = condition.metric.kind != GAUGE
    found = _query(
        condition,
        history,
        now,
        condition.over[0],
        condition.metric,
        condition.where,
        "delta" if counts else condition.stat,
    )
    value = found.get(())
    gone = value is None or (counts and value == 0.0)
    return Reading((), value, None, gone, gone)


def _budget(condition: Condition, history: Any, now: float) -> list[Reading]:
    """How many times faster than allowed errors come: in each window they must be above the limit."""
    assert condition.allowed is not None
    windows = [_values(condition, history, now, over) for over in condition.over]
    readings = []
    for row in windows[0]:
        burns = [window[row] / condition.allowed for window in windows if row in window]
        if len(burns) == len(windows):
            readings.append(_read(condition, row, min(burns), condition.limit))
    return readings


def _values(condition: Condition, history: Any, now: float, over: float) -> dict[Row, float]:
    """What is known of each row in the window that ends at `now`."""
    values = _query(
        condition, history, now, over, condition.metric, condition.where, condition.stat
    )
    if condition.divisor is not None:
        metric, where = condition.divisor
        below = _query(condition, history, now, over, metric, where, condition.stat)
        return {row: value / below[row] for row, value in values.items() if below.get(row)}
    return values


def _query(
    condition: Condition,
    history: Any,
    now: float,
    over: float,
    metric: Metric,
    where: dict[str, str],
    stat: str,
) -> dict[Row, float]:
    found = history.query(
        metric.name, now - over, now, inf, by=condition.by, where=where, stat=stat
    )
    # Where nothing so short is kept, the window was longer.
    share = over / found.step if stat == "delta" else 1.0
    return {row: values[0] * share for row, values in found.rows.items() if values[0] is not None}
