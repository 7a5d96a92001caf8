"""What WebSockets may cost: time, memory and threads, each with its limit, and the stop of the server."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from server_kit import Bench, until
from websocket_kit import Client, Echo, Site

from kirsch.server.endpoints import ConnectionClosed, Options
from kirsch.server.outqueue import BURDEN, OutQueue
from kirsch.wire.websocket.protocol import Protocol


def test_a_handler_that_takes_too_long_does_not_hold_up_the_close(bench: Bench) -> None:
    go = threading.Event()

    class Stuck(Echo):
        def ws_message(self, message: Any) -> None:
            go.wait(10)

    site = Site(bench, Stuck, Options("stuck", close_timeout=0.3))
    client = site.client()
    client.send("x")
    client.peer.send(client.core.close(1000))
    try:
        assert client.next(5).code == 1000
        assert client.next(5) is None
    finally:
        go.set()
    assert until(lambda: site.handlers[0].told[-1] == (1000, ""))


def test_reading_pauses_when_the_handler_lags(bench: Bench) -> None:
    go = threading.Event()

    class Slow(Echo):
        def ws_message(self, message: Any) -> None:
            assert go.wait(10)
            self.told.append(len(message))

    site = Site(bench, Slow, threads=4)
    client = site.client()
    frame = client.core.binary(b"x" * 10_000)
    client.peer.sock.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 10_000:
            client.peer.sock.sendall(frame)
            sent += 1
    before = site.server.counters["bytes_in"]
    assert before < 2_000_000, "it read on without end"
    conn = next(iter(site.server.groups[0].conns.values()))
    waiting = conn.upgraded
    assert len(waiting._inbox) < 400
    go.set()
    assert until(lambda: len(site.handlers[0].told) > sent)  # and goes on when it does not


def test_a_handler_waits_for_its_own_peer_and_for_nobody_else(bench: Bench) -> None:
    """Sending more than max_output in the handler's own thread is slowed down, not dropped."""

    class Fountain(Echo):
        def ws_message(self, message: Any) -> None:
            for _ in range(200):
                self.ws.binary(b"z" * 100_000)

    site = Site(bench, Fountain, Options("fountain", max_output=300_000), threads=3)
    client = site.client(rcvbuf=4096)
    client.send("go")
    other = bench.peer(site.server)
    assert until(lambda: site.handlers[0].ws._room is not None)  # it waits
    assert other.get("/plain")[0] == 200
    assert site.handlers[0].ws._out.weight < 500_000
    for _ in range(200):
        assert client.next() == b"z" * 100_000
    assert site.server.counters["websocket_slow_peers"] == 0


def test_a_peer_that_does_not_read_is_dropped_at_the_limit(bench: Bench) -> None:
    site = Site(bench, options=Options("limit", max_output=200_000))
    client = site.client(rcvbuf=4096)
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    start = time.monotonic()
    with pytest.raises(ConnectionClosed):
        for _ in range(10_000):
            handler.ws.binary(b"x" * 20_000)
    assert time.monotonic() - start < 5
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert site.server.counters["websocket_slow_peers"] == 1
    client.peer.rest()


def test_a_peer_that_does_not_read_is_dropped_at_the_deadline(bench: Bench) -> None:
    site = Site(bench, write_timeout=0.5, write_min_rate=1 << 30)
    client = site.client(rcvbuf=4096)
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    for _ in range(5):
        handler.ws.binary(b"x" * 3_000_000 if _ == 0 else b"x")
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert site.server.counters["websocket_slow_peers"] == 1
    assert client


def test_too_large_a_message_can_read_why(bench: Bench) -> None:
    site = Site(bench, options=Options("small", max_message=1000))
    client = site.client()
    client.peer.send(b"\x82\xfe\x03\xe9mask" + b"x" * 200)  # 1001 bytes are announced
    assert client.code() == 1009


def test_pings_and_the_deadline_of_their_answer(bench: Bench) -> None:
    site = Site(bench, options=Options("beat", ping_interval=0.2, ping_timeout=0.3))
    client = site.client()
    assert type(client.next()).__name__ == "Ping"
    start = time.monotonic()
    assert client.next().code == 1011
    assert 0.2 < time.monotonic() - start < 3
    assert site.server.counters["websocket_unanswered_pings"] == 1
    # Who has something to say is alive, and is not asked.
    busy = site.client()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        busy.send("x")
        assert busy.next() == "x"
        time.sleep(0.02)


def test_our_close_is_waited_for_and_no_longer(bench: Bench) -> None:
    site = Site(bench, options=Options("close", close_timeout=0.3))
    client = site.client()
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    handler.ws.close(4001, "enough")
    with pytest.raises(ConnectionClosed):
        handler.ws.text("too late")
    assert client.next().code == 4001  # and does not answer
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert not handler.ws.deliver("x", b"\x81\x01x")


def test_stop_says_1001_and_is_bounded(bench: Bench) -> None:
    site = Site(bench, threads=3, shutdown_timeout=1)
    clients = [site.client() for _ in range(20)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    codes: list[int] = []

    def follow(client: Client) -> None:
        event = client.next()
        client.peer.send(client.core.answer(event))
        codes.append(event.code)

    threads = [threading.Thread(target=follow, args=(client,)) for client in clients[:19]]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    site.server.stop()  # one of them does not answer
    assert time.monotonic() - start < 4
    for thread in threads:
        thread.join(5)
    assert codes == [1001] * 19
    assert until(lambda: all(handler.told[-1] != "opened" for handler in site.handlers))
    ends = sorted(handler.told[-1][0] for handler in site.handlers)
    assert ends == [1001] * 19 + [1006]


def test_a_handler_may_stop_the_server(bench: Bench) -> None:
    class Stops(Echo):
        def ws_message(self, message: Any) -> None:
            site.server.stop()

    site = Site(bench, Stops, threads=3, shutdown_timeout=2)
    client = site.client()
    client.send("stop")
    assert client.next().code == 1001
    client.peer.send(client.core.close(1001))
    assert until(lambda: not site.server.ready)
    assert client.next() is None


def test_blocking_handlers_take_a_thread_each_and_give_it_back(bench: Bench) -> None:
    class Talks(Echo):
        def ws_opened(self) -> None:
            try:
                while True:
                    message = self.ws.recv()
                    self.ws.text(message.upper())
            except ConnectionClosed as closed:
                self.told.append(closed.code)

    site = Site(bench, Talks, Options("talk", blocking=True), threads=2, threads_max=20)
    clients = [site.client() for _ in range(10)]
    for client in clients:
        client.send("hello")
        assert client.next() == "HELLO"
    assert bench.peer(site.server).get("/plain")[0] == 200
    for client in clients:
        client.peer.close()
    assert until(lambda: all(handler.told[-1:] == [(1006, "")] for handler in site.handlers))
    assert site.handlers[0].told == [1006, (1006, "")]


def test_a_blocking_handler_gets_what_came_with_the_handshake(bench: Bench) -> None:
    class Talks(Echo):
        def ws_opened(self) -> None:
            self.told.append(self.ws.recv())
            try:
                self.ws.recv()
            except ConnectionClosed as closed:
                self.told.append(closed.code)

    core = Protocol(client=True)
    site = Site(bench, Talks, Options("talk", blocking=True), threads=2)
    client = site.client(core.text("early") + core.close(4000))
    assert client.code() == 4000
    assert until(lambda: site.handlers[0].told == ["early", 4000, (4000, "")])
    assert until(lambda: site.server.counters["open"] == 0)


def test_a_blocked_handler_is_woken_by_the_stop(bench: Bench) -> None:
    ends: list[Any] = []

    class Waits(Echo):
        def ws_opened(self) -> None:
            try:
                self.ws.recv()
            except ConnectionClosed as closed:
                ends.append(closed.code)

    site = Site(bench, Waits, Options("wait", blocking=True), threads=2, shutdown_timeout=0.5)
    client = site.client()  # does not answer the 1001
    assert client.status == 101
    assert until(lambda: site.handlers)
    site.server.stop()
    assert until(lambda: ends) == [1006]


def test_all_workers_busy_and_no_more_allowed(bench: Bench) -> None:
    """Messages wait for a worker then, while somebody still reads and answers pings."""
    go = threading.Event()

    class Busy(Echo):
        def ws_message(self, message: Any) -> None:
            if message == "wait":
                assert go.wait(10)
            super().ws_message(message)

    site = Site(bench, Busy, threads=2, threads_max=2)
    clients = [site.client() for _ in range(6)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    for client in clients:
        client.send("wait")
    last = clients[-1]

    def answered() -> bool:
        last.peer.send(last.core.ping(b"?"))
        return type(last.next(5)).__name__ == "Pong"

    assert answered()
    go.set()
    for client in clients:
        assert client.next() == "wait"


class Taker:
    """A socket that takes a few bytes at a time."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""
        self.calls = 0

    def send(self, data: Any) -> int:
        self.calls += 1
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.got += taken
        return len(taken)


def test_the_queue_joins_small_frames_and_weighs_them() -> None:
    queue = OutQueue(memoryview(b"rest"))
    for number in range(1000):
        queue.add(b"%03d" % number)
    assert queue.weight == 3004 + 1001 * BURDEN
    taker: Any = Taker(1000)
    assert not queue.flush(taker)
    assert queue.size == 2004
    taker.room = 1 << 20
    assert queue.flush(taker)
    assert taker.got == b"rest" + b"".join(b"%03d" % number for number in range(1000))
    assert taker.calls <= 3
    assert (queue.size, queue.weight) == (0, 0)
