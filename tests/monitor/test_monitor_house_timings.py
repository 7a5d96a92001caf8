"""Where time goes: bodies that are awaited, the proxy in front, and what level 2 adds."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.monitor.house.timings import sent_at


def burn(seconds: float) -> None:
    """Use the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "home"

    @cherrypy.expose
    def upload(self) -> str:
        return str(len(cherrypy.request.body.read()))

    @cherrypy.expose
    def work(self) -> str:
        burn(0.1)
        return "worked"

    @cherrypy.expose
    def sleep(self) -> str:
        time.sleep(0.15)
        return "slept"

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def numbers(self) -> Any:
        return list(range(200_000))

    @cherrypy.expose
    def parts(self) -> Any:
        def parts() -> Any:
            for _ in range(3):
                burn(0.03)
                yield b"x" * 10

        return parts()

    parts._cp_config = {"response.stream": True}


def layers(site: Monitored, route: str) -> dict[str, float]:
    """The seconds of each layer of the requests of a route."""
    snapshot = site.take()
    return {
        metric.name.rpartition(".")[2]: spread.total
        for (metric, labels), spread in snapshot.spreads.items()
        if metric.name.startswith("cherrypy.time.") and (len(labels) < 2 or labels[1] == route)
    }


def duration(site: Monitored, route: str) -> Any:
    return next(
        spread
        for labels, spread in site.series("http.server.request.duration").items()
        if labels[1] == route
    )


def test_waiting_for_a_body_is_reading_and_the_layers_add_up(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    size = 3_000_000  # more than is gathered without a thread
    head = f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    peer = site.connect(head.encode() + b"x" * 2_000_000)
    time.sleep(0.3)
    peer.sendall(b"x" * (size - 2_000_000))
    assert b"200 OK" in peer.recv(4096)
    peer.close()
    found = layers(site, "/upload")
    assert 0.25 < found["read"] < 5
    assert found["app"] < 0.25
    whole = duration(site, "/upload").total
    assert sum(found.values()) == pytest.approx(whole, rel=0.01)


def test_a_body_that_waits_without_a_thread_is_reading_too(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    peer = site.connect(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    time.sleep(0.2)
    peer.sendall(b"cd")
    assert b"200 OK" in peer.recv(4096)
    peer.close()
    assert 0.15 < layers(site, "/upload")["read"] < 5


def test_encoding_has_a_layer(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    assert site.ask("/numbers")[0] == 200
    found = layers(site, "/numbers")
    assert found["encode"] > 0.005
    assert sum(found.values()) == pytest.approx(duration(site, "/numbers").total, rel=0.01)


# -- the proxy in front -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000.25", 1700000000.25),
        ("t=1700000000.25", 1700000000.25),
        ("1700000000250", 1700000000.25),
        ("t=1700000000250000", 1700000000.25),
        ("yesterday", 0.0),
        ("", 0.0),
        ("-5", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("1e300", 0.0),
        ("9" * 1000, 0.0),
    ],
)
def test_when_a_proxy_says_that_it_got_a_request(text: str, seconds: float) -> None:
    assert sent_at(text) == seconds


def test_the_time_in_front_is_believed_of_peers_that_are_named(site: Monitored) -> None:
    site.mount(Root())
    site.start(frontend__peers=["127.0.0.1"])
    for name in ("X-Request-Start", "X-Queue-Start", "X-RequestTime"):
        assert site.ask(**{name: f"t={time.time() - 2:.3f}"})[0] == 200
    found = site.series("cherrypy.time.frontend")[("",)]
    assert found.count == 3
    assert 6.0 <= found.total < 7.0
    assert duration(site, "/").total < 1.0  # it is no part of that


@pytest.mark.parametrize("ago", [-5.0, 61.0, 1e6, 1e12])
def test_a_time_in_front_that_cannot_be_is_not_believed(site: Monitored, ago: float) -> None:
    site.mount(Root())
    site.start(frontend__peers=["127.0.0.1"])
    assert site.ask(X_Request_Start=f"{time.time() - ago:.3f}")[0] == 200
    assert site.counts("cherrypy.time.frontend") == {}
    assert site.counts("cherrypy.requests") == {("",): 1}


@pytest.mark.parametrize("peers", [[], ["192.0.2.1"]])
def test_anybody_else_is_not_believed(site: Monitored, peers: list[str]) -> None:
    site.mount(Root())
    site.start(frontend__peers=peers)
    assert site.ask(X_Request_Start=f"t={time.time() - 2:.3f}")[0] == 200
    assert site.counts("cherrypy.time.frontend") == {}


# -- level 2 ------------------------------------------------------------------------------------------


def test_processor_time_and_the_rest(site: Monitored) -> None:
    site.mount(Root())
    site.start(level=2)
    for path in ("/work", "/sleep", "/parts", "/"):
        assert site.ask(path)[0] == 200
    site.becomes(
        "cherrypy.request.cpu.time", {("/work",): 1, ("/sleep",): 1, ("/parts",): 1, ("/",): 1}
    )
    cpu = site.series("cherrypy.request.cpu.time")
    off = site.series("cherrypy.request.offcpu.time")
    assert 0.1 <= cpu[("/work",)].total < 0.15
    assert cpu[("/sleep",)].total < 0.05
    assert 0.14 <= off[("/sleep",)].total < 0.5
    assert 0.09 <= cpu[("/parts",)].total < 0.2
    assert set(off) == set(cpu)


def test_level_1_has_none_of_it(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.sessions.on": True}})
    site.start()
    assert site.ask()[0] == 200
    for name in (
        "request.cpu.time",
        "request.offcpu.time",
        "request.stage.duration",
        "tool.duration",
    ):
        assert site.series(f"cherrypy.{name}") == {}


def test_single_metrics_of_level_2_may_be_asked_for(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.sessions.on": True}})
    site.start(metrics__include=["*", "cherrypy.tool.duration"])
    assert site.ask()[0] == 200
    assert site.counts("cherrypy.tool.duration")
    assert site.series("cherrypy.request.stage.duration") == {}


def test_stages(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.sessions.on": True}})
    site.start(level=2)
    for _ in range(3):
        assert site.ask("/sleep")[0] == 200
    stages = site.series("cherrypy.request.stage.duration")
    assert stages[("handler",)].count == 3
    assert 0.45 <= stages[("handler",)].total < 1.5
    for stage in ("get_resource", "before_request_body", "before_handler", "before_finalize"):
        assert stages[(stage,)].count == 3, stage


def test_tools_by_name_and_point(site: Monitored) -> None:
    def nap(seconds: float = 0.05) -> None:
        time.sleep(seconds)

    box = cherrypy.tools
    box.nap = cherrypy.Tool("before_finalize", nap)
    try:
        site.mount(Root(), {"/": {"tools.nap.on": True, "tools.sessions.on": True}})
        site.start(level=2)
        for _ in range(2):
            assert site.ask()[0] == 200
    finally:
        del box.nap
    tools = site.series("cherrypy.tool.duration")
    assert tools["nap", "before_finalize"].count == 2
    assert 0.1 <= tools["nap", "before_finalize"].total < 0.5
    assert tools["sessions", "before_request_body"].count == 2
    assert tools["sessions.save", "before_finalize"].count == 2
    assert tools["sessions.close", "on_end_request"].count == 2


def test_requests_of_many_threads_are_all_measured(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.sessions.on": True}})
    site.start(level=2)
    threads = [threading.Thread(target=lambda: [site.ask() for _ in range(20)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    until(lambda: site.counts("cherrypy.requests") == {("",): 100})
    assert site.counts("cherrypy.request.cpu.time") == {("/",): 100}
    assert site.counts("cherrypy.request.stage.duration")[("handler",)] == 100
    assert site.counts("cherrypy.tool.duration")["sessions", "before_request_body"] == 100


def test_a_stage_is_readable_as_ever(site: Monitored) -> None:
    seen = []

    class Pages:
        @cherrypy.expose
        def index(self) -> str:
            seen.append(cherrypy.request.stage)
            return ""

    site.mount(Pages())
    site.start(level=2)
    site.ask()
    assert seen == ["handler"]
    site.monitor.stop()
    assert cherrypy._cprequest.Request.stage is None
    assert SimpleNamespace(stage=1).stage == 1
