"""The recorder: every request counted once, by any number of threads, and none that fails because of it."""

from __future__ import annotations

import gc
import http.client
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.framework.dispatch.handlers import PageHandler
from cherrypy.framework.hooks import Hook
from cherrypy.framework.request import Request
from cherrypy.monitor.recorder import Recorder
from cherrypy.monitor.watch import Watch


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "page"

    @cherrypy.expose
    def user(self, number: str) -> str:
        return number

    @cherrypy.expose
    def parts(self) -> Iterator[str]:
        yield "a"
        yield "b"

    @cherrypy.expose
    def bad(self) -> str:
        raise KeyError("bad")

    @cherrypy.expose
    def form(self, a: str = "") -> str:
        return a


class Made:
    """What a `_cp_dispatch` makes for one request."""

    alive: weakref.WeakSet[Made] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)

    @cherrypy.expose
    def index(self) -> str:
        return "made"


class Making:
    def _cp_dispatch(self, vpath: list[str]) -> Made:
        vpath.pop(0)
        return Made()


def run(port: int, paths: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for path in paths:
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()


def test_eight_clients_and_every_request_is_counted(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    port = site.address[1]
    paths = ["/", "/user/1", "/user/2", "/parts", "/nowhere"] * 100
    threads = [threading.Thread(target=run, args=(port, paths)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.becomes("cherrypy.requests", {("",): 4000})
    site.becomes("cherrypy.responses.code", {("200",): 3200, ("404",): 800})
    spreads = site.series("http.server.request.duration")
    found = {labels[1]: spread.count for labels, spread in spreads.items()}
    assert found == {"/": 800, "/user/{number}": 1600, "/parts": 800, "(unmatched)": 800}
    layers = sum(
        spread.total
        for name in ("queue", "read", "wsgi", "tools", "app", "session", "encode", "write", "cache")
        for spread in site.series(f"cherrypy.time.{name}").values()
    )
    assert layers == pytest.approx(sum(spread.total for spread in spreads.values()), rel=0.01)


def test_every_body_of_a_request_is_counted(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    kind = "application/x-www-form-urlencoded"
    for _ in range(5):
        assert site.ask("/form", "POST", "a=seven", Content_Type=kind)[1] == b"seven"
    site.becomes("cherrypy.requests", {("",): 5})
    spread = site.series("http.server.request.body.size")["POST", "/form"]
    assert (spread.count, spread.total) == (5, 35)


def test_one_path_is_answered_in_many_ways(site: Monitored) -> None:
    class Varying:
        @cherrypy.expose
        def index(self, code: str = "200") -> str:
            cherrypy.response.status = int(code)
            return code

    root = Varying()
    site.mount(root)
    site.start()
    for _ in range(3):
        for code in ("200", "202", "200", "203"):
            site.ask(f"/?code={code}")
    site.becomes("cherrypy.responses.code", {("200",): 6, ("202",): 3, ("203",): 3})
    Varying.index = Root.form  # type: ignore[method-assign, assignment]  # as a reload does
    site.ask("/?a=1")
    site.becomes("cherrypy.requests", {("",): 13})


def test_what_was_made_for_a_request_is_not_kept(site: Monitored) -> None:
    root: Any = Root()
    root.things = Making()
    site.mount(root)
    site.start()
    for number in range(20):
        assert site.ask(f"/things/{number}/") == (200, b"made")
    until(lambda: gc.collect() is not None and len(Made.alive) <= 1)
    site.becomes("cherrypy.requests", {("",): 20})


@pytest.mark.parametrize("broken", ["consider", "routes", "more"])
def test_a_recorder_that_fails_fails_no_request(site: Monitored, broken: str) -> None:
    site.mount(Root())
    site.start()

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the recorder is broken")

    recorder = site.monitor.recorder
    if broken == "routes":
        recorder.routes.of = fail
    else:
        setattr(recorder, broken, fail)
    assert site.ask("/")[0] == 200
    assert site.ask("/parts") == (200, b"ab")
    assert site.ask("/bad")[0] == 500
    assert site.ask("/nowhere")[0] == 404
    assert site.monitor._failures
    site.monitor._failures.clear()  # the only test that may have some


def test_when_it_is_over_everything_is_as_it_was() -> None:
    before = PageHandler.__call__, Hook.__call__, Request._run_hooks
    watch = Watch(Recorder())
    assert PageHandler.__call__ is not before[0]
    watch.end()
    assert (PageHandler.__call__, Hook.__call__, Request._run_hooks) == before


def test_what_an_agent_has_replaced_meanwhile_stays() -> None:
    before = PageHandler.__call__
    watch = Watch(Recorder())
    ours = PageHandler.__call__

    def agents(handler: Any) -> Any:
        return ours(handler)

    PageHandler.__call__ = agents  # type: ignore[method-assign]  # as agents do
    try:
        watch.end()
        assert PageHandler.__call__ is agents
    finally:
        PageHandler.__call__ = before  # type: ignore[method-assign]  # as agents do
