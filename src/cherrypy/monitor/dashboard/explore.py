"""Explore: the page of all metrics, and that of one of them, asked in any way."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from ..history.query import labels_of
from ..metrics import METRICS, Metric
from ..table import GROUPS, metrics_of
from . import drawings, units
from .asked import Answer, Asked, see
from .boards import EXPLORE
from .charts import Drawn, draw, heat
from .data import Span
from .markup import Markup, address, empty, head, join, link, number, table, tag
from .moments import when
from .pages import figure, page, section
from .questions import (
    ANY,
    SHORTEST,
    WORDS,
    Question,
    chart_of,
    ends,
    question_of,
    span_of,
    stats_of,
)

if TYPE_CHECKING:
    from .front import Front

#: Values of a label to choose from.
MOST_VALUES = 500
#: Characters of a search.
MOST_SOUGHT = 100

#: What a form leaves out when it is sent with nothing in it.
_IDLE = ("q", "stat", "by", "before", "from", "to", "range")


def explore(front: Front, asked: Asked) -> Answer:
    """All metrics, or the one that was asked for."""
    if not asked.params.get("metric"):
        return Answer(page(front, asked, EXPLORE, _list(front, asked)).encode())
    question, span = question_of(asked), span_of(front.data, asked)
    if any(_untidy(name, value) for name, value in asked.params.items()):
        # What a form has sent, as an address to pass on.
        return see(question.address(asked.base + asked.path, *ends(span)))
    body = _one(front, asked, question, span)
    board = EXPLORE._replace(lead=prose(question.metric.help))
    title = tag("code", question.metric.name)
    return Answer(page(front, asked, board, body, span, title).encode("utf-8", "replace"))


def _untidy(name: str, value: str) -> bool:
    return name.startswith("by.") or value == ANY or (value == "" and name in _IDLE)


# -- all of them -----------------------------------------------------------------------------------


def _list(front: Front, asked: Asked) -> Markup:
    sought = asked.params.get("q", "")[:MOST_SOUGHT]
    words = sought.lower().split()
    seen = series(front)
    chosen = asked.params.get("range")
    sections = []
    found = 0
    for module, heading in GROUPS:
        rows = []
        before = found
        for metric in metrics_of(module):
            fits = all(word in _text(metric) for word in words)
            found += fits
            rows.append(_row(asked, metric, seen.get(metric, 0), fits, chosen))
        name = module.__name__.rpartition(".")[2]
        heads = [tag("th", one, scope="col") for one in ("Metric", "Kind", "Unit")]
        inner = tag(
            "table",
            tag("caption", heading),
            tag("thead", tag("tr", *heads, head("series"))),
            tag("tbody", *rows),
            class_="metrics",
        )
        box = tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=heading)
        more = {"class_": "card", "id": f"g-{name}", "hidden": found == before}
        sections.append(tag("section", tag("h2", heading), box, **more))
    form = tag(
        "form",
        tag(
            "label",
            "Search ",
            tag("input", type="search", name="q", value=sought, maxlength=MOST_SOUGHT, id="sought"),
        ),
        tag("button", "Search", type="submit"),
        tag("span", f"{found} of {len(METRICS)} metrics", id="found", role="status"),
        role="search",
        method="get",
        action=asked.base + "/explore",
        class_="action",
    )
    none = empty(
        "No metric is called so.", "Words of its name, its labels or its sentence find it."
    )
    rest = tag("div", none, id="none", hidden=bool(found))
    return join((tag("div", form, class_="card"), *sections, rest))


def _text(metric: Metric) -> str:
    words = (metric.name, metric.kind, metric.unit, metric.help, *labels_of(metric))
    return " ".join(words).lower()


def _row(asked: Asked, metric: Metric, seen: int, fits: bool, chosen: str | None) -> Markup:
    to = address(asked.base + "/explore", metric=metric.name, range=chosen)
    labels = labels_of(metric)
    kind = metric.kind + (", derived" if metric.derived else "")
    told = number(units.whole(seen) if seen else units.NONE)
    if not metric.on and not metric.derived:
        told = number("off", title=_why_off(metric))
    return tag(
        "tr",
        tag(
            "th",
            link(to, tag("code", metric.name)),
            tag("span", prose(metric.help), class_="hint"),
            tag("span", *_codes(labels), class_="labels") if labels else None,
            tag("span", f"{kind} · {metric.unit}", class_="narrow", aria_hidden="true"),
            scope="row",
        ),
        tag("td", kind),
        tag("td", metric.unit),
        told,
        hidden=not fits,
    )


def prose(text: str) -> Markup:
    """Return a sentence with what stands between backticks as code."""
    parts = text.split("`")
    return join(tag("code", part) if index % 2 else part for index, part in enumerate(parts))


def _codes(labels: Iterable[str]) -> list[object]:
    return [part for label in labels for part in (tag("code", label), " ")]


def _why_off(metric: Metric) -> str:
    if metric.level > 1:
        return f"It is recorded with monitor.level = {metric.level}."
    return "monitor.level, .metrics.include or .metrics.exclude leave it out."


def series(front: Front) -> dict[Metric, int]:
    """Return how many series of each metric are known now."""
    latest = front.data.latest()
    found: dict[Metric, int] = {}
    if latest is not None:
        for kept in (latest.counts, latest.gauges, latest.spreads):
            for metric, _ in kept.copy():
                found[metric] = found.get(metric, 0) + 1
    return found


# -- one of them -----------------------------------------------------------------------------------


def _one(front: Front, asked: Asked, question: Question, span: Span) -> Markup:
    metric = question.metric
    kind = f"{metric.kind} (derived)" if metric.derived else metric.kind
    back = link(address(asked.base + "/explore", range=span.name), "All metrics")
    return join(
        (
            _form(front, asked, question, span, labels_of(metric)),
            _shown(front, asked, question, span),
            tag("p", f"{kind.capitalize()}, unit: {metric.unit} · ", back, class_="more"),
        )
    )


def _form(
    front: Front, asked: Asked, question: Question, span: Span, labels: tuple[str, ...]
) -> Markup:
    stats = stats_of(question.metric)
    chosen = [tag("option", WORDS[one], value=one, selected=one == question.stat) for one in stats]
    wanted = dict(question.where)
    ticks = [
        tag(
            "label",
            tag("input", type="checkbox", name=f"by.{one}", value="1", checked=one in question.by),
            " ",
            tag("code", one),
        )
        for one in labels
    ]
    filters = [_filter(front, question.metric, one, wanted.get(one), span) for one in labels]
    kept = [tag("input", type="hidden", name=name, value=value) for name, value in ends(span)]
    return tag(
        "form",
        tag("input", type="hidden", name="metric", value=question.metric.name),
        *kept,
        tag("label", "Show ", tag("select", *chosen, name="stat")),
        tag("fieldset", tag("legend", "A row for each"), *ticks) if ticks else None,
        tag("fieldset", tag("legend", "Only where"), *filters) if filters else None,
        tag(
            "label",
            tag("input", type="checkbox", name="before", value="1", checked=question.before),
            " the same time a day and a week ago, too",
        ),
        tag("button", "Show", type="submit"),
        method="get",
        action=asked.base + "/explore",
        class_="card asking",
    )


def _filter(front: Front, metric: Metric, label: str, wanted: str | None, span: Span) -> Markup:
    values = values_of(front, metric, label, span)
    if wanted is not None and wanted not in values:
        values = [wanted, *values]
    options = [tag("option", "any", value=ANY, selected=wanted is None)]
    options += [
        tag("option", value or "(none)", value=value, selected=value == wanted) for value in values
    ]
    return tag("label", tag("code", label), " is ", tag("select", *options, name=f"where.{label}"))


def values_of(front: Front, metric: Metric, label: str, span: Span) -> list[str]:
    """Return the values of a label that are known, of so many as can be chosen from."""
    history = front.data.history
    if history is None:
        return []
    if metric.derived:
        series = front.data.ask(metric.name, span.start, span.end, inf, by=(label,), stat="value")
        found = {row[0] for row in series.rows} if series is not None else set()
    else:
        place = labels_of(metric).index(label)
        known = history.names.of(metric).values()
        found = {str(values[place]) for values in known if len(values) > place}
    return sorted(found)[:MOST_VALUES]


def _shown(front: Front, asked: Asked, question: Question, span: Span) -> Markup:
    metric, stat = question.metric, question.stat
    if stat == "buckets":
        return _heat(question, span)
    drawn = draw(chart_of(question), span, front.data.marks(span))
    if drawn.empty:
        return tag("div", _nothing(front, question), data_live="charts")
    shown = figure(asked, EXPLORE, drawn, data_of(asked, question, span))
    parts = [tag("div", _steps(asked, question, span), shown, class_="charts", data_live="charts")]
    unseen = _unseen(question, span, drawn)
    parts.append(section(f"Step by step: {stat} of {metric.name}", unseen, _values(drawn)))
    return join(parts)


def data_of(asked: Asked, question: Question, span: Span) -> str:
    """Return where the API has the same, all its series."""
    more = [("from", f"{span.start:.0f}"), ("to", f"{span.end:.0f}"), ("step", span.step)]
    return question._replace(before=False).address(asked.base + "/api/series", *more)


def _nothing(front: Front, question: Question) -> Markup:
    metric = question.metric
    if front.data.history is None:
        return empty("There is no history.", "The log says why: search it for “monitor”.")
    if not metric.on and not metric.derived:
        return empty("This metric is off.", _why_off(metric))
    return empty(
        "Nothing of this was recorded in this time.",
        "Another range, or fewer conditions, may show some.",
    )


def _heat(question: Question, span: Span) -> Markup:
    metric = question.metric
    unit = metric.unit if not metric.unit.startswith("{") else ""
    cells = heat(span, metric.name, dict(question.where))
    picture = drawings.heat_map(cells, span, unit, "Values")
    return section(
        f"All values of {metric.name}",
        picture if picture is not None else empty("Nothing of this was recorded in this time."),
        name="heat",
        hint="Each column is a while, each row a size: the stronger the colour, the more values.",
    )


def _steps(asked: Asked, question: Question, span: Span) -> Markup:
    """Links to the time before and after."""
    path = asked.base + asked.path

    def moved(by: float) -> str:
        start, end = span.start + by, span.end + by
        return question.address(path, ("from", f"{start:.0f}"), ("to", f"{end:.0f}"))

    half = span.length / 4
    near = [("from", f"{span.start + half:.0f}"), ("to", f"{span.end - half:.0f}")]
    parts = [link(moved(-span.length), "← Earlier")]
    if span.end + span.step < span.now:
        parts.append(link(moved(span.length), "Later →"))
    if span.length > 4 * SHORTEST:
        parts.append(link(question.address(path, *near), "Closer"))
    form = "moment" if span.length <= 900 else "long"
    said = tag("span", when(span.start, form), " – ", when(span.end, form))
    return tag("p", said, *parts, class_="steps wide")


def _unseen(question: Question, span: Span, drawn: Drawn) -> Markup | None:
    """Say what of many series is not in the chart."""
    if not question.by:
        return None
    rows = span.rows(question.metric.name, question.stat, question.by, dict(question.where))
    shown = sum(1 for row in drawn.rows if not row.ghost)
    if len(rows) <= shown:
        return None
    known = units.whole(len(rows))
    words = f"The chart shows the greatest of {known} series; CSV and JSON have more of them."
    return tag("p", words, class_="hint")


def _values(drawn: Drawn) -> Markup:
    """All that the chart shows, as a table: the last first."""
    unit = drawn.chart.unit
    times = drawn.span.times
    rows = [
        [when(times[index], "moment")]
        + [number(units.show(row.values[index], unit)) for row in drawn.rows]
        for index in range(len(times) - 1, -1, -1)
        if any(row.values[index] is not None for row in drawn.rows)
    ]
    heads = ["Time", *[head(row.label) for row in drawn.rows]]
    return tag(
        "details",
        tag("summary", f"{len(rows)} steps of {units.seconds(drawn.span.step)}"),
        table(heads, rows, caption=drawn.chart.title),
        class_="numbers",
        data_key="values",
    )
