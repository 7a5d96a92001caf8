"""Sections: what stands on a page besides its charts, mostly tables."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from . import drawings, units
from .asked import Asked
from .charts import heat, layer_name
from .data import Span
from .markup import Markup, address, empty, head, join, link, number, path, table, tag
from .moments import when
from .pages import action, section
from .ranking import ORDERS, Standing, parts_of, standings

if TYPE_CHECKING:
    from .front import Front

Entry = dict[str, Any]


def route_link(asked: Asked, route: object, span: Span | None = None) -> Markup:
    """Return a link to a route's page."""
    chosen = span.name if span is not None else asked.params.get("range")
    return link(address(asked.base + "/route", route=route, range=chosen), path(str(route)))


# -- overview --------------------------------------------------------------------------------------


def overview(front: Front, asked: Asked, span: Span) -> Markup:
    """Alerts, the routes that take most of the time, and the last errors."""
    ranked = standings(span)[:5]
    errors = front.data.errors()[:5]
    more = link(address(asked.base + "/transactions", range=span.name), "All transactions")
    return join(
        (
            _alerts(front),
            tag(
                "div",
                section(
                    "Where the time goes by route",
                    _ranked(asked, span, ranked) if ranked else _no_requests(front),
                    tag("p", more, class_="more") if ranked else None,
                    name="worst",
                ),
                section(
                    "Last errors",
                    _errors_short(front, asked, errors),
                    tag("p", link(asked.base + "/errors", "All errors"), class_="more")
                    if errors
                    else None,
                    name="errors",
                ),
                class_="pair",
            ),
        )
    )


def _alerts(front: Front) -> Markup:
    firing = front.data.alerts()
    if not firing:
        return tag("div", class_="alerts", data_live="alerts")
    now = front.clock()
    rows = [
        tag(
            "li",
            tag("strong", one["name"]),
            tag("span", one["text"]),
            tag("span", units.ago(one["since"], now), class_="when") if one["since"] else None,
            class_=f"alert {'bad' if one['severity'] == 'critical' else 'warn'}",
        )
        for one in firing
    ]
    return tag(
        "div",
        tag("ul", *rows),
        class_="alerts",
        data_live="alerts",
        role="region",
        aria_label="Alerts",
    )


def _no_requests(front: Front) -> Markup:
    return empty("No requests in this range.", "Ask the site for a page, and its route is here.")


def _ranked(asked: Asked, span: Span, ranked: list[Standing]) -> Markup:
    longest = max((one.total for one in ranked), default=0.0)
    rows = [
        [
            route_link(asked, one.route, span),
            number(units.show(one.share, "%")),
            number(units.show(one.rate, "")),
            number(units.show(one.p95, "s")),
            number(units.show(one.errors, "%"), data_mood=_bad(one.errors)),
            tag("td", drawings.bar(parts_of(one), longest), class_="bars"),
        ]
        for one in ranked
    ]
    heads = ["Route", head("time"), head("req/s"), head("p95"), head("errors"), "by layer"]
    return table(heads, rows, caption="Routes by time")


def _bad(share: float) -> str | None:
    return "bad" if share >= 5 else "warn" if share >= 1 else None


def _errors_short(front: Front, asked: Asked, errors: list[Entry]) -> Markup:
    if not errors:
        return empty("No errors.", "Exceptions of pages and 5xx answers would be here.")
    now = front.clock()
    rows = [
        [
            tag("code", str(entry.get("type", "")).rpartition(".")[2], title=entry.get("type")),
            route_link(asked, entry.get("route", "")),
            number(units.whole(entry.get("count"))),
            number(units.ago(float(entry.get("last") or 0), now)),
        ]
        for entry in errors
    ]
    return table(["Error", "Route", head("times"), head("last")], rows, caption="Last errors")


# -- transactions ----------------------------------------------------------------------------------

_HEADS = {
    "route": "Route",
    "requests": "requests",
    "errors": "errors",
    "p50": "median",
    "p95": "p95",
    "p99": "p99",
    "share": "time",
}


def transactions(front: Front, asked: Asked, span: Span) -> Markup:
    """All routes."""
    order = asked.params.get("sort", "share")
    order = order if order in ORDERS else "share"
    falling = asked.params.get("order", "" if order != "route" else "rising") != "rising"
    ranked = standings(span, order, falling)
    if not ranked:
        return section("Routes", _no_requests(front), name="routes")
    heads = [_sorter(asked, span, one, order, falling) for one in ORDERS]
    rows = [
        [
            route_link(asked, one.route, span),
            number(units.whole(one.requests), title=units.show(one.rate, "req/s")),
            number(units.show(one.errors, "%"), data_mood=_bad(one.errors)),
            number(units.show(one.p50, "s")),
            number(units.show(one.p95, "s")),
            number(units.show(one.p99, "s")),
            number(units.show(one.share, "%")),
            tag("td", drawings.bar(parts_of(one), one.total), class_="bars"),
        ]
        for one in ranked
    ]
    return section(
        "Routes",
        table([*heads, "a request, by layer"], rows, caption="Transactions by route"),
        _layer_key(ranked),
        name="routes",
        hint="A bar is an average request, divided into the layers of its time.",
    )


def _layer_key(ranked: list[Standing]) -> Markup:
    names = {tone: label.partition(" ")[0] for one in ranked for label, _, tone in parts_of(one)}
    return tag(
        "ul",
        *[
            tag("li", tag("span", class_=f"swatch tone-{tone}"), tag("span", name, class_="label"))
            for tone, name in sorted(names.items())
        ],
        class_="legend",
    )


def _sorter(asked: Asked, span: Span, name: str, order: str, falling: bool) -> Markup:
    turned = "rising" if order == name and falling else "falling"
    if name == "route" and order != "route":
        turned = "rising"
    to = address(asked.base + asked.path, range=span.name, sort=name, order=turned)
    sort = ("descending" if falling else "ascending") if order == name else None
    return tag(
        "th",
        link(to, _HEADS[name]),
        scope="col",
        aria_sort=sort,
        class_=None if name == "route" else "number",
    )


def route(front: Front, asked: Asked, span: Span) -> Markup:
    """What a route's page has below its charts."""
    name = span.where["http.route"]
    picture = drawings.heat_map(heat(span, "http.server.request.duration"), span)
    slow = [one for one in front.data.slow() if str(one.get("route")) == name]
    errors = [one for one in front.data.errors() if str(one.get("route")) == name]
    return join(
        (
            section(
                "Response times",
                picture if picture is not None else empty("No requests in this range."),
                name="heat",
                hint="Each column is a while, each row a time: the stronger the colour, the more requests.",
            ),
            section("Slow requests", _slow_table(asked, slow), name="slow"),
            section("Errors", *_error_list(front, asked, errors), name="errors"),
        )
    )


# -- errors ----------------------------------------------------------------------------------------


def errors(front: Front, asked: Asked, span: Span) -> Markup:
    """Every kind of error, with the last traceback."""
    return section(
        "By kind",
        *_error_list(front, asked, front.data.errors()),
        name="errors",
        hint=(
            "Since the processes have started, and of those that are gone. Values of variables are "
            "never kept."
        ),
    )


def _error_list(front: Front, asked: Asked, found: list[Entry]) -> list[Markup]:
    if not found:
        return [empty("No errors.", "Exceptions of pages and 5xx answers would be here.")]
    now = front.clock()
    return [_error(asked, entry, now) for entry in found[:100]]


def _error(asked: Asked, entry: Entry, now: float) -> Markup:
    last, first = float(entry.get("last") or 0), float(entry.get("first") or 0)
    key = hashlib.sha1(
        repr((entry.get("type"), entry.get("route"), entry.get("code"))).encode()
    ).hexdigest()[:12]
    return tag(
        "details",
        tag(
            "summary",
            tag("code", entry.get("type", ""), class_="type"),
            tag("span", entry.get("message", ""), class_="message"),
            tag("span", units.whole(entry.get("count")), " ×", class_="count"),
            tag("span", units.ago(last, now), class_="when"),
        ),
        tag(
            "dl",
            *_pairs(
                ("Route", route_link(asked, entry.get("route", ""))),
                ("Status", entry.get("code", "")),
                ("First", when(first, "moment")),
                ("Last", when(last, "moment")),
                ("Process", entry.get("worker", "")),
            ),
            class_="facts",
        ),
        ending(entry.get("traceback") or "No traceback was kept."),
        class_="error",
        data_key=f"e-{key}",
    )


def ending(text: str, words: str = "Traceback") -> Markup:
    """Return lines of which the last are the most telling: those are seen first."""
    code = tag("code", text)
    return tag("pre", code, tabindex="0", class_="ending", role="region", aria_label=words)


def _pairs(*pairs: tuple[str, object]) -> list[Markup]:
    return [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]


# -- slow requests ---------------------------------------------------------------------------------


def key_of(entry: Entry) -> str:
    """Return a name for a slow request."""
    facts = (entry.get("worker"), entry.get("at"), entry.get("route"), entry.get("duration"))
    return hashlib.sha1(repr(facts).encode()).hexdigest()[:16]


def slow(front: Front, asked: Asked) -> Markup:
    """All slow requests."""
    found = front.data.slow()
    wanted = asked.params.get("route")
    if wanted:
        found = [one for one in found if str(one.get("route")) == wanted]
    return section(
        "Kept requests",
        _slow_table(asked, found),
        name="slow",
        hint=(
            f"What took more than {units.seconds(_threshold(front))} or failed, and the slowest of "
            "each route."
        ),
    )


def _threshold(front: Front) -> float:
    return float(front.monitor.settings["slow_threshold"])


def _slow_table(asked: Asked, found: list[Entry]) -> Markup:
    if not found:
        return empty(
            "No slow requests were kept.", "What counts as slow says monitor.slow_threshold."
        )
    longest = max(float(one.get("duration") or 0) for one in found)
    rows = [
        [
            link(
                address(asked.base + "/slow/one", id=key_of(entry)),
                when(float(entry.get("at") or 0), "moment"),
            ),
            tag(
                "td",
                f"{entry.get('method', '')} ",
                route_link(asked, entry.get("route", "")),
                class_="request",
            ),
            number(entry.get("status", ""), data_mood=_failed(entry)),
            number(units.show(entry.get("duration"), "s")),
            tag("td", _entry_bar(entry, longest), class_="bars"),
        ]
        for entry in found[:100]
    ]
    heads = ["When", "Request", head("status"), head("took"), "by layer"]
    return table(heads, rows, caption="Slow requests")


def _failed(entry: Entry) -> str | None:
    return "bad" if str(entry.get("status", "")).startswith("5") else None


def _entry_bar(entry: Entry, longest: float) -> Markup:
    layers = entry.get("layers") or {}
    parts = [
        (f"{layer_name(name)} {units.seconds(float(took))}", float(took), f"l-{name}")
        for name, took in layers.items()
        if took
    ]
    return drawings.bar(parts, longest)


def slow_one(front: Front, asked: Asked) -> Markup | None:
    """One slow request; None if it is not kept any more."""
    from .waterfalls import waterfall

    wanted = asked.params.get("id", "")
    entry = next((one for one in front.data.slow() if key_of(one) == wanted), None)
    if entry is None:
        return None
    stack = entry.get("stack")
    layers = [
        [
            join((tag("span", class_=f"swatch tone-l-{name}"), f" {layer_name(name)}")),
            number(units.show(took, "s")),
            number(units.show(100 * took / max(1e-9, float(entry["duration"])), "%")),
        ]
        for name, took in (entry.get("layers") or {}).items()
        if took
    ]
    return join(
        (
            tag(
                "dl",
                *_pairs(
                    ("Request", f"{entry.get('method', '')} {entry.get('route', '')}"),
                    ("Status", entry.get("status", "")),
                    ("When", when(float(entry.get("at") or 0), "moment")),
                    ("Took", units.show(entry.get("duration"), "s")),
                    ("Process", entry.get("worker", "")),
                ),
                class_="facts card",
            ),
            section(
                "Step by step",
                tag(
                    "div",
                    waterfall(entry),
                    class_="scroll",
                    tabindex="0",
                    role="region",
                    aria_label="Step by step",
                ),
            ),
            section(
                "By layer", table(["Layer", head("time"), head("share")], layers, caption="Layers")
            ),
            section("Where it was", ending(stack, "Stack")) if stack else None,
        )
    )


# -- live ------------------------------------------------------------------------------------------


def live(front: Front, asked: Asked) -> Markup:
    """The requests in flight."""
    found = front.data.inflight()
    if not found:
        table_ = empty("Nothing is being served right now.", "Requests appear while they last.")
    else:
        rows = [
            [
                tag("code", entry.get("path") or entry.get("route", "")),
                str(entry.get("route", "")),
                number(units.show(entry.get("age"), "s")),
                layer_name(str(entry.get("phase", ""))),
                tag("td", f"{entry.get('thread', '')} ({entry.get('worker', '')})", class_="whole"),
                action(
                    front,
                    asked,
                    "/live/stack",
                    "Stack",
                    tag("input", type="hidden", name="ident", value=entry.get("ident", "")),
                    tag("input", type="hidden", name="worker", value=entry.get("worker", "")),
                    data_into="stack",
                ),
            ]
            for entry in found[:200]
        ]
        heads = ["Path", "Route", head("for"), "Phase", "Thread", "Look"]
        table_ = table(heads, rows, caption="Requests in flight")
    return section("In flight", table_, name="inflight", hint=_many(len(found)))


def _many(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def stack_card(words: object, stack: str) -> Markup:
    """Return the stack of a thread."""
    return section(words, ending(stack, "Stack"))
