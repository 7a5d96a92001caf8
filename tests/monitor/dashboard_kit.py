"""What the tests of the dashboard share: a monitor with a dashboard in this process, a history, a site of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.process.wspbus import Bus

#: Seconds that anything may take.
PATIENCE = 20.0

#: Two tokens: with one may be acted, with the other looked.
TOKEN = "a-long-and-secret-token"
VIEWER = "another-token-for-looking"

#: A browser is driven as the tests of the showcase do it.
BROWSER = str(Path(__file__).resolve().parent.parent / "showcase")


@dataclass
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Ask 127.0.0.1; a header of None is left out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.msg, response.read())
    finally:
        connection.close()


def until(what: Any, patience: float = PATIENCE) -> Any:
    """Call until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"never true in {patience:g} s: {what}"
        time.sleep(0.02)


@dataclass
class Open:
    """A dashboard in this process."""

    monitor: Monitor
    port: int

    def ask(self, path: str, *args: Any, **more: Any) -> Answer:
        return ask(self.port, path, *args, **more)

    def token(self) -> str:
        """What comes with an action, as a page of the dashboard has it."""
        found = re.search(r'name="kirsch-token" content="(\w+)"', self.ask("/runtime").text)
        assert found
        return found[1]

    def act(self, path: str, body: str = "", **headers: str) -> Answer:
        """Post as a page of ours does."""
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Kirsch-Token": self.token(),
            "Origin": f"http://127.0.0.1:{self.port}",
            "Accept": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.ask(path, "POST", body, headers={k: v for k, v in sent.items() if v})


def monitor_with(**settings: Any) -> Monitor:
    """A monitor of a bus of its own, not started: `dashboard__auth="..."`."""
    monitor = Monitor(Bus())
    monitor.settings["dashboard.listen"] = "127.0.0.1:0"
    for name, value in settings.items():
        monitor.settings[name.replace("__", ".")] = value
    monitor.settings["on"] = True
    return monitor


@contextlib.contextmanager
def opened(**settings: Any) -> Iterator[Open]:
    """A monitor that runs, with its dashboard on a free port."""
    monitor = monitor_with(**settings)
    monitor.start()
    try:
        address = monitor.dashboard.server.bound_addresses[0]
        yield Open(monitor, address[1] if isinstance(address, tuple) else 0)
    finally:
        monitor.stop()


# -- a history that is known ----------------------------------------------------------------------

ROUTES = {"/": (60, 0.004), "/report/{year}": (2, 1.5), "/broken": (6, 0.02)}
LABELS = {"/": "200", "/report/{year}": "200", "/broken": "500"}


class Past:
    """Fills a history with minutes that are all alike."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.whole = Snapshot("site")

    def minute(self, at: float) -> None:
        whole, now = self.whole, Snapshot("site", 0.0, at)
        for route, (count, took) in ROUTES.items():
            code = LABELS[route]
            kind = ("GET", route, code, "http", "1.1", code if code == "500" else "", "")
            spread = self.spread("http.server.request.duration", kind)
            db = self.spread("cherrypy.time.db", ("", route))
            for _ in range(count):
                spread.observe(took)
                db.observe(took / 4)
            self.count("cherrypy.requests", count, "")
            self.count("cherrypy.responses", count, code[0] + "xx")
            group = "satisfied" if took < 0.5 else "tolerating"
            self.count("cherrypy.apdex.requests", count, "", route, group)
        self.count("cherrypy.log.records", 30, "info")
        self.count("cherrypy.log.records", 3, "warning")
        now.counts = dict(whole.counts)
        now.spreads = {key: one.copy() for key, one in whole.spreads.items()}
        now.gauges = {(METRICS["process.memory.usage"], ("7",)): 5e7}
        now.details = {"7": {}}
        self.history.add(now)

    def count(self, name: str, number: float, *labels: str) -> None:
        key = (METRICS[name], labels)
        self.whole.counts[key] = self.whole.counts.get(key, 0.0) + number

    def spread(self, name: str, labels: tuple[str, ...]) -> Spread:
        metric = METRICS[name]
        return self.whole.spreads.setdefault((metric, labels), Spread(metric.scale))


@contextlib.contextmanager
def known() -> Iterator[Open]:
    """A dashboard over three hours of which all is known, and nothing since."""
    with opened() as one:
        one.monitor.beats.clear()
        history = History()
        now = time.time()
        filling = Past(history)
        for minute in range(180, -1, -1):
            filling.minute(now - 60 * minute)
        one.monitor.history = history
        yield one


# -- a site in a process of its own ----------------------------------------------------------------

PROGRAM = """
import logging, sqlite3, sys, time
import cherrypy

DATABASE = sys.argv[3]

class Shop:
    @cherrypy.expose
    def index(self):
        return "<h1>Shop</h1>"

    @cherrypy.expose
    def item(self, number="1"):
        base = sqlite3.connect(DATABASE)
        try:
            return str(base.execute("SELECT name FROM items WHERE number = ?", (number,)).fetchone())
        finally:
            base.close()

    @cherrypy.expose
    def report(self):
        base = sqlite3.connect(DATABASE)
        base.create_function("wait", 1, lambda seconds: time.sleep(seconds) or 0)
        try:
            return str(base.execute("SELECT count(*) FROM items WHERE number > wait(0.15)").fetchone())
        finally:
            base.close()

    @cherrypy.expose
    def slow(self, seconds="1.2"):
        time.sleep(float(seconds))
        return "at last"

    @cherrypy.expose
    def broken(self, words="<script>alert(1)</script>"):
        raise ValueError(words)

    @cherrypy.expose
    def log(self, name="<img src=x onerror=alert(1)>"):
        logging.getLogger(name).warning("<b>%s</b>", name)
        return "logged"

    @cherrypy.expose
    def busy(self):
        return str(sum(number * number for number in range(30000)))

base = sqlite3.connect(DATABASE)
base.execute("CREATE TABLE IF NOT EXISTS items (number INTEGER, name TEXT)")
base.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"item {n}") for n in range(3)])
base.commit()
base.close()
logging.getLogger().addHandler(logging.NullHandler())
cherrypy.config.update({
    "server.socket_host": "127.0.0.1",
    "server.socket_port": int(sys.argv[1]),
    "engine.autoreload.on": False,
    "log.screen": False,
    "engine.monitor.dashboard.listen": "127.0.0.1:" + sys.argv[2],
    "engine.monitor.on": True,
    **eval(sys.argv[4]),
})
cherrypy.quickstart(Shop())
"""


@dataclass
class Site:
    """A site that is watched, and where its dashboard is."""

    port: int
    dashboard: int
    process: subprocess.Popen[bytes]

    def ask(self, path: str, *args: Any, **more: Any) -> Answer:
        return ask(self.port, path, *args, **more)

    def look(self, path: str, *args: Any, **more: Any) -> Answer:
        return ask(self.dashboard, path, *args, **more)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"

    def counts(self, **headers: str) -> None:
        """Wait until the history has begun: what came before its first second is not in it."""
        until(lambda: "rate" in self.look("/api/now", headers=headers).json)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextlib.contextmanager
def served(config: dict[str, Any] | None = None, beside: Site | None = None) -> Iterator[Site]:
    """The program above, until the end of the block; `beside`: its dashboard shows this one, too."""
    port, dashboard = free_ports(2)
    if beside is not None:
        dashboard = beside.dashboard
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        database = str(Path(folder) / "shop.sqlite3")
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROGRAM,
                str(port),
                str(dashboard),
                database,
                repr(config or {}),
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            for one in (dashboard, port):
                while True:
                    try:
                        socket.create_connection(("127.0.0.1", one), timeout=1).close()
                        break
                    except OSError:
                        said.seek(0)
                        words = said.read().decode()[-3000:]
                        assert process.poll() is None and time.monotonic() < deadline, words
                        time.sleep(0.05)
            yield Site(port, dashboard, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


class Load(threading.Thread):
    """Asks a site for its pages, over and over, until `end`."""

    PATHS = ("/", "/item/1", "/item/2", "/", "/report", "/busy", "/broken", "/nothing", "/log", "/")

    def __init__(self, site: Site, pause: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.pause = pause
        self.asked = 0
        self._stop_it = threading.Event()

    def run(self) -> None:
        while not self._stop_it.wait(self.pause):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.site.ask(self.PATHS[self.asked % len(self.PATHS)])
            self.asked += 1

    def end(self) -> None:
        self._stop_it.set()
        self.join(PATIENCE)


@contextlib.contextmanager
def loaded(site: Site) -> Iterator[Load]:
    load = Load(site)
    load.start()
    try:
        yield load
    finally:
        load.end()
