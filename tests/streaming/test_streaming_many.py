"""Thousands of open responses on ten threads: what others notice of them, and how soon they are gone."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
from streaming_site import Site, until

import cherrypy
from cherrypy.lib import sse

STREAMS = 2000

NO_GIL = not getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * STREAMS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("only on systems that allow a process this many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Pages:
    def __init__(self) -> None:
        self.room = sse.Room("many")
        self.requests: list[Any] = []

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    def news(self) -> Any:
        return sse.stream(self.room)

    @cherrypy.expose
    async def coroutine(self) -> str:
        self.requests.append(weakref.ref(cherrypy.serving.request))
        await asyncio.sleep(0.01)
        return "done"

    @cherrypy.expose
    def own(self) -> Any:
        self.requests.append(weakref.ref(cherrypy.serving.request))
        return sse.stream()


def hello(site: Site) -> float:
    """The median of a page over a connection that stays open, in seconds."""
    client = site.client()
    took = []
    for _ in range(200):
        began = time.perf_counter()
        assert client.get("/") == (200, "hello")
        took.append(time.perf_counter() - began)
    client.close()
    return median(took)


def test_two_thousand_streams_on_ten_threads(
    many_files: None, make_site: Callable[..., Site]
) -> None:
    site = make_site(thread_pool=10, thread_pool_max=10)
    pages = Pages()
    site.mount(pages)
    before = hello(site)
    clients = [site.stream("/news") for _ in range(STREAMS)]
    assert len(pages.room) == STREAMS
    assert site.counters["threads"] == 10 and site.counters["threads_busy"] <= 1
    # Both ends share a process here; benchmarks/streams.py has the figures.
    assert hello(site) < 3 * before + 0.002
    assert pages.room.send("to all") == STREAMS
    assert all(client.event()["data"] == "to all" for client in clients)
    began = time.monotonic()
    for client in clients[:100]:
        client.close()
    assert until(lambda: len(pages.room) == STREAMS - 100, 1) is True
    assert time.monotonic() - began < 1
    began = time.monotonic()
    site.adapter.stop()
    assert time.monotonic() - began < 3 and sse.limits.open == 0


@pytest.mark.skipif(NO_GIL, reason="only on a Python with the GIL: else the collector frees")
@pytest.mark.parametrize("path", ["/coroutine", "/own"])
def test_what_is_over_is_forgotten(site: Site, path: str) -> None:
    """Nothing waits for the collector of cycles, or a busy site would carry them all along."""
    pages = Pages()
    site.mount(pages)
    gc.collect()
    gc.disable()
    try:
        client = site.ask(path)
        assert client.head() == 200
        if path == "/coroutine":
            assert client.whole() == b"done"
        client.close()
        assert until(lambda: sse.limits.open == 0) is True
        assert until(lambda: pages.requests[0]() is None) is True
    finally:
        gc.enable()
