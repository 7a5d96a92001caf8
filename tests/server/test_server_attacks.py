"""Peers that behave as badly as they can, and bodies that change hands under them."""

import contextlib
import random
import resource
import socket
import threading
import time

import pytest
from server_kit import Owned, Peer, hello, until

from kirsch.server.link import READING, Link
from kirsch.server.poller import IN

# -- bodies of one item (PEP 3333, "Handling the Content-Length Header") ------------------------


@pytest.mark.parametrize("native", [False, True])
def test_a_body_of_one_item_has_a_length_and_is_closed_once(bench, native):
    closed, handlers = [], []
    bodies = {
        "/one": [b"one"],
        "/two": [b"one", b"two"],
        "/none": [],
        "/big": [b"x" * 3_000_000],
        "/odd": [bytearray(b"odd")],
        "/wrong": [3],
    }

    def app(environ, start_response):
        start_response("200 OK", [])
        handlers.append(threading.current_thread().name)
        return Owned(bodies[environ["PATH_INFO"]], closed)

    def gateway(exchange):
        handlers.append(threading.current_thread().name)
        return "200 OK", [], Owned(bodies[exchange.head.path], closed)

    server = bench.server(app, **({"gateway": gateway} if native else {}))
    peer = bench.peer(server, rcvbuf=16384)
    for turn in range(20):
        status, fields, body = peer.get("/one")
        assert (status, fields["content-length"], body) == (200, "3", b"one"), turn
        assert until(lambda: len(closed) == len(handlers))
    assert peer.get("/odd")[2] == b"odd"
    assert peer.get("/two")[1]["transfer-encoding"] == "chunked"
    assert peer.get("/none")[2] == b""
    assert len(peer.get("/big")[2]) == 3_000_000
    peer.send(b"HEAD /one HTTP/1.1\r\nHost: t\r\n\r\n")
    assert peer.response("HEAD")[0] == 200
    assert peer.get("/one")[2] == b"one"
    assert peer.get("/wrong")[0] == 500
    assert until(lambda: len(closed) == len(handlers) == 27)
    assert closed == handlers  # in the handler's own thread


def test_a_slow_close_does_not_hold_the_others_up(bench):
    """close() of a quick path may block all of a sudden, as its handler may."""

    class Body(Owned):
        def close(self):
            if self.closed:
                time.sleep(2)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body([b"hello"], environ["QUERY_STRING"])

    server = bench.server(app)
    peer, other = bench.peer(server), bench.peer(server)
    for _ in range(100):
        peer.get(), other.get()
    begin = time.monotonic()
    assert peer.get("/?slow")[2] == b"hello"  # it has gone before it is closed
    for _ in range(5):
        assert other.get()[2] == b"hello"
    assert time.monotonic() - begin < 1
    assert peer.get()[2] == b"hello"
    assert time.monotonic() - begin > 1.9


# -- streams ------------------------------------------------------------------------------------


def test_a_stream_changes_hands_while_it_is_flushed(bench):
    """Worker and poller meet at the end of a stream: the connection goes on every time."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return (b"y" * size for size in sizes)

    sizes = [60_000] * 5
    server = bench.server(app, threads=6)
    server.listeners[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    failed = []

    def client(seed):
        chance = random.Random(seed)
        peer = Peer(server.bound_addresses[0], timeout=4, rcvbuf=4096 << chance.randrange(4))
        try:
            for _ in range(40):
                status, _fields, body = peer.get()
                if (status, len(body)) != (200, sum(sizes)):
                    failed.append(len(body))
        except Exception as error:
            failed.append(repr(error))
        finally:
            peer.close()

    crowd = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(30)
    assert failed == []
    # Nobody waits for what has happened already.
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(0.3)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.15


def test_a_stream_is_handed_over_last_of_all(bench, monkeypatch):
    """The poller waits for the socket already while the worker makes its last preparations."""
    set_deadline = Link.set_deadline

    def dawdling(link, deadline):
        set_deadline(link, deadline)
        if link.pending is not None:
            time.sleep(0.2)

    def app(environ, start_response):
        start_response("200 OK", [])
        return iter([b"y" * 100_000, b"end"])

    server = bench.server(app, keep_alive_timeout=7, output_buffer=1 << 20)
    server.listeners[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    peer = bench.peer(server, rcvbuf=4096)
    monkeypatch.setattr(Link, "set_deadline", dawdling)
    for _ in range(2):
        assert len(peer.get()[2]) == 100_003
    time.sleep(0.3)
    monkeypatch.undo()
    (conn,) = server.groups[0].conns.values()
    assert until(lambda: conn.state == READING)
    time.sleep(0.1)
    assert conn.mask == IN
    assert 6 < conn.deadline - time.monotonic() <= 8


def test_a_slow_application_is_no_slow_reader(bench):
    """The write deadline is the peer's: it does not run while there is nothing to send."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"x" * 200_000
        time.sleep(0.8)
        yield b"end"

    server = bench.server(app, write_timeout=0.3)
    server.listeners[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    peer = bench.peer(server, rcvbuf=4096)
    body = peer.get()[2]
    assert body.endswith(b"end") and len(body) == 200_003
    assert server.counters["timeouts_write"] == 0


@pytest.mark.parametrize("ahead", [0, 1 << 18])
def test_a_reader_that_stops_is_counted_once_and_closes_once(bench, ahead):
    closed = []

    class Endless:
        def __iter__(self):
            while True:
                time.sleep(0.001)
                yield b"z" * 20_000

        def close(self):
            closed.append(1)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Endless()

    server = bench.server(app, write_timeout=0.3, output_buffer=ahead, threads=3)
    peers = [bench.peer(server, rcvbuf=4096) for _ in range(3)]
    for peer in peers:
        peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert until(lambda: len(closed) == 3, 8)
    time.sleep(0.2)
    assert len(closed) == 3
    assert server.counters["timeouts_write"] == 3
    assert until(lambda: server.counters["open"] == 0)


def test_dripping_blocks_to_a_peer_that_does_not_read(bench):
    """Small blocks do not restart the clock of a peer that takes nothing."""
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            yield b"x" * 4_000_000
            while True:
                time.sleep(0.02)
                yield b"."
        finally:
            closed.set()

    server = bench.server(app, write_timeout=0.4, output_buffer=8_000_000)
    bench.peer(server, rcvbuf=4096).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert closed.wait(3)
    assert server.counters["timeouts_write"] == 1


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("kind", ["slow", "waiting"])
def test_a_peer_that_drops_closes_the_body_soon(bench, way, kind):
    closed = []

    class Body:
        def __iter__(self):
            yield b"begin" if kind == "slow" else b"x" * 5_000_000
            while True:
                if kind == "slow":
                    time.sleep(0.1)
                yield b"more" * 10_000

        def close(self):
            closed.append(time.monotonic())

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    server = bench.server(app)
    peer = bench.peer(server, rcvbuf=4096).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    peer.more()
    time.sleep(0.1)
    begin = time.monotonic()
    getattr(peer, way)()
    assert until(lambda: closed, 10)
    assert closed[0] - begin < 2
    time.sleep(0.1)
    assert len(closed) == 1 and until(lambda: server.counters["open"] == 0)


def test_200_slow_readers_of_everything(bench, tmp_path):
    """Bytes and files cost no thread, generators one; the others are served meanwhile."""
    (tmp_path / "big").write_bytes(b"f" * 5_000_000)
    big = b"b" * 5_000_000

    def app(environ, start_response):
        start_response("200 OK", [])
        path = environ["PATH_INFO"]
        if path == "/bytes":
            return [big]
        if path == "/file":
            return environ["wsgi.file_wrapper"](open(tmp_path / "big", "rb"))
        if path == "/generator":
            return (big[:50_000] for _ in range(100))
        return [b"hello"]

    def size():
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * resource.getpagesize()

    server = bench.server(app, threads=4, write_timeout=20)
    before = size()
    ways = ["/bytes", "/file"] * 85 + ["/generator"] * 30
    crowd = [bench.peer(server, rcvbuf=4096) for _ in ways]
    for peer, way in zip(crowd, ways, strict=True):
        peer.send(f"GET {way} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    assert until(lambda: server.counters["requests"] == 200, 10)
    peer = bench.peer(server)
    assert peer.get()[2] == b"hello"
    waits = []
    for _ in range(20):
        begin = time.monotonic()
        assert peer.get()[2] == b"hello"
        waits.append(time.monotonic() - begin)
    waits.sort()
    assert waits[10] < 0.05 and waits[-1] < 2  # some may meet a busy machine
    assert server.counters["threads"] <= 40
    assert size() - before < 64 << 20


# -- heads and bodies of requests ---------------------------------------------------------------


def test_a_long_head_in_small_packets_costs_linear_time(bench):
    """500 KB in one field, behind a line end: only its own line end asks for another look."""
    server = bench.server(max_head=512_000, max_request_line=16_384)
    peer = bench.peer(server)
    begin = time.thread_time(), time.process_time()
    sent = 0
    for packet in (b"GET / HTTP/1.1\r\nHost: t\r\nCookie: ", *[b"a" * 98] * 5000):
        peer.send(packet)
        sent += len(packet)
        while server.counters["bytes_in"] < sent:
            time.sleep(0)
    own = time.thread_time() - begin[0]
    peer.send(b"\r\n\r\n")
    assert peer.response()[0] == 200
    assert time.process_time() - begin[1] - own < 0.4


@pytest.mark.parametrize(
    ("first", "status"),
    [(b"GET /" + b"a" * 600, 414), (b"GET / HTTP/1.1\r\nX: " + b"a" * 600, 413)],
)
def test_limits_hold_for_drops_without_a_line_end(bench, first, status):
    server = bench.server(max_request_line=400, max_head=500)
    peer = bench.peer(server)
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(first), 7):
            peer.send(first[at : at + 7])
            time.sleep(0.0005)
    assert peer.response()[0] == status


def test_a_body_cannot_be_read_beyond_its_request(bench):
    """A thread that keeps wsgi.input would otherwise eat the next request."""
    kept = []

    def app(environ, start_response):
        kept.append(environ["wsgi.input"])
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(10)]

    server = bench.server(app, body_buffer=100)
    peer = bench.peer(server)
    for _ in range(2):
        peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
        assert peer.response()[2] == b"x" * 10
        with pytest.raises(ValueError, match="its request is over"):
            kept[-1].read()
        peer.send(b"x" * 500)
        assert peer.get()[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_reads_of_all_sizes(bench, chunked):
    whole = bytes(random.Random(5).choices(b"abc\n", k=700_000)) + b"L" * 300_000 + b"\nlast"
    seen = {}

    def app(environ, start_response):
        body, chance = environ["wsgi.input"], random.Random(6)
        parts, lengths = [], []
        while True:
            way, size = chance.randrange(4), chance.choice((0, 1, 7, 4096, 65536, 65537, 200_000))
            before = sum(map(len, parts))
            if way == 0:
                parts.append(body.read(size))
                lengths.append(len(parts[-1]) == min(size, len(whole) - before))
            elif way == 1:
                parts.append(body.readline())
            elif way == 2:
                parts.append(body.readline(size))
            else:
                parts += body.readlines(size or 1)
            if before == len(whole):
                break
        seen["same"] = b"".join(parts) == whole and all(lengths)
        seen["lines"] = all(part.count(b"\n") <= 1 for part in parts if part[-1:] != b"\n")
        seen["end"] = body.read() + body.read(5) + body.readline() + b"".join(body)
        return hello(environ, start_response)

    peer = bench.peer(bench.server(app))
    if chunked:
        peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(whole), 33_333):
            part = whole[at : at + 33_333]
            peer.send(b"%x\r\n%b\r\n" % (len(part), part))
        peer.send(b"0\r\n\r\n")
    else:
        peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole)
    assert peer.response()[2] == b"hello"
    assert seen["same"] and seen["end"] == b""
