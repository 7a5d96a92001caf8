"""ASGI applications in the tree: the messages of one request, over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from asgi_kit import body_of, say, serve, show_scope
from cherrypy._cpnative_server import CPHTTPServer
from hosting_kit import hosted, read_all, read_until, until

import cherrypy


class Page:
    @cherrypy.expose
    def index(self):
        return "a page"


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        made.tree.mount(Page())
        yield made


def test_the_scope_is_as_specified(site):
    serve(site, show_scope)
    peer = site.connect(
        b"PUT /api/a%20b/%C3%A9%2Fx;y?q=%20&r HTTP/1.1\r\nHost: here\r\nX-Two: 1\r\nX-Two: 2\r\n"
        b"Content-Type: text/x\r\nContent-Length: 0\r\nX-Odd: \xe9\r\nConnection: close\r\n\r\n"
    )
    local, remote = list(peer.getpeername()), list(peer.getsockname())
    scope = json.loads(read_all(peer).partition(b"\r\n\r\n")[2])
    peer.close()
    headers = scope.pop("headers")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/api/a b/é/x;y",
        "raw_path": "/api/a%20b/%C3%A9%2Fx;y",
        "query_string": "q=%20&r",
        "root_path": "/api",
        "client": remote,
        "server": local,
        "extensions": {},
    }
    assert sorted(headers) == [
        ["connection", "close"],
        ["content-length", "0"],
        ["content-type", "text/x"],
        ["host", "here"],
        ["x-odd", "é"],
        ["x-two", "1, 2"],
    ]


def test_the_scope_of_other_requests(site):
    serve(site, show_scope)
    peer = site.connect(b"GET http://here/api//x?y HTTP/1.0\r\n\r\n")
    scope = json.loads(read_all(peer).partition(b"\r\n\r\n")[2])
    peer.close()
    assert (scope["http_version"], scope["raw_path"]) == ("1.0", "/api//x")
    assert json.loads(site.ask("/api")[1])["path"] == "/api"


def test_pages_and_grafts_share_a_port(site):
    serve(site, show_scope)
    assert site.ask("/") == (200, "a page")
    assert site.ask("/api/x")[0] == 200
    assert site.ask("/apix")[0] == 404


def test_the_native_server_hosts_it_too(site):
    site.server.httpserver = CPHTTPServer(site.server)
    serve(site, show_scope)
    assert json.loads(site.ask("/api/x")[1])["path"] == "/api/x"
    assert "cannot serve" not in site.text()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 5_000_000])
def test_bodies_arrive_whole(site, size):
    async def app(scope, receive, send):
        body = await body_of(receive)
        await say(send, b"%d %d" % (len(body), sum(body)))

    serve(site, app)
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    wanted = f"{size} {sum(data)}"
    assert site.ask("/api", "POST", data) == (200, wanted)
    chunked = (data[at : at + 70000] for at in range(0, size, 70000))
    assert site.ask("/api", "POST", chunked) == (200, wanted)


def test_a_body_that_is_not_read_is_no_trouble(site):
    async def app(scope, receive, send):
        await say(send, b"no, thanks")

    serve(site, app)
    for _ in range(3):
        assert site.ask("/api", "POST", b"x" * 300_000) == (200, "no, thanks")


def test_a_body_and_its_response_pass_each_other(site):
    """Neither waits for the other's end: what a proxy or a progress bar needs."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        more, total = True, 0
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
            await send({"type": "http.response.body", "body": b"<%d>" % total, "more_body": more})

    serve(site, app)
    size = 3_000_000
    peer = site.connect(
        b"POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    )
    with peer:
        sent, data = 0, b""
        for part in (70_000, 1, 1000, size - 71_001):  # the server gathers the first 64 KiB
            peer.sendall(b"x" * part)
            sent += part
            data = read_until(peer, b"<%d>" % sent, data)


def test_output_does_not_wait_for_a_body_that_is_late(site):
    """A framework that listens for a disconnect while it streams has not read the body."""

    async def app(scope, receive, send):
        listening = asyncio.ensure_future(body_of(receive))
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"early", "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % len(await listening)})

    serve(site, app)
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with site.connect(head + b"x" * 80_000) as peer:
        data = read_until(peer, b"early")
        peer.sendall(b"x" * 820_000)
        read_until(peer, b"900000", data)


def test_continue_is_said_to_who_waits_for_it(site):
    async def app(scope, receive, send):
        await say(send, b"got %d" % len(await body_of(receive)))

    serve(site, app)
    with site.connect(
        b"POST /api HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 300000\r\n\r\n"
    ) as peer:
        read_until(peer, b"100 Continue")
        peer.sendall(b"x" * 300_000)
        read_until(peer, b"got 300000")


def test_a_body_beyond_the_limit_is_refused(site):
    ended = threading.Event()

    async def app(scope, receive, send):
        while (await receive())["type"] == "http.request":
            pass
        ended.set()

    site.server.max_request_body_size = 1_000_000
    serve(site, app)

    def pieces():
        for _ in range(40):
            yield b"x" * 50_000

    peer = site.connect(b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    with peer:
        try:
            for piece in pieces():
                peer.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        except OSError:
            pass
        assert read_all(peer).startswith(b"HTTP/1.1 413 ")
    assert ended.wait(5)


def test_a_body_that_never_comes_has_a_deadline(site):
    async def app(scope, receive, send):
        await say(send, b"%d" % len(await body_of(receive)))

    serve(site, app)
    site.server.httpserver.kirsch.settings.body_timeout = 0.3
    head = b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with site.connect(head + b"x" * 80_000) as peer:
        began = time.monotonic()
        assert read_all(peer).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 4


def test_chunks_leave_when_they_are_sent(site):
    """The second request lets the first go on: both run in the one loop."""
    go = []

    async def app(scope, receive, send):
        if scope["path"] == "/api/go":
            go.pop().set()
            await say(send, b"gone")
            return
        event = asyncio.Event()
        go.append(event)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await event.wait()
        go.append(event := asyncio.Event())
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await event.wait()
        await send({"type": "http.response.body", "body": b"last"})

    serve(site, app)
    with site.connect(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n") as peer:
        data = read_until(peer, b"\r\n\r\n")  # the head alone, as an empty body asks for
        assert b"first" not in data
        assert site.ask("/api/go") == (200, "gone")
        assert b"last" not in read_until(peer, b"first")
        assert site.ask("/api/go") == (200, "gone")
        read_until(peer, b"last")
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # the connection lives on
        read_until(peer, b"a page")


def test_many_requests_wait_in_one_loop(site):
    names, inside = set(), []
    everybody = []

    async def app(scope, receive, send):
        names.add(threading.current_thread().name)
        inside.append(1)
        if len(inside) == 30:
            for event in everybody:
                event.set()
        else:
            everybody.append(event := asyncio.Event())
            await asyncio.wait_for(event.wait(), 10)
        await say(send, b"all here")

    serve(site, app)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(site.ask("/api"))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert answers == [(200, "all here")] * 30
    assert names == {"event-loop"}


def test_status_and_headers(site):
    async def app(scope, receive, send):
        if scope["path"] == "/api/304":
            await say(send, b"", 304, (b"etag", b'"x"'))
        elif scope["path"] == "/api/599":
            await say(send, b"odd", 599)
        else:
            await say(
                send,
                b"body",
                201,
                (b"X-Two", b"1"),
                (b"x-two", b"2"),
                (b"transfer-encoding", b"chunked"),
                (b"set-cookie", b"a=1"),
                (b"set-cookie", b"b=2"),
            )

    serve(site, app)
    with site.connect(b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as peer:
        head, _, body = read_all(peer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Created\r\nX-Two: 1\r\nx-two: 2\r\n")
    assert b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n" in head
    assert b"\r\nContent-Length: 4" in head
    assert b"chunked" not in head
    assert body == b"body"
    assert site.ask("/api/304") == (304, "")
    assert site.ask("/api/599") == (599, "odd")
    assert site.ask("/api", "HEAD") == (201, "")


# -- what goes wrong ---------------------------------------------------------------------------


async def breaks(scope, receive, send):
    kind = scope["path"].rpartition("/")[2]
    if kind == "nothing":
        return
    if kind == "quit":
        raise KeyboardInterrupt
    if kind != "before":
        await send({"type": "http.response.start", "status": 200})
        if kind == "head":
            return
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await asyncio.sleep(0.05)
    if kind != "short":
        raise LookupError("a secret of the application")


@pytest.mark.parametrize("kind", ["before", "nothing", "head"])
def test_failures_before_the_response_are_answered(site, kind):
    serve(site, breaks)
    status, text = site.ask(f"/api/{kind}")
    assert (status, text) == (500, "The server encountered an unexpected condition.")
    wanted = "LookupError: a secret" if kind == "before" else "ended without a whole response"
    assert wanted in site.text()
    assert site.ask("/") == (200, "a page")


@pytest.mark.parametrize("kind", ["within", "short"])
def test_failures_within_the_response_break_it_off(site, kind):
    serve(site, breaks)
    with site.connect(f"GET /api/{kind} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as peer:
        data = read_all(peer)
    assert b"some" in data
    assert not data.endswith(b"0\r\n\r\n")
    assert b"secret" not in data


def test_keyboard_interrupt_is_for_the_process(site):
    serve(site, breaks)
    with site.connect(b"GET /api/quit HTTP/1.1\r\nHost: x\r\n\r\n") as peer:
        assert read_all(peer) == b""
    engine = cherrypy.engine
    until(lambda: engine.state == engine.states.EXITING, "the end of the engine")


def test_what_goes_on_after_the_response_holds_nobody_up(site):
    done, go = [], []

    async def app(scope, receive, send):
        await body_of(receive)
        await say(send, b"answered")
        go.append(event := asyncio.Event())
        go.append(asyncio.get_running_loop())
        done.append((await receive())["type"])
        await event.wait()
        raise LookupError("afterwards")

    serve(site, app)
    assert site.ask("/api") == (200, "answered")
    until(lambda: done == ["http.disconnect"], "receive() to say that all is over")
    go[1].call_soon_threadsafe(go[0].set)
    until(lambda: "LookupError: afterwards" in site.text(), "the log")


WRONG = [
    [{"type": "http.response.body", "body": b"x"}],
    [{"type": "http.response.start", "status": 200}] * 2,
    [{"type": "http.response.start", "status": 99}],
    [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
    [{"type": "websocket.accept"}],
    [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": "text"},
    ],
]


@pytest.mark.parametrize("messages", WRONG)
def test_wrong_messages_are_errors_of_the_application(site, messages):
    raised = []

    async def app(scope, receive, send):
        try:
            for message in messages:
                await send(message)
        except (RuntimeError, TypeError, ValueError) as error:
            raised.append(error)
            raise

    serve(site, app)
    assert site.ask("/api")[0] == 500
    assert len(raised) == 1


def test_nothing_may_follow_the_last_body(site):
    raised = []

    async def app(scope, receive, send):
        await say(send, b"whole")
        try:
            await send({"type": "http.response.body", "body": b"more"})
        except (RuntimeError, OSError) as error:
            raised.append(error)

    serve(site, app)
    assert site.ask("/api") == (200, "whole")
    until(lambda: raised, "the error")
