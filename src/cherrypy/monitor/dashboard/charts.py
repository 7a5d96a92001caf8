"""Charts: what is drawn, as rows of values over a span; where it is drawn is the business of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ..traces import LAYERS
from .data import BEFORE, Span, Values, Where

#: The tones of rows that mean nothing by themselves; the style sheet has a colour for each.
TONES = tuple(f"c{number}" for number in range(1, 9))
REST = "rest"
#: Rows of one chart: what comes after them is added up as one.
MOST_ROWS = 8

CLASSES = {"1xx": "quiet", "2xx": "good", "3xx": "info", "4xx": "warn", "5xx": "bad"}
LEVELS = {
    "critical": "dire",
    "error": "bad",
    "warning": "warn",
    "info": "info",
    "debug": "quiet",
}


def layer_name(layer: str) -> str:
    """What a layer is called on the pages."""
    return "framework" if layer == "wsgi" else layer


class Row(NamedTuple):
    """One line of a chart.

    tone
        The name of its colour.
    ghost
        It is laid over the others to compare with: thin, and in no sum.
    """

    label: str
    values: Values
    tone: str = "c1"
    ghost: bool = False


Source = Callable[[Span], list[Row]]


class Chart(NamedTuple):
    """A chart of a page.

    name
        By which its data is asked for, together with the page's.
    kind
        'lines', 'stack' or 'band' (the first row to the last, filled between).
    overlay
        Whether the same time of the day and of the week before are laid over it.
    top
        The least that the axis reaches to.
    """

    name: str
    title: str
    unit: str
    source: Source
    kind: str = "lines"
    overlay: bool = False
    help: str = ""
    top: float = 0.0
    wide: bool = False


class Drawn(NamedTuple):
    """A chart with its values."""

    chart: Chart
    span: Span
    rows: list[Row]
    marks: list[dict[str, Any]]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(value is not None for row in self.rows for value in row.values)

    def data(self) -> dict[str, Any]:
        """Return all of it for the script that draws it."""
        return {
            "name": self.chart.name,
            "title": self.chart.title,
            "unit": self.chart.unit,
            "kind": self.chart.kind,
            "top": self.chart.top,
            "step": self.span.step,
            "times": self.span.times,
            "rows": [
                {
                    "label": row.label,
                    "tone": row.tone,
                    "ghost": row.ghost,
                    "values": [None if value is None else _short(value) for value in row.values],
                }
                for row in self.rows
            ],
            "marks": self.marks,
        }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def draw(chart: Chart, span: Span, marks: list[dict[str, Any]] | None = None) -> Drawn:
    """Ask for a chart's values."""
    rows = chart.source(span)
    if chart.overlay and rows:
        alone = len(rows) == 1
        for tone, (words, seconds) in zip(("p1", "p2"), BEFORE.items(), strict=True):
            before = chart.source(span.earlier(seconds))
            if chart.kind == "stack":
                before = [Row("all", _sum([row.values for row in before]), "c1")] if before else []
            elif chart.kind == "band":
                before = before[1:2]  # the middle one: three more would be none
            for row in before[:1]:
                if any(value is not None for value in row.values):
                    label = words if alone or row.label == "all" else f"{row.label}, {words}"
                    rows.append(Row(label, row.values, tone, True))
    return Drawn(chart, span, rows, marks or [])


def _sum(rows: list[Values]) -> Values:
    return [
        sum(value for value in column if value is not None)
        if any(value is not None for value in column)
        else None
        for column in zip(*rows, strict=True)
    ]


def scaled(values: Values, factor: float) -> Values:
    """Return values times a factor."""
    return [None if value is None else value * factor for value in values]


def divided(above: Values, below: Values, factor: float = 1.0) -> Values:
    """Return quotients, None where there is nothing to divide by."""
    return [
        None if not under or over is None else over / under * factor
        for over, under in zip(above, below, strict=True)
    ]


# -- sources -------------------------------------------------------------------------------------


def line(
    label: str,
    metric: str,
    stat: str = "rate",
    *,
    where: Where | None = None,
    tone: str = "c1",
    factor: float = 1.0,
) -> Source:
    """A metric, all its series together."""

    def rows(span: Span) -> list[Row]:
        values = span.row(metric, stat, where)
        return [] if values is None else [Row(label, scaled(values, factor), tone)]

    return rows


def lines(*sources: Source) -> Source:
    """Several of these in one chart."""

    def rows(span: Span) -> list[Row]:
        return [row for source in sources for row in source(span)]

    return rows


def split(
    metric: str,
    by: tuple[str, ...] | str,
    stat: str = "rate",
    *,
    where: Where | None = None,
    tones: dict[str, str] | None = None,
    factor: float = 1.0,
    added: bool = True,
    prefix: str = "",
    only: str = "",
    tail: bool = False,
) -> Source:
    """A metric by the values of its labels: the greatest first, the rest as one.

    tones
        The colours of values that are known, in the order in which they are shown.
    added
        Whether series can be added up: those of quantiles cannot, and the rest is left out.
    only
        How the values begin that are shown.
    tail
        Whether of a value with dots what is behind the last one is enough, where that is of one alone:
        else two exceptions of different modules would have one name.
    """
    names = (by,) if isinstance(by, str) else by

    def rows(span: Span) -> list[Row]:
        found = span.rows(metric, stat, names, where)
        shown = [key for key in found if key[0].startswith(only)]
        short = Counter(_name(key, tail) for key in shown)
        made = [
            (
                prefix + _name(key, tail and short[_name(key, tail)] == 1),
                scaled(found[key], factor),
            )
            for key in shown
        ]
        if tones:
            order = {name: index for index, name in enumerate(tones)}
            made.sort(key=lambda one: (order.get(one[0], len(order)), one[0]))
            return [Row(label, values, tones.get(label, REST)) for label, values in made]
        made.sort(key=lambda one: (-_weight(one[1]), one[0]))
        result = [
            Row(label, values, tone)
            for (label, values), tone in zip(made[:MOST_ROWS], TONES)  # noqa: B905 fewer rows than tones
        ]
        if added and len(made) > MOST_ROWS:
            result.append(Row("others", _sum([values for _, values in made[MOST_ROWS:]]), REST))
        return result

    return rows


def _name(key: tuple[str, ...], tail: bool) -> str:
    parts = [part.rpartition(".")[2] if tail else part for part in key]
    return " ".join(part for part in parts if part) or "(none)"


def _weight(values: Values) -> float:
    return float(sum(abs(value) for value in values if value is not None))


def codes(metric: str, only: str = "", factor: float = 1.0) -> Source:
    """Responses by status code: the first of each class has its colour."""
    every = split(metric, "http.response.status_code", factor=factor, only=only)

    def rows(span: Span) -> list[Row]:
        taken: set[str] = set()
        result = []
        for row in every(span):
            tone = CLASSES.get(f"{row.label[:1]}xx", row.tone)
            result.append(row._replace(tone=row.tone if tone in taken else tone))
            taken.add(tone)
        return result

    return rows


def workers(label: str, metric: str, stat: str = "value", factor: float = 1.0) -> Source:
    """A metric of each process."""
    return split(metric, "worker", stat, factor=factor, added=False, prefix=label)


def within_lives(source: Source) -> Source:
    """Lines of processes, each from the beginning of its process to its end.

    Before and after, a counter is 0 as it is while nothing happens.
    """

    def rows(span: Span) -> list[Row]:
        there = span.rows("process.uptime", "value", ("worker",))
        result = []
        for row in source(span):
            lived = there.get((row.label,), [0.0] * len(row.values))
            values: Values = [
                None if alive is None else value
                for alive, value in zip(lived, row.values, strict=True)
            ]
            result.append(row._replace(values=values))
        return result

    return rows


def quantiles(metric: str, where: Where | None = None) -> Source:
    """The middle and the tail of a distribution."""

    def rows(span: Span) -> list[Row]:
        found = []
        for stat, tone in (("p50", "q1"), ("p95", "q2"), ("p99", "q3")):
            values = span.row(metric, stat, where)
            if values is not None:
                found.append(Row(stat, values, tone))
        return found

    return rows


def error_share(span: Span) -> list[Row]:
    """The share of requests that failed: by the fault of anybody, and by ours."""
    found = span.rows(
        "http.server.request.duration" if span.where else "cherrypy.responses",
        "rate",
        ("http.response.status_code",) if span.where else ("class",),
    )
    if not found:
        return []
    every = _sum(list(found.values()))
    result = []
    for label, heads, tone in (("4xx and 5xx", "45", "warn"), ("5xx", "5", "bad")):
        some = [values for key, values in found.items() if key[0][:1] in heads]
        # Where there were requests and none failed, the share is known to be 0.
        values = _sum(some) if some else [None] * len(every)
        values = [
            0.0 if value is None and total else value
            for value, total in zip(values, every, strict=True)
        ]
        result.append(Row(label, divided(values, every, 100.0), tone))
    return result


def apdex(span: Span) -> list[Row]:
    """How satisfied people are, from 0 to 1."""
    groups = span.rows("cherrypy.apdex.requests", "rate", ("group",))
    if not groups:
        return []
    every = _sum(list(groups.values()))
    nothing: Values = [0.0] * len(every)
    good = groups.get(("satisfied",), nothing)
    fair = groups.get(("tolerating",), nothing)
    score = [(one or 0.0) + (two or 0.0) / 2 for one, two in zip(good, fair, strict=True)]
    return [Row("Apdex", divided(score, every), "c1")]


def layers(span: Span) -> list[Row]:
    """Seconds of a request in each layer, on the average: they add up to its duration."""
    requests = span.row("http.server.request.duration", "rate")
    if requests is None:
        return []
    result = []
    for layer in LAYERS:
        metric = f"cherrypy.time.{layer}"
        if span.where and layer in ("frontend", "queue", "wsgi"):
            continue  # those are not counted by route
        values = span.row(metric, "sum")
        if values is not None and any(values):
            result.append(Row(layer_name(layer), divided(values, requests), f"l-{layer}"))
    return result


def hit_ratio(metric: str, label: str, hit: str, misses: tuple[str, ...]) -> Source:
    """The share of what was found."""

    def rows(span: Span) -> list[Row]:
        found = span.rows(metric, "rate", (label,))
        some = [values for key, values in found.items() if key[0] in (hit, *misses)]
        if not some:
            return []
        hits = found.get((hit,), [0.0] * len(span.times))
        hits = [value or 0.0 for value in hits]
        return [Row("hits", divided(hits, _sum(some), 100.0), "good")]

    return rows


def heat(span: Span, metric: str, where: Where | None = None) -> list[dict[float, int]]:
    """Return for each step how many values lay in each bucket, by its least value."""
    series = span.data.ask(
        metric,
        span.start,
        span.end,
        max(span.step, span.length / 72),
        where={**span._known(metric), **(where or {})},
        stat="buckets",
    )
    if series is None:
        return []
    rows = series.rows.get((), [])
    return [
        {float(low): int(count) for low, count in cells.items()} if cells else {} for cells in rows
    ]


# -- charts of which there are many ----------------------------------------------------------------


def latency(name: str, title: str, metric: str, **more: Any) -> Chart:
    """How long something took: the middle and the tail. `more` is the chart's."""
    return Chart(name, title, "s", quantiles(metric), kind="band", **more)


def stacked(
    name: str,
    title: str,
    unit: str,
    metric: str,
    by: tuple[str, ...] | str,
    stat: str = "rate",
    *,
    overlay: bool = False,
    help: str = "",
    wide: bool = False,
    **more: Any,
) -> Chart:
    """A metric by the values of its labels, on top of each other. `more` is that of `split`."""
    factor = 60.0 if unit == "/min" else 1.0
    source = split(metric, by, stat, factor=factor, **more)
    return Chart(name, title, unit, source, "stack", overlay, help, wide=wide)
