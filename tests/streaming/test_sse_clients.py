"""Clients of event streams that do not behave: too slow, too many, too talkative, or gone."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from sse_site import Pages
from streaming_site import Site, until

import cherrypy
from cherrypy.lib import sse


@pytest.fixture
def pages(site: Site) -> Pages:
    pages = Pages()
    site.mount(pages)
    return pages


def test_silence_is_broken_by_comments(site: Site, pages: Pages) -> None:
    pages.options = {"heartbeat": 0.2}
    client = site.stream("/news")
    began = time.monotonic()
    beats = [next(client.events()) for _ in range(3)]
    assert beats == [{"#": ""}] * 3
    assert 0.4 < time.monotonic() - began < 3


def test_the_system_looks_after_peers_that_vanish(site: Site, pages: Pages) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("only on Linux")
    pages.options = {"heartbeat": 7}
    site.stream("/news")
    (conn,) = site.kirsch.groups[0].conns.values()
    assert conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 14_000


def lagging(site: Site, path: str = "/news") -> Any:
    client = site.client(receive=4096)
    client.ask(path)
    assert client.head() == 200
    return client


def test_a_slow_client_loses_the_oldest_events(site: Site, pages: Pages) -> None:
    pages.options = {"queue": 10}
    slow, quick = lagging(site), site.stream("/news")
    assert until(lambda: len(pages.room) == 2)
    for number in range(1000):
        pages.room.send(f"{number} " + "x" * 20_000)
        assert quick.event()["data"].startswith(f"{number} ")
    assert len(pages.room) == 2
    dropped = sum(stream.dropped for stream in pages.room)
    assert dropped > 500
    held = [stream.feed.waiting for stream in pages.room]
    assert 5 * 20_000 < max(held) < 12 * 20_100 + 65_536  # ten, and what has been begun
    seen = [int(slow.event()["data"].split()[0]) for _ in range(1000 - dropped)]
    assert seen == sorted(set(seen)) and seen[-1] == 999


def test_what_waits_for_many_is_there_once(site: Site, pages: Pages) -> None:
    for _ in range(2):
        lagging(site)
    assert until(lambda: len(pages.room) == 2)
    for _ in range(60):
        pages.room.send("x" * 100_000)
    first, second = ({id(part) for part in s.feed.out.parts} for s in pages.room)
    assert len(first & second) >= len(first) - 2 > 3


def test_what_a_stream_says_early_comes_first(site: Site, pages: Pages) -> None:
    stop = threading.Event()
    sent: list[int] = []

    class Eager:
        @cherrypy.expose
        def index(self) -> Any:
            stream = sse.stream(queue=100_000)

            def send() -> None:
                while not stop.is_set() and stream.send(str(len(sent))):
                    sent.append(1)

            threading.Thread(target=send).start()
            assert until(lambda: len(sent) > 50)
            return stream

    site.mount(Eager(), path="/eager")
    client = site.ask("/eager/")
    assert client.head() == 200
    first = int(client.event()["data"])
    seen = [int(client.event()["data"]) for _ in range(300)]
    stop.set()
    assert seen == list(range(first + 1, first + 301))


def test_or_the_stream_if_the_page_says_so(site: Site, pages: Pages) -> None:
    pages.options = {"queue": 10, "overflow": "close"}
    client = lagging(site)
    assert until(lambda: len(pages.room) == 1)
    assert until(lambda: not pages.room.send("x" * 100_000))
    assert until(lambda: sse.limits.open == 0) or sse.limits.open == 0
    assert site.counters["feed_slow_peers"] == 1
    assert client.sock.fileno() >= 0


def test_the_bytes_that_wait_are_limited_too(site: Site, pages: Pages) -> None:
    pages.options = {"queue_bytes": 200_000}
    lagging(site)
    assert until(lambda: len(pages.room) == 1)
    for _ in range(500):
        pages.room.send("x" * 50_000)
    (stream,) = pages.room
    assert stream.dropped > 300 and stream.feed.waiting < 600_000


def test_who_takes_nothing_is_dropped_at_the_write_deadline(site: Site, pages: Pages) -> None:
    site.kirsch.settings.write_timeout = 0.3
    lagging(site)
    assert until(lambda: len(pages.room) == 1)
    end = time.monotonic() + 5
    while len(pages.room) and time.monotonic() < end:
        pages.room.send("x" * 50_000)
        time.sleep(0.005)
    assert len(pages.room) == 0 and site.counters["timeouts_write"] == 1


def test_there_may_be_only_so_many(
    site: Site, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse.limits, "streams", 2)
    first = site.stream("/news")
    site.stream("/news")
    third = site.ask("/news")
    assert third.head() == 503 and third.fields["retry-after"] == "5"
    assert third.fields["content-type"].startswith("text/html")
    first.close()
    assert until(lambda: sse.limits.open == 1)
    site.stream("/news")


def test_a_request_that_comes_too_early_is_answered_after_the_stream(
    site: Site, pages: Pages
) -> None:
    client = site.stream("/own")
    client.ask("/")
    assert client.event() == {"data": "early"}
    pages.streams[0].close()
    assert client.read(lambda body: False) == b"" and client.ended
    assert client.head() == 200 and client.whole() == b"hello"


def test_a_flood_of_them_is_not_read(site: Site, pages: Pages) -> None:
    client = site.stream("/own")
    client.sock.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 26:
            sent += client.sock.send(b"GET / HTTP/1.1\r\n" * 4096)
    (conn,) = site.kirsch.groups[0].conns.values()
    assert len(conn.buffer) < 2 << 20
    pages.streams[0].send("still")
    client.event()
    assert client.event() == {"data": "still"}


def test_a_body_that_nobody_reads(site: Site, pages: Pages) -> None:
    site.mount(pages, {"/": {"request.process_request_body": False}}, "/unread")
    client = site.client()
    client.ask("/unread/own", "Content-Length: 10000000", method="POST")
    client.sock.sendall(b"x" * 200_000)
    assert client.head() == 200 and client.fields["connection"] == "close"
    assert client.event() == {"data": "early"}
    client.sock.sendall(b"x" * 1000)
    pages.streams[0].close()
    client.read(lambda body: False)
    assert client.ended
