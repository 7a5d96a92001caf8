"""Questions: what is asked about one metric, in words that stand in an address and can be passed on."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from ..history.query import STATS, check, check_stat, labels_of, metric_of, together_by
from ..metrics import COUNTER, GAUGE, HISTOGRAM, METRICS, Metric
from .asked import Refusal
from .boards import EXPLORE, Board
from .charts import CLASSES, LEVELS, Chart, Row, line, split
from .data import Data, Span, Wanted, Where

if TYPE_CHECKING:
    from .asked import Asked

#: What a metric is asked for if nothing is said.
USUAL = {COUNTER: "rate", GAUGE: "value", HISTOGRAM: "p95"}

#: Each figure in words.
WORDS = {
    "rate": "per second",
    "delta": "count in each step",
    "value": "mean of each step",
    "max": "greatest of each step",
    "min": "least of each step",
    "sum": "sum per second",
    "mean": "mean",
    "p50": "median (p50)",
    "p90": "p90: a tenth is above",
    "p95": "p95: a twentieth is above",
    "p99": "p99: a hundredth is above",
    "p999": "p99.9: a thousandth is above",
    "buckets": "heat map of all values",
}
#: Figures of which those of several series together are the sum.
ADDED = ("rate", "delta", "sum")
#: The longest stretch of time, in seconds, and the shortest.
LONGEST, SHORTEST = 20 * 365 * 86400.0, 10.0
#: What a form sends for 'any value'; an empty value is one, too.
ANY = "*"

_TONES = {"class": CLASSES, "level": LEVELS}


class Question(NamedTuple):
    """What is asked about a metric.

    stat
        One of the figures of its kind.
    by
        Labels of which each value has a row of its own.
    where
        Labels that must have a value, with these.
    before
        Whether the same time of the day and of the week before are laid over it.
    """

    metric: Metric
    stat: str
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    before: bool = False

    def params(self) -> list[tuple[str, str]]:
        """Return it as the parameters of a page, in one order always."""
        found = [("metric", self.metric.name), ("stat", self.stat)]
        if self.by:
            found.append(("by", ",".join(self.by)))
        found += [(f"where.{label}", value) for label, value in self.where]
        return [*found, ("before", "1")] if self.before else found

    def address(self, path: str, *more: tuple[str, Any]) -> str:
        """Return where it is answered, with more parameters behind its own."""
        said = [(name, value) for name, value in more if value not in (None, "")]
        return f"{path}?{urlencode([*self.params(), *said])}"


def question_of(asked: Asked) -> Question:
    """Return what the parameters ask. Raises Refusal for names that there are not."""
    params = asked.params
    try:
        metric = metric_of(params.get("metric", ""))
    except ValueError as error:
        raise Refusal("404 Not Found", str(error)) from None
    stat = params.get("stat") or USUAL[metric.kind]
    ticked = [name[3:] for name in params if name.startswith("by.")]
    by = [name for name in params.get("by", "").split(",") if name]
    where = {
        name[6:]: value
        for name, value in params.items()
        if name.startswith("where.") and value != ANY
    }
    by = list(dict.fromkeys([*by, *ticked]))
    try:
        check_stat(metric, stat)
        check(metric, (*by, *where))
    except ValueError as error:
        raise Refusal("400 Bad Request", str(error)) from None
    order = labels_of(metric)
    return Question(
        metric,
        stat,
        tuple(name for name in order if name in by) if stat != "buckets" else (),
        tuple((name, where[name]) for name in order if name in where),
        params.get("before") == "1" and stat != "buckets",
    )


def unit_of(metric: Metric, stat: str) -> str:
    """Return the unit of a figure of a metric, as `units.show` knows it."""
    unit = metric.unit
    if unit.startswith("{"):
        unit = unit.partition("}")[2]  # '{request}/min' is '/min'
    elif unit in ("1", "ratio", "score 0-1"):
        unit = ""
    if metric.kind == HISTOGRAM and stat in ("rate", "delta", "buckets"):
        unit = ""  # it is values that are counted
    return f"{unit}/s" if stat in ("rate", "sum") else unit


def chart_of(question: Question) -> Chart:
    """Return the chart that answers a question."""
    metric, stat, by, where = question.metric, question.stat, question.by, dict(question.where)
    added = stat in ADDED or (metric.kind == GAUGE and together_by(metric) == "sum")
    if by:
        tones = _TONES.get(by[0]) if len(by) == 1 else None
        source = split(metric.name, by, stat, where=where, added=added, tones=tones)
    else:
        source = line(WORDS[stat].partition(" (")[0], metric.name, stat, where=where)

    def rows(span: Span) -> list[Row]:
        with span.data.turn(Wanted(metric, span.start, span.end, span.step, by, where)):
            return source(span)

    words = stat if not by else f"{stat} by {', '.join(by)}"
    if where:
        words += " where " + ", ".join(
            f"{name} is {value or '(none)'}" for name, value in where.items()
        )
    return Chart(
        "metric",
        f"{metric.name}: {words}",
        unit_of(metric, stat),
        rows,
        kind="stack" if by and added else "lines",
        overlay=question.before,
        wide=True,
    )


def stats_of(metric: Metric) -> tuple[str, ...]:
    """Return the figures that a metric can be asked for."""
    return STATS[metric.kind]


def board_of(asked: Asked) -> Board:
    """Return the board whose only chart answers what is asked. Raises Refusal."""
    question = question_of(asked)
    if question.stat == "buckets":
        raise Refusal("400 Bad Request", "A heat map has no rows: ask /api/series for its buckets.")
    return EXPLORE._replace(charts=(chart_of(question),))


# -- the stretch of time ---------------------------------------------------------------------------


def span_of(data: Data, asked: Asked) -> Span:
    """Return the range that was chosen, or what lies between `from` and `to`. Raises Refusal."""
    if not asked.params.get("from") and not asked.params.get("to"):
        return data.span(asked)
    end = asked.number("to", time.time(), 0, 1e11)
    start = asked.number("from", max(0.0, end - 3600), 0, 1e11)
    if not SHORTEST <= end - start <= LONGEST:
        words = "from must be 10 seconds to 20 years before to, both in seconds since 1970."
        raise Refusal("400 Bad Request", words)
    return Span.between(data, start, end)


def ends(span: Span) -> list[tuple[str, Any]]:
    """Return what says in an address which stretch of time is shown."""
    if span.name:
        return [("range", span.name)]
    return [("from", f"{span.start:.0f}"), ("to", f"{span.end:.0f}")]


# -- the questions behind the charts of other pages ------------------------------------------------


class Heard(Span):
    """A span that knows nothing, and remembers what it was asked for."""

    def __init__(self, where: Where | None = None) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...], Where]] = []
        self.where = where or {}
        self.times = [0.0]

    def rows(
        self,
        metric: str,
        stat: str = "rate",
        by: tuple[str, ...] = (),
        where: Where | None = None,
    ) -> dict[tuple[str, ...], list[Any]]:
        """Remember what was asked."""
        self.asked.append((metric, stat, by, {**self._known(metric), **(where or {})}))
        return {by: [1.0]}  # so that what follows is asked for as well


@cache
def _heard(chart: Chart, about: tuple[str, ...]) -> tuple[Any, ...]:
    span = Heard(dict.fromkeys(about, ""))
    chart.source(span)
    return tuple(span.asked)


def questions(chart: Chart, about: Where) -> list[Question]:
    """Return what a chart of another page asks, each metric once.

    about
        Labels that all of the page is about.
    """
    found: dict[str, Question] = {}
    for name, stat, by, where in _heard(chart, tuple(about)):
        metric = METRICS[name]
        fixed = {label: about.get(label, value) for label, value in where.items()}
        known = tuple((label, fixed[label]) for label in labels_of(metric) if label in fixed)
        found.setdefault(name, Question(metric, stat, by, known, chart.overlay))
    return list(found.values())
