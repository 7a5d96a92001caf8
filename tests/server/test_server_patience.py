"""Law 1 and 2: only running handlers own a thread, and every wait has a total deadline."""

import resource
import threading
import time

import pytest
from server_kit import Peer


def slow_start(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


@pytest.fixture
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 12000 if hard == resource.RLIM_INFINITY else min(hard, 12000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_of_idlers_costs_no_thread(bench, descriptors):
    server = bench.server(threads=10, backlog=4096, keep_alive_timeout=60, head_timeout=60)
    address = server.bound_addresses[0]
    crowd = [Peer(address) for _ in range(2700)]
    dripping, keeping = crowd[:500], crowd[700:]
    for peer in keeping:
        peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    for peer in keeping:
        assert peer.response()[0] == 200
    text = b"GET / HTTP/1.1\r\nHost: t\r\nX-Slow: yes\r\n"
    waits = []
    threads = threading.active_count()
    for turn in range(4):
        start = time.monotonic()
        for peer in dripping:
            peer.send(text[turn : turn + 1])
        for _ in range(10):
            begin = time.monotonic()
            fresh = Peer(address)
            assert fresh.get()[0] == 200
            waits.append(time.monotonic() - begin)
            fresh.close()
        time.sleep(max(0.0, 0.5 - (time.monotonic() - start)))
    waits.sort()
    assert waits[-6] < 0.05 and waits[-1] < 1  # some may meet a busy machine
    assert server.counters["open"] == 2700
    assert threading.active_count() == threads and server.pool.size == 10
    for peer in crowd:
        peer.close()
    assert bench.until(lambda: server.counters["open"] == 0)


def test_dripped_head_gets_408_in_total_time(bench):
    server = bench.server(head_timeout=0.6, keep_alive_timeout=30)
    peer = bench.peer(server)
    begin = time.monotonic()
    peer.sock.settimeout(0.1)
    for byte in b"GET / HTTP/1.1\r\nX-Drip: " + b"x" * 100:
        peer.send(bytes((byte,)))
        try:
            if peer.more():
                break
        except TimeoutError:
            pass
    assert peer.data.startswith(b"HTTP/1.1 408 ")
    assert 0.5 < time.monotonic() - begin < 2
    assert server.counters["timeouts_head"] == 1


def test_silent_and_idle_are_closed_silently(bench):
    server = bench.server(head_timeout=0.3, keep_alive_timeout=0.2)
    silent, idle = bench.peer(server), bench.peer(server)
    assert idle.get()[1]["keep-alive"] == "timeout=0"
    begin = time.monotonic()
    assert silent.closed()
    assert time.monotonic() - begin < 1
    assert idle.closed()
    # one second of grace beyond the promise
    assert 1.0 < time.monotonic() - begin < 2.5
    assert server.counters["timeouts_idle"] == 2


def test_keep_alive_timeout_may_change_while_running(bench):
    server = bench.server()
    peer = bench.peer(server)
    peer.get()
    server.settings.keep_alive_timeout = 0.1
    assert bench.until(lambda: peer.get()[1]["keep-alive"] == "timeout=0")
    assert peer.closed(3)


def test_slow_body_gathers_without_a_thread(bench):
    def app(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    server = bench.server(app, threads=2, threads_max=2)
    peers = [bench.peer(server) for _ in range(20)]
    for number, peer in enumerate(peers):
        if number % 2:
            peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab")
        else:
            peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab")
    begin = time.monotonic()
    assert bench.peer(server).get()[0] == 200
    assert time.monotonic() - begin < 3
    for number, peer in enumerate(peers):
        peer.send(b"cd" if number % 2 else b"cd\r\n0\r\n\r\n")
    for peer in peers:
        assert peer.response()[2] == b"abcd"


def test_body_deadline(bench):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    server = bench.server(app, body_timeout=0.3, body_buffer=10, body_min_rate=1000000)
    gathering = bench.peer(server).send(
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nab"
    )
    reading = bench.peer(server).send(
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\n" + b"x" * 50
    )
    for peer in (gathering, reading):
        assert peer.response()[0] == 408
        assert peer.closed()
    assert server.counters["timeouts_body"] == 2
    assert bench.errors() == []


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_slow_readers_wait_in_the_poller(bench, poller):
    big = b"x" * 8_000_000

    def app(environ, start_response):
        start_response("200 OK", [])
        return [big] if environ["PATH_INFO"] == "/big" else [b"hello"]

    server = bench.server(app, threads=2, threads_max=2, poller=poller)
    readers = [bench.peer(server, rcvbuf=4096) for _ in range(12)]
    for peer in readers:
        peer.send(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
    for peer in readers:
        peer.head()
    begin = time.monotonic()
    assert bench.peer(server).get()[2] == b"hello"
    assert time.monotonic() - begin < 3
    assert bench.until(lambda: server.counters["threads_idle"] == 2)
    peer = readers[0]
    peer.sock.setsockopt(1, 8, 1 << 20)
    got = len(peer.data)
    while got < len(big):
        got += len(peer.sock.recv(1 << 20))
    peer.data = b""
    assert peer.get()[2] == b"hello"


@pytest.mark.parametrize("stream", [False, True])
def test_reader_that_stops_is_given_up(bench, stream):
    closed = threading.Event()

    class Body:
        def __iter__(self):
            for _ in range(100):
                yield b"x" * 100_000

        def close(self):
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body() if stream else [b"x" * 10_000_000]

    server = bench.server(app, write_timeout=0.4, write_min_rate=100_000_000, output_buffer=1000)
    peer = bench.peer(server, rcvbuf=4096)
    peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert bench.until(lambda: server.counters["timeouts_write"] == 1, 5)
    assert bench.until(lambda: server.counters["open"] == 0)
    if stream:
        assert closed.wait(2)
    assert bench.errors() == []


def test_generator_is_buffered_for_a_slow_reader(bench):
    """A body within output_buffer frees its worker though nobody reads yet."""
    ended = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(80):
            yield b"x" * 100_000
        ended.set()

    server = bench.server(app, output_buffer=10_000_000)
    peer = bench.peer(server, rcvbuf=4096)
    peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert ended.wait(3)
    assert len(peer.response()[2]) == 8_000_000
    assert peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").head()[0] == 200


def test_peer_gone_closes_the_generator(bench):
    closed = []

    class Body:
        def __iter__(self):
            while True:
                yield b"tick"
                time.sleep(0.01)

        def close(self):
            closed.append(1)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    server = bench.server(app)
    for leave in (Peer.close, Peer.reset):
        peer = bench.peer(server).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        peer.head()
        leave(peer)
    assert bench.until(lambda: len(closed) == 2, 1)
    time.sleep(0.05)
    assert closed == [1, 1] and bench.errors() == []
