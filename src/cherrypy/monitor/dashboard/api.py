"""The API: everything the pages show, as JSON, and any series as CSV."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING, Any

from ..metrics import METRICS
from .asked import Answer, Asked, Refusal, as_json
from .boards import BOARDS, EXPLORE, ROUTE, Board
from .charts import Drawn, draw
from .data import Span, Wanted
from .questions import USUAL, span_of
from .questions import board_of as board_of_one
from .ranking import ORDERS, standings

if TYPE_CHECKING:
    from .front import Front

#: Steps that one answer has at most, and rows.
MOST_STEPS = 3000
MOST_ROWS = 1000
#: Seconds for which a board is kept.
KEPT = 60.0


def series(front: Front, asked: Asked) -> Answer:
    """Any metric: ?metric=&range=&from=&to=&step=&stat=&by=&where.LABEL=&format=json|csv."""
    params = asked.params
    metric = METRICS.get(params.get("metric", ""))
    if metric is None:
        raise Refusal("404 Not Found", "metric must be one that /api/metrics lists.")
    now = time.time()
    end = asked.number("to", now, 0, 1e11)
    start = asked.number("from", end - front.data.length(asked), 0, 1e11)
    if not start < end:
        raise Refusal("400 Bad Request", "from must be before to.")
    step = asked.number("step", 0.0, 0.1, 1e9) or None
    if step is not None and (end - start) / step > MOST_STEPS:
        raise Refusal("400 Bad Request", f"That would be more than {MOST_STEPS} steps.")
    stat = params.get("stat", USUAL[metric.kind])
    by = tuple(name for name in params.get("by", "").split(",") if name)
    where = {key[6:]: value for key, value in params.items() if key.startswith("where.")}
    as_text = wants_csv(asked)
    if as_text and stat == "buckets":
        raise Refusal("400 Bad Request", "Buckets do not fit into CSV: ask for JSON.")
    found = None
    if front.data.history is not None:
        try:
            with front.data.turn(Wanted(metric, start, end, step, by, where)):
                found = front.data.history.query(
                    metric.name, start, end, step, by=by, where=where, stat=stat
                )
        except ValueError as error:
            raise Refusal("400 Bad Request", str(error)) from None
    times = list(found.times) if found is not None else []
    rows = dict(list(found.rows.items())[:MOST_ROWS]) if found is not None else {}
    if as_text:
        heads = [" ".join(map(str, key)) or metric.name for key in rows]
        return as_csv(metric.name, times, heads, list(rows.values()))
    return as_json(
        {
            "metric": metric.name,
            "unit": metric.unit,
            "stat": stat,
            "by": by,
            "times": times,
            "rows": [{"labels": list(key), "values": list(row)} for key, row in rows.items()],
            "left_out": len(found.rows) - len(rows) if found is not None else 0,
        }
    )


def wants_csv(asked: Asked) -> bool:
    """Whether CSV is asked for, rather than JSON. Raises Refusal for anything else."""
    form = asked.params.get("format", "json")
    if form not in ("json", "csv"):
        raise Refusal("400 Bad Request", "format must be json or csv.")
    return form == "csv"


def as_csv(name: str, times: list[float], heads: list[str], rows: list[list[Any]]) -> Answer:
    """Return series as CSV: a line a step."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", *map(safe_cell, heads)])
    for index, at in enumerate(times):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        writer.writerow([stamp, *[row[index] if index < len(row) else None for row in rows]])
    kind = "text/csv; charset=utf-8"
    field = ("Content-Disposition", f'attachment; filename="{name}.csv"')
    return Answer(out.getvalue().encode(), kind, fields=(field,))


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def now(front: Front, asked: Asked) -> Answer:
    """The figures of the last seconds."""
    return as_json(front.live.now())


def metrics(front: Front, asked: Asked) -> Answer:
    """What there is to ask for."""
    return as_json(
        [
            {
                "name": one.name,
                "kind": one.kind,
                "unit": one.unit,
                "labels": one.labels,
                "level": one.level,
                "on": one.on,
                "derived": one.derived,
                "help": one.help,
            }
            for one in METRICS.values()
        ]
    )


def routes(front: Front, asked: Asked) -> Answer:
    """Every route of a range with its figures: ?range=&sort="""
    order = asked.params.get("sort", "share")
    if order not in ORDERS:
        raise Refusal("400 Bad Request", f"sort must be one of {', '.join(ORDERS)}.")
    return as_json([one.facts() for one in standings(front.data.span(asked), order)])


def errors(front: Front, asked: Asked) -> Answer:
    """Every kind of error."""
    return as_json(front.data.errors())


def slow(front: Front, asked: Asked) -> Answer:
    """The slow requests that were kept."""
    return as_json(front.data.slow())


def inflight(front: Front, asked: Asked) -> Answer:
    """The requests that are being served."""
    return as_json(front.data.inflight())


def statements(front: Front, asked: Asked) -> Answer:
    """The statements of databases that were kept, without their values."""
    return as_json(front.data.statements())


def marks(front: Front, asked: Asked) -> Answer:
    """What has happened: ?range= or ?from=&to="""
    span = span_of(front.data, asked)
    # A range ends with the last step that is over; what has happened since is asked for as well.
    return as_json(front.data.marks(span, max(span.end, span.now) if span.name else span.end))


def alerts(front: Front, asked: Asked) -> Answer:
    """The alerts that fire."""
    return as_json(front.data.alerts())


# -- charts of the pages ---------------------------------------------------------------------------


def board_of(asked: Asked) -> tuple[Board, dict[str, str]]:
    """Return the board that was asked for, and what all of it is about."""
    name = asked.params.get("board", "overview")
    if name == "route":
        return ROUTE, {"http.route": asked.params.get("route", "")}
    if name == EXPLORE.name:
        return board_of_one(asked), {}
    board = BOARDS.get("" if name == "overview" else name)
    if board is None:
        names = ", ".join(
            [
                "overview",
                "route",
                EXPLORE.name,
                *(one for one in BOARDS if one and BOARDS[one].charts),
            ]
        )
        raise Refusal("404 Not Found", f"board must be one of {names}.")
    return board, {}


def span_for(front: Front, asked: Asked, which: Board, where: dict[str, str]) -> Span:
    """Return the stretch of time that a board is asked for."""
    if which.name == EXPLORE.name:
        return span_of(front.data, asked)
    return front.data.span(asked, where)


def drawn(front: Front, board: Board, span: Span) -> list[Drawn]:
    """Return all charts of a board with their values."""

    def make(span: Span) -> list[Drawn]:
        marks = front.data.marks(span)
        return [draw(chart, span, marks) for chart in board.charts]

    if board.name == EXPLORE.name:
        return make(span)  # another chart for everybody who asks
    key = (board.name, span.name, span.end, tuple(span.where.items()))
    # Steps that are over do not change; what has happened may have been marked since.
    found: list[Drawn] = front.data.kept(key, span, min(span.step, KEPT), make)
    return found


def board(front: Front, asked: Asked) -> Answer:
    """All charts of a page: ?board=&range=&route=&metric=…"""
    which, where = board_of(asked)
    span = span_for(front, asked, which, where)
    return as_json(
        {
            "at": span.now,
            "range": span.name,
            "charts": [one.data() for one in drawn(front, which, span) if not one.empty],
        }
    )


def chart(front: Front, asked: Asked) -> Answer:
    """One chart of a page: ?board=&chart=&range=&route=&format=json|csv."""
    which, where = board_of(asked)
    wanted = asked.params.get("chart", "")
    found = next((one for one in which.charts if one.name == wanted), None)
    if found is None:
        names = ", ".join(one.name for one in which.charts) or "none: that board has no charts"
        raise Refusal("404 Not Found", f"chart must be one of {names}.")
    span = span_for(front, asked, which, where)
    values = draw(found, span, front.data.marks(span))
    if wants_csv(asked):
        rows = [row.values for row in values.rows]
        heads = [row.label for row in values.rows]
        return as_csv(f"{which.name or 'overview'}-{found.name}", span.times, heads, rows)
    return as_json(values.data())
