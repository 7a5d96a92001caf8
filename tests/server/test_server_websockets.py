"""WebSockets on the server: parked without a thread, answered in order, bounded in time and memory."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from server_kit import Bench, until
from websocket_kit import Echo, Site

from kirsch.server.endpoints import ConnectionClosed, Options
from kirsch.wire.websocket.protocol import Protocol


def test_echo_and_the_fields_of_the_101(bench: Bench) -> None:
    site = Site(bench)
    client = site.client()
    assert client.status == 101
    assert client.fields["x-more"] == "yes"
    for message in ("Grüße", b"\0\1", "", "x" * 300_000):
        client.send(message)
        assert client.next() == message
    client.peer.send(client.core.ping(b"there?"))
    assert client.next().data == b"there?"
    client.peer.send(client.core.pong(b"unasked"))
    client.peer.send(client.core.close(4000, "done"))
    assert client.next().code == 4000
    assert client.next() is None
    told = site.handlers[0].told
    assert until(lambda: told[-1] == (4000, "done"))
    assert told[0] == "opened"
    assert told[-2] == ("pong", b"unasked")
    counts = site.server.counters
    assert (counts["websockets"], counts["websocket_messages"]) == (1, 4)
    assert until(lambda: site.server.counters["open"] == 0)


class Greeter(Echo):
    """A handler that is in a list of those who get news before the peer knows that it is one."""

    def attach(self, ws: Any) -> None:
        super().attach(ws)
        ws.text("welcome")


def test_what_is_sent_as_soon_as_there_is_a_websocket_comes_behind_the_101(bench: Bench) -> None:
    client = Site(bench, Greeter).client(Protocol(client=True).text("early"))
    assert client.status == 101
    assert [client.next(), client.next()] == ["welcome", "early"]


def test_frames_right_behind_the_handshake(bench: Bench) -> None:
    """They may come in the same segment; ws4py lost its way (its issue #230)."""
    core = Protocol(client=True)
    big = core.binary(b"x" * 70_000)
    site = Site(bench)
    client = site.client(core.text("early") + core.ping(b"p") + big[:1000])
    client.peer.send(big[1000:])
    events = [client.next() for _ in range(3)]
    assert sorted(str(event)[:9] for event in events) == ["Pong(b'p'", "b'xxxxxxx", "early"]
    assert site.handlers[0].told == ["opened", "early", b"x" * 70_000]


def test_a_close_right_behind_the_handshake(bench: Bench) -> None:
    core = Protocol(client=True)
    site = Site(bench)
    client = site.client(core.text("hello") + core.close(1000, "bye"))
    told: list[Any] = site.handlers[0].told
    assert until(lambda: told == ["opened", "hello", (1000, "bye")]), told
    assert client.code() == 1000


@pytest.mark.parametrize("ending", ["close", "failure"])
def test_answers_are_not_overtaken_by_the_end(bench: Bench, ending: str) -> None:
    """What was said before a Close, or before a wrong frame, is answered before it."""

    class Slow(Echo):
        def ws_message(self, message: Any) -> None:
            time.sleep(0.02)  # and believed quick: the baton is taken from it meanwhile
            super().ws_message(message)

    site = Site(bench, Slow, linger_timeout=0.2)
    client = site.client()
    assert until(lambda: "test" in site.server.groups[0].means)
    site.server.groups[0].means["test"] = 0.0
    core = client.core
    end = core.ping() + (b"\xff\x80mask" if ending == "failure" else b"")
    frames = core.text("one") + core.text("two") + end
    client.peer.send(frames + (core.close(4000) if ending == "close" else b""))
    got = [client.next() for _ in range(4)]
    assert [event for event in got if isinstance(event, str)] == ["one", "two"]
    assert got[-1].code == (4000 if ending == "close" else 1002)
    assert until(lambda: site.server.counters["open"] == 0)


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_every_poller(bench: Bench, poller: str) -> None:
    site = Site(bench, poller=poller, threads=2)
    clients = [site.client() for _ in range(5)]
    for round_ in range(20):
        for number, client in enumerate(clients):
            client.send(f"{round_} {number}")
        for number, client in enumerate(clients):
            assert client.next() == f"{round_} {number}"
    big = "y" * 3_000_000
    site.options = site.options._replace(max_message=1 << 23)
    late = site.client(rcvbuf=4096)
    late.send(big)
    assert late.next() == big  # more than a socket takes at once: the poller flushes


def test_refused_handshakes_leave_an_http_connection(bench: Bench) -> None:
    site = Site(bench)
    peer = bench.peer(site.server)
    peer.send(b"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n")
    status, fields, _ = peer.response()
    assert (status, fields["upgrade"]) == (426, "websocket")
    assert peer.get("/plain")[0] == 200


def test_a_thousand_idle_connections_add_no_thread(bench: Bench) -> None:
    site = Site(bench, threads=3)
    threads = threading.active_count()
    clients = [site.client() for _ in range(1000)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    assert until(
        lambda: threading.active_count() <= threads + 3, 15
    )  # what the rush has added leaves
    assert site.server.counters["open"] == 1000
    for client in clients[::97]:
        client.send("x")
        assert client.next() == "x"
    assert bench.peer(site.server).get("/plain")[0] == 200


def test_messages_of_one_peer_come_one_at_a_time_and_in_order(bench: Bench) -> None:
    class Careful(Echo):
        inside = 0

        def ws_message(self, message: Any) -> None:
            self.inside += 1
            assert self.inside == 1
            if message == "100":
                time.sleep(0.05)  # slow now: the baton goes, and others read on for us
            self.told.append(message)
            self.inside -= 1

    site = Site(bench, Careful, threads=4)
    client = site.client()
    for start in range(0, 2000, 10):
        client.send(*(str(number) for number in range(start, start + 10)))
    told = site.handlers[0].told
    assert until(lambda: len(told) == 2001)
    assert told == ["opened", *map(str, range(2000))]


def test_eight_threads_send_and_no_frame_is_torn(bench: Bench) -> None:
    site = Site(bench, options=Options("many", max_output=1 << 27))
    for compressed in (False, True):
        client = site.client(rcvbuf=8192, compressed=compressed)
        handler = site.handlers[-1]
        assert until(lambda h=handler: h.told)

        def say(mark: str, ws: Any = handler.ws) -> None:
            for number in range(60):
                ws.text(f"{mark}{number} " + mark * 4000)

        threads = [threading.Thread(target=say, args=(mark,)) for mark in "abcdefgh"]
        for thread in threads:
            thread.start()
        counts = dict.fromkeys("abcdefgh", 0)
        for _ in range(480):
            message = client.next()
            mark = message[0]
            assert message == f"{mark}{counts[mark]} " + mark * 4000
            counts[mark] += 1
        for thread in threads:
            thread.join()


def test_an_exception_closes_with_1011(bench: Bench) -> None:
    class Fails(Echo):
        def ws_message(self, message: Any) -> None:
            raise RuntimeError("on purpose")

    site = Site(bench, Fails)
    for _ in range(3):
        client = site.client()
        client.send("x", "y")
        assert client.code() == 1011
    assert until(lambda: all(len(h.told) == 3 for h in site.handlers))
    assert [str(told) for told in site.handlers[0].told] == ["opened", "on purpose", "(1011, '')"]
    assert bench.peer(site.server).get("/plain")[0] == 200


def test_an_exception_in_what_is_told_of_the_exception(bench: Bench) -> None:
    class Worse(Echo):
        def ws_message(self, message: Any) -> None:
            raise RuntimeError("on purpose")

        ws_failed = ws_closed = ws_message

    site = Site(bench, Worse)
    client = site.client()
    client.send("x")
    assert client.core.ending is None
    code = client.code()
    assert code == 1011
    assert until(lambda: site.server.counters["open"] == 0)


def test_a_broken_peer_costs_only_itself(bench: Bench) -> None:
    site = Site(bench, threads=3)
    stays = site.client()
    for _ in range(50):
        client = site.client()
        client.send("x")
        client.peer.reset()
    stays.send("still")
    assert stays.next() == "still"
    assert until(lambda: site.server.counters["open"] == 1)
    assert until(lambda: sum(h.told[-1:] == [(1006, "")] for h in site.handlers) == 50)


def test_numbers_of_closed_sockets_are_not_mixed_up(bench: Bench) -> None:
    """A descriptor that is closed and given to the next peer belongs to nobody's old WebSocket."""
    site = Site(bench, threads=3)
    stop = threading.Event()
    faults: list[Any] = []

    def shout() -> None:
        while not stop.is_set():
            for ws in [handler.ws for handler in list(site.handlers)]:
                try:
                    if ws is not None:  # else its handshake is still under way
                        ws.text("news")
                except ConnectionClosed:
                    pass
                except Exception as error:
                    faults.append(error)

    shouting = threading.Thread(target=shout)
    shouting.start()
    try:
        for _ in range(150):
            client = site.client()
            client.peer.reset()
            del site.handlers[:-3]
            peer = bench.peer(site.server)
            assert peer.get("/plain")[2] == b"hello"  # and not one byte of a frame
            peer.close()
    finally:
        stop.set()
        shouting.join()
    assert faults == []
