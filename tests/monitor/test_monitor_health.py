"""Health: what an orchestrator is answered while a site starts, serves, is stuck, is drained and stops."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_kit import Program, free_port, get, site, until, write_site

import cherrypy
from cherrypy.monitor import health
from cherrypy.monitor.plugin import Monitor
from cherrypy.process.wspbus import Bus

LAST = """
class More(Root):
    @cherrypy.expose
    def wait(self):
        time.sleep(60)

    @cherrypy.expose
    def drain(self, on):
        cherrypy.engine.monitor.draining = on == "1"
        return "ok"

cherrypy.config.update({"server.thread_pool": 3, "server.thread_pool_max": 3,
                        "tools.allowed_hosts.on": True, "tools.allowed_hosts.hosts": ["shop.test"],
                        "engine.shutdown_timeout": 0.5, "server.shutdown_timeout": 1})
main({"monitor": {"on": True, "dashboard.listen": False, "health.mount": "/-",
                  "health.stuck": 0.3}}, More())
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Program, int]]:
    program, port = site(tmp_path, LAST)
    with program:
        yield program, port


def test_a_site_that_serves(served: tuple[Program, int]) -> None:
    _, port = served
    assert get(port, "/-/ready") == (200, "ready\n")
    assert get(port, "/-/live") == (200, "alive\n")
    status, text = get(port, "/-/ready", {"Accept": "application/json"})
    assert (status, json.loads(text)) == (200, {"status": "ready", "bus": "started"})
    told = json.loads(get(port, "/-/live", {"Accept": "application/json"})[1])
    assert (told["status"], told["bus"]) == ("alive", "started")
    assert 0 <= told["uptime"] < 60
    # A tool of the site does not get in the way: probes come to an address.
    assert get(port, "/")[0] in (400, 421)
    assert get(port, "/-/other")[0] == 404
    assert get(port, "/-")[0] == 404


def test_methods_and_fields(served: tuple[Program, int]) -> None:
    _, port = served
    for method, status, size in (("HEAD", 200, 0), ("POST", 405, 19), ("GET", 200, 6)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, "/-/ready")
        answer = connection.getresponse()
        assert (answer.status, len(answer.read())) == (status, size)
        assert answer.headers["Cache-Control"] == "no-store"
        if method == "POST":
            assert answer.headers["Allow"] == "GET, HEAD"
        connection.close()


def test_it_is_drained_when_told(served: tuple[Program, int]) -> None:
    _, port = served
    headers = {"Host": "shop.test"}
    assert get(port, "/drain?on=1", headers) == (200, "ok")
    assert get(port, "/-/ready") == (503, "not ready\ndraining\n")
    assert get(port, "/-/live")[0] == 200
    assert get(port, "/drain?on=0", headers) == (200, "ok")
    assert get(port, "/-/ready")[0] == 200


STUCK = LAST.replace(
    "main(",
    """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading, json
class Aside(BaseHTTPRequestHandler):
    def do_GET(self):
        from cherrypy.monitor import health
        status, kind, body = health.answer(cherrypy.engine.monitor, self.path[1:], "application/json")
        self.send_response(status); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
aside = ThreadingHTTPServer(("127.0.0.1", ASIDE), Aside)
threading.Thread(target=aside.serve_forever, daemon=True).start()
main(""",
)


def test_all_threads_are_stuck_while_it_stays_alive(tmp_path: Path) -> None:
    """Asked beside the site's server, as on the dashboard's listener."""
    aside = free_port()
    program, port = site(tmp_path, STUCK.replace("ASIDE", str(aside)))
    with program:
        assert get(aside, "/ready")[0] == 200
        sockets = []
        for number in range(3):
            if number == 2:  # two of three are stuck: one is free
                threading.Event().wait(0.5)
                assert get(aside, "/ready")[0] == 200
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/wait", headers={"Host": "shop.test"})
            sockets.append(connection)
        until(lambda: get(aside, "/ready")[0] == 503)
        told = json.loads(get(aside, "/ready")[1])
        assert told["status"] == "not ready"
        assert told["why"] == [f"all threads of ('127.0.0.1', {port}) are stuck"]
        assert get(aside, "/live")[0] == 200
        program.process.terminate()
        # It says so while it stops, too.
        until(lambda: program.process.poll() is not None or not _ready(aside), 15)
        for connection in sockets:
            connection.close()


def _ready(port: int) -> bool:
    try:
        return get(port, "/ready")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("state", ["STOPPED", "STARTING", "STARTED", "STOPPING", "EXITING"])
def test_states_of_the_bus(state: str) -> None:
    bus = Bus()
    monitor = Monitor(bus)
    bus.state = getattr(bus.states, state)
    status, told = health.ready(monitor)
    assert status == (200 if state == "STARTED" else 503)
    assert told["bus"] == state.lower()
    assert told.get("why") == (None if state == "STARTED" else [state.lower()])
    assert health.live(monitor)[0] == 200


def test_while_it_exits_it_drains() -> None:
    bus = Bus()
    monitor = Monitor(bus)
    bus.state = bus.states.STARTED
    seen: list[Any] = []
    bus.subscribe("stop", lambda: seen.append(health.ready(monitor)))
    bus.exit()
    assert seen == [
        (503, {"status": "not ready", "bus": "stopping", "why": ["draining", "stopping"]})
    ]


def test_another_application_keeps_its_place(tmp_path: Path) -> None:
    last = """
    cherrypy.tree.mount(Root(), "/-")
    main({"monitor": {"on": True, "dashboard.listen": False, "health.mount": "/-"}})
    """
    program, port = site(tmp_path, last)
    with program:
        assert get(port, "/-/") == (200, "hello")
        program.said("there is an application at /- already")


def test_it_comes_goes_and_moves_with_its_setting() -> None:
    monitor = Monitor(Bus())
    tree = cherrypy.tree
    before = dict(tree.apps)
    mounted = health.begin(monitor)
    assert tree.apps == before
    monitor.settings["health.mount"] = "/-/"
    assert tree.apps["/-"] is mounted
    monitor.settings["health.mount"] = "/health"
    assert "/-" not in tree.apps
    assert tree.apps["/health"] is mounted
    mounted.end()
    assert tree.apps == before
    monitor.settings["health.mount"] = "/other"
    assert tree.apps == before


def test_without_the_setting_the_paths_are_the_site_s(tmp_path: Path) -> None:
    path, port = write_site(tmp_path, "main({'monitor': {'on': True, 'dashboard.listen': False}})")
    with Program([sys.executable, str(path)], tmp_path) as program:
        program.said("READY")
        assert get(port, "/-/ready")[0] == 404
