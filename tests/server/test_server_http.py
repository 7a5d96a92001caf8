"""What a peer sees: framing, persistence, bodies, limits."""

import io
import os
import tempfile
import time

import pytest


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def test_hello_and_keep_alive(bench):
    server = bench.server()
    peer = bench.peer(server)
    for _ in range(3):
        status, fields, body = peer.get()
        assert (status, body) == (200, b"hello")
        assert fields["content-length"] == "5"
        assert fields["keep-alive"] == "timeout=10"
        assert "date" in fields and fields["server"].startswith("kirsch/")
        assert "connection" not in fields
    assert server.counters["accepted"] == 1
    bench.until(lambda: server.counters["responses"] == 3)
    assert server.counters["responses_2xx"] == server.counters["requests"] == 3


def test_connection_close_and_http10(bench):
    server = bench.server()
    _status, fields, _body = bench.peer(server).get(extra="Connection: close\r\n")
    assert fields["connection"] == "close" and "keep-alive" not in fields
    peer = bench.peer(server).send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.response()[2] == b"hello" and peer.closed()
    peer = bench.peer(server).send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert peer.response()[1]["connection"] == "keep-alive"
    assert peer.send(b"GET / HTTP/1.0\r\n\r\n").response()[2] == b"hello"


def test_byte_by_byte(bench):
    peer = bench.peer(bench.server(echo))
    for byte in b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
        peer.send(bytes((byte,)))
    assert peer.response()[2] == b"abc"


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_pipelining_order(bench, poller):
    def app(environ, start_response):
        if environ["PATH_INFO"].endswith("7"):
            time.sleep(0.02)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    peer = bench.peer(bench.server(app, poller=poller))
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(200)))
    for i in range(200):
        assert peer.response()[2] == b"/%d" % i
    peer.send(
        b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nxyGET /b HTTP/1.1\r\nHost: t\r\n\r\n"
    )
    assert peer.response()[2] == b"/a"
    assert peer.response()[2] == b"/b"


def test_head_204_304_have_no_body(bench):
    def app(environ, start_response):
        start_response(environ["QUERY_STRING"].replace("_", " ") or "200 OK", [])
        return [b"body"]

    peer = bench.peer(bench.server(app))
    peer.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
    status, fields, _ = peer.response("HEAD")
    assert status == 200 and "transfer-encoding" not in fields
    for status in (204, 304):
        assert peer.get(f"/?{status}_X")[0] == status
    assert peer.get()[2] == b"body"


@pytest.mark.parametrize("size", [0, 1, 1000, 70000, 3_000_000])
@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_bodies_both_framings(bench, size, poller):
    server = bench.server(echo, poller=poller)
    data = os.urandom(size)
    peer = bench.peer(server)
    import threading

    def talk(head, body):
        sender = threading.Thread(target=lambda: peer.send(head + body))
        sender.start()
        status, _fields, got = peer.response()
        sender.join(5)
        assert status == 200 and got == data

    talk(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size, data)
    pieces = [data[i : i + 50000] for i in range(0, size, 50000)]
    coded = b"".join(b"%x;e=1\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nX-T: 1\r\n\r\n"
    talk(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", coded)
    assert peer.get("/")[2] == b""


def test_input_is_a_file(bench):
    seen = {}

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        seen["line"] = stream.readline(), stream.readline(3), stream.read(2)
        seen["lines"] = stream.readlines(5), list(stream), stream.read(), stream.readline()
        start_response("200 OK", [])
        return []

    server = bench.server(app, body_buffer=10)
    peer = bench.peer(server)
    text = b"first\nsecond\nthird\nfourth\nfifth"
    peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(text))
    for i in range(0, len(text), 4):
        peer.send(text[i : i + 4])
        time.sleep(0.005)
    assert peer.response()[0] == 200
    assert seen["line"] == (b"first\n", b"sec", b"on")
    assert seen["lines"] == ([b"d\n", b"third\n"], [b"fourth\n", b"fifth"], b"", b"")


def test_generator_is_chunked(bench):
    closed = []

    class Body:
        def __iter__(self):
            yield b"one"
            yield b""
            yield b"two" * 30000

        def close(self):
            closed.append(1)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    peer = bench.peer(bench.server(app))
    for _ in range(3):
        _, fields, body = peer.get()
        assert fields["transfer-encoding"] == "chunked" and body == b"one" + b"two" * 30000
    assert bench.until(lambda: closed == [1, 1, 1])
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    _status, fields, body = peer.response()
    assert "transfer-encoding" not in fields and body == b"one" + b"two" * 30000
    assert bench.until(lambda: len(closed) == 4)


def test_each_block_leaves_at_once(bench):
    import threading

    gate = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        yield b"one"
        gate.wait(5)
        yield b"two"

    peer = bench.peer(bench.server(app))
    peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    peer.head()
    while peer.data != b"one":
        assert peer.more()
    gate.set()
    while peer.data != b"onetwo":
        assert peer.more()
    assert peer.get()[0] == 200


def test_error_in_stream_leaves_it_incomplete(bench):
    closed = []

    class Body:
        def __iter__(self):
            yield b"one"
            raise RuntimeError("boom")

        def close(self):
            closed.append(1)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    peer = bench.peer(bench.server(app))
    peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    data = peer.rest()
    assert b"3\r\none\r\n" in data and not data.endswith(b"0\r\n\r\n")
    assert closed == [1]
    assert len(bench.errors()) == 1


def test_handler_error_is_a_bare_500(bench):
    def app(environ, start_response):
        raise RuntimeError("secret path")

    server = bench.server(app)
    for _ in range(30):
        peer = bench.peer(server)
        status, fields, body = peer.get()
        assert status == 500 and b"secret" not in body and b"Traceback" not in body
        assert fields["content-type"].startswith("text/plain")
    assert len(bench.errors()) == 30
    assert server.counters["handler_errors"] == 30 and server.counters["threads"] == 10


@pytest.mark.parametrize("stream", [False, True])
def test_content_length_is_kept(bench, stream):
    def app(environ, start_response):
        size = environ["QUERY_STRING"]
        start_response("200 OK", [("Content-Length", size)])
        return iter([b"12345"]) if stream else [b"12345"]

    server = bench.server(app)
    peer = bench.peer(server)
    status, _fields, body = peer.get("/?3")
    assert status == 500
    assert body == b"The requested resource returned more bytes than the declared Content-Length."
    peer = bench.peer(server).send(b"GET /?9 HTTP/1.1\r\nHost: t\r\n\r\n")
    assert peer.rest().endswith(b"\r\n\r\n12345")
    assert bench.peer(server).get("/?5")[2] == b"12345"


def test_stream_longer_than_declared_is_cut(bench):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])
        yield b"123"
        yield b"456"

    data = bench.peer(bench.server(app)).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").rest()
    assert data.endswith(b"\r\n\r\n12345")
    assert len(bench.errors()) == 1


def test_expect_continue(bench):
    def app(environ, start_response):
        body = b""
        if environ["PATH_INFO"] == "/read":
            body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    peer = bench.peer(bench.server(app))
    head = b"POST %b HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    peer.send(head % (b"/read", 4))
    assert peer.head()[0] == 100
    peer.send(b"abcd")
    assert peer.response()[2] == b"abcd"
    # A small body nobody read is asked for and drained: the connection lives on.
    peer.send(head % (b"/no", 4))
    assert peer.head()[0] == 100
    assert peer.response()[0] == 200
    peer.send(b"abcd")
    assert peer.get("/no")[0] == 200
    # A big one is not: no 100, and the connection closes.
    peer.send(head % (b"/no", 50_000_000))
    status, fields, _ = peer.response()
    assert status == 200 and fields["connection"] == "close"


def test_unread_body(bench):
    server = bench.server()
    peer = bench.peer(server)
    for _ in range(2):
        peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
        assert peer.response()[2] == b"hello"
    peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.send(
        b"10000\r\n" + b"x" * 65536 + b"\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"
    )
    assert peer.response()[2] == b"hello"
    assert peer.get()[2] == b"hello"
    # Too much to drain: the answer says close, and can be read although we still send.
    import contextlib

    peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        peer.send(b"x" * 3000000)
    _status, fields, body = peer.response()
    assert body == b"hello" and fields["connection"] == "close"


def test_max_body(bench):
    server = bench.server(echo, max_body=1000)
    peer = bench.peer(server)
    peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
    status, _, body = peer.response()
    wording = b"The entity sent with the request exceeds the maximum allowed bytes."
    assert (status, body) == (413, wording)
    peer = bench.peer(server)
    peer.send(
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000
    )
    assert peer.response()[::2] == (413, wording)
    assert peer.closed()


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b"GET /\r\n\r\n", 400, b"Malformed Request-Line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n", 400, b"Illegal header line."),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, b"HTTP requires CRLF terminators"),
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"Illegal #fragment in Request-URI"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 414, b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200, 431, b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, b""),
    ],
)
def test_refusals(bench, sent, status, text):
    server = bench.server(echo)
    peer = bench.peer(server).send(sent)
    got, fields, body = peer.response()
    assert got == status and body.startswith(text)
    assert fields["connection"] == "close" and peer.closed()
    assert server.counters["parse_errors"] == 1


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_files(bench, poller):
    data = os.urandom(2_000_000)
    opened = []

    def app(environ, start_response):
        kind = environ["PATH_INFO"]
        if kind == "/memory":
            file = io.BytesIO(data)
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
            file.write(data)
            file.flush()
        file.seek(100)
        opened.append(file)
        headers = []
        if kind == "/part":
            headers = [("Content-Length", "50")]
        if kind == "/short":
            headers = [("Content-Length", "5000000")]
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](file)

    peer = bench.peer(bench.server(app, poller=poller))
    _status, fields, body = peer.get("/real")
    assert body == data[100:] and fields["content-length"] == str(len(data) - 100)
    assert peer.get("/part")[2] == data[100:150]
    assert peer.get("/memory")[2] == data[100:]
    peer.send(b"HEAD /real HTTP/1.1\r\nHost: t\r\n\r\n")
    assert peer.response("HEAD")[0] == 200
    peer.send(b"GET /short HTTP/1.1\r\nHost: t\r\n\r\n")
    assert peer.rest().endswith(data[-1000:])
    assert bench.until(lambda: all(file.closed for file in opened))


def test_big_list_body(bench):
    parts = [os.urandom(1000) for _ in range(3000)]

    def app(environ, start_response):
        start_response("200 OK", [])
        return parts

    peer = bench.peer(bench.server(app))
    for _ in range(2):
        assert peer.get()[2] == b"".join(parts)
