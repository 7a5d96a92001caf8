"""WebSockets whose handler takes messages by itself: no framework, no event loop, any thread."""

import threading
import time

import pytest
from websocket_kit import Client, Site

from kirsch.server.detached import Detached
from kirsch.server.endpoints import ConnectionClosed, Options
from kirsch.server.upgrades import upgrade
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.frames import build
from kirsch.wire.websocket.handshake import Rules, judge


class Elsewhere:
    """A handler that is told once, and an event to wait by."""

    def __init__(self):
        self.ws = None
        self.opened = threading.Event()
        self.event = threading.Event()
        self.knocks = 0

    def attach(self, ws):
        self.ws = ws

    def ws_opened(self):
        self.opened.set()

    def release(self):
        self.knocks += 1
        self.event.set()

    def next(self, within=5):
        """Wait for a message, as a coroutine would."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.event.clear()
            message = self.ws.take(self)
            if message is not None:
                return message
            self.event.wait(0.5)
        raise TimeoutError


class DetachedSite(Site):
    """A server whose WebSockets are all of that kind."""

    def gateway(self, exchange):
        head = exchange.head
        accepted = judge(head.method, head.minor, head.fields, Rules(compression=Settings()))
        handler = Elsewhere()
        self.handlers.append(handler)
        answer = upgrade(accepted, handler, self.options, handler.attach, (), Detached)
        return "101 Switching Protocols", [], answer

    def pair(self, **options):
        client = self.client(**options)
        handler = self.handlers[-1]
        assert handler.opened.wait(5)
        return client, handler


@pytest.fixture
def site(bench):
    return DetachedSite(bench, options=Options("test", max_output=1 << 17, max_queue=4))


def closed(handler):
    with pytest.raises(ConnectionClosed) as caught:
        handler.next()
    return caught.value.code, caught.value.reason


def test_messages_are_taken_and_offered(site):
    client, handler = site.pair(behind=build(0x81, b"early", b"\0\0\0\0"))
    assert handler.next() == "early"
    client.send("text", b"bytes", "")
    assert [handler.next() for _ in range(3)] == ["text", b"bytes", ""]
    assert handler.ws.take(handler) is None
    for message in ("text", b"bytes", bytearray(b"array"), memoryview(b"view"), ""):
        assert handler.ws.offer(message, handler)
    assert [client.next() for _ in range(5)] == ["text", b"bytes", b"array", b"view", ""]
    with pytest.raises(UnicodeEncodeError):
        handler.ws.offer("\ud800", handler)
    assert handler.ws.offer("unharmed", handler)
    assert client.next() == "unharmed"


def test_compression(site):
    client, handler = site.pair(compressed=True)
    client.send("x" * 100_000)
    assert handler.next() == "x" * 100_000
    assert handler.ws.offer("y" * 100_000, handler), "it is small"
    assert client.next() == "y" * 100_000


def test_who_waits_is_told_once(site):
    client, handler = site.pair()
    assert handler.ws.take(handler) is None
    assert handler.knocks == 0
    client.send("a", "b", "c")
    assert handler.event.wait(5)
    assert handler.next() == "a"
    assert handler.next() == "b"
    assert handler.next() == "c"
    assert handler.knocks == 1


@pytest.mark.parametrize("code", [1000, 4321])
def test_the_peer_closes(site, code):
    client, handler = site.pair()
    client.send("last")
    client.peer.send(client.core.close(code, "bye"))
    assert client.code() == code
    assert handler.next() == "last"
    for _ in range(2):
        assert closed(handler) == (code, "bye")
    with pytest.raises(ConnectionClosed):
        handler.ws.offer("too late", handler)
    assert site.bench.until(lambda: site.server.counters["open"] == 0)
    assert handler.ws.over
    handler.ws.close(1000)  # is too late, and no error


def test_we_close(site):
    client, handler = site.pair()
    client.send("before")
    assert site.bench.until(lambda: handler.ws._inbox)
    with pytest.raises(ValueError):
        handler.ws.close(1005)
    handler.ws.close(4000, "why")
    handler.ws.close(4001, "another")
    client.send("after")
    assert handler.next() == "before"
    assert closed(handler) == (4000, "why")
    assert client.code() == 4000
    assert site.bench.until(lambda: site.server.counters["open"] == 0)
    assert closed(handler) == (4000, "why")


def test_a_peer_that_is_ahead_is_paused(site):
    client, handler = site.pair()
    message = b"x" * 50_000
    sender = threading.Thread(target=lambda: [client.send(message) for _ in range(400)])
    sender.start()
    assert site.bench.until(lambda: handler.ws._paused)
    time.sleep(0.2)
    assert sender.is_alive()
    assert len(handler.ws._inbox) <= 8
    for _ in range(400):
        assert handler.next() == message
    sender.join(10)
    assert not sender.is_alive()


def test_a_peer_that_lags_is_waited_for(site):
    client, handler = site.pair(rcvbuf=16384)
    message = b"x" * 50_000
    count = 1
    while handler.ws.offer(message, handler):
        count += 1
        assert count < 1000
    assert handler.ws._out.weight <= (1 << 16) + len(message) + 1000
    assert not handler.event.wait(0.2)
    assert [client.next() for _ in range(count)] == [message] * count
    assert handler.event.wait(5)
    assert handler.ws.offer("on we go", handler)
    assert client.next() == "on we go"


def test_a_peer_that_is_dropped_wakes_who_waits(site):
    client, handler = site.pair(rcvbuf=16384)
    while handler.ws.offer(b"x" * 50_000, handler):
        pass
    client.peer.sock.close()
    assert handler.event.wait(5)
    assert site.bench.until(lambda: handler.ws.over)
    assert closed(handler)[0] == 1006


def test_the_stop_is_told(site):
    client, handler = site.pair()
    stopper = threading.Thread(target=site.server.stop)
    stopper.start()
    assert closed(handler) == (1001, "the server stops")
    assert client.code() == 1001
    stopper.join(10)
    assert not stopper.is_alive()


def test_nobody_is_called_and_no_worker_waits(site):
    pairs = [site.pair() for _ in range(20)]
    for client, _ in pairs:
        client.send("hello")
    assert site.bench.until(lambda: site.server.counters["websocket_messages"] == 20)
    assert site.server.counters["threads_busy"] <= 1
    for client, handler in pairs:
        assert handler.ws.handler is None
        assert handler.next() == "hello"
        assert isinstance(client, Client)
