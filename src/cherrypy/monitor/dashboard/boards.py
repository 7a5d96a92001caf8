"""The boards: which charts stand on which page. A table; what else a page has is in `sections`."""

from __future__ import annotations

from typing import NamedTuple

from .charts import (
    CLASSES,
    LEVELS,
    Chart,
    apdex,
    codes,
    error_share,
    latency,
    layers,
    line,
    lines,
    split,
    stacked,
)
from .subjects import DATA, LOGS, RUNTIME, SERVER, SESSIONS, STREAMS

DURATION = "http.server.request.duration"


class Board(NamedTuple):
    """A page.

    name
        Its path without the slash.
    lead
        What it shows, in a sentence.
    """

    name: str
    title: str
    lead: str
    charts: tuple[Chart, ...] = ()
    ranged: bool = True


OVERVIEW = (
    Chart(
        "throughput",
        "Throughput",
        "req/s",
        line("requests", "cherrypy.requests"),
        overlay=True,
        help="With the same time of yesterday and of a week ago.",
    ),
    latency(
        "latency",
        "Response time",
        DURATION,
        overlay=True,
        help="The middle, and what the slowest 5 % and 1 % take at least.",
    ),
    stacked(
        "status",
        "Responses by status",
        "req/s",
        "cherrypy.responses",
        "class",
        tones=CLASSES,
        help="By the first digit of the status code.",
    ),
    Chart(
        "errors",
        "Errors",
        "%",
        error_share,
        overlay=True,
        top=1.0,
        help="Of all requests: 4xx and 5xx, and of these our own fault, 5xx.",
    ),
    Chart(
        "layers",
        "Where the time goes",
        "s",
        layers,
        kind="stack",
        wide=True,
        help="An average request, layer by layer; the layers exclude each other and add up.",
    ),
    Chart("apdex", "Apdex", "", apdex, top=1.0, overlay=True, help="1 satisfies everybody."),
    stacked(
        "logs",
        "Log records",
        "/min",
        "cherrypy.log.records",
        "level",
        tones=LEVELS,
        overlay=True,
        help="By level.",
    ),
    stacked(
        "exceptions",
        "Exceptions",
        "/min",
        "cherrypy.exceptions",
        "exception.type",
        tail=True,
        help="By type.",
    ),
    latency(
        "databases",
        "Database response time",
        "db.client.operation.duration",
        overlay=True,
        help="Of one call.",
    ),
    latency(
        "services",
        "Response time of other services",
        "http.client.request.duration",
        overlay=True,
        help="Of one call.",
    ),
)

TRANSACTION = (
    Chart("throughput", "Throughput", "req/s", line("requests", DURATION), overlay=True),
    latency("latency", "Response time", DURATION, overlay=True),
    Chart(
        "status",
        "Responses by status",
        "req/s",
        codes(DURATION),
        kind="stack",
    ),
    Chart("errors", "Errors", "%", error_share, top=1.0),
    Chart(
        "layers",
        "Where the time goes",
        "s",
        layers,
        kind="stack",
        help="Waiting for a thread and the framework's own part are not counted by route.",
    ),
    Chart(
        "calls",
        "Database calls of a request",
        "",
        lines(
            line("mean", "cherrypy.db.calls_per_request", "mean", tone="c1"),
            line("p95", "cherrypy.db.calls_per_request", "p95", tone="c2"),
        ),
        help="Many of them for one request are often one query in a loop.",
    ),
)

ERRORS = (
    Chart("share", "Errors", "%", error_share, overlay=True, top=1.0),
    Chart(
        "codes",
        "Failed responses by code",
        "/min",
        codes(DURATION, "5", factor=60.0),
        kind="stack",
        help="5xx, by code.",
    ),
    stacked(
        "types", "Exceptions by type", "/min", "cherrypy.exceptions", "exception.type", tail=True
    ),
    stacked(
        "raised",
        "Errors raised on purpose",
        "/min",
        "cherrypy.http_errors",
        "code",
        help="HTTPError, by code.",
    ),
    Chart(
        "gone",
        "Clients that left",
        "/min",
        split("cherrypy.request.aborted", "phase", factor=60.0),
        help="Before they had their answer.",
    ),
    Chart(
        "unmatched",
        "Nothing found",
        "/min",
        line("requests", "cherrypy.request.unmatched", factor=60.0, tone="warn"),
        help="Requests for paths that no page answers.",
    ),
)

#: The page of all metrics; that of one has the chart that was asked for.
EXPLORE = Board("explore", "Metrics", "All that is measured, one by one.", (), False)

#: All boards, in the order of the navigation.
BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board("", "Overview", "How the site does, at a glance.", OVERVIEW),
        Board("transactions", "Transactions", "What is asked for, and how long it takes."),
        Board("errors", "Errors", "What went wrong, how often, and where.", ERRORS),
        Board("slow", "Slow requests", "Single requests that took long, step by step.", (), False),
        Board("live", "Live", "The requests that are being served right now.", (), False),
        Board("data", "Data & services", "What pages wait for.", DATA),
        Board("server", "Server", "Connections, threads and queues.", SERVER),
        Board("runtime", "Runtime", "Each process: processor, memory, collector.", RUNTIME),
        Board("logs", "Logs", "How much is logged, by level and by whom.", LOGS),
        Board("sessions", "Sessions & caches", "What is kept between requests.", SESSIONS),
        Board("streams", "Sockets & streams", "What stays open.", STREAMS),
        EXPLORE,
        Board("profile", "Profile", "What the threads are doing, sampled for a while.", (), False),
    )
}
#: The page of one route.
ROUTE = Board("route", "Transaction", "One route.", TRANSACTION)
