"""WebSockets of ASGI applications: peers that lag, flood, lie or vanish, and applications that do not wait."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import socket
import threading
import time
import weakref

import pytest
from asgi_kit import accept, call, echo, echoes, opened, serve_sockets
from hosting_kit import hosted, read_all, read_until, until

from cherrypy.hosting.asgi.sockets import SocketTalk
from cherrypy.websocket.client import ConnectionClosed
from kirsch.wire.websocket.client import make_key, request_head
from kirsch.wire.websocket.frames import build


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        made.clients = []
        yield made
        for client in made.clients:
            client.sock.close()


def stands_still(count, least=1):
    """Wait until a growing number grows no more, and return it."""
    until(lambda: count() >= least, "the beginning")
    seen = -1
    while seen != (now := count()):
        seen = now
        time.sleep(0.3)
    return seen


def weight(site):
    """Bytes that wait for the peer of the only WebSocket."""
    (talk,) = opened(site)
    out = None if talk.wire is None else talk.wire._out
    return 0 if out is None else out.weight


def kirsch(site):
    return site.server.httpserver.kirsch


# -- peers that do not read --------------------------------------------------------------------


BLOCK = b"x" * 50_000
MOST = (1 << 17) + len(BLOCK)


def test_send_waits_for_a_peer_that_lags(site):
    sent = []

    async def app(scope, receive, send):
        await accept(receive, send)
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": BLOCK})
            sent.append(1)

    serve_sockets(site, app)
    client = call(site, receive_buffer=65536)
    count = stands_still(lambda: len(sent))
    assert count < 200, "the application runs ahead without a limit"
    assert 0 < weight(site) <= MOST
    assert [len(message) for message in client] == [len(BLOCK)] * 400
    assert client.close_code == 1000


@pytest.mark.parametrize("kind", ["tasks", "cancelled"])
def test_who_does_not_wait_for_send_makes_nothing_grow(site, kind):
    done = []

    async def app(scope, receive, send):
        await accept(receive, send)

        async def speak(number):
            await send({"type": "websocket.send", "bytes": b"%04d" % number + BLOCK})
            done.append(number)

        tasks = [asyncio.create_task(speak(number)) for number in range(300)]
        if kind == "cancelled":
            for number in range(300):
                try:
                    await asyncio.wait_for(asyncio.shield(tasks[number]), 0.001)
                except asyncio.TimeoutError:
                    tasks[number].cancel()
        else:
            await asyncio.gather(*tasks)
        await asyncio.sleep(0 if kind == "tasks" else 60)

    serve_sockets(site, app)
    client = call(site, receive_buffer=65536)
    count = stands_still(lambda: len(done), 2)
    assert count < 200
    assert 0 < weight(site) <= MOST
    heard = [int(client.recv()[:4]) for _ in range(2)]
    if kind == "tasks":
        heard += [int(client.recv()[:4]) for _ in range(60)]
        stands_still(lambda: len(done))
        assert 0 < weight(site) <= MOST
    try:
        while True:
            heard.append(int(client.recv(1 if kind == "cancelled" else 10)[:4]))
    except (TimeoutError, ConnectionClosed):
        pass
    assert heard == sorted(heard)
    assert len(heard) == 300 if kind == "tasks" else count <= len(heard) < 300


def test_a_peer_that_never_reads_is_given_up(site):
    raised = []

    async def app(scope, receive, send):
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": BLOCK})
        except OSError as error:
            raised.append(error)
            raise

    serve_sockets(site, app)
    kirsch(site).settings.write_timeout = 0.5
    call(site, receive_buffer=65536)
    until(lambda: raised, "send() to raise", 10)
    until(lambda: not opened(site), "the end of the task")
    assert "ASGI" not in site.text()


def test_pings_do_not_harm_a_peer_that_reads_slowly(site):
    large = b"y" * 12_000_000

    async def app(scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.send", "bytes": large})
        await receive()

    serve_sockets(site, app)
    client = call(site, receive_buffer=65536)
    until(lambda: weight(site) > 1_000_000, "the message to wait")
    for number in range(100):
        client.ping(b"%d" % number)
    assert client.recv() == large
    until(lambda: client.pongs or client._read(time.monotonic() + 5), "the pongs")
    client.close()


def test_pings_without_end_of_a_peer_that_does_not_read(site):
    async def app(scope, receive, send):
        await accept(receive, send)
        for _ in range(100):
            await send({"type": "websocket.send", "bytes": BLOCK})

    serve_sockets(site, app)
    client = call(site, receive_buffer=65536)
    until(lambda: weight(site) > 65536, "the output to wait")
    pings = build(0x89, b"z" * 125, b"\0\0\0\0") * 400
    with pytest.raises(OSError):
        for _ in range(2000):
            client.sock.sendall(pings)
    until(lambda: not opened(site), "the end of the connection")
    until(lambda: kirsch(site).counters["websocket_slow_peers"] == 1, "the books")


# -- peers that send ---------------------------------------------------------------------------


def test_a_peer_is_not_read_faster_than_it_is_received(site):
    go, seen = threading.Event(), []

    async def app(scope, receive, send):
        await accept(receive, send)
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(len(message["bytes"]))

    serve_sockets(site, app)
    client = call(site)
    client.sock.settimeout(1)
    frame = build(0x82, BLOCK, b"\0\0\0\0")
    sent = 0
    with pytest.raises(TimeoutError):
        for _ in range(2000):
            sent += client.sock.send(frame[sent % len(frame) :])
    (talk,) = opened(site)
    assert len(talk.wire._inbox) <= 33
    assert sent < 30_000_000
    client.sock.settimeout(10)
    go.set()
    while sent % len(frame):
        sent += client.sock.send(frame[sent % len(frame) :])
    client.close()
    until(lambda: len(seen) * len(frame) == sent, "all of it to be received")
    assert set(seen) == {len(BLOCK)}


def test_an_application_that_closes_is_not_held_up_by_what_it_did_not_receive(site):
    told_of = []

    async def app(scope, receive, send):
        await accept(receive, send)
        (talk,) = opened(site)
        while not talk.wire._paused:
            await asyncio.sleep(0.01)
        await send({"type": "websocket.close", "code": 4000})
        await echo(receive, told)

    async def told(message):
        told_of.append(message)

    serve_sockets(site, app)
    client = call(site)
    for _ in range(200):
        client.sock.sendall(build(0x82, BLOCK, b"\0\0\0\0"))
    assert client.wait_closed(3) == 4000
    until(lambda: kirsch(site).counters["open"] == 0, "the end of the connection", 3)
    until(lambda: not opened(site), "the end of the task", 3)
    assert 21 <= len(told_of) < 60, "what came before the close, and nothing of what came after"
    assert "ASGI" not in site.text()


@pytest.mark.parametrize("kind", ["received", "answered"])
def test_a_flood_leaves_the_loop_to_others(site, kind):
    async def app(scope, receive, send):
        await accept(receive, send)
        if scope["path"] == "/api":
            await echo(receive, send)
        elif kind == "received":
            while (await receive())["type"] == "websocket.receive":
                pass
        else:
            while True:
                await send({"type": "websocket.send", "text": "x"})

    serve_sockets(site, app)
    stop = threading.Event()
    frames = build(0x81, b"x", b"\0\0\0\0") * 5000

    def flood():
        client = call(site, "/api/flood")
        client.sock.settimeout(0.2)
        while not stop.is_set():
            try:
                if kind == "received":
                    client.sock.send(frames)
                else:
                    client.sock.recv(1 << 20)
            except TimeoutError:
                pass

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        with call(site) as client:
            for _ in range(20):
                client.send("me too")
                assert client.recv(5) == "me too"
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def test_rubbish_ends_connections_and_nothing_else(site):
    told = []

    async def app(scope, receive, send):
        await accept(receive, send)
        told.append((await echo(receive, send))["code"])

    serve_sockets(site, app)
    dice = random.Random(7)
    for _ in range(60):
        with site.connect(request_head("/api", "x", make_key())) as peer:
            read_until(peer, b"\r\n\r\n")
            try:
                for _ in range(20):
                    peer.sendall(dice.randbytes(dice.randrange(1, 200)))
                peer.shutdown(socket.SHUT_WR)
                read_all(peer)
            except OSError:
                pass
    until(lambda: len(told) == 60, "every application to be told")
    assert set(told) <= {1002, 1005, 1006, 1007, 1009, *range(3000, 5000)}
    assert opened(site) == []
    until(lambda: kirsch(site).counters["open"] == 0, "the end of all connections")
    assert "rror" not in site.text()
    with call(site) as client:
        client.send("fine")
        assert client.recv() == "fine"


# -- peers that vanish -------------------------------------------------------------------------


def test_clients_that_vanish_within_the_handshake(site):
    ended = []

    async def app(scope, receive, send):
        try:
            assert (await receive())["type"] == "websocket.connect"
            if (await receive())["type"] == "websocket.disconnect":
                await send({"type": "websocket.accept"})
        finally:
            ended.append(1)

    serve_sockets(site, app)
    for _ in range(5):
        peers = [site.connect(request_head("/api", "x", make_key())) for _ in range(8)]
        until(lambda: len(opened(site)) == 8, "the applications to be asked")
        for peer in peers:
            peer.close()
        until(lambda: not opened(site), "the applications to be told")
    assert len(ended) == 40
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "the workers to be free again")
    until(lambda: kirsch(site).counters["open"] == 0, "the end of all connections")
    assert "rror" not in site.text()


@pytest.mark.parametrize("when", ["at once", "after the answer", "after a message"])
def test_clients_that_vanish_leave_nothing_behind(site, when):
    serve_sockets(site, echoes)
    talks = []
    plain = SocketTalk.begin

    def begin(self, app, scope):
        talks.append(weakref.ref(self))
        plain(self, app, scope)

    SocketTalk.begin = begin
    gc.disable()
    try:
        for _ in range(100):
            peer = site.connect(request_head("/api", "x", make_key()))
            if when != "at once":
                read_until(peer, b"\r\n\r\n")
            if when == "after a message":
                peer.sendall(build(0x81, b"hello", b"\0\0\0\0"))
                read_until(peer, b"hello")
            peer.close()
        until(lambda: not opened(site), "the end of all tasks")
        until(lambda: kirsch(site).counters["open"] == 0, "the end of all connections")
        left = until(lambda: len([1 for ref in talks if ref() is not None]) <= 2, "their memory")
        assert left
    finally:
        gc.enable()
        SocketTalk.begin = plain
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "the workers to be free again")
    assert "rror" not in site.text()


def test_five_hundred_idle_sockets_on_ten_threads(site):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2048:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    serve_sockets(site, echoes)
    kirsch(site).settings.threads_max = 10
    clients = []
    for _ in range(500):
        peer = site.connect(request_head("/api", "x", make_key()))
        read_until(peer, b"\r\n\r\n")
        clients.append(peer)
    try:
        assert len(opened(site)) == 500
        pool = site.server.httpserver.requests
        until(lambda: pool.idle == pool.size, "the workers to be free")
        assert pool.size <= 10
        began = time.monotonic()
        assert site.ask("/nothing")[0] == 404
        assert time.monotonic() - began < 1
        for peer in clients:
            peer.sendall(build(0x81, b"hi", b"\0\0\0\0"))
        for peer in clients:
            assert peer.recv(4) == b"\x81\x02hi"
    finally:
        for peer in clients:
            peer.close()
    until(lambda: not opened(site), "the end of all tasks", 10)


# -- applications ------------------------------------------------------------------------------


def test_errors_in_the_midst_of_many(site):
    """Many failures later everything is as before."""

    async def app(scope, receive, send):
        await accept(receive, send)
        message = await receive()
        if message.get("text") == "raise":
            raise LookupError
        await send({"type": "websocket.close", "code": 4000})

    serve_sockets(site, app)
    before = threading.active_count()
    for number in range(150):
        client = call(site)
        client.send("raise" if number % 2 else "close")
        assert client.wait_closed() == (1011 if number % 2 else 4000)
        client.sock.close()
    until(lambda: not opened(site), "the end of all tasks")
    assert threading.active_count() <= before + 2
    assert site.text().count("Error in the ASGI application at '/api'") == 75
    assert kirsch(site).counters["handler_errors"] == 75


def test_receivers_that_are_cancelled_lose_no_message(site):
    async def app(scope, receive, send):
        await accept(receive, send)
        seen = []
        while len(seen) < 50:
            try:
                seen.append((await asyncio.wait_for(receive(), 0.002))["text"])
            except asyncio.TimeoutError:
                pass
        await send({"type": "websocket.send", "text": " ".join(seen)})

    serve_sockets(site, app)
    client = call(site)
    for number in range(50):
        client.send(str(number))
        time.sleep(0.001 * (number % 5))
    assert client.recv() == " ".join(map(str, range(50)))
