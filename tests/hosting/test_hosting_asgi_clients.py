"""ASGI applications in the tree: clients that leave, wait, or take their time."""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import threading
import time

import pytest
from asgi_kit import body_of, say, serve, show_scope
from hosting_kit import hosted, read_all, read_until, until

from cherrypy.hosting.asgi.peer import ConnectedPeer
from cherrypy.hosting.asgi.talk import Talk


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        yield made


@pytest.mark.parametrize("lacking", [None, "POLLRDHUP", "poll"])
def test_a_disconnect_is_heard_of_at_once(site, monkeypatch, lacking):
    """On systems that lack an event for it, too."""
    if lacking:
        monkeypatch.delattr(select, lacking, raising=False)
    heard, waiting = [], threading.Event()

    async def app(scope, receive, send):
        await body_of(receive)
        waiting.set()
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    serve(site, app)
    peer = site.connect(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
    assert waiting.wait(5)
    assert heard == []
    peer.close()
    until(lambda: heard == ["http.disconnect"] * 2, "the disconnect", 2)
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "the worker to be free again")
    assert "rror" not in site.text()


def test_a_disconnect_within_the_body(site):
    heard = []

    async def app(scope, receive, send):
        while not heard or heard[-1] == "http.request":
            heard.append((await receive())["type"])

    serve(site, app)
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    peer = site.connect(head + b"x" * 80_000)
    until(lambda: heard, "the first bytes")
    peer.close()
    until(lambda: heard[-1] == "http.disconnect", "the disconnect", 2)


@pytest.mark.parametrize("lacking", [None, "POLLRDHUP", "poll"])
def test_requests_that_follow_wait_their_turn(site, monkeypatch, lacking):
    if lacking:
        monkeypatch.delattr(select, lacking, raising=False)

    async def app(scope, receive, send):
        await body_of(receive)
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0.1)
        await say(send, b"<gone>" if listening.done() else b"<there>")

    serve(site, app)
    with site.connect(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n" * 3) as peer:
        data = b""
        while data.count(b"<there>") < 3:
            data = read_until(peer, b"<there>", data[:0]) if not data else data + peer.recv(65536)
            assert b"<gone>" not in data


def test_the_scope_of_a_unix_socket(site, tmp_path):
    path = str(tmp_path / "s")
    site.server.socket_file = path
    site.tree.apps.clear()
    serve(site, show_scope, "/")  # for the whole site
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(path)
        peer.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        scope = json.loads(read_all(peer).partition(b"\r\n\r\n")[2])
    assert (scope["server"], scope["client"]) == ([path, None], None)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("", "/x", "/x")


def test_a_client_that_closes_its_half_gets_its_answer(site, monkeypatch):
    waits = []
    plain = ConnectedPeer.wait

    def counted(self, bell, reading):
        waits.append(1)
        return plain(self, bell, reading)

    monkeypatch.setattr(ConnectedPeer, "wait", counted)

    async def app(scope, receive, send):
        await body_of(receive)
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b" way"})

    serve(site, app)
    with site.connect(b"GET /api HTTP/1.0\r\n\r\n") as peer:
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer).endswith(b"\r\n\r\nhalf way")
    assert len(waits) < 30, "its end is told once, and not waited for again and again"


def test_an_endless_response_ends_with_its_client(site):
    ended = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        except OSError as error:
            ended.append(error)
            raise

    serve(site, app)
    peer = site.connect(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
    read_until(peer, b"xxx")
    peer.close()
    until(lambda: ended, "send() to raise")
    assert "rror" not in site.text()


def test_an_application_is_never_far_ahead_of_its_client(site):
    sent = []
    block = b"x" * 50_000

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for _ in range(800):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            sent.append(1)
        await send({"type": "http.response.body", "body": b"end"})

    serve(site, app)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    peer.settimeout(10)
    peer.connect(site.address)
    with peer:
        peer.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        until(lambda: len(sent) > 3, "the first blocks")
        seen = -1
        while seen != len(sent):  # until it stands still
            seen = len(sent)
            time.sleep(0.3)
        assert len(sent) < 300, "the application runs ahead without a limit"
        data = read_all(peer)
    assert len(data) > 800 * len(block)
    assert data.endswith(b"end\r\n0\r\n\r\n")
    assert len(sent) == 800


def test_a_body_is_whole_though_its_client_has_closed_its_half(site):
    """The end of the stream is known before the last of the body has been read."""

    async def app(scope, receive, send):
        await asyncio.sleep(0.2)
        body = await body_of(receive)
        await say(send, b"%d then %s" % (len(body), (await receive())["type"].encode()))

    serve(site, app)
    size = 150_000
    with site.connect(b"POST /api HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % size) as peer:
        peer.sendall(b"x" * size)
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer).endswith(b"\r\n\r\n150000 then http.disconnect")


@pytest.mark.parametrize("kind", ["tasks", "cancelled"])
def test_who_does_not_wait_for_send_makes_nothing_grow(site, kind):
    block, sent = b"x" * 50_000, []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

        async def speak():
            await send({"type": "http.response.body", "body": block, "more_body": True})
            sent.append(1)

        tasks = [asyncio.create_task(speak()) for _ in range(400)]
        if kind == "tasks":
            await asyncio.gather(*tasks)
        else:
            for task in tasks:
                try:
                    await asyncio.wait_for(task, 0.001)
                except asyncio.TimeoutError:
                    pass
        await send({"type": "http.response.body", "body": b"end"})

    serve(site, app)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    peer.settimeout(10)
    peer.connect(site.address)
    with peer:
        peer.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        until(lambda: len(sent) > 3, "the first blocks")
        seen = -1
        while seen != len(sent):  # until it stands still
            seen = len(sent)
            time.sleep(0.3)
        talks = [one for one in gc.get_objects() if type(one) is Talk and not one.over]
        assert [one.ahead for one in talks if one.ahead > 2 * 65536] == []
        data = read_all(peer)
    assert data.endswith(b"end\r\n0\r\n\r\n")
    assert data.count(b"x") // len(block) == len(sent)
    assert len(sent) == 400 if kind == "tasks" else len(sent) < 400
