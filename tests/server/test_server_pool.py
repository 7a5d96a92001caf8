"""Law 3 and 5: the pool grows, shrinks, refuses in words, and cannot be killed."""

import os
import resource
import socket
import threading
import time

import pytest
from server_kit import Peer, hello


def nap(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/slow"):
        time.sleep(0.05)
    elif path.startswith("/hold"):
        GATE.wait(10)
    start_response("200 OK", [])
    return [b"hello"]


GATE = threading.Event()


@pytest.fixture(autouse=True)
def gate():
    GATE.clear()
    yield
    GATE.set()


def test_quick_beside_slow(bench):
    server = bench.server(nap, threads=10)
    address = server.bound_addresses[0]
    over = threading.Event()

    def keep_busy():
        peer = Peer(address)
        while not over.is_set():
            assert peer.get("/slow")[0] == 200
        peer.close()

    crowd = [threading.Thread(target=keep_busy) for _ in range(30)]
    for thread in crowd:
        thread.start()
    peer = bench.peer(server)
    bench.until(lambda: server.pool.size > 30)
    # The best of some rounds: the machine may have other things to do, the server must not.
    rounds = []
    while len(rounds) < 5 and min(rounds, default=1.0) >= 0.010:
        times = []
        for _ in range(300):
            begin = time.perf_counter()
            assert peer.get()[0] == 200
            times.append(time.perf_counter() - begin)
            time.sleep(0.002)
        rounds.append(sorted(times)[int(len(times) * 0.99)])
    over.set()
    for thread in crowd:
        thread.join(5)
    assert min(rounds) < 0.010
    assert 30 <= server.pool.size <= 60


@pytest.mark.parametrize("pollers", [1, 3])
def test_pool_shrinks_again(bench, pollers):
    server = bench.server(nap, threads=2, pollers=pollers)
    fewest = max(2, pollers)  # each group keeps one
    assert server.pool.size == fewest
    server.pool.patience = 0.3
    peers = [bench.peer(server).send(b"GET /hold HTTP/1.1\r\nHost: t\r\n\r\n") for _ in range(8)]
    assert bench.until(lambda: server.pool.size >= 9)
    assert bench.peer(server).get()[0] == 200
    GATE.set()
    for peer in peers:
        assert peer.response()[0] == 200
    assert bench.until(lambda: server.pool.size == fewest)
    assert bench.peer(server).get()[0] == 200


def group_of(server, peer):
    """The group that has accepted a connection which has had an answer."""
    here = peer.sock.getsockname()
    return next(g for g in server.groups for c in list(g.conns.values()) if c.remote == here)


@pytest.mark.parametrize("pollers", [1, 3])
def test_watchdog_takes_the_baton(bench, pollers):
    server = bench.server(nap, threads=6, pollers=pollers)
    peer = bench.peer(server)
    for _ in range(5):
        peer.get("/a/x")
    group = group_of(server, peer)
    for _ in range(300):
        other = bench.peer(server)
        assert other.get("/a/x")[0] == 200
        if group_of(server, other) is group:
            break
    assert group_of(server, other) is group
    # Its family is quick, so it starts with the baton in hand.
    group.means["/hold/*"] = 0.0
    peer.send(b"GET /hold/1 HTTP/1.1\r\nHost: t\r\n\r\n")
    begin = time.monotonic()
    assert other.get("/a/x")[0] == 200
    assert time.monotonic() - begin < 1
    assert bench.until(lambda: server.counters["baton_takes"] >= 1)
    GATE.set()
    assert peer.response()[0] == 200
    assert peer.get("/a/x")[0] == 200
    assert group.means["/hold/1"] > 0.001


@pytest.mark.parametrize("pollers", [1, 3])
def test_overflow_is_queued_then_refused(bench, pollers):
    most = max(2, pollers)
    server = bench.server(
        nap, threads=most, threads_max=most, pollers=pollers, queue_size=3, queue_timeout=30
    )
    held = [bench.peer(server).send(b"GET /hold HTTP/1.1\r\nHost: t\r\n\r\n") for _ in range(most)]
    assert bench.until(lambda: server.counters["threads_busy"] == most)
    queued = []
    for number in range(3):
        queued.append(bench.peer(server).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"))
        assert bench.until(lambda number=number: server.pool.qsize == number + 1)
    for _ in range(5):
        begin = time.monotonic()
        status, fields, _ = bench.peer(server).get()
        assert status == 503 and int(fields["retry-after"]) > 0
        assert time.monotonic() - begin < 2
    assert server.counters["overflow"] == 5
    GATE.set()
    for peer in held + queued:
        assert peer.response()[0] == 200
    assert bench.peer(server).get()[0] == 200
    assert server.pool.size == most and server.pool.qsize == 0


def test_groups_help_each_other(bench):
    """Nobody waits in line in one group while a worker of another has nothing to do."""
    for _ in range(10):
        GATE.clear()
        server = bench.server(nap, threads=4, threads_max=4, pollers=2, queue_timeout=30)
        held = [bench.peer(server).send(b"GET /hold HTTP/1.1\r\nHost: t\r\n\r\n") for _ in range(4)]
        assert bench.until(lambda server=server: server.counters["threads_busy"] == 4, 2)
        assert server.pool.qsize == 0
        GATE.set()
        assert [peer.response()[0] for peer in held] == [200] * 4
        server.stop()


def test_queue_timeout(bench):
    server = bench.server(nap, threads=1, threads_max=1, queue_timeout=0.3)
    held = bench.peer(server).send(b"GET /hold HTTP/1.1\r\nHost: t\r\n\r\n")
    assert bench.until(lambda: server.counters["threads_busy"] == 1)
    begin = time.monotonic()
    assert bench.peer(server).get()[0] == 503
    assert 0.25 < time.monotonic() - begin < 1.5
    assert server.counters["timeouts_queue"] == 1
    GATE.set()
    assert held.response()[0] == 200


def test_threads_are_announced_by_themselves_when_they_serve(bench):
    started, stopped = [], []
    server = bench.server(
        threads=5,
        thread_started=lambda t: started.append((t, threading.current_thread())),
        thread_stopped=lambda t: stopped.append((t, threading.current_thread())),
    )
    assert started == []
    peer = bench.peer(server)
    peer.get()
    assert len(started) == 1 and started[0][0] is started[0][1]
    peer.get()
    peer.get()
    server.stop()
    assert {t for t, _ in stopped} == {t for t, _ in started}
    assert all(t is me for t, me in stopped)


@pytest.mark.parametrize("pollers", [1, 3])
def test_pool_can_be_steered(bench, pollers):
    server = bench.server(threads=2, pollers=pollers)
    pool, fewest = server.pool, max(2, pollers)
    assert pool.min == 2 and pool.max == 256
    assert pool.grow(3) == 3
    assert pool.size == fewest + 3
    assert bench.until(lambda: pool.idle == fewest + 3)
    pool.shrink(2)
    assert pool.surplus == 2

    def ask():
        # Who shall leave is asked when the baton is passed on, as it is for what nobody knows.
        return bench.peer(server).get(f"/{time.time()}/x")[0] == 200

    def staff(group):
        return sum(worker.group is group for worker in list(pool.workers))

    def have_left():
        # Which group accepts is chance, and in one that has no work nobody passes the baton on.
        return not pool.surplus or all(staff(g) == 1 for g in server.groups if g.conns)

    assert bench.until(lambda: ask() and have_left())
    assert pool.size < fewest + 3
    # Those that each group needs stay.
    assert bench.until(lambda: pool.shrink(100) or pool.surplus == pool.size - fewest)
    assert bench.until(lambda: ask() and have_left())
    assert all(staff(group) for group in server.groups)


def fds():
    return len(os.listdir("/proc/self/fd"))


def test_hostile_closes(bench):
    def app(environ, start_response):
        start_response("200 OK", [])
        kind = environ["PATH_INFO"]
        if kind == "/read":
            environ["wsgi.input"].read()
        if kind == "/stream":
            return iter([b"x" * 50000] * 20)
        return [b"x" * 300000]

    server = bench.server(app, linger_timeout=0.3)
    address = server.bound_addresses[0]
    before = fds()
    sends = (
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nHost: t\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000,
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 5,
    )
    for number in range(2000):
        peer = Peer(address)
        peer.send(sends[number % len(sends)])
        if number % 3 == 0:
            peer.close()
        else:
            peer.reset()
    assert bench.peer(server).get()[0] == 200
    assert bench.until(lambda: server.counters["open"] == 1, 8)
    assert fds() <= before + 4
    assert server.pool.size >= 10 and server.pool.idle == server.pool.size
    assert bench.errors() == []


def test_out_of_descriptors(bench):
    server = bench.server(backlog=100)
    bench.peer(server).get()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = [Peer(server.bound_addresses[0]) for _ in range(10)]
    bench.until(lambda: server.counters["open"] == 11)
    socks = [socket.socket() for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fds(), hard))
    try:
        for sock in socks:
            sock.settimeout(5)
            sock.connect(server.bound_addresses[0])
        assert bench.until(lambda: server.counters["accept_errors"] > 0)
        spent = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - spent < 0.2
        assert crowd[0].get()[0] == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(bench.errors()) == 1
    assert bench.until(lambda: bench.peer(server).get()[0] == 200)
    for sock in socks:
        sock.close()
    for peer in crowd:
        peer.close()


def test_faults_of_callbacks_and_logs_kill_nobody(bench):
    def broken(*args):
        raise RuntimeError("broken")

    server = bench.server(hello, thread_started=broken)
    server.settings.log = broken
    peer = bench.peer(server)
    assert peer.get()[0] == 200
    server.app = broken
    for _ in range(20):
        assert bench.peer(server).get()[0] == 500
    server.app = hello
    assert bench.peer(server).get()[0] == 200
    assert server.pool.size == 10


def test_idle_costs_nothing(bench):
    server = bench.server()
    peers = [bench.peer(server) for _ in range(50)]
    for peer in peers:
        peer.get()
    time.sleep(0.2)
    spent = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - spent < 0.01


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_several_poller_groups(bench, poller):
    """What runs on a free-threaded build: more than one baton on the same listeners."""
    server = bench.server(nap, threads=6, pollers=3, poller=poller)
    address = server.bound_addresses[0]
    answers = []

    def talk(number):
        peer = Peer(address)
        for turn in range(30):
            path = "/slow" if (turn + number) % 10 == 0 else f"/{number}"
            answers.append(peer.get(path)[2])
        peer.close()

    crowd = [threading.Thread(target=talk, args=(number,)) for number in range(24)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(20)
    assert answers == [b"hello"] * 720
    assert bench.until(lambda: server.counters["open"] == 0)
    assert server.counters["requests"] == 720 and bench.errors() == []


def test_odd_statuses(bench):
    def app(environ, start_response):
        start_response(environ["QUERY_STRING"] + " X", [])
        return [b"x"]

    server = bench.server(app)
    peer = bench.peer(server)
    for status in (200, 302, 404, 500, 600, 799, 999):
        assert peer.get(f"/?{status}")[0] == status
    assert server.counters["responses_4xx"] == 1


def test_the_same_path_with_other_answers(bench):
    """The remembered head of a path is used for nothing that differs from it."""
    turn = [0]

    def app(environ, start_response):
        turn[0] += 1
        headers = [("X-Turn", str(turn[0] // 3))]
        start_response(("200 OK", "201 Made")[turn[0] % 2], headers)
        headers[0] = ("X-Turn", "changed too late")
        return [b"x" * (turn[0] // 5)]

    server = bench.server(app)
    peers = [bench.peer(server) for _ in range(3)]
    for number in range(1, 60):
        extra = "Connection: close\r\n" if number > 56 else ""
        status, fields, body = peers[number % 3].get("/same", extra)
        assert status == 200 + number % 2 and len(body) == number // 5
        assert ("connection" in fields) == bool(extra)
        assert fields["x-turn"] in (str(number // 3), "changed too late")
    for peer in peers:
        assert peer.closed()
