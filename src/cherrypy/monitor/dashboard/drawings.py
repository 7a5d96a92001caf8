"""Drawings: charts as SVG made on the server, for whoever has no script, and until it has loaded."""

from __future__ import annotations

from math import floor, log10

from . import moments, units
from .charts import Drawn, Row
from .data import Span, Values
from .markup import Markup, join, tag

WIDTH, HEIGHT = 600, 150
LEFT, BOTTOM = 84, 22
#: Steps by which a row ends before others, if what it is of is no more.
ENDED = 3


def chart(drawn: Drawn) -> Markup:
    """Return a chart."""
    rows = [row for row in drawn.rows if not row.ghost]
    ghosts = [row for row in drawn.rows if row.ghost]
    stacked = _stacked(rows) if drawn.chart.kind == "stack" else [row.values for row in rows]
    every = [value for values in stacked for value in values if value is not None]
    every += [value for row in ghosts for value in row.values if value is not None]
    top = max(drawn.chart.top, nice(max(every, default=0.0))) or usual_top(drawn.chart.unit)
    parts: list[Markup] = [_axes(drawn, top)]
    if drawn.chart.kind == "stack":
        below: Values = [0.0] * len(drawn.span.times)
        for row, values in zip(rows, stacked, strict=True):
            parts.append(_area(values, below, top, row.tone))
            below = [value or 0.0 for value in values]
    else:
        if drawn.chart.kind == "band" and len(stacked) > 1:
            parts.append(_area(stacked[-1], stacked[0], top, rows[0].tone, "band"))
        parts += [_path(values, top, row.tone) for row, values in zip(rows, stacked, strict=True)]
    parts += [_path(row.values, top, row.tone, "ghost") for row in ghosts]
    parts += _marks(drawn)
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=_words(drawn),
        class_="drawing",
    )


def nice(value: float) -> float:
    """Return the next figure above that people like to read, half of it as well; 0 for none."""
    if value <= 0:
        return 0.0
    power = 10.0 ** floor(log10(value))
    return float(next(one for one in (1, 2, 3, 4, 5, 6, 8, 10, 20) if one * power >= value) * power)


def usual_top(unit: str) -> float:
    """How far the axis of a chart reaches that shows nothing but zeros."""
    return {"s": 0.001, "By": 1000.0, "By/s": 1000.0}.get(unit, 1.0)


def _words(drawn: Drawn) -> str:
    values = lasts(drawn.rows)
    said = [
        f"{row.label} {units.show(value, drawn.chart.unit)}"
        for row, value in list(zip(drawn.rows, values, strict=True))[:6]
    ]
    return f"{drawn.chart.title}: " + ", ".join(said)


def lasts(rows: list[Row]) -> list[float | None]:
    """Return the last values that are known; None for a row that ended before the others did.

    `static/charts.js` says it alike.
    """
    ends = [_end(row) for row in rows]
    latest = max((end for row, end in zip(rows, ends, strict=True) if not row.ghost), default=-1)
    return [
        None if end < 0 or (not row.ghost and end < latest - ENDED) else row.values[end]
        for row, end in zip(rows, ends, strict=True)
    ]


def _end(row: Row) -> int:
    """Where the last value is, -1 for none."""
    places = range(len(row.values) - 1, -1, -1)
    return next((place for place in places if row.values[place] is not None), -1)


def _stacked(rows: list[Row]) -> list[Values]:
    """Each row on top of those before it; where none is known, nothing is."""
    result: list[Values] = []
    below: Values = [None] * len(rows[0].values) if rows else []
    for row in rows:
        below = [
            under if value is None else (under or 0.0) + value
            for under, value in zip(below, row.values, strict=True)
        ]
        result.append(below)
    return result


def _x(index: int, count: int) -> float:
    return round(LEFT + (WIDTH - LEFT - 4) * index / max(1, count - 1), 1)


def _y(value: float, top: float) -> float:
    return round((HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 14) * max(0.0, value) / top, 1)


def _runs(values: Values) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = []
    run: list[tuple[int, float]] = []
    for index, value in enumerate(values):
        if value is None:
            run = []
            continue
        if not run:
            runs.append(run)
        run.append((index, value))
    return runs


def _path(values: Values, top: float, tone: str, more: str = "") -> Markup:
    count = len(values)
    said = " ".join(
        "M"
        + "L".join(f"{_x(index, count)} {_y(value, top)}" for index, value in run)
        + ("h1" if len(run) == 1 else "")
        for run in _runs(values)
    )
    return tag("path", d=said, class_=f"line tone-{tone} {more}".rstrip())


def _area(values: Values, below: Values, top: float, tone: str, more: str = "") -> Markup:
    count = len(values)
    shapes = []
    for run in _runs(values):
        if len(run) == 1:  # it has no width of its own
            (index, value), low = run[0], below[run[0][0]] or 0.0
            shapes.append(f"M{_x(index, count)} {_y(value, top)}h2V{_y(low, top)}h-2Z")
            continue
        upper = "L".join(f"{_x(index, count)} {_y(value, top)}" for index, value in run)
        lower = "L".join(
            f"{_x(index, count)} {_y(below[index] or 0.0, top)}" for index, _ in reversed(run)
        )
        shapes.append(f"M{upper}L{lower}Z")
    return tag("path", d=" ".join(shapes), class_=f"area tone-{tone} {more}".rstrip())


def _axes(drawn: Drawn, top: float) -> Markup:
    unit, span = drawn.chart.unit, drawn.span
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        lines.append(tag("path", d=f"M{LEFT} {y}H{WIDTH - 4}", class_="grid"))
        lines.append(
            tag(
                "text",
                units.show(top * share, unit),
                x=LEFT - 5,
                y=y + 4,
                text_anchor="end",
            )
        )
    count = len(span.times)
    for index in (0, count // 2, count - 1):
        anchor = "start" if not index else "end" if index == count - 1 else "middle"
        lines.append(
            _tick(span, span.times[index], _x(index, count), HEIGHT - 3, anchor),
        )
    return join(lines)


def _tick(span: Span, at: float, x: float, y: float, anchor: str) -> Markup:
    form = "clock" if span.length <= 900 else "short" if span.length <= 86400 else "day"
    return tag(
        "text", moments.said(at, form), x=x, y=y, text_anchor=anchor, **moments.facts(at, form)
    )


def _marks(drawn: Drawn) -> list[Markup]:
    """What has happened, as verticals."""
    start, length = drawn.span.times[0], drawn.span.times[-1] - drawn.span.times[0]
    return [
        tag(
            "path",
            tag("title", f"{mark['kind']}: {mark['text']}"),
            d=f"M{_x(0, 2) + (_x(1, 2) - _x(0, 2)) * (mark['at'] - start) / length:.1f} 14V{HEIGHT - BOTTOM}",
            class_="mark",
        )
        for mark in drawn.marks
        if length and 0 <= mark["at"] - start <= length
    ]


# -- sparks and bars -------------------------------------------------------------------------------


def spark(values: Values, tone: str = "c1") -> Markup:
    """Return a line of the size of a word."""
    known = [value for value in values if value is not None]
    top = max([*known, 1e-9])
    count = len(values)
    said = " ".join(
        "M"
        + "L".join(
            f"{round(index * 100 / max(1, count - 1), 1)} {round(23 - 22 * value / top, 1)}"
            for index, value in run
        )
        for run in _runs(values)
    )
    path = tag("path", d=said, class_=f"line tone-{tone}")
    return tag(
        "svg",
        path,
        viewBox="0 0 100 24",
        preserveAspectRatio="none",
        class_="spark",
        aria_hidden="true",
    )


def bar(parts: list[tuple[str, float, str]], whole: float) -> Markup:
    """Return a bar of parts (label, size, tone), as wide as `whole` when they fill it."""
    shapes = []
    at = 0.0
    for label, size, tone in parts:
        width = 100 * size / whole if whole else 0.0
        if width < 0.2:
            continue
        shapes.append(
            tag(
                "rect",
                tag("title", label),
                x=round(at, 2),
                y=0,
                width=round(width, 2),
                height=10,
                class_=f"area tone-{tone}",
            )
        )
        at += width
    return tag(
        "svg",
        *shapes,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=", ".join(label for label, _, _ in parts),
    )


# -- heat maps -------------------------------------------------------------------------------------

HEAT_WIDTH, HEAT_HEIGHT, HEAT_LEFT = 1100, 240, 64
BANDS = 26  # rows of a heat map at most


def heat_map(
    cells: list[dict[float, int]], span: Span, unit: str = "s", words: str = "Response times"
) -> Markup | None:
    """Return how many values of a histogram were how large, over time; None if there were none."""
    lows = [low for column in cells for low in column if low > 0]
    if not lows:
        return None
    low, high = min(lows), max(lows) * 1.05
    bottom, top = log10(low), log10(max(high, low * 4))
    rows = min(BANDS, max(8, int((top - bottom) * 14)))
    grid = [_banded(column, bottom, top, rows) for column in cells]
    most = max(count for column in grid for count in column)
    width = (HEAT_WIDTH - HEAT_LEFT - 4) / len(cells)
    height = (HEAT_HEIGHT - BOTTOM - 6) / rows
    shapes = []
    form = "clock" if span.length <= 86400 else "long"
    for index, column in enumerate(grid):
        for band, count in enumerate(column):
            if not count:
                continue
            step = 1 + min(7, int(8 * log10(1 + 9 * count / most)))
            took = units.show(10 ** (bottom + (top - bottom) * (band + 0.5) / rows), unit)
            at = span.start + span.length * index / len(cells)
            told = f": {units.whole(count)} of about {took}"
            shapes.append(
                tag(
                    "rect",
                    tag(
                        "title",
                        moments.said(at, form) + told,
                        data_rest=told,
                        **moments.facts(at, form),
                    ),
                    x=round(HEAT_LEFT + width * index, 1),
                    y=round(HEAT_HEIGHT - BOTTOM - height * (band + 1), 1),
                    width=round(width + 0.1, 1),
                    height=round(height + 0.1, 1),
                    class_=f"heat h{step}",
                )
            )
    drawing = tag(
        "svg",
        *_heat_axes(bottom, top, span, unit),
        *shapes,
        viewBox=f"0 0 {HEAT_WIDTH} {HEAT_HEIGHT}",
        role="img",
        aria_label=f"{words} from {units.show(low, unit)} to {units.show(high, unit)}",
        class_="drawing heat-map",
    )
    return tag("div", drawing, class_="scroll", tabindex="0", role="region", aria_label=words)


def _banded(column: dict[float, int], bottom: float, top: float, rows: int) -> list[int]:
    bands = [0] * rows
    for low, count in column.items():
        place = (log10(low) - bottom) / (top - bottom) * rows if low > 0 else 0.0
        bands[min(rows - 1, max(0, int(place)))] += count
    return bands


def _heat_axes(bottom: float, top: float, span: Span, unit: str) -> list[Markup]:
    lines = []
    for power in range(int(bottom) - 1, int(top) + 2):
        for digit in (1, 3):
            place = log10(digit) + power
            if bottom <= place <= top:
                share = (place - bottom) / (top - bottom)
                y = round(HEAT_HEIGHT - BOTTOM - (HEAT_HEIGHT - BOTTOM - 6) * share, 1)
                words = units.show(digit * 10.0**power, unit)
                lines.append(tag("text", words, x=HEAT_LEFT - 5, y=y + 3, text_anchor="end"))
                lines.append(tag("path", d=f"M{HEAT_LEFT} {y}H{HEAT_WIDTH - 4}", class_="grid"))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = HEAT_LEFT + (HEAT_WIDTH - HEAT_LEFT - 4) * share
        at = span.start + span.length * share
        lines.append(_tick(span, at, round(x, 1), HEAT_HEIGHT - 3, anchor))
    return lines
