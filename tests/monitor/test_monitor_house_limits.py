"""Whatever is asked for, by whomever: the number of series stays, and memory does.

A hundred thousand requests over sockets, many at once on a connection.
"""

from __future__ import annotations

import gc
import logging
import random
import string
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from monitored import PATIENCE, Monitored

import cherrypy

REQUESTS, BATCH = 100_000, 500


class Root:
    @cherrypy.expose
    def index(self, **params: str) -> str:
        return "home"

    @cherrypy.expose
    def item(self, number: str, tab: str = "", **params: str) -> str:
        return "item"

    @cherrypy.expose
    def files(self, *path: str, **params: str) -> str:
        return "file"


ALPHABET = string.ascii_letters + string.digits


class Words:
    """Random words, cut from a long text that is made anew now and then: a draw for each takes longer than
    the request that it is for."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.text = ""
        self.left = 0

    def __call__(self, letters_only: bool = False) -> str:
        if self.left < 32:
            self.text = "".join(self.dice.choices(ALPHABET, k=20_000))
            self.left = len(self.text)
        size = 3 + ord(self.text[self.left - 1]) % 26
        self.left -= size
        word = self.text[self.left : self.left + size]
        return "".join(filter(str.isalpha, word)) + "x" if letters_only else word


def heads(dice: random.Random, number: int) -> Iterator[str]:
    """Requests that have nothing in common."""
    word = Words(dice)
    paths = ("/", "/item/", "/files/", "/item/1/", "/no/", "/no/such/")
    methods = ("GET", "GET", "POST", "HEAD", "")
    for _ in range(number):
        path = paths[dice.randrange(6)] + word()
        method = methods[dice.randrange(5)] or word(True).upper()
        yield (
            f"{method} {path}?{word()}={word()} HTTP/1.1\r\nHost: {word()}.example\r\n"
            f"User-Agent: {word()}\r\nX-{word(True)}: {word()}\r\nCookie: {word()}={word()}\r\n"
        )


def series_of(site: Monitored) -> set[Any]:
    snapshot = site.take()
    return {
        (metric.name, labels)
        for kind in (snapshot.counts, snapshot.spreads, snapshot.gauges)
        for metric, labels in kind
    }


def over_sockets(site: Monitored, dice: random.Random, number: int) -> None:
    """Send requests, many at once on connections that are kept."""
    for _ in range(number // BATCH):
        many = list(heads(dice, BATCH))
        data = "Content-Length: 0\r\n\r\n".join(many)
        peer = site.connect()
        writer = threading.Thread(
            target=peer.sendall,
            args=((data + "Content-Length: 0\r\nConnection: close\r\n\r\n").encode(),),
            daemon=True,
        )
        writer.start()
        answers, rest = 0, b""
        while block := peer.recv(1 << 20):
            answers += (rest + block).count(b"HTTP/1.1 ")
            rest = block[-8:]
        writer.join(PATIENCE)
        peer.close()
        assert answers == BATCH


def memory() -> int:
    """Objects that there are, after a cleaning."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.timeout(300)
def test_a_hundred_thousand_requests_that_have_nothing_in_common(site: Monitored) -> None:
    site.mount(Root(), {"/": {"request.show_tracebacks": False}})
    site.start(dashboard__listen=False)
    dice = random.Random(20261127)
    logging.disable(logging.CRITICAL)  # a hundred thousand lines are no matter of this test
    try:
        over_sockets(site, dice, REQUESTS // 2)  # tables of fixed size are full then
        known = series_of(site)
        packed, objects = len(site.take().pack()), memory()
        over_sockets(site, dice, REQUESTS // 2)
        site.take()
        assert memory() - objects < 20_000
    finally:
        logging.disable(logging.NOTSET)
    grown = {name for name, _ in series_of(site) - known}
    grown.discard("cherrypy.monitor.snapshots.lost")  # those that this test has taken
    # These count what the machine does, not what is asked for.
    others = ("cpython.", "process.", "cherrypy.gc.", "cherrypy.monitor_task.")
    grown = {name for name in grown if not name.startswith(others)}
    # A machine that has much else to do answers some of them too late to satisfy.
    grown -= {"cherrypy.apdex.requests", "cherrypy.request.slow"}
    assert grown <= {"cherrypy.monitor.series", "cherrypy.server.thread.requests"}, grown
    assert len(site.take().pack()) < packed * 1.5
    site.becomes("cherrypy.requests", {("",): float(REQUESTS)})
    labels = {label for labels in site.counts("http.server.request.duration") for label in labels}
    assert labels <= {
        *("GET", "POST", "HEAD", "_OTHER", "/", "/item/{number}", "/item/{number}/{tab}"),
        *("/files/{*path}", "(unmatched)", "200", "404", "http", "1.1", ""),
    }


def test_exceptions_of_any_number_of_types_have_a_limit(site: Monitored) -> None:
    class Pages:
        @cherrypy.expose
        def index(self, name: str) -> str:
            raise type(name, (Exception,), {})("made for this request")

    site.mount(Pages())
    site.start()
    for number in range(250):
        assert site.ask(f"/?name=E{number}")[0] == 500
    kinds = site.counts("cherrypy.exceptions")
    assert len(kinds) == 101
    assert sum(kinds.values()) == 250
    assert kinds["(other)", "/", "false"] == 150
    assert len(site.monitor.books.errors()) == 200
