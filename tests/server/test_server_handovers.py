"""Responses that are made elsewhere: feeds that any thread adds to, and requests that are parked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from server_kit import Bench, Peer, until

from kirsch.server.feeds import Feed
from kirsch.server.gateway import Handover
from kirsch.server.parked import Parked

FIELDS = [("Content-Type", "text/plain")]


class Desk:
    """A gateway that hands its responses over."""

    def __init__(self) -> None:
        self.feeds: list[Feed] = []
        self.parked: list[Parked] = []
        self.notes: list[str] = []
        self.threads: list[str] = []
        self.options: dict[str, Any] = {}
        self.fields = FIELDS
        self.status = "200 OK"
        self.at_once: Callable[[Parked], object] | None = None

    def __call__(self, exchange: Any) -> tuple[str, Any, Any]:
        path = exchange.head.path
        if path == "/feed":
            feed = Feed(self.note("began"), self.note("ended"), **self.options)
            self.feeds.append(feed)
            return self.status, self.fields, feed.handover()
        if path == "/park":
            parked = Parked(self.start, self.note("gone"))
            self.parked.append(parked)
            return self.status, self.fields, parked.handover()
        if path == "/lost":
            handover = Handover(lambda *args: self.notes.append("began"), self.lose)
            return self.status, self.fields, handover
        return "200 OK", FIELDS, b"here"

    def note(self, what: str) -> Callable[[], None]:
        def call() -> None:
            self.threads.append(threading.current_thread().name)
            self.notes.append(what)

        return call

    def lose(self, connection: Any) -> None:
        self.notes.append("lost")

    def start(self) -> None:
        self.note("started")()
        if self.at_once is not None:
            self.at_once(self.parked[-1])

    def work(self) -> tuple[str, Any, Any]:
        self.note("worked")()
        return "200 OK", FIELDS, b"worked"


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def server(bench: Bench, desk: Desk) -> Any:
    return bench.server(gateway=desk, threads=3, threads_max=3)


def ask(peer: Peer, path: str, version: str = "1.1", method: str = "GET") -> Peer:
    return peer.send(f"{method} {path} HTTP/{version}\r\nHost: t\r\n\r\n".encode())


# -- feeds --------------------------------------------------------------------------------------


def test_a_feed_and_the_connection_after_it(bench: Bench, server: Any, desk: Desk) -> None:
    peer = bench.peer(server)
    for _ in range(3):
        ask(peer, "/feed")
        assert until(lambda: desk.notes[-1:] == ["began"])
        feed = desk.feeds[-1]
        assert feed.open and feed.send(b"one ") and feed.send(b"") and feed.send(b"two")
        feed.finish()
        assert not feed.open and not feed.send(b"three")
        assert peer.response()[2] == b"one two" and feed.length == 7
        assert until(lambda: desk.notes[-1] == "ended")
    assert peer.get("/")[2] == b"here"
    assert until(lambda: desk.notes == ["began", "ended"] * 3)
    assert all(name.startswith("kirsch-worker") for name in desk.threads)
    assert server.counters["feeds"] == 3 and server.counters["responses"] == 4


def test_a_feed_for_http_1_0_ends_with_the_connection(
    bench: Bench, server: Any, desk: Desk
) -> None:
    peer = ask(bench.peer(server), "/feed", "1.0")
    assert until(lambda: desk.notes)
    desk.feeds[0].send(b"all")
    desk.feeds[0].finish()
    status, fields, body = peer.response()
    assert (status, body) == (200, b"all") and "transfer-encoding" not in fields


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content")])
def test_a_feed_without_a_body_ends_at_once(
    bench: Bench, server: Any, desk: Desk, method: str, status: str
) -> None:
    desk.status = status
    peer = ask(bench.peer(server), "/feed", method=method)
    assert peer.head()[0] == int(status[:3])
    assert until(lambda: sorted(desk.notes) == ["began", "ended"])
    assert peer.get("/")[2] == b"here"


def test_a_length_that_was_promised_ends_the_connection(
    bench: Bench, server: Any, desk: Desk
) -> None:
    desk.fields = [("Content-Length", "5")]
    peer = ask(bench.peer(server), "/feed")
    assert until(lambda: desk.notes)
    desk.feeds[0].send(b"hello")
    desk.feeds[0].finish()
    assert peer.response()[2] == b"hello" and peer.closed()


def test_a_head_that_cannot_be_sent(bench: Bench, server: Any, desk: Desk) -> None:
    desk.fields = [("X", "a\r\nb")]
    assert bench.peer(server).get("/feed")[0] == 500
    assert desk.notes == ["ended"]


def test_a_feed_that_is_aborted_is_incomplete(bench: Bench, server: Any, desk: Desk) -> None:
    peer = ask(bench.peer(server), "/feed")
    assert until(lambda: desk.notes)
    desk.feeds[0].send(b"part")
    assert peer.head()[0] == 200
    desk.feeds[0].abort()
    assert not peer.rest().endswith(b"0\r\n\r\n")
    assert until(lambda: desk.notes == ["began", "ended"])


def test_an_end_that_raises_is_logged(bench: Bench, server: Any, desk: Desk) -> None:
    def fail() -> None:
        raise ValueError("at the end")

    peer = ask(bench.peer(server), "/feed")
    assert until(lambda: desk.notes)
    desk.feeds[0].ended = fail
    desk.feeds[0].finish()
    peer.response()
    assert until(lambda: any("end of a feed" in line for line in bench.errors()))
    assert peer.get("/")[2] == b"here"


def test_room_is_told_of(bench: Bench, server: Any, desk: Desk) -> None:
    roomy = threading.Event()
    desk.options = {"room": roomy.set, "most_bytes": 1 << 26, "most": 1 << 20}
    peer = bench.peer(server, rcvbuf=4096)
    ask(peer, "/feed")
    assert until(lambda: desk.notes)
    feed = desk.feeds[0]
    while feed.waiting < 1 << 20:
        feed.send(b"x" * 65536)
    roomy.clear()
    feed.finish()
    assert len(peer.response()[2]) == feed.length
    assert roomy.wait(5)


# -- parked requests ----------------------------------------------------------------------------


def test_a_parked_request_is_answered_by_a_worker(bench: Bench, server: Any, desk: Desk) -> None:
    peers = [ask(bench.peer(server), "/park") for _ in range(20)]
    assert until(lambda: desk.notes.count("started") == 20)
    assert bench.peer(server).get("/")[2] == b"here"  # three threads
    for parked in desk.parked:
        threading.Thread(target=parked.resume, args=(desk.work,)).start()
    for peer in peers:
        assert peer.response()[2] == b"worked"
        assert peer.get("/")[2] == b"here"
    assert desk.notes.count("worked") == 20 and "gone" not in desk.notes
    assert server.counters["parked"] == 20
    assert all(name.startswith("kirsch-worker") for name in desk.threads)


def test_even_before_its_worker_has_let_go(bench: Bench, server: Any, desk: Desk) -> None:
    desk.at_once = lambda parked: parked.resume(desk.work)
    peer = bench.peer(server)
    for _ in range(20):
        assert peer.get("/park")[2] == b"worked"
    # One behind the other, all of them in the buffer.
    peer.send(b"GET /park HTTP/1.1\r\nHost: t\r\n\r\n" * 5)
    assert [peer.response()[2] for _ in range(5)] == [b"worked"] * 5


def test_work_may_hand_over_again_or_fail(bench: Bench, server: Any, desk: Desk) -> None:
    feed = Feed(lambda: feed.send(b"fed") and feed.finish(), desk.note("ended"))
    peer = ask(bench.peer(server), "/park")
    assert until(lambda: desk.parked)
    desk.parked[0].resume(lambda: ("200 OK", FIELDS, feed.handover()))
    assert peer.response()[2] == b"fed"

    def fail() -> Any:
        raise ValueError("of the work")

    ask(peer, "/park")
    assert until(lambda: len(desk.parked) == 2)
    desk.parked[1].resume(fail)
    assert peer.response()[0] == 500
    assert server.counters["handler_errors"] == 1


def test_a_peer_that_leaves_is_told_of_and_the_work_is_done(
    bench: Bench, server: Any, desk: Desk
) -> None:
    peer = ask(bench.peer(server), "/park")
    assert until(lambda: desk.notes == ["started"])
    peer.close()
    assert until(lambda: desk.notes == ["started", "gone"], 1)
    desk.parked[0].resume(desk.work)
    assert until(lambda: desk.notes == ["started", "gone", "worked"])
    # Both at once: the work is done once.
    for number in range(20):
        del desk.notes[:]
        peer = ask(bench.peer(server), "/park")
        assert until(lambda: "started" in desk.notes)
        thread = threading.Thread(target=desk.parked[-1].resume, args=(desk.work,))
        thread.start()
        peer.close()
        thread.join()
        assert until(lambda: "worked" in desk.notes), number
        assert until(lambda: server.counters["open"] == 0) is True
        assert desk.notes.count("worked") == 1


def test_somebody_else_may_answer(bench: Bench, server: Any, desk: Desk) -> None:
    peer = ask(bench.peer(server), "/park")
    assert until(lambda: desk.parked and desk.notes)
    parked = desk.parked[0]
    assert parked.take(lambda connection: False) is None
    answer = parked.take(lambda connection: True)
    assert answer is not None and parked.take(lambda connection: True) is None
    parked.resume(desk.work)  # too late: done, and not sent
    assert until(lambda: "worked" in desk.notes)
    answer("503 Service Unavailable", FIELDS, b"other")
    status, _, body = peer.response()
    assert (status, body) == (503, b"other") and peer.closed()
    assert server.counters["timeouts_response"] == 1


def test_a_body_that_is_read_later(bench: Bench, server: Any, desk: Desk) -> None:
    peer = bench.peer(server)
    peer.send(b"POST /park HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    assert until(lambda: desk.notes == ["started"])
    exchange: Any = desk.parked[0].exchange
    found: list[int] = []
    reading = threading.Thread(target=lambda: found.append(len(exchange.body.read())))
    reading.start()
    peer.send(b"x" * 100_000)
    reading.join(10)
    assert found == [200_000]
    desk.parked[0].resume(desk.work)
    assert peer.response()[2] == b"worked"
    assert peer.get("/")[2] == b"here"


def test_the_end_of_the_server(bench: Bench, server: Any, desk: Desk) -> None:
    parked = ask(bench.peer(server), "/park")
    fed = ask(bench.peer(server), "/feed")
    assert until(lambda: sorted(desk.notes) == ["began", "started"])
    began = time.monotonic()
    server.stop()  # waits for the one, and ends the other
    assert 0.5 < time.monotonic() - began < 3
    assert fed.response()[2] == b"" and parked.rest() == b""
    assert until(lambda: sorted(desk.notes) == ["began", "ended", "gone", "started"])
    desk.parked[0].resume(desk.work)  # when nobody is left
    assert until(lambda: "worked" in desk.notes)


def test_what_nobody_wants_is_lost(bench: Bench, server: Any, desk: Desk) -> None:
    with pytest.raises(RuntimeError):
        list(Handover(lambda *args: None, desk.lose))
    for one in (
        Feed(desk.note("began"), desk.note("ended")),
        Parked(desk.start, desk.note("gone")),
    ):
        connection = Connectionless(server)
        one.refused(connection)
        if isinstance(one, Parked):
            one.resume(desk.work)
    assert until(lambda: sorted(desk.notes) == ["ended", "started", "worked"])


class Connectionless:
    """A connection that somebody else has answered on."""

    def __init__(self, server: Any) -> None:
        self.group = server.groups[0]
