"""Sessions that are watched: whoever only reads waits for nobody, and what is begun anew is one request."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from monitored import PATIENCE, Monitored

import cherrypy
from cherrypy.lib import sessionreads
from cherrypy.lib.reading import verdicts


class Root:
    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.runs = 0

    @cherrypy.expose
    def count(self) -> str:
        session = cherrypy.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @cherrypy.expose
    def look(self) -> str:
        return f"{cherrypy.session.get('n')} {cherrypy.session.locked}"

    @cherrypy.expose
    def slow(self) -> str:
        n = cherrypy.session["n"]
        self.runs += 1
        if self.runs == 1:
            self.entered.set()
            assert self.go.wait(PATIENCE)
        cherrypy.session["n"] = n + 1
        return str(n + 1)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, site: Monitored, tmp_path: Any, kind: str) -> Root:
    """Pages of which nothing is known."""
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    monkeypatch.setattr(verdicts, "verdict", lambda *_: None)
    root = Root()
    conf = {"tools.sessions.on": True, "tools.sessions.storage_type": kind}
    site.mount(root, {"/": {**conf, "tools.sessions.storage_path": str(tmp_path)}})
    site.start()
    return root


def cookie_of(site: Monitored) -> str:
    return str(site.whole("/count")[1]["Set-Cookie"]).partition(";")[0]


@pytest.mark.parametrize("kind", ["ram", "file"])
def test_who_only_reads_takes_no_lock(site: Monitored, root: Root) -> None:
    cookie = cookie_of(site)
    for _ in range(2):
        assert site.ask("/look", Cookie=cookie) == (200, b"1 False")


@pytest.mark.parametrize("kind", ["ram", "file"])
def test_what_is_begun_anew_is_one_request(site: Monitored, root: Root) -> None:
    cookie = cookie_of(site)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(site.ask, "/slow", Cookie=cookie)
        assert root.entered.wait(PATIENCE)
        began = time.monotonic()
        assert site.ask("/count", Cookie=cookie) == (200, b"2")
        took = time.monotonic() - began
        root.go.set()
        assert slow.result(PATIENCE) == (200, b"3")
    assert root.runs == 2
    site.becomes("cherrypy.requests", {("",): 3.0})
    durations = site.series("http.server.request.duration")
    (whole,) = [spread for labels, spread in durations.items() if "/slow" in labels]
    assert whole.count == 1
    assert whole.total > took
    for name in ("cherrypy.redirects", "cherrypy.exceptions", "cherrypy.http_errors"):
        assert site.counts(name) == {}
