"""Batches: what came together is answered together, and nobody's answer waits for a slow neighbour."""

import contextlib
import socket
import threading
import time

import pytest
from server_kit import Bench, Owned, Peer, until

from kirsch.server import housekeeper

CROWD = 8
BIG = bytes(50_000)


class Site:
    """Pages that are quick until they are told to wait."""

    def __init__(self) -> None:
        self.pausing = threading.Event()  # /pause is running, with the baton in hand
        self.resume = threading.Event()
        self.stuck = threading.Event()  # /stuck is running
        self.loose = threading.Event()
        self.armed = False
        self.closed: list[str] = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if self.armed and path == "/pause":
            self.pausing.set()
            self.resume.wait(20)
        elif self.armed and path == "/stuck":
            self.stuck.set()
            self.loose.wait(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/owned":
            return Late(self) if self.armed else Owned([b"owned"], self.closed)
        return [BIG if path == "/big" else path.encode()]


class Late(Owned):
    """A body whose close() gets stuck."""

    def __init__(self, site: Site) -> None:
        super().__init__([b"owned"], site.closed)
        self.site = site

    def close(self) -> None:
        self.site.stuck.set()
        self.site.loose.wait(10)
        super().close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.resume.set()
    site.loose.set()


def gathered(bench: Bench, site: Site, monkeypatch, paths: list[str], **settings) -> tuple:
    """A server, and peers whose requests for `paths` it takes in one batch."""
    server = bench.server(site, threads=4, **settings)
    peers = [bench.peer(server) for _ in paths]
    means = server.groups[0].means
    for path in {*paths, "/pause"}:
        for _ in range(40):
            assert peers[0].get(path)[0] == 200
        # It is known as quick, once the machine has let it be.
        assert until(
            lambda path=path: peers[0].get(path) and means.get(path, means["/*"]) < 0.001, 20
        )
    pauser = bench.peer(server)
    assert pauser.get("/x")[0] == 200
    for peer in peers:
        assert peer.get("/x")[0] == 200
    # A patient watchdog, while the crowd gathers in the kernel; then one with its usual patience.
    monkeypatch.setattr(housekeeper, "OVERDUE", 5.0)
    site.armed = True
    pauser.send(b"GET /pause HTTP/1.1\r\nHost: t\r\n\r\n")
    assert site.pausing.wait(20)
    for peer, path in zip(peers, paths, strict=True):
        peer.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    monkeypatch.setattr(housekeeper, "OVERDUE", 0.5)
    received = []
    receive = type(server.pool.workers[0]).receive
    monkeypatch.setattr(
        type(server.pool.workers[0]),
        "receive",
        lambda self, events: received.append(len(events)) or receive(self, events),
    )
    site.resume.set()
    assert pauser.response()[0] == 200
    return server, peers, received


def test_neighbours_of_a_stuck_handler_are_answered(bench, site, monkeypatch):
    paths = ["/a", "/a", "/stuck", *["/a"] * (CROWD - 3)]
    server, peers, received = gathered(bench, site, monkeypatch, paths)
    assert site.stuck.wait(20)
    for number, peer in enumerate(peers):
        if number != 2:
            assert peer.response()[2] == b"/a"
    assert max(received) >= CROWD - 1  # they did come together
    assert not site.loose.is_set()
    # A little later when the stuck one was the last of them.
    assert bench.until(lambda: server.counters["baton_takes"] >= 1)
    site.loose.set()
    assert peers[2].response()[2] == b"/stuck"
    assert all(peer.get("/a")[2] == b"/a" for peer in peers)


def test_a_response_does_not_wait_for_its_own_close(bench, site, monkeypatch):
    _, peers, _ = gathered(bench, site, monkeypatch, ["/a", "/owned", "/a"])
    assert site.stuck.wait(20)
    before = len(site.closed)
    assert [peer.response()[2] for peer in peers] == [b"/a", b"owned", b"/a"]
    assert not site.loose.is_set()
    peers[1].send(b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n")
    site.loose.set()
    assert peers[1].response()[2] == b"/a"  # the connection lives on once close() is back
    assert bench.until(lambda: len(site.closed) == before + 1)


def test_a_peer_that_left_costs_its_neighbours_nothing(bench, site, monkeypatch):
    server, peers, _ = gathered(bench, site, monkeypatch, ["/a", "/stuck", *["/a"] * 4])
    assert site.stuck.wait(20)
    peers[0].reset()
    assert [peer.response()[2] for peer in peers[2:]] == [b"/a"] * 4
    site.loose.set()
    assert peers[1].response()[2] == b"/stuck"
    assert bench.until(lambda: server.counters["open"] == 6)


def test_what_a_socket_does_not_take_of_a_batch_follows(bench):
    """Responses that nobody reads fill the buffers; in the end all of them arrive whole."""
    site = Site()
    server = bench.server(site)
    slow = [bench.peer(server, rcvbuf=4096) for _ in range(4)]
    for _ in range(40):
        assert bench.peer(server).get("/big")[0] == 200
    asked = 0
    answered = server.counters["responses"]
    deadline = time.monotonic() + 10
    group = server.groups[0]
    while not any(conn.pending is not None for conn in list(group.conns.values())):
        for peer in slow:
            peer.send(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
        asked += 1
        seen = answered + asked * len(slow)
        assert bench.until(
            lambda seen=seen: (
                server.counters["responses"] == seen
                or any(conn.pending is not None for conn in list(group.conns.values()))
            )
        )
        assert time.monotonic() < deadline
    for peer in slow:
        for _ in range(asked):
            status, _, body = peer.response()
            assert (status, body) == (200, BIG)
        assert peer.get("/a")[2] == b"/a"


def test_stopping_sends_what_is_ready(bench, site, monkeypatch):
    server, peers, _ = gathered(
        bench, site, monkeypatch, ["/a", "/stuck", "/a", "/a"], shutdown_timeout=5
    )
    assert site.stuck.wait(20)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    try:
        for number in (0, 2, 3):
            assert peers[number].response()[2] == b"/a"
    finally:
        site.loose.set()
        stopper.join(10)
    assert peers[1].response()[2] == b"/stuck"
    assert isinstance(peers[0], Peer)
    assert peers[0].closed()


@pytest.mark.parametrize("broken", [False, True])
def test_a_connection_whose_worker_is_out_is_left_to_it(bench, broken):
    """Whoever takes the baton sends the response of the handler that lost it, and no more."""
    site = Site()
    server = bench.server(site)
    peer = bench.peer(server, rcvbuf=4096)
    assert peer.get("/a")[0] == 200
    group = server.groups[0]
    (conn,) = group.conns.values()
    if broken:
        conn.sock.shutdown(socket.SHUT_WR)
    else:
        with contextlib.suppress(BlockingIOError):
            while True:
                conn.sock.send(BIG)
    before = conn.state, conn.mask, conn.fd
    group.outbox.append((conn, b"late"))
    group.flush(group.leader, conn)
    assert (conn.state, conn.mask, conn.fd) == before
    assert conn.gone == broken
    assert (conn.pending is None) == broken
    assert not group.outbox
