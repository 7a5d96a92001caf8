"""Rooms: the pages of the dashboard, each put together from its board, sections and frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..held import read as read_held
from ..loggers import LEVELS
from ..loggers import NONE as NO_LEVEL
from ..processes import asking
from ..processes.questions import Unanswered
from . import actions, api, sections, units
from .asked import Answer, Asked, Refusal, as_json, see
from .boards import BOARDS, ROUTE
from .data import Span
from .explore import explore
from .markup import Markup, address, empty, join, link, number, table, tag
from .moments import when
from .pages import action, between, charts, page, section

if TYPE_CHECKING:
    from .front import Front

Section = Callable[["Front", Asked, Span], Markup]


def _html(text: Markup, status: str = "200 OK") -> Answer:
    return Answer(text.encode("utf-8", "replace"), status=status)


def _board(name: str, below: Section | None = None, above: Section | None = None) -> Any:
    """A page of charts, with sections around them."""

    def room(front: Front, asked: Asked) -> Answer:
        board = BOARDS[name]
        span = front.data.span(asked)
        parts = [
            above(front, asked, span) if above is not None else None,
            charts(front, asked, board, api.drawn(front, board, span)) if board.charts else None,
            below(front, asked, span) if below is not None else None,
        ]
        return _html(page(front, asked, board, join(parts), span))

    return room


def route(front: Front, asked: Asked) -> Answer:
    """One route."""
    name = asked.params.get("route", "")
    span = front.data.span(asked, {"http.route": name})
    body = join(
        (
            charts(front, asked, ROUTE, api.drawn(front, ROUTE, span)),
            sections.route(front, asked, span),
        )
    )
    return _html(page(front, asked, ROUTE, body, span, tag("code", name)))


def slow(front: Front, asked: Asked) -> Answer:
    """The slow requests."""
    return _html(page(front, asked, BOARDS["slow"], sections.slow(front, asked)))


def slow_one(front: Front, asked: Asked) -> Answer:
    """One of them."""
    body = sections.slow_one(front, asked)
    if body is None:
        body = empty(
            "This request is not kept any more.", link(asked.base + "/slow", "All of them")
        )
        return _html(page(front, asked, BOARDS["slow"], body), "404 Not Found")
    return _html(page(front, asked, BOARDS["slow"], body, title="A slow request"))


def live(front: Front, asked: Asked) -> Answer:
    """The requests in flight."""
    body = join((tag("div", id="stack", aria_live="polite"), sections.live(front, asked)))
    return _html(page(front, asked, BOARDS["live"], body))


# -- profile ---------------------------------------------------------------------------------------


def profile(front: Front, asked: Asked) -> Answer:
    """Profiles: a form, those that are kept, and one of them."""
    kept = front.profiles.all()
    number_ = asked.params.get("id", "")
    chosen = front.profiles.get(int(number_)) if number_.isdecimal() and len(number_) < 9 else None
    if chosen is None and kept:
        chosen = kept[0]
    form = action(
        front,
        asked,
        "/profile/begin",
        "Profile",
        _labelled("Seconds", "seconds", "10", "0.5", "60", "0.5"),
        _labelled("Samples a second", "rate", "100", "1", "200", "1"),
        tag("label", tag("input", type="checkbox", name="idle"), " idle threads, too"),
        *_processes(front),
    )
    told = Markup("")
    if chosen is None:
        told = empty(
            "No profile yet.",
            "It looks at all threads of a process for a while and shows where they were. "
            "While none runs it costs nothing.",
        )
    else:
        told = _profile(asked, chosen)
    others = [
        link(f"{asked.base}/profile?id={one.number}", "of ", when(one.began))
        for one in kept
        if one is not chosen
    ]
    more = tag("p", "Others: ", *between(others), class_="more") if others else None
    body = join((section("Begin", form or "You may look, but not act."), told, more))
    return _html(page(front, asked, BOARDS["profile"], body))


def _processes(front: Front) -> list[Markup]:
    """A choice of processes, where there is more than one."""
    known = asking.others(front.monitor)
    if not known:
        return []
    mine = str(front.monitor.taker.worker)
    words = {asking.ALL: "all", mine: f"{mine} (this one)"}
    options = [tag("option", words.get(one, one), value=one) for one in (asking.ALL, mine, *known)]
    return [tag("label", "Process ", tag("select", *options, name="process"))]


def _labelled(words: str, name: str, value: str, low: str, high: str, step: str) -> Markup:
    field = tag(
        "input", type="number", name=name, value=value, min=low, max=high, step=step, required=True
    )
    return tag("label", words, " ", field)


def _profile(asked: Asked, chosen: Any) -> Markup:
    from ..profiles import tree_of
    from .flames import flame

    if not chosen.over:
        bar = tag("progress", value=round(chosen.progress, 3), max=1)
        words = f"{units.whole(chosen.samples)} samples so far"
        words = f"Of {chosen.of}, which will tell then." if chosen.of else words
        return section("Looking", bar, tag("p", words), name="profile")
    focus = tuple(
        int(part)
        for part in asked.params.get("focus", "").split(".")[:100]
        if part.isdecimal() and len(part) < 7
    )
    to = f"{asked.base}/profile?id={chosen.number}"
    if not chosen.stacks:
        picture: Markup = empty(
            "Nothing was told." if chosen.silent else "All threads were idle.",
            "Profile while the site has something to do.",
        )
    else:
        drawing, _ = flame(tree_of(chosen.stacks), focus, to)
        named = {"role": "region", "aria_label": "Flame graph"}
        picture = tag("div", drawing, class_="scroll", tabindex="0", **named)
    said = f"{units.whole(chosen.samples)} samples in {units.seconds(chosen.seconds)}"
    if chosen.of:
        said = f"{chosen.of}: {said}"
    if chosen.missed:
        said += f"; {units.whole(chosen.missed)} came too late and were left out"
    heavy = _heaviest(chosen)
    return join(
        (
            section(
                "Flame graph",
                *[tag("p", words, class_="hint") for words in chosen.silent],
                picture,
                tag(
                    "p",
                    link(f"{asked.base}/profile/stacks?id={chosen.number}", "Collapsed stacks"),
                    " · a click on a box shows it alone, with all that it called",
                    class_="more",
                ),
                hint=join((said, ", at ", when(chosen.began))),
            ),
            section("Most time in", heavy) if heavy is not None else None,
        )
    )


def _heaviest(chosen: Any) -> Markup | None:
    own: dict[str, int] = {}
    for stack, count in chosen.stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + count
    every = sum(own.values())
    if not every:
        return None
    rows = [
        [tag("code", name), number(units.show(100 * count / every, "%")), number(count)]
        for name, count in sorted(own.items(), key=lambda one: -one[1])[:12]
    ]
    heads = [
        "Function",
        tag("th", "own time", class_="number"),
        tag("th", "samples", class_="number"),
    ]
    return table(heads, rows, caption="Functions by their own time")


def stacks(front: Front, asked: Asked) -> Answer:
    """A profile as text."""
    number_ = asked.params.get("id", "")
    chosen = front.profiles.get(int(number_)) if number_.isdecimal() and len(number_) < 9 else None
    if chosen is None or not chosen.over:
        raise Refusal("404 Not Found", "There is no such profile, or it is not over yet.")
    field = ("Content-Disposition", f'attachment; filename="profile-{chosen.number}.txt"')
    return Answer(chosen.collapsed().encode(), "text/plain; charset=utf-8", fields=(field,))


# -- runtime and logs ------------------------------------------------------------------------------


def processes(front: Front, asked: Asked, span: Span) -> Markup:
    """The processes of the site, with their present figures."""
    rows = []
    for worker in front.data.workers():
        gauge = front.data.gauge
        rows.append(
            [
                worker,
                number(units.show(gauge("process.uptime", worker=worker), "s")),
                number(units.show(gauge("process.memory.usage", worker=worker), "By")),
                number(units.show(gauge("process.thread.count", worker=worker))),
                number(units.show(gauge("process.unix.file_descriptor.count", worker=worker))),
            ]
        )
    heads = [
        "Process",
        *[tag("th", one, class_="number") for one in ("up", "memory", "threads", "files")],
    ]
    shown = (
        table(heads, rows, caption="Processes")
        if rows
        else empty("Nothing is known of any process yet.")
    )
    said = {"data_into": "said"}
    collect = action(
        front, asked, "/runtime/collect", "Collect garbage", *_processes(front), **said
    )
    if front.monitor.held.paused:
        do: tuple[Markup, ...] = (tag("input", type="hidden", name="do", value="resume"),)
        pause = action(front, asked, "/runtime/pause", "Record again", *do, **said)
    else:
        minutes = tag("input", type="number", name="minutes", value="5", min="1", max="60")
        for_ = tag("label", "for ", minutes, " minutes")
        pause = action(front, asked, "/runtime/pause", "Pause recording", for_, **said)
    acts = tag("div", collect, pause, class_="row")
    parts = (_paused(front), shown, _came_and_went(front, span), acts, _choice(front, asked))
    return section("Processes", *parts, name="processes")


def _came_and_went(front: Front, span: Span) -> Markup | None:
    """Which processes have ended in this time, or died."""
    marks = front.data.marks(span, max(span.end, span.now) if span.name else span.end)
    rows = [
        tag("li", when(float(mark["at"]), "moment"), f" {mark['text']}")
        for mark in marks
        if mark["kind"] == "restart" and mark["text"].startswith("The process ")
    ]
    return (
        tag("ul", *rows[-8:], class_="marks", aria_label="Processes that ended") if rows else None
    )


def _paused(front: Front) -> Markup | None:
    """That recording is paused, and in how many processes."""
    now, many, paused = front.clock(), 0, []
    for snapshot in front.monitor.site.workers():
        many += 1
        try:
            until = read_held(snapshot.details.get("held")).left(now).pause
        except ValueError:
            continue
        if until:
            paused.append(until)
    if not paused:
        return None
    which = f"{len(paused)} of {many} processes" if many > 1 else "this process"
    words = f"Requests are not recorded by {which}, for {units.seconds(max(paused) - now)} more."
    return tag("p", words, class_="hint", role="status")


def _choice(front: Front, asked: Asked) -> Markup:
    """What all processes record."""
    settings = front.monitor.settings
    levels = [
        tag("option", str(one), value=str(one), selected=one == settings["level"] or None)
        for one in (0, 1, 2)
    ]
    texts = [
        tag("label", words, " ", tag("input", name=name, value=", ".join(settings[name])))
        for words, name in (("metrics", "metrics.include"), ("without", "metrics.exclude"))
    ]
    level = tag("label", "Level ", tag("select", *levels, name="level"))
    return action(front, asked, "/runtime/choose", "Record", level, *texts, data_into="said")


def loggers(front: Front, asked: Asked, span: Span) -> Markup:
    """The loggers of all processes and their levels."""
    found, silent = front.loggers.look()
    names = [tag("option", name or "(root)", value=name, selected=None) for name in found]
    levels = [tag("option", one, selected=one == "DEBUG" or None) for one in LEVELS]
    form = action(
        front,
        asked,
        "/logs/level",
        "Set",
        tag("label", "Logger ", tag("select", *names, name="logger")),
        tag("label", "level ", tag("select", *levels, name="level")),
        tag(
            "label",
            "for ",
            tag("input", type="number", name="minutes", value="10", min="1", max="60"),
            " minutes",
        ),
        data_into="said",
    )
    changed = {name for name, _, _ in front.monitor.held.state.left(front.clock()).levels}
    rows = [
        [tag("code", name or "(root)"), tag("strong", level) if name in changed else level]
        for name, level in found.items()
        if level != NO_LEVEL or name in changed
    ]
    shown = table(["Logger", "Level"], rows, caption="Levels")
    hints = [tag("p", words, class_="hint") for words in silent]
    hint = "Loggers that have one of their own."
    return section("Levels", form, *hints, shown, name="loggers", hint=hint)


def statements(front: Front, asked: Asked, span: Span) -> Markup:
    """Statements of databases, without their values."""
    found = front.data.statements()
    if not found:
        return section(
            "Statements",
            empty(
                "No slow statements were kept.",
                "What counts as slow says monitor.db.slow_threshold.",
            ),
            name="statements",
        )
    found.sort(key=lambda one: -float(one.get("seconds") or one.get("total") or 0))
    rows = [
        [
            tag("code", one.get("statement", "")),
            str(one.get("system", "")),
            number(units.whole(one.get("count"))),
            number(units.show(one.get("seconds") or one.get("total"), "s")),
            number(units.show(one.get("most") or one.get("longest"), "s")),
        ]
        for one in found[:50]
    ]
    heads = [
        "Statement",
        "Database",
        *[tag("th", one, class_="number") for one in ("times", "in all", "longest")],
    ]
    return section("Statements", table(heads, rows, caption="Statements"), name="statements")


# -- actions ---------------------------------------------------------------------------------------


def _done(front: Front, asked: Asked, board: str, done: actions.Done) -> Answer:
    """What an action says: JSON to a script, a page to anybody else."""
    if "application/json" in asked.field("Accept"):
        return as_json({"said": done.words, "processes": done.processes})
    body = join(
        (
            tag("p", done.words, class_="done", role="status"),
            tag("p", link(f"{asked.base}/{board}", "Back")),
        )
    )
    return _html(page(front, asked, BOARDS[board], body))


def _act(board: str, do: Callable[[Front, dict[str, str]], actions.Done]) -> Any:
    def room(front: Front, asked: Asked) -> Answer:
        form = asked.form()
        front.guard.check_action(asked, form)
        done = do(front, form)
        by = asked.peer or "a local peer"
        front.monitor.bus.log(f"The dashboard, asked by {by}: {done.words}")
        return _done(front, asked, board, done)

    return room


def begin_profile(front: Front, asked: Asked) -> Answer:
    """Begin a profile, and show it."""
    form = asked.form()
    front.guard.check_action(asked, form)
    begun = actions.profile(front, form)
    if "application/json" in asked.field("Accept"):
        return as_json({"id": begun.number})
    return see(address(asked.base + "/profile", id=begun.number))


def stack(front: Front, asked: Asked) -> Answer:
    """The stack of a thread that serves a request."""
    form = asked.form()
    front.guard.check_action(asked, form)
    ident, worker = form.get("ident", ""), form.get("worker", "")[:100]
    text = ""
    try:
        if ident.isdecimal() and len(ident) < 21:
            text = asking.stack(front.monitor, worker, int(ident)) or "The thread has ended."
    except Unanswered as error:
        text = str(error)
    whose = f" of process {worker}" if worker else ""
    words = join((f"Thread {ident[:20]}{whose} at ", when(front.clock())))
    body = sections.stack_card(words, text or "There is no such thread.")
    if "application/json" in asked.field("Accept"):
        return as_json({"html": body})
    back = tag("p", link(asked.base + "/live", "Back"))
    return _html(page(front, asked, BOARDS["live"], join((body, back))))


# -- logging in ------------------------------------------------------------------------------------


def login_page(front: Front, asked: Asked, words: str = "") -> Answer:
    """Ask for the token."""
    base = asked.base
    form = tag(
        "form",
        tag("h1", "Dashboard"),
        tag("p", words, class_="wrong", role="alert") if words else None,
        tag(
            "label",
            "Token",
            tag(
                "input",
                type="password",
                name="password",
                autocomplete="current-password",
                required=True,
                autofocus=True,
            ),
        ),
        tag("button", "Log in", type="submit"),
        tag("p", "It is what stands in monitor.dashboard.auth.", class_="hint"),
        method="post",
        action=base + "/login",
        class_="login card",
    )
    return _html(_bare(front, base, "Log in", form), "401 Unauthorized")


def _bare(front: Front, base: str, title: str, body: Markup) -> Markup:
    """A page without a frame."""
    whole = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("link", rel="icon", type="image/svg+xml", href=front.static(base, "icon.svg")),
            tag("link", rel="stylesheet", href=front.static(base, "style.css")),
            tag("script", src=front.static(base, "theme.js")),
        ),
        tag("body", tag("main", body, id="main"), class_="bare"),
        lang="en",
    )
    return Markup("<!DOCTYPE html>" + whole)


def refused_page(front: Front, refusal: Refusal, base: str) -> Answer:
    """Say why something is not answered."""
    card = tag(
        "div",
        tag("h1", refusal.status),
        tag("p", refusal.words),
        tag("p", link(base + "/", "Overview")),
        class_="login card",
    )
    answer = _html(_bare(front, base, refusal.status, card), refusal.status)
    return answer._replace(fields=refusal.fields)


#: Every page, by its path.
PAGES: dict[str, Callable[[Front, Asked], Answer]] = {
    "/": _board("", sections.overview),
    "/transactions": _board("transactions", sections.transactions),
    "/route": route,
    "/errors": _board("errors", sections.errors),
    "/slow": slow,
    "/slow/one": slow_one,
    "/data": _board("data", statements),
    "/server": _board("server"),
    "/runtime": _board("runtime", None, processes),
    "/logs": _board("logs", loggers),
    "/sessions": _board("sessions"),
    "/streams": _board("streams"),
    "/explore": explore,
    "/profile": profile,
    "/profile/stacks": stacks,
}

#: Every action, by its path.
ACTIONS: dict[str, Callable[[Front, Asked], Answer]] = {
    "/profile/begin": begin_profile,
    "/live/stack": stack,
    "/runtime/collect": _act("runtime", actions.collect),
    "/runtime/pause": _act("runtime", actions.pause),
    "/runtime/choose": _act("runtime", actions.choose),
    "/logs/level": _act("logs", actions.set_level),
}
