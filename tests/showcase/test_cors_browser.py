"""The tool `cors` as a browser understands it: a page of one origin asks for what is on another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from chromium import Browser

Asking = Callable[..., str]

# Two ports of one site are two origins: pages on the first ask the second.
SITE = """
import sys
import cherrypy
from cherrypy._cpserver import Server

class Root:
    @cherrypy.expose
    def index(self):
        return "<!DOCTYPE html><title>Asking</title>"

    @cherrypy.expose
    def data(self, **params):
        cherrypy.response.headers["X-Total"] = "7"
        sent = cherrypy.request.headers.get("X-Token")
        return f"{cherrypy.request.method} {sent} {'visit' in cherrypy.request.cookie}"

    shut = credentials = everybody = locked = data

    @cherrypy.expose
    def cookie(self):
        cherrypy.response.cookie["visit"] = "1"
        return "set"

servers = [Server(), Server()]
cherrypy.server.unsubscribe()
cherrypy.config.update({"engine.autoreload.on": False, "log.screen": False, "checker.on": False})
for server in servers:
    server.socket_port = 0
    server.subscribe()
conf = {
    "/data": {
        "tools.cors.on": True,
        "tools.cors.methods": ["GET", "PUT"],
        "tools.cors.headers": ["X-Token"],
        "tools.cors.expose_headers": ["X-Total"],
    },
    "/credentials": {"tools.cors.on": True, "tools.cors.credentials": True},
    "/everybody": {"tools.cors.on": True, "tools.cors.origins": "*"},
    "/locked": {
        "tools.cors.on": True,
        "tools.cors.methods": "*",
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "r",
        "tools.auth_basic.checkpassword": lambda *args: False,
    },
}
cherrypy.tree.mount(Root(), "", conf)
cherrypy.engine.start()
ports = [server.bound_addr[1] for server in servers]
for path in ("/data", "/credentials", "/locked"):
    cherrypy.tree.apps[""].merge({path: {"tools.cors.origins": [f"http://127.0.0.1:{ports[0]}"]}})
print(*ports, flush=True)
sys.stdin.read()
cherrypy.engine.exit()
"""


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        yield [int(word) for word in process.stdout.readline().split()]
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        process.stdout.close()


@pytest.fixture
def ask(browser: Browser, ports: list[int]) -> Iterator[Asking]:
    browser.open(f"http://127.0.0.1:{ports[0]}/")

    def asked(path: str, **settings: object) -> str:
        url = json.dumps(f"http://127.0.0.1:{ports[1]}{path}")
        script = (
            f"fetch({url}, {json.dumps(settings)})"
            ".then(async r => [r.status, await r.text(), r.headers.get('X-Total')].join(' '))"
            ".catch(e => 'refused')"
        )
        return str(browser.run(script))

    yield asked
    # What is refused is also a complaint of the browser's.
    browser.complaints[:] = [text for text in browser.complaints if "127.0.0.1" not in text]


def test_what_a_browser_lets_a_page_read(ask: Asking) -> None:
    assert ask("/data") == "200 GET None False 7"
    assert ask("/shut") == "refused"
    assert ask("/everybody") == "200 GET None False "
    assert ask("/everybody", credentials="include") == "refused"


def test_what_it_asks_before(ask: Asking) -> None:
    token = {"X-Token": "t"}
    assert ask("/data", method="PUT", headers=token, body="x") == "200 PUT t False 7"
    assert ask("/data", method="DELETE") == "refused"
    assert ask("/data", headers={"X-Other": "t"}) == "refused"
    assert ask("/everybody", method="PUT", body="x") == "refused"
    assert ask("/locked", method="DELETE").startswith("401 ")  # past the login, which it may read


def test_cookies_are_sent_where_they_may(ask: Asking) -> None:
    assert ask("/cookie", credentials="include") == "refused"  # and set: the same host
    assert ask("/credentials", credentials="include") == "200 GET None True "
    assert ask("/data", credentials="include") == "refused"
    assert ask("/data") == "200 GET None False 7"
