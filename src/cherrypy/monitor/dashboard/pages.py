"""Pages: the frame around a board, its charts and figures. All of it is made on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import drawings, units
from .asked import Asked
from .boards import BOARDS, Board
from .charts import Drawn, Row
from .data import RANGES, WORDS, Span
from .markup import Markup, address, empty, head, join, link, number, table, tag
from .moments import when
from .questions import Question, questions

if TYPE_CHECKING:
    from .front import Front

#: The figures that stand on top of each page: key, words, unit, the board that has more.
FIGURES = (
    ("rate", "Requests", "req/s", ""),
    ("errors", "Errors", "%", "errors"),
    ("p50", "Median", "s", "transactions"),
    ("p95", "p95", "s", "transactions"),
    ("apdex", "Apdex", "", ""),
    ("inflight", "In flight", "", "live"),
    ("cpu", "Processor", "%", "runtime"),
    ("memory", "Memory", "By", "runtime"),
)


def page(
    front: Front,
    asked: Asked,
    board: Board,
    body: Markup,
    span: Span | None = None,
    title: object = None,
) -> Markup:
    """Return a whole page.

    span
        What is shown, where a range can be chosen.
    title
        The heading, if it is not the board's own.
    """
    base = asked.base
    words = title or board.title
    opening = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="kirsch-token", content=front.guard.token())
        if asked.right == "act"
        else None,
        tag("title", f"{board.title} · {front.service}"),
        tag("link", rel="icon", type="image/svg+xml", href=front.static(base, "icon.svg")),
        tag("link", rel="stylesheet", href=front.static(base, "uplot.css")),
        tag("link", rel="stylesheet", href=front.static(base, "style.css")),
        tag("script", src=front.static(base, "theme.js")),
        tag("script", src=front.static(base, "uplot.js"), defer=True),
        tag("script", src=front.static(base, "main.js"), type="module"),
    )
    main = tag(
        "main",
        tag(
            "div",
            tag("div", tag("h1", words), tag("p", board.lead, class_="lead")),
            ranges(asked, span) if span is not None else None,
            class_="headline",
        ),
        body,
        id="main",
        tabindex="-1",
    )
    whole = tag(
        "html",
        opening,
        tag(
            "body",
            link("#main", "Skip to the content", class_="skip"),
            _header(front, asked),
            _navigation(asked, board),
            tag("div", figures(front, asked), main, _footer(front), class_="content"),
            data_base=base,
            data_board=board.name,
            data_refresh=refresh_of(front, board, span),
        ),
        lang="en",
    )
    return Markup("<!DOCTYPE html>" + whole)


def refresh_of(front: Front, board: Board, span: Span | None) -> float:
    """How many seconds after the last time a page asks for itself again; 0: never."""
    if span is not None:
        # What lies between two moments that were named stays as it is.
        return float(min(60, max(3, span.step // 2))) if span.name else 0.0
    if board.name == "profile":
        return 1.0 if front.profiles.running else 0.0
    return {"live": 1.0, "slow": 5.0}.get(board.name, 0.0)


def _header(front: Front, asked: Asked) -> Markup:
    out = (
        tag(
            "form",
            tag("button", "Log out", type="submit", class_="plain"),
            method="post",
            action=asked.base + "/logout",
        )
        if front.guard.tokens
        else None
    )
    return tag(
        "header",
        link(
            asked.base + "/",
            tag("img", src=front.static(asked.base, "icon.svg"), alt="", width=22, height=22),
            tag("strong", front.service),
            class_="brand",
        ),
        tag(
            "span",
            tag("span", class_="dot", aria_hidden="true"),
            tag("span", when(front.clock()), id="state"),
            class_="state",
        ),
        tag("p", class_="said", id="said", role="status", aria_live="polite"),
        tag("p", class_="spoken", id="spoken", aria_live="polite"),
        tag(
            "button",
            "Pause",
            type="button",
            id="pause",
            class_="plain needs-script",
            aria_pressed="false",
            title="Hold the page as it is",
        ),
        tag(
            "button",
            "Theme",
            type="button",
            id="theme",
            class_="plain needs-script",
            title="Light, dark, or as the system has it",
        ),
        out,
        class_="top",
    )


def _navigation(asked: Asked, board: Board) -> Markup:
    current = "transactions" if board.name == "route" else board.name
    chosen = asked.params.get("range")
    items = [
        tag(
            "li",
            link(
                address(f"{asked.base}/{one.name}", range=chosen if chosen in RANGES else None),
                one.title,
                aria_current="page" if one.name == current else None,
            ),
        )
        for one in BOARDS.values()
    ]
    return tag("nav", tag("ul", *items), aria_label="Pages")


def _footer(front: Front) -> Markup:
    known = front.data.known()
    said = f"A history of {units.seconds(known)}" if known else "No history yet"
    count = len(front.data.workers())
    of = f" · {count} processes" if count > 1 else ""
    zone = tag("span", "times are those of the server", id="zone")
    return tag("footer", tag("span", said, of, " · ", zone))


def ranges(asked: Asked, span: Span) -> Markup:
    """Return the ranges to choose from."""
    gone = ("range", "from", "to")
    others = {key: value for key, value in asked.params.items() if key not in gone}
    items = [
        link(
            address(asked.base + asked.path, **{**others, "range": name}),
            name.replace("m", " m").replace("h", " h").replace("d", " d"),
            aria_current="true" if name == span.name else None,
            aria_label=f"The last {WORDS[name]}",
        )
        for name in RANGES
    ]
    return tag("div", *items, class_="ranges", role="group", aria_label="Range of time")


# -- figures ---------------------------------------------------------------------------------------


def figures(front: Front, asked: Asked) -> Markup:
    """Return the figures of the present moment."""
    now = front.live.now()
    cells = [
        tag(
            "div",
            tag("dt", link(f"{asked.base}/{board}", words)),
            tag("dd", units.show(now.get(key), unit), data_figure=key, data_unit=unit),
            class_=f"figure {_mood(key, now.get(key))}".rstrip(),
        )
        for key, words, unit, board in FIGURES
    ]
    return tag("dl", *cells, class_="figures", aria_label="Now")


def _mood(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "errors":
        return "bad" if value >= 5 else "warn" if value >= 1 else ""
    if key == "apdex":
        return "bad" if value < 0.7 else "warn" if value < 0.85 else ""
    return ""


# -- charts ----------------------------------------------------------------------------------------


def charts(front: Front, asked: Asked, board: Board, drawn: list[Drawn]) -> Markup:
    """Return the charts of a board; those without data are named below, all in one place."""
    shown = [one for one in drawn if not one.empty]
    missing = [one for one in drawn if one.empty]
    # One that would stand alone in its row has all of it.
    narrow = [one for one in shown if not one.chart.wide]
    if len(narrow) % 2:
        alone = shown.index(narrow[-1])
        shown[alone] = shown[alone]._replace(chart=narrow[-1].chart._replace(wide=True))
    parts = [figure(asked, board, one) for one in shown]
    grid = tag("div", *parts, class_="charts", data_live="charts") if parts else None
    if not shown:
        grid = tag("div", nothing(front), data_live="charts")
    rest = None
    if missing and shown:
        names = ", ".join(one.chart.title for one in missing)
        rest = tag(
            "p", "Nothing recorded in this range for: ", names, ".", class_="missing", data_live="m"
        )
    return join((grid, rest))


def nothing(front: Front) -> Markup:
    """Return what stands in place of all charts: why there are none, and what to do."""
    if front.data.history is None:
        return empty("There is no history.", "The log says why: search it for “monitor”.")
    if front.data.known() < 20:
        return empty("The first figures come within seconds.", "This page shows them by itself.")
    return empty(
        "Nothing of this kind was recorded in this range.",
        "What is recorded is said by monitor.metrics.include and monitor.libraries.",
    )


def figure(asked: Asked, board: Board, drawn: Drawn, data: str = "") -> Markup:
    """Return one chart: its drawing, what its lines mean, and the figures behind it.

    data
        Where these are had, if not with the others of the board.
    """
    chart = drawn.chart
    name = chart.name
    more: list[Question] = []
    if not data:
        data = address(
            asked.base + "/api/chart",
            board=board.name or "overview",
            chart=name,
            range=drawn.span.name,
            route=drawn.span.where.get("http.route"),
        )
        more = questions(chart, drawn.span.where)
    span = ("range", drawn.span.name)
    links = [
        link(one.address(asked.base + "/explore", span), tag("code", one.metric.name))
        for one in more
    ]
    legend = tag(
        "ul",
        *[
            _legend(row, value, chart.unit)
            for row, value in zip(drawn.rows, drawings.lasts(drawn.rows), strict=True)
        ],
        class_="legend",
    )
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("h2", chart.title, id=f"h-{name}"),
            tag("span", chart.help, class_="hint") if chart.help else None,
        ),
        tag("div", drawings.chart(drawn), class_="plot", data_chart=name),
        legend,
        _numbers(drawn, data, links),
        link(
            more[0].address(asked.base + "/explore", span),
            "Explore",
            class_="explore",
            aria_label=f"Explore {chart.title}",
        )
        if more
        else None,
        class_="chart wide" if chart.wide else "chart",
        aria_labelledby=f"h-{name}",
        data_key=name,
    )


def _legend(row: Row, value: float | None, unit: str) -> Markup:
    return tag(
        "li",
        tag("span", class_=f"swatch tone-{row.tone}{' ghost' if row.ghost else ''}"),
        tag("span", row.label, class_="label"),
        tag("span", units.show(value, unit), class_="value"),
    )


def _numbers(drawn: Drawn, data: str, links: list[Markup]) -> Markup:
    unit = drawn.chart.unit
    rows = []
    for row, last in zip(drawn.rows, drawings.lasts(drawn.rows), strict=True):
        known = [value for value in row.values if value is not None]
        least, most = (min(known), max(known)) if known else (None, None)
        mean = sum(known) / len(known) if known else None
        shown = [units.show(value, unit) for value in (last, mean, least, most)]
        rows.append([row.label, *map(number, shown)])
    return tag(
        "details",
        tag("summary", "Numbers"),
        table(
            ["", head("last"), head("mean"), head("least"), head("most")],
            rows,
            caption=drawn.chart.title,
        ),
        _happened(drawn),
        tag("p", link(data + "&format=csv", "CSV"), " · ", link(data, "JSON"), class_="downloads"),
        tag("p", "Explore ", *between(links), class_="downloads") if links else None,
        class_="numbers",
        data_key=f"n-{drawn.chart.name}",
    )


def _happened(drawn: Drawn) -> Markup | None:
    """What has happened meanwhile: in the chart these are dashed verticals."""
    if not drawn.marks:
        return None
    rows = [
        tag("li", when(float(mark["at"]), "moment"), f" {mark['kind']}: {mark['text']}")
        for mark in drawn.marks[-20:]
    ]
    return tag("ul", *rows, class_="marks", aria_label="What happened")


def between(parts: list[Markup]) -> list[object]:
    """Return parts with commas between them."""
    found: list[object] = []
    for part in parts:
        found += [", ", part] if found else [part]
    return found


def section(title: object, *parts: object, name: str = "", hint: object = None) -> Markup:
    """Return a part of a page under a heading of its own; it is kept up to date if it has a name."""
    return tag(
        "section",
        tag("div", tag("h2", title), tag("span", hint, class_="hint") if hint else None),
        *parts,
        class_="card",
        data_live=name or None,
    )


def action(front: Front, asked: Asked, to: str, words: str, *fields: object, **more: Any) -> Markup:
    """Return a form that does something, for who may; else nothing."""
    if asked.right != "act":
        return Markup("")
    return tag(
        "form",
        tag("input", type="hidden", name="token", value=front.guard.token()),
        *fields,
        tag("button", words, type="submit"),
        method="post",
        action=asked.base + to,
        class_="action",
        **more,
    )
