"""Clients that come, read a little and leave, all at once: every request ends, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from streaming_site import Client, Site, until

import cherrypy
from cherrypy.lib import sse

SECONDS = 4.0
PATHS = ("/", "/news", "/sleep", "/sleep", "/sleep?seconds=0.2", "/pieces", "/events", "/refuses")


class Pages:
    def __init__(self) -> None:
        self.room = sse.Room("stress", history=20)

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    def news(self) -> Any:
        return sse.stream(
            self.room,
            queue=5,
            heartbeat=0.05,
            timeout=random.choice([None, 0.05, 0.3]),
            overflow=random.choice(["drop", "close"]),
        )

    @cherrypy.expose
    async def sleep(self, seconds: str = "0.01") -> str:
        await asyncio.sleep(float(seconds))
        return "x" * random.choice([10, 100_000])

    @cherrypy.expose
    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"y" * 5000
            await asyncio.sleep(0)

    @cherrypy.expose
    def events(self) -> Any:
        return sse.stream(self.numbers())

    async def numbers(self) -> AsyncIterator[int]:
        for number in range(20):
            yield number
            await asyncio.sleep(0.001)

    @cherrypy.expose
    async def refuses(self) -> str:
        await asyncio.sleep(0)
        raise cherrypy.HTTPError(409)


def visit(address: tuple[str, int], stop: float) -> None:
    """Come and go, in good manners and bad."""
    chance = random.Random()
    while time.monotonic() < stop:
        client = Client(address, receive=chance.choice([0, 4096]))
        with contextlib.suppress(OSError):
            for _ in range(chance.randrange(1, 4)):
                client.ask(chance.choice(PATHS))
            manners = chance.random()
            if manners < 0.2:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif manners > 0.5:
                client.sock.settimeout(chance.random() * 0.3)
                end = time.monotonic() + chance.random() * 0.5
                while time.monotonic() < end and client.sock.recv(65536):
                    pass
        client.close()


class Counted:
    """How many requests have begun and ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begun = self.ended = 0

    def begin(self) -> None:
        with self._lock:
            self.begun += 1

    def end(self) -> None:
        with self._lock:
            self.ended += 1


@pytest.fixture
def counted() -> Iterator[Counted]:
    counted = Counted()
    cherrypy.engine.subscribe("before_request", counted.begin)
    cherrypy.engine.subscribe("after_request", counted.end)
    yield counted
    cherrypy.engine.unsubscribe("before_request", counted.begin)
    cherrypy.engine.unsubscribe("after_request", counted.end)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads take turns often, and the timeout monitor looks often."""
    monkeypatch.setattr(cherrypy.engine.timeout_monitor, "frequency", 0.02)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_all_that_begins_ends(
    impatient: None, counted: Counted, make_site: Callable[..., Site]
) -> None:
    site = make_site(thread_pool=6, thread_pool_max=6, socket_queue_size=1024)
    pages = Pages()
    app = site.mount(pages, {"/": {"response.timeout": 0.15}})
    faults: list[str] = []

    class Faults(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            late = record.exc_info and record.exc_info[0] is cherrypy.TimeoutError
            if not late and "in its place" not in record.getMessage():
                faults.append(self.format(record))

    handler = Faults(logging.ERROR)
    loggers = (app.log.error_log, cherrypy.log.error_log)
    for logger in loggers:
        logger.addHandler(handler)
    stop = time.monotonic() + SECONDS

    def publish() -> None:
        while time.monotonic() < stop:
            pages.room.send("z" * random.choice([10, 20_000]))
            time.sleep(0.002)

    threads = [threading.Thread(target=visit, args=(site.address, stop)) for _ in range(12)]
    threads += [threading.Thread(target=publish) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert until(lambda: site.counters["open"] == 0) is True
        assert until(lambda: counted.ended == counted.begun > 100), vars(counted)
        assert until(lambda: sse.limits.open == len(pages.room) == 0) is True
        assert site.counters["threads"] == 6 and site.counters["handler_errors"] == 0
        assert faults == []
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
