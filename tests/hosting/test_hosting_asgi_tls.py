"""ASGI applications over TLS: bodies, streams, disconnects and WebSockets, over real TLS sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time

import pytest
from asgi_kit import accept, body_of, echo, echoes, opened, say, serve_sockets
from hosting_kit import hosted, read_all, read_until, until

import cherrypy
from cherrypy.websocket.client import Refused, connect
from kirsch.server.selfsigned import self_signed_certificate
from kirsch.wire.websocket.client import make_key, request_head


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A certificate for localhost, and its key in the same file."""
    return self_signed_certificate(str(tmp_path_factory.mktemp("tls")))


@pytest.fixture
def site(monkeypatch, pem):
    monkeypatch.setenv("SSL_CERT_FILE", pem)  # for our own client
    with hosted(monkeypatch) as made, contextlib.ExitStack() as stack:
        made.server.ssl_certificate = made.server.ssl_private_key = pem
        made.context = ssl.create_default_context(cafile=pem)
        made.stack = stack
        yield made


def dial(site, data=b"", receive_buffer=0):
    """A raw client over TLS that has sent `data`."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(10)
    sock.connect(site.address)
    peer = site.stack.enter_context(site.context.wrap_socket(sock, server_hostname="localhost"))
    peer.sendall(data)
    return peer


def call(site, path="/api", **options):
    """A WebSocket by our own client: that of `websockets` uses OpenSSL in two threads at once."""
    url = f"wss://localhost:{site.address[1]}{path}"
    client = connect(url, **options)
    site.stack.callback(client.sock.close)
    return client


@pytest.mark.parametrize("size", [0, 1, 16384, 65536, 65537, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_arrive_whole(site, size, framing):
    async def app(scope, receive, send):
        assert scope["scheme"] == "https"
        body = await body_of(receive)
        await say(send, b"<%d %d>" % (len(body), sum(body)))

    serve_sockets(site, app)
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    head = b"POST /api HTTP/1.1\r\nHost: x\r\n"
    for _ in range(2):
        if framing == "length":
            peer = dial(site, head + b"Content-Length: %d\r\n\r\n" % size + data)
        else:
            peer = dial(site, head + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, size, 70_000):
                block = data[at : at + 70_000]
                peer.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            peer.sendall(b"0\r\n\r\n")
        read_until(peer, b"<%d %d>" % (size, sum(data)))


def test_a_body_that_comes_slowly(site):
    """Small records, and pauses in the midst of them."""

    async def app(scope, receive, send):
        sizes = []
        while (message := await receive())["more_body"]:
            sizes.append(len(message["body"]))
        await say(send, b"<%d>" % (sum(sizes) + len(message["body"])))

    serve_sockets(site, app)
    peer = dial(site, b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n")
    peer.sendall(b"x" * 70_000)
    for _ in range(20):
        peer.sendall(b"x" * 1000)
        time.sleep(0.005)
    read_until(peer, b"<90000>")


def test_output_does_not_wait_for_a_body_that_is_late(site):
    async def app(scope, receive, send):
        listening = asyncio.ensure_future(body_of(receive))
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"early", "more_body": True})
        await send({"type": "http.response.body", "body": b"<%d>" % len(await listening)})

    serve_sockets(site, app)
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    peer = dial(site, head + b"x" * 80_000)
    data = read_until(peer, b"early")
    peer.sendall(b"x" * 820_000)
    read_until(peer, b"<900000>", data)


@pytest.mark.parametrize("part", ["half a record", "the head of a chunk"])
def test_output_does_not_wait_for_what_is_half_there(site, part):
    speak, read = threading.Event(), []

    async def listen(receive):
        more = True
        while more:
            message = await receive()
            read.append(len(message["body"]))
            more = message["more_body"]
        return sum(read)

    async def app(scope, receive, send):
        listening = asyncio.ensure_future(listen(receive))
        await asyncio.get_running_loop().run_in_executor(None, speak.wait)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"early", "more_body": True})
        await send({"type": "http.response.body", "body": b"<%d>" % await listening})

    serve_sockets(site, app)
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Records(site) as peer:
        peer.send(head + b"11170\r\n" + b"x" * 70_000 + b"\r\n")
        until(lambda: sum(read) == 70_000, "what is whole")
        if part == "half a record":
            record = peer.record(b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n")
            first, rest = record[:100], record[100:]
        else:
            first, rest = peer.record(b"1000\r\n"), peer.record(b"x" * 4096 + b"\r\n0\r\n\r\n")
        peer.sock.sendall(first)
        time.sleep(0.1)  # so that it is read on its own
        speak.set()
        data = peer.until(b"early")
        peer.sock.sendall(rest)
        peer.until(b"<74096>", data)


class Records:
    """A client whose records are in our hands."""

    def __init__(self, site):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = site.context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.sock = socket.create_connection(site.address, 10)

    def __enter__(self):
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                self.incoming.write(self.sock.recv(65536))
        return self

    def __exit__(self, *exc_info):
        self.sock.close()

    def record(self, data):
        self.tls.write(data)
        return self.outgoing.read()

    def send(self, data):
        self.sock.sendall(self.record(data))

    def until(self, wanted, data=b""):
        while wanted not in data:
            try:
                data += self.tls.read(65536)
            except ssl.SSLWantReadError:
                block = self.sock.recv(65536)
                assert block, data[-300:]
                self.incoming.write(block)
        return data


def test_a_body_and_its_response_pass_each_other(site):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        more, total = True, 0
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
            await send({"type": "http.response.body", "body": b"<%d>" % total, "more_body": more})

    serve_sockets(site, app)
    size = 1_000_000
    peer = dial(site, b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    sent, data = 0, b""
    for part in (70_000, 1, 1000, 16384, 16385, size - 103_770):
        peer.sendall(b"x" * part)
        sent += part
        data = read_until(peer, b"<%d>" % sent, data)


def test_a_body_that_never_comes_has_a_deadline(site):
    async def app(scope, receive, send):
        await say(send, b"%d" % len(await body_of(receive)))

    serve_sockets(site, app)
    site.server.httpserver.kirsch.settings.body_timeout = 0.3
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    peer = dial(site, head + b"x" * 80_000)
    began = time.monotonic()
    assert read_all(peer).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("how", ["close_notify", "a reset", "a mere end"])
def test_a_disconnect_is_heard_of_at_once(site, how):
    heard, waiting = [], threading.Event()

    async def app(scope, receive, send):
        await body_of(receive)
        waiting.set()
        heard.append((await receive())["type"])

    serve_sockets(site, app)
    peer = dial(site, b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
    assert waiting.wait(5)
    time.sleep(0.05)
    assert heard == []
    if how == "close_notify":
        with contextlib.suppress(OSError):
            peer.settimeout(0.2)
            peer.unwrap()
    elif how == "a reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    until(lambda: heard == ["http.disconnect"], "the disconnect", 2)
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "the worker to be free again")
    assert "rror" not in site.text()


def test_a_disconnect_within_the_body(site):
    heard = []

    async def app(scope, receive, send):
        while not heard or heard[-1] == "http.request":
            heard.append((await receive())["type"])

    serve_sockets(site, app)
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    peer = dial(site, head + b"x" * 80_000)
    until(lambda: heard, "the first bytes")
    peer.close()
    until(lambda: heard[-1] == "http.disconnect", "the disconnect", 2)


def test_chunks_leave_when_they_are_sent_and_never_far_ahead(site):
    sent = []
    block = b"x" * 50_000

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.sleep(0.2)
        for _ in range(500):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            sent.append(1)
        await send({"type": "http.response.body", "body": b"end"})

    serve_sockets(site, app)
    request = b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    peer = dial(site, request, receive_buffer=65536)
    data = read_until(peer, b"first")
    assert sent == []
    until(lambda: len(sent) > 3, "the first blocks")
    seen = -1
    while seen != len(sent):
        seen = len(sent)
        time.sleep(0.3)
    assert len(sent) < 250, "the application runs ahead without a limit"
    data += read_all(peer)
    assert data.endswith(b"end\r\n0\r\n\r\n")
    assert len(sent) == 500


def test_requests_that_follow_wait_their_turn(site):
    async def app(scope, receive, send):
        await body_of(receive)
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0.05)
        await say(send, b"<gone>" if listening.done() else b"<there>")

    serve_sockets(site, app)
    peer = dial(site, b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    data = b""
    while data.count(b"<there>") < 3:
        data += peer.recv(65536)
        assert b"<gone>" not in data


# -- WebSockets --------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [False, True])
def test_messages_of_all_sizes_both_ways(site, compression):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echoes(scope, receive, send)

    serve_sockets(site, app).websockets.compression = compression
    peer = call(site, subprotocols=["a"], compression=compression)
    for message in ("short", b"\0" * 70_000, "x" * 300_000, b"", b"\1" * 1_000_000):
        peer.send(message)
        assert peer.recv() == message
    peer.close()
    assert peer.close_code == 1000
    assert (scopes[0]["scheme"], scopes[0]["subprotocols"]) == ("wss", ["a"])
    until(lambda: not opened(site), "the end of the task")
    until(lambda: site.server.httpserver.kirsch.counters["open"] == 0, "the end")


def test_a_refusal(site):
    async def app(scope, receive, send):
        await send({"type": "websocket.close"})

    serve_sockets(site, app)
    with pytest.raises(Refused) as caught:
        call(site)
    assert caught.value.status == 403


def test_a_peer_that_lags_and_one_that_vanishes(site):
    sent, told = [], []

    async def app(scope, receive, send):
        await accept(receive, send)
        if scope["path"] == "/api/echo":
            told.append((await echo(receive, send))["code"])
            return
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": b"x" * 50_000})
            sent.append(1)

    serve_sockets(site, app)
    peer = call(site, receive_buffer=65536)
    until(lambda: sent, "the first blocks")
    seen = -1
    while seen != len(sent):
        seen = len(sent)
        time.sleep(0.3)
    assert len(sent) < 250, "the application runs ahead without a limit"
    assert [len(message) for message in peer] == [50_000] * 400
    other = call(site, "/api/echo")
    other.send("hello")
    assert other.recv() == "hello"
    other.sock.close()
    until(lambda: told == [1006], "the disconnect")


def test_a_peer_that_floods_is_paused_and_goes_on(site):
    go, seen = threading.Event(), []

    async def app(scope, receive, send):
        await accept(receive, send)
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])

    serve_sockets(site, app)
    peer = call(site)
    texts = [f"{number} " + "y" * 3000 for number in range(3000)]
    sender = threading.Thread(target=lambda: [peer.send(text) for text in texts])
    sender.start()
    (talk,) = opened(site)
    until(lambda: talk.wire._paused, "the pause")
    go.set()
    sender.join(20)
    peer.close()
    until(lambda: len(seen) == 3000, "all of it")
    assert seen == texts


def test_a_handshake_whose_client_vanishes(site):
    heard = []

    async def app(scope, receive, send):
        await receive()
        heard.append((await receive())["code"])

    serve_sockets(site, app)
    peer = dial(site, request_head("/api", "x", make_key()))
    until(lambda: opened(site), "the handshake")
    peer.close()
    until(lambda: heard == [1006], "the disconnect", 2)


def test_the_stop_of_the_server(site):
    serve_sockets(site, echoes)
    peer = call(site)
    peer.send("hello")
    assert peer.recv() == "hello"
    cherrypy.engine.exit()
    assert list(peer) == []
    assert peer.close_code == 1001
