"""Bodies that asynchronous generators make, and event streams of theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from streaming_site import Site, until

import cherrypy
from cherrypy.lib import sse


class Pages:
    def __init__(self) -> None:
        self.made = 0
        self.ended: list[str] = []

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    async def pieces(self) -> AsyncIterator[Any]:
        yield "grün "
        await asyncio.sleep(0.01)
        yield cherrypy.request.path_info.encode()
        yield memoryview(b" end")

    @cherrypy.expose
    async def later(self) -> Any:
        await asyncio.sleep(0)
        cherrypy.response.headers["Content-Type"] = "application/x-pieces"
        return self.pieces()

    @cherrypy.expose
    async def many(self, count: str = "100000") -> AsyncIterator[bytes]:
        try:
            for _ in range(int(count)):
                self.made += 1
                yield b"x" * 10_000
        finally:
            await asyncio.sleep(0.01)
            self.ended.append("many")

    @cherrypy.expose
    async def breaks(self) -> AsyncIterator[str]:
        yield "a beginning"
        await asyncio.sleep(0.05)
        raise ValueError("in the middle")

    @cherrypy.expose
    async def wrong(self) -> AsyncIterator[Any]:
        yield 5

    @cherrypy.expose
    def events(self) -> Any:
        return sse.stream(self.ticks(), retry=1)

    async def ticks(self) -> AsyncIterator[Any]:
        try:
            yield sse.Event("first", id=1)
            await asyncio.sleep(0.01)
            yield {"path": cherrypy.request.path_info}
            await asyncio.sleep(10)
        finally:
            self.ended.append("ticks")


@pytest.fixture
def pages(site: Site) -> Pages:
    pages = Pages()
    site.mount(pages)
    return pages


def test_pieces_are_sent_as_they_come(site: Site, pages: Pages) -> None:
    client = site.ask("/pieces")
    assert client.head() == 200 and client.fields["transfer-encoding"] == "chunked"
    assert client.fields["content-type"] == "text/html;charset=utf-8"
    assert client.whole().decode() == "grün /pieces end"
    assert client.get("/") == (200, "hello")
    assert client.get("/later") == (200, "grün /later end")
    assert client.fields["content-type"] == "application/x-pieces"
    assert site.counters["feeds"] == 2


def test_no_thread_waits(site: Site, pages: Pages) -> None:
    clients = [site.stream("/events") for _ in range(50)]
    for client in clients:
        assert client.event() == {"data": "first", "id": "1"}
    assert site.get("/") == (200, "hello")
    assert site.counters["threads"] <= 10


def test_head(site: Site, pages: Pages) -> None:
    client = site.client()
    client.ask("/many", method="HEAD")
    assert client.head() == 200
    assert client.get("/") == (200, "hello") and pages.made == 0


def test_it_is_made_as_fast_as_it_is_read(site: Site, pages: Pages) -> None:
    client = site.client(receive=4096)
    client.ask("/many?count=2000")
    assert client.head() == 200
    assert until(lambda: pages.made > 10)
    before = -1
    while before != pages.made:  # until the buffers of the system are full
        before = pages.made
        time.sleep(0.1)
    assert pages.made < 1500
    (conn,) = site.kirsch.groups[0].conns.values()
    assert conn.upgraded.waiting < 200_000
    received, last = len(client.data), client.data[-5:]
    while last != b"0\r\n\r\n":
        data = client.sock.recv(1 << 20)
        received, last = received + len(data), (last + data)[-5:]
    assert received == 2000 * (10_000 + len(b"2710\r\n\r\n")) + 5 and pages.made == 2000
    assert until(lambda: pages.ended) == ["many"]


def test_a_client_that_leaves_ends_it(site: Site, pages: Pages) -> None:
    client = site.client(receive=4096)
    client.ask("/many")
    assert client.head() == 200 and until(lambda: pages.made > 20)
    client.close()
    assert until(lambda: pages.ended, 1) == ["many"]
    assert pages.made < 100_000


def test_a_body_that_fails_is_not_taken_for_a_whole_one(site: Site, pages: Pages) -> None:
    for path in ("/breaks", "/wrong"):
        client = site.ask(path)
        assert client.head() == 200
        try:
            client.whole()
        except ConnectionResetError:
            pass
        assert not client.data.endswith(b"0\r\n\r\n")
        assert b"0\r\n\r\n" not in client.body


def test_behind_a_middleware_a_thread_waits(site: Site, pages: Pages) -> None:
    def middleware(app: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            body = app(environ, start_response)
            try:
                yield from body
            finally:
                body.close()

        return call

    site.mount(pages, {"/": {"wsgi.pipeline": [("mine", middleware)]}}, "/w")
    assert site.get("/w/pieces") == (200, "grün /pieces end")
    assert site.get("/w/later") == (200, "grün /later end")
    assert len(site.get("/w/many?count=10")[1]) == 100_000 and pages.ended == ["many"]
    client = site.stream("/w/events")
    assert client.event() == {"data": "first", "id": "1"}
    assert client.event() == {"data": '{"path":"/events"}'}
    assert site.counters["feeds"] == 0


def test_events_of_an_asynchronous_generator(site: Site, pages: Pages) -> None:
    client = site.ask("/events")
    assert client.head() == 200
    assert next(client.events()) == {"retry": "1000"}
    assert client.event() == {"data": "first", "id": "1"}
    assert client.event() == {"data": '{"path":"/events"}'}
    client.close()
    assert until(lambda: pages.ended, 1) == ["ticks"]
    assert until(lambda: sse.limits.open == 0) or sse.limits.open == 0


def test_a_stop_ends_them(site: Site, pages: Pages) -> None:
    client = site.stream("/events")
    assert client.event()["data"] == "first"
    began = time.monotonic()
    cherrypy.engine.stop()
    assert time.monotonic() - began < 1.5
    client.whole()
    assert client.ended and until(lambda: pages.ended) == ["ticks"]
