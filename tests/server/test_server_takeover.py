"""Answering in place of a handler: exactly one answer, whoever comes first."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from kirsch.server.takeover import cut_stream, find_worker, take_over

FIELDS = [("Content-Type", "text/plain")]


class Stuck:
    """An application whose handlers wait at a gate, and say in which thread."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.idents: list[int] = []
        self.closed: list[str] = []
        self.raised: list[BaseException] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/":
            start_response("200 OK", FIELDS)
            return [b"here"]
        if path == "/write":
            write = start_response("200 OK", FIELDS)
            return self.writing(write)
        if path == "/body":
            self.idents.append(threading.get_ident())
            try:
                environ["wsgi.input"].read()
            except ValueError as error:
                self.raised.append(error)
            start_response("200 OK", FIELDS)
            return [b"read"]
        start_response("200 OK", FIELDS)
        if path == "/stream":
            return Body(self)
        self.wait()
        return [b"late"]

    def wait(self) -> None:
        self.idents.append(threading.get_ident())
        assert self.gate.wait(20)

    def writing(self, write: Any) -> list[bytes]:
        self.wait()
        try:
            write(b"late")
        except BaseException as error:
            self.raised.append(error)
            raise
        return []


class Body:
    def __init__(self, app: Stuck) -> None:
        self.app = app

    def __iter__(self) -> Any:
        yield b"first"
        self.app.wait()
        yield b"last"

    def close(self) -> None:
        self.app.closed.append(threading.current_thread().name)


def always(conn: Any) -> bool:
    return True


@pytest.fixture
def stuck() -> Any:
    app = Stuck()
    yield app
    app.gate.set()


def taken(bench: Any, app: Stuck) -> Any:
    """The worker that is stuck, and what was taken from it."""
    assert bench.until(lambda: app.idents)
    worker = find_worker(app.idents[-1])
    assert worker is not None
    got: list[Any] = []

    def take() -> bool:
        answer = take_over(worker, always)
        got.append(answer)
        return answer is not None

    assert bench.until(take)  # a handler that was thought to be quick has the baton for a while
    return worker, got[-1]


def test_the_late_result_goes_nowhere(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck, threads=2, threads_max=2)
    peer = bench.peer(server)
    peer.send(b"GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n")
    worker, answer = taken(bench, stuck)
    assert take_over(worker, always) is None  # once
    assert server.counters["threads"] == 2
    assert server.counters["threads_stuck"] == 1
    answer.answer("503 Service Unavailable", FIELDS, b"sorry")
    status, fields, body = peer.response()
    assert (status, body, fields["connection"]) == (503, b"sorry", "close")
    assert peer.closed()
    before = server.counters
    stuck.gate.set()
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert bench.until(lambda: not worker.thread.is_alive())  # it has been replaced
    after = server.counters
    assert after["responses"] == before["responses"] == 1
    assert after["bytes_out"] == before["bytes_out"]
    assert after["open"] == 0
    assert after["threads"] == 2
    assert bench.peer(server).get()[2] == b"here"
    assert bench.errors() == []


def test_a_handler_that_was_first_is_not_taken_from(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck)
    peer = bench.peer(server)
    peer.send(b"GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n")
    assert bench.until(lambda: stuck.idents)
    worker = find_worker(stuck.idents[0])
    assert worker is not None
    assert take_over(worker, lambda conn: False) is None  # not the one that was meant
    stuck.gate.set()
    assert peer.response()[2] == b"late"
    assert take_over(worker, always) is None
    assert peer.get("/")[2] == b"here"  # the connection lives on
    assert find_worker(-1) is None


def test_a_quick_handler_that_hangs_for_once(bench: Any, stuck: Stuck) -> None:
    """It has the baton when it begins to hang: the watchdog takes that, and the rest goes as ever."""
    server = bench.server(stuck, threads=2)
    stuck.gate.set()
    peer = bench.peer(server)
    for _ in range(50):
        assert peer.get("/quick")[2] == b"late"
    stuck.gate.clear()
    stuck.idents.clear()
    peer.send(b"GET /quick HTTP/1.1\r\nHost: t\r\n\r\n")
    _, answer = taken(bench, stuck)
    assert server.counters["baton_takes"] >= 1  # else this has tested something else
    answer.answer("503 Service Unavailable", FIELDS, b"sorry")
    assert peer.response()[0] == 503
    assert bench.peer(server).get()[2] == b"here"
    stuck.gate.set()
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert bench.until(lambda: server.counters["open"] <= 1)
    assert bench.peer(server).get("/quick")[2] == b"late"


def test_write_after_somebody_has_answered(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck)
    peer = bench.peer(server)
    peer.send(b"GET /write HTTP/1.1\r\nHost: t\r\n\r\n")
    _, answer = taken(bench, stuck)
    answer.answer("503 Service Unavailable", FIELDS, b"sorry")
    stuck.gate.set()
    assert bench.until(lambda: stuck.raised)
    assert isinstance(stuck.raised[0], ConnectionError)
    assert peer.response()[2] == b"sorry"
    assert peer.rest() == b""
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert server.counters["responses"] == 1


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_is_being_read(bench: Any, stuck: Stuck, expect: str) -> None:
    server = bench.server(stuck, body_buffer=1000, body_timeout=30, linger_timeout=30)
    peer = bench.peer(server)
    peer.send(f"POST /body HTTP/1.1\r\nHost: t\r\n{expect}Content-Length: 100000\r\n\r\n".encode())
    if expect:
        assert peer.more()
        assert peer.data.startswith(b"HTTP/1.1 100 ")
        peer.data = b""
    peer.send(bytes(2000))
    _, answer = taken(bench, stuck)
    answer.answer("503 Service Unavailable", FIELDS, b"sorry")
    assert peer.response()[2] == b"sorry"
    assert bench.until(lambda: stuck.raised)  # though nothing comes
    assert "its request is over" in str(stuck.raised[0])
    peer.send(bytes(1000))
    assert peer.rest() == b""
    peer.close()
    assert bench.until(lambda: server.counters["open"] == 0)
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)


def test_an_answer_that_the_socket_does_not_take_at_once(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck)
    peer = bench.peer(server)
    peer.send(b"GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n")
    _, answer = taken(bench, stuck)
    page = b"x" * 20_000_000
    answer.answer("503 Service Unavailable", FIELDS, page)  # does not wait for the peer
    assert peer.response()[2] == page
    assert bench.until(lambda: server.counters["open"] == 0)
    assert stuck.closed == []


def test_a_stream_is_cut_and_its_worker_replaced(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck, threads=1, threads_max=1)
    peer = bench.peer(server)
    peer.send(b"GET /stream HTTP/1.1\r\nHost: t\r\n\r\n")
    assert bench.until(lambda: stuck.idents)
    worker = find_worker(stuck.idents[0])
    assert worker is not None
    assert take_over(worker, always) is None  # it has begun
    assert not cut_stream(worker, lambda conn: False)
    assert cut_stream(worker, always)
    assert not cut_stream(worker, always)
    rest = peer.rest()
    assert b"first" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert bench.peer(server).get()[2] == b"here"
    assert server.counters["threads_stuck"] == 1
    stuck.gate.set()
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert bench.until(lambda: server.counters["open"] <= 1)
    assert stuck.closed == [worker.thread.name]


def test_there_is_a_bound_to_replacing(
    bench: Any, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kirsch.server.pool.STUCK", 3)
    server = bench.server(stuck, threads=2, threads_max=2, queue_timeout=0.3)
    for number in range(5):
        stuck.idents.clear()
        peer = bench.peer(server)
        peer.send(b"GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n")
        _, answer = taken(bench, stuck)
        answer.answer("503 Service Unavailable", FIELDS, b"sorry")  # all are answered
        assert peer.response()[0] == 503, number
    assert server.counters["threads_stuck"] == 3
    assert server.counters["threads"] == 2  # stuck as well, but nobody comes in their place
    assert bench.peer(server).get()[0] == 503  # the queue's time-out
    stuck.gate.set()
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert bench.until(lambda: bench.peer(server).get()[0] == 200)


def test_stopping_does_not_wait_for_the_stuck(bench: Any, stuck: Stuck) -> None:
    server = bench.server(stuck, shutdown_timeout=20)
    peer = bench.peer(server)
    peer.send(b"GET /stuck HTTP/1.1\r\nHost: t\r\n\r\n")
    worker, answer = taken(bench, stuck)
    answer.answer("503 Service Unavailable", FIELDS, b"sorry")
    assert peer.response()[0] == 503
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 10
    stuck.gate.set()
    assert bench.until(lambda: not worker.thread.is_alive())


def test_the_race(bench: Any) -> None:
    """Handlers that end while their connections are being taken."""
    idents: dict[str, int] = {}
    go: dict[str, threading.Event] = {}

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        name = environ["PATH_INFO"]
        idents[name] = threading.get_ident()
        assert go[name].wait(20)
        start_response("200 OK", FIELDS)
        return [b"mine"] if int(name[1:]) % 2 else iter((b"mi", b"ne"))

    server = bench.server(app, threads=4)
    outcomes = set()
    for number in range(200):
        name = f"/{number}"
        go[name] = threading.Event()
        peer = bench.peer(server)
        peer.send(f"GET {name} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
        assert bench.until(lambda name=name: name in idents)
        worker = find_worker(idents[name])
        assert worker is not None
        threading.Thread(target=go[name].set).start()
        for _ in range(number % 7 * 20):
            pass
        answer = take_over(worker, always)
        if answer is not None:
            answer.answer("503 Service Unavailable", FIELDS, b"sorry")
        status, _, body = peer.response()
        assert (status, body) == ((200, b"mine") if answer is None else (503, b"sorry"))
        assert peer.rest() == b""
        outcomes.add(status)
        peer.close()
    assert outcomes == {200, 503}
    assert bench.until(lambda: server.counters["open"] == 0)
    assert bench.until(lambda: server.counters["threads_stuck"] == 0)
    assert server.counters["responses"] == 200
    assert server.counters["threads"] == 4
    assert bench.errors() == []
