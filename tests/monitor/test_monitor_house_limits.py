"""Whatever is asked for, by whomever: the number of series stays, and memory does.

Some requests go over sockets; the rest, through the gateway of the same server, with all that the
monitor puts there. A hundred thousand in all where MONITOR_LONG is set, else a fifth of that.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import string
import time
from types import SimpleNamespace
from typing import Any

import pytest
from monitored import Monitored

import cherrypy
from kirsch.server.exchange import Exchange
from kirsch.server.input import EMPTY
from kirsch.wire.http1.requests import HeadLimits, parse_head

SOCKETS, GATEWAY = (6_000, 94_000) if os.environ.get("MONITOR_LONG") else (2_000, 18_000)


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


def word(dice: random.Random, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(dice.choices(letters, k=dice.randrange(1, 30)))


def heads(dice: random.Random, number: int) -> Any:
    """Requests that have nothing in common."""
    for _ in range(number):
        path = dice.choice(("/", "/item/", "/files/", "/item/1/", "/no/")) + word(dice)
        method = dice.choice(("GET", "GET", "POST", "HEAD", word(dice, string.ascii_uppercase)))
        yield (
            f"{method} {path}?{word(dice)}={word(dice)} HTTP/1.1\r\nHost: {word(dice)}.example\r\n"
            f"User-Agent: {word(dice)}\r\nX-{word(dice, string.ascii_letters)}: {word(dice)}\r\n"
            f"Cookie: {word(dice)}={word(dice)}\r\n"
        )


def series_of(site: Monitored) -> set[Any]:
    snapshot = site.take()
    return {
        (metric.name, labels)
        for kind in (snapshot.counts, snapshot.spreads, snapshot.gauges)
        for metric, labels in kind
    }


def over_sockets(site: Monitored, dice: random.Random, number: int) -> None:
    """Send requests, in batches on connections that are kept."""
    batch = 50
    for _ in range(number // batch):
        data = "".join(head + "Content-Length: 0\r\n\r\n" for head in heads(dice, batch - 1))
        last = next(iter(heads(dice, 1)))
        peer = site.connect(
            (data + last + "Content-Length: 0\r\nConnection: close\r\n\r\n").encode()
        )
        answers = bytearray()
        while block := peer.recv(1 << 20):
            answers += block
        peer.close()
        assert answers.count(b"HTTP/1.1 ") == batch


def through_the_gateway(site: Monitored, dice: random.Random, number: int) -> None:
    gateway, limits = site.kirsch.gateway, HeadLimits()
    worker = SimpleNamespace(turn=object(), came=0.0, now=0.0, watch=None)
    # Of a group that is no server's: nothing of it is sent.
    group = SimpleNamespace(server=site.kirsch)
    for count, head in enumerate(heads(dice, number)):
        if count % 16 == 0:
            worker.turn = object()
        worker.came = worker.now = time.monotonic()
        parsed = parse_head((head + "Content-Length: 0\r\n\r\n").encode(), limits)
        connection: Any = _Connection()
        connection.worker, connection.group = worker, group
        answer = gateway(Exchange(connection, parsed, EMPTY))  # type: ignore[arg-type]  # parsed whole
        close = getattr(answer[2], "close", None)
        if close is not None:
            close()


class _Connection:
    scheme = "http"
    remote = ("127.0.0.1", 50_000)
    local = ("127.0.0.1", 8080)
    body_since = 0.0


def memory() -> int:
    """Objects that there are, after a cleaning."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.timeout(240)
def test_a_hundred_thousand_requests_that_have_nothing_in_common(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    dice = random.Random(20261127)
    logging.disable(logging.CRITICAL)  # a hundred thousand lines are no matter of this test
    try:
        over_sockets(site, dice, SOCKETS // 2)
        through_the_gateway(site, dice, GATEWAY // 2)  # tables of fixed size are full then
        known = series_of(site)
        packed, objects = len(site.take().pack()), memory()
        over_sockets(site, dice, SOCKETS // 2)
        through_the_gateway(site, dice, GATEWAY // 2)
        site.take()
        assert memory() - objects < 20_000
    finally:
        logging.disable(logging.NOTSET)
    grown = {name for name, _ in series_of(site) - known}
    grown.discard("cherrypy.monitor.snapshots.lost")  # those that this test has taken
    # These count what the machine does, not what is asked for.
    others = ("cpython.", "process.", "cherrypy.gc.", "cherrypy.monitor_task.")
    grown = {name for name in grown if not name.startswith(others)}
    assert grown <= {"cherrypy.monitor.series", "cherrypy.server.thread.requests"}, grown
    assert len(site.take().pack()) < packed * 1.5
    counts = site.counts("cherrypy.requests")
    assert counts == {("",): SOCKETS + GATEWAY}
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
