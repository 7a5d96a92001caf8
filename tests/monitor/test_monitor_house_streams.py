"""Responses that take their time: streams, clients that leave, pages that wait without a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy

SIZE = 1 << 20


class Root:
    def __init__(self) -> None:
        self.gate = threading.Event()

    @cherrypy.expose
    def stream(self, parts: str = "3", nap: str = "0.05") -> Any:
        def made() -> Any:
            for _ in range(int(parts)):
                time.sleep(float(nap))
                yield b"x" * 100

        return made()

    @cherrypy.expose
    def flood(self) -> Any:
        def made() -> Any:
            while True:
                yield b"x" * SIZE

        return made()

    @cherrypy.expose
    @cherrypy.tools.caching(delay=5)
    def kept(self) -> str:
        return "x" * 3000

    stream._cp_config = flood._cp_config = {"response.stream": True}

    @cherrypy.expose
    def big(self) -> bytes:
        return b"x" * (8 * SIZE)

    @cherrypy.expose
    async def later(self) -> str:
        for _ in range(200):
            if self.gate.is_set():
                break
            await asyncio.sleep(0.02)
        return "later"

    @cherrypy.expose
    async def boom(self) -> str:
        await asyncio.sleep(0.01)
        raise KeyError("async")


@pytest.fixture
def root(site: Monitored) -> Root:
    root = Root()
    site.mount(root)
    site.start()
    return root


def test_a_streamed_body_is_measured_to_its_end(site: Monitored, root: Root) -> None:
    status, data = site.ask("/stream")
    assert (status, len(data)) == (200, 300)
    site.becomes("cherrypy.requests", {("",): 1})
    (duration,) = site.series("http.server.request.duration").values()
    assert 0.15 <= duration.total < 10
    first = site.series("cherrypy.request.ttfb")[("/stream",)]
    assert first.total >= 0.05
    stream = site.series("cherrypy.request.stream.duration")[("/stream",)]
    assert stream.total >= 0.1
    assert first.total + stream.total == pytest.approx(duration.total, rel=0.01)
    (size,) = site.series("http.server.response.body.size").values()
    assert size.total == 300
    assert site.counts("cherrypy.request.aborted") == {}


def test_a_client_that_leaves_a_stream(site: Monitored, root: Root) -> None:
    peer = site.connect(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.recv(1000).startswith(b"HTTP/1.1 200")
    peer.close()
    site.becomes("cherrypy.request.aborted", {("write",): 1})
    assert site.counts("cherrypy.requests") == {("",): 1}
    assert site.counts("cherrypy.exceptions") == {}
    assert site.monitor.books.errors() == []


def test_who_reads_what_was_promised_has_not_left(site: Monitored, root: Root) -> None:
    """What the cache keeps is made while it is sent, with its length: nobody asks for its end."""
    for keep in (False, True):
        assert site.ask("/kept")[1] == b"x" * 3000
        site.becomes("cherrypy.requests", {("",): 1 + keep})
    assert site.counts("cherrypy.request.aborted") == {}


def test_a_page_that_waits_without_a_thread_is_in_flight(site: Monitored, root: Root) -> None:
    peers = [site.connect(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(3)]
    site.becomes("http.server.active_requests", {("GET", "http", ""): 3})
    until(lambda: site.kirsch.pool.idle == site.kirsch.pool.size)
    assert site.counts("http.server.active_requests") == {("GET", "http", ""): 3}
    entries = site.monitor.books.inflight()
    assert [(entry["route"], entry["thread"], entry["phase"]) for entry in entries] == [
        ("/later", "(parked)", "app")
    ] * 3
    assert site.counts("cherrypy.server.connections.upgraded") == {("stream",): 3}
    root.gate.set()
    for peer in peers:
        assert b"later" in peer.recv(4096)
        peer.close()
    site.becomes("cherrypy.requests", {("",): 3})
    site.becomes("http.server.active_requests", {})


def test_an_exception_of_a_coroutine_has_its_route(site: Monitored, root: Root) -> None:
    assert site.ask("/boom")[0] == 500
    site.becomes("cherrypy.requests", {("",): 1})
    assert site.counts("cherrypy.exceptions") == {("KeyError", "/boom", "false"): 1}
    (entry,) = site.monitor.books.errors()
    assert (entry["type"], entry["route"], entry["count"]) == ("KeyError", "/boom", 1)
    assert "in boom" in entry["traceback"]
