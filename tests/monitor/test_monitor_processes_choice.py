"""What is recorded can be changed while it is: at once, in all processes, and no total falls for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes_kit
import pytest
from monitored import Monitored, until
from processes_kit import Processes, ask, suspend

import cherrypy
from cherrypy.framework.request import Request
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.settings import AT_START, SETTINGS, SHARED, SITE
from cherrypy.process.wspbus import Bus

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)

#: What level 2 has that level 1 has not, as far as any request makes it grow.
DETAILS = (
    "cherrypy.request.cpu.time",
    "cherrypy.request.stage.duration",
    "cherrypy.tool.duration",
)


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "home"


def number(site: Monitored, name: str) -> float:
    return sum(site.counts(name).values())


def test_level_two_is_put_on_and_taken_off_while_serving(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.response_headers.on": True}})
    site.start(dashboard__listen="127.0.0.1:0")
    plain = Request.__dict__.get("stage"), Request._run_hooks, Bus.publish
    site.ask()
    assert [number(site, name) for name in DETAILS] == [0, 0, 0]
    for _ in range(2):
        before = [number(site, name) for name in DETAILS]
        site.monitor.level = 2
        for _ in range(3):
            assert site.ask() == (200, b"home")
        until(lambda: all(number(site, name) for name in DETAILS), "what level 2 counts")
        timed = number(site, DETAILS[0])
        assert timed - before[0] == 3
        cherrypy.engine.publish("log", "something", 20)
        until(lambda: number(site, "cherrypy.bus.publish.duration") > 0)
        site.monitor.level = 1
        assert (Request.__dict__.get("stage"), Request._run_hooks, Bus.publish) == plain
        for _ in range(3):
            assert site.ask() == (200, b"home")
        assert number(site, DETAILS[0]) == timed
    site.becomes("cherrypy.requests", {("",): 13.0})


def test_what_somebody_has_put_around_it_stays(site: Monitored) -> None:
    """An agent that came later calls what it has found; it is not cut off, and nothing counts twice."""
    site.mount(Root(), {"/": {"tools.response_headers.on": True}})
    site.start(level=2, dashboard__listen=False)
    found = Request._run_hooks
    calls: list[str] = []

    def agent(request: Any, point: str) -> None:
        calls.append(point)
        found(request, point)

    Request._run_hooks = agent  # type: ignore[method-assign]  # as agents do it
    try:
        for _ in range(2):
            site.monitor.level = 1
            site.ask()
            assert Request._run_hooks is agent
            site.monitor.level = 2
        tools = number(site, "cherrypy.tool.duration")
        points = len(calls)
        site.ask()
        assert len(calls) > points
        assert number(site, "cherrypy.tool.duration") - tools < 20
    finally:
        Request._run_hooks = found  # type: ignore[method-assign]  # as it was


def test_on_the_sites_own_port_and_in_a_pause_as_well(site: Monitored) -> None:
    site.mount(Root())
    auth = "token:a-long-and-secret-token"
    site.start(dashboard__listen=False, dashboard__mount="/-/monitor", dashboard__auth=auth)
    authorization = "Bearer a-long-and-secret-token"

    def timed() -> float:
        return number(site, DETAILS[0])

    def dashboard() -> int:
        return site.ask("/-/monitor/api/now", Authorization=authorization)[0]

    site.monitor.level = 2
    site.ask()
    assert (timed(), dashboard()) == (1, 200)
    site.monitor.held.pause(60)
    site.monitor.level = 1
    site.ask()
    site.monitor.level = 2
    assert (timed(), dashboard()) == (1, 200)
    site.monitor.held.pause(0)
    site.ask()
    assert (timed(), dashboard()) == (2, 200)
    site.monitor.level = 1
    site.ask()
    assert (timed(), dashboard()) == (2, 200)
    assert number(site, "cherrypy.requests") == 3  # without that in the pause


def test_a_server_that_is_seen_first_in_a_pause(site: Monitored) -> None:
    site.mount(Root())
    site.start(dashboard__listen=False)
    site.ask()
    site.monitor.held.pause(60)
    for _ in range(2):
        site.monitor.watch(cherrypy.server.httpserver)  # as each start does
    assert len(site.monitor._watched) == 1
    site.monitor._watched.clear()  # it was never seen
    site.monitor.watch(cherrypy.server.httpserver)
    site.ask()
    site.monitor.held.pause(0)
    site.ask()
    site.becomes("cherrypy.requests", {("",): 2.0})


def test_no_total_falls_and_no_second_has_what_was_counted_before(site: Monitored) -> None:
    site.mount(Root())
    site.start(dashboard__listen=False)
    monitor, metric = site.monitor, METRICS["cherrypy.requests"]

    def seen() -> tuple[float, float]:
        """In all, and as it was seen."""
        monitor.beat()
        return tuple(  # type: ignore[return-value]  # two of them
            sum(
                n
                for (one, _), n in monitor.site.merged(seen=one_sees).counts.items()
                if one is metric
            )
            for one_sees in (False, True)
        )

    def asked(times: int) -> None:
        for _ in range(times):
            site.ask()

    asked(5)
    assert seen() == (5, 5)
    monitor.settings["metrics.exclude"] = ["cherrypy.requests"]
    assert seen() == (5, 5)
    asked(7)
    assert seen() == (5, 5)
    monitor.settings["metrics.exclude"] = []
    total, known = seen()
    assert total >= 5 and known == 5  # what came meanwhile is of no second
    asked(3)
    assert seen() == (total + 3, 8)
    assert monitor.history.query(
        metric.name, 0, monitor.history.now() + 1, float("inf"), stat="delta"
    ).rows[()] == [8.0]


def test_what_can_only_act_at_the_next_start_is_said(site: Monitored) -> None:
    said: list[str] = []
    cherrypy.engine.subscribe("log", lambda message, level=20: said.append(message))
    site.start(dashboard__listen=False)
    values: dict[str, Any] = {
        "routes.ignore": ["/x"],
        "store.retention": {"10s": "1h"},
        "store.max_bytes": 5_000_000,
        "dashboard.listen": "127.0.0.1:0",
        "dashboard.hosts": ["monitor.example"],
        "frontend.peers": ["10.0.0.1"],
        "dashboard.auth": "token:a-long-and-secret-token",
    }
    for name in AT_START:
        site.monitor.settings[name] = values.get(name, "/nowhere")
        assert f"monitor.{name} acts from the next start" in said[-1]
    before = len(said)
    site.monitor.settings["apdex"] = 2.0
    site.monitor.level = 2
    assert not [line for line in said[before:] if "next start" in line]


def test_an_order_goes_over_all_until_the_settings_are_read_again(site: Monitored) -> None:
    site.start(dashboard__listen=False, level=1)
    monitor = site.monitor
    monitor.order({"level": 0, "metrics.exclude": ["cherrypy.tool.*"]})
    assert (monitor.settings["level"], monitor.settings.source("level")) == (0, SITE)
    for wrong in ({"level": 9}, {"store.path": "x"}, {"on": False}):
        with pytest.raises(ValueError, match=r"monitor\."):
            monitor.order(wrong)
    assert monitor.settings["level"] == 0
    monitor.graceful()
    assert (monitor.settings["level"], monitor.settings["metrics.exclude"]) == (1, [])


def test_the_lists_name_what_there_is() -> None:
    assert {*SHARED, *AT_START} <= set(SETTINGS)
    assert not AT_START.intersection(SHARED)


def test_orders_and_reloads_at_the_same_time(site: Monitored) -> None:
    """Whoever is last, what is on is what the settings say."""
    site.mount(Root())
    site.start(dashboard__listen=False)
    monitor, stop = site.monitor, threading.Event()

    def order() -> None:
        try:
            for count in range(60):
                monitor.order({"level": count % 3})
        finally:
            stop.set()

    def reload() -> None:
        while not stop.is_set():
            monitor.settings.replace(SITE, {})

    threads = [threading.Thread(target=one) for one in (order, reload)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert site.ask()[0] == 200
    level = monitor.settings["level"]
    assert level == {0: 0, 1: 1, 2: 2}[monitor.settings.entries(SITE).get("level", 1)]
    for name in DETAILS:
        assert METRICS[name].on == (level == 2)


# -- several processes -----------------------------------------------------------------------------


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


CPU = "cherrypy_request_cpu_time_seconds_count"


def test_all_processes_follow_and_those_that_come_later(processes: Processes) -> None:
    _, first = processes.site()
    stopped, second = processes.site()
    processes.becomes(2)  # both are known
    told = processes.act("/runtime/choose", **{"level": "2", "metrics.exclude": "cherrypy.auth.*"})
    assert "All processes record level 2" in told["said"]
    for port in (first, second):
        before = max(0.0, processes.count(CPU))
        until(
            lambda port=port, before=before: ask(port) and processes.count(CPU) > before, seconds=20
        )
    _, third = processes.site()
    before = processes.count(CPU)
    until(lambda: ask(third) and processes.count(CPU) > before, seconds=60)
    # One that is stopped hears of it when it goes on.
    suspend(stopped)
    for level in "1212121210":
        assert "said" in processes.act("/runtime/choose", level=level)
    assert "error" in processes.act("/runtime/choose", level="9")
    stopped.send_signal(signal.SIGCONT)
    until(lambda: "level_is 0" in ask(second, "/settings"), seconds=60)
    until(lambda: "level_is 0" in ask(third, "/settings"), seconds=60)


def test_a_reload_of_the_collector_goes_to_all(processes: Processes, tmp_path: Path) -> None:
    conf = tmp_path / "monitor.toml"
    conf.write_text("level = 1\n")
    more = {"CHERRYPY_MONITOR_CONFIG": str(conf)}
    listen = f"127.0.0.1:{processes.dashboard}"
    options = ["--set", f"socket={processes.socket}", "--set", f"dashboard.listen='{listen}'"]
    collector = processes.start("-m", "cherrypy", "monitor", "serve", *options, **more)
    until(lambda: Path(processes.socket).exists() or collector.poll() is not None, seconds=60)
    _, port = processes.site()
    processes.becomes(1)
    conf.write_text("level = 2\n[metrics]\nexclude = ['cherrypy.log.*']\n")
    collector.send_signal(signal.SIGUSR1)
    until(lambda: "level_is 2" in ask(port, "/settings"), seconds=60)
    until(lambda: "cherrypy.log.*" in ask(port, "/settings"), seconds=60)
    conf.write_text("")
    collector.send_signal(signal.SIGUSR1)
    until(lambda: "level_is 1" in ask(port, "/settings"), seconds=60)
    until(lambda: "cherrypy.log.*" not in ask(port, "/settings"), seconds=60)
