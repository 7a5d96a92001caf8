"""Instruments that are on for a test, and what they have counted; and a request that is being served."""

from __future__ import annotations

import contextlib
import http.server
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "lib"))  # for session_kit

from cherrypy.framework.site import site
from cherrypy.monitor import metrics, shards
from cherrypy.monitor.instruments import begin, external, guard, logs, statements
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.shards import own
from cherrypy.monitor.traces import LAYERS, clock


class Seen:
    """What instruments have counted since the test began."""

    def __init__(self, *libraries: str, level: int = 1, **settings: Any) -> None:
        self.told: list[str] = []
        self.monitor = Monitor(site.engine)
        self.monitor.broken = lambda what, error=None: self.told.append(f"{what}: {error!r}")
        self.monitor.settings["libraries"] = list(libraries or ("*",))
        for name, value in settings.items():
            self.monitor.settings[name.replace("__", ".")] = value
        metrics.select(level, ["*"], [])
        forget()
        self.part = begin(self.monitor)

    def count(self, name: str, *labels: str | None) -> float:
        """A counter: the sum of the series that have these labels, None being any."""
        found = shards.total().counts
        return sum(value for key, value in found.items() if fits(key, name, labels))

    def spread(self, name: str, *labels: str | None) -> tuple[int, float]:
        """A histogram: how many values, and their sum."""
        spreads = [s for key, s in shards.total().spreads.items() if fits(key, name, labels)]
        return sum(s.count for s in spreads), sum(s.total for s in spreads)

    def series(self, name: str) -> set[tuple[str, ...]]:
        """The labels of all series of a metric."""
        whole = shards.total()
        return {key[1] for key in (*whole.counts, *whole.spreads) if key[0].name == name}

    def gauge(self, name: str) -> dict[tuple[Any, ...], float]:
        source = METRICS[name].source
        assert source is not None
        return source()

    def statements(self) -> dict[str, dict[str, Any]]:
        """What the monitor would send of statements, by fingerprint."""
        return {row["statement"]: row for row in self.monitor.taker.details["statements"]()}

    def end(self) -> None:
        self.part.end()
        metrics.select(-1, [], ["*"])
        assert self.told == []


def fits(key: Any, name: str, labels: tuple[str | None, ...]) -> bool:
    metric, values = key
    return metric.name == name and all(
        want is None or want == value for want, value in zip(labels, values, strict=False)
    )


def forget() -> None:
    shards.reset()
    own.trace.forget()
    for metric in METRICS.values():
        metric.forget()
    external.forget()
    logs.forget()
    statements.forget()
    guard.GUARDS.clear()


@contextlib.contextmanager
def watching(*libraries: str, **how: Any) -> Iterator[Seen]:
    seen = Seen(*libraries, **how)
    try:
        yield seen
    finally:
        seen.end()


@contextlib.contextmanager
def serving() -> Iterator[Any]:
    """Have this thread's trace be that of a request; afterwards it knows how long that took."""
    trace = own.trace
    trace.forget()
    trace.live = object()
    trace.began = trace.since = clock()
    trace.more = True
    told = Request()
    try:
        yield told
    finally:
        now = clock()
        trace.seconds[trace.layer] += now - trace.since
        told.wall = now - trace.began
        told.layers = dict(zip(LAYERS, trace.seconds, strict=True))
        told.steps = [(LAYERS[layer], label) for layer, label, _, _ in trace.steps]
        told.spans = [
            (began - trace.began, ended - trace.began) for *_, began, ended in trace.steps
        ]
        told.calls = {LAYERS[layer]: count for layer, count in trace.calls.items()}
        trace.forget()


class Request:
    """Where the time of one has gone."""

    wall = 0.0
    layers: dict[str, float] = {}
    steps: list[tuple[str, str]] = []
    spans: list[tuple[float, float]] = []
    calls: dict[str, int] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, after the seconds that it names: `/200/0.1`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        status = int(parts[0])
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        time.sleep(float(parts[1]) if len(parts) > 1 else 0)
        body = b"x" * (int(parts[2]) if len(parts) > 2 else 5)
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if len(parts) > 3:  # the body comes in two halves
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            time.sleep(float(parts[3]))
            body = body[len(body) // 2 :]
        self.wfile.write(body)

    do_POST = do_PUT = do_PURGE = do_GET

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Service(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have left."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The URL of an HTTP server."""
    server = Service(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()
