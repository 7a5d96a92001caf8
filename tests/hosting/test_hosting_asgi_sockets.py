"""WebSockets of ASGI applications: the messages of the specification, over real sockets."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgi_kit import accept, call, echo, echoes, refused, serve_sockets
from hosting_kit import hosted, read_all, read_until, until

from cherrypy.websocket.client import Refused
from kirsch.wire.websocket.client import make_key, request_head


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        made.clients = []
        yield made
        for client in made.clients:
            client.sock.close()


def test_the_scope_is_as_specified(site):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await echoes(scope, receive, send)

    serve_sockets(site, app)
    client = call(
        site,
        "/api/a%20b/%C3%A9?q=%20",
        subprotocols=["chat", "superchat"],
        headers=[("X-Odd", "\xe9"), ("Origin", "https://elsewhere.example")],
    )
    (scope,) = seen
    headers = dict(scope.pop("headers"))
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/api/a b/é",
        "raw_path": b"/api/a%20b/%C3%A9",
        "query_string": b"q=%20",
        "root_path": "/api",
        "client": client.sock.getsockname(),
        "server": site.address,
        "subprotocols": ["chat", "superchat"],
        "extensions": {"websocket.http.response": {}},
    }
    assert headers[b"x-odd"] == b"\xe9"
    assert headers[b"origin"] == b"https://elsewhere.example"
    assert headers[b"sec-websocket-version"] == b"13"


def test_messages_go_both_ways_as_what_they_are(site):
    serve_sockets(site, echoes)
    with call(site) as client:
        for message in ("text", "", "\U0001f352", b"", b"\0\xff", "x" * 300_000, b"y" * 1_000_000):
            client.send(message)
            assert client.recv() == message
    assert client.close_code == 1000


def test_each_message_has_the_key_of_its_kind(site):
    seen = []

    async def app(scope, receive, send):
        assert (await receive()) == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        seen.extend([await receive() for _ in range(3)])
        await send({"type": "websocket.send", "text": "both keys", "bytes": None})
        await send({"type": "websocket.send", "text": None, "bytes": bytearray(b"a bytearray")})

    serve_sockets(site, app)
    client = call(site)
    client.send("a")
    client.send(b"b")
    assert client.send_raw(b"\x89\x80\0\0\0\0") is None  # a Ping is none of its business
    client.send("")
    assert list(client) == ["both keys", b"a bytearray"]
    assert seen == [
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.receive", "text": ""},
    ]
    assert client.wait_closed() == 1000, "it has returned"


def test_what_comes_with_the_handshake_is_not_lost(site):
    serve_sockets(site, echoes)
    frame = b"\x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8"
    with site.connect(request_head("/api", "x", make_key()) + frame) as peer:
        data = read_all(peer).partition(b"\r\n\r\n")[2]
    # The Close is answered as soon as it has come: behind that nothing can be sent.
    assert data in (b"\x81\x02hi\x88\x02\x03\xe8", b"\x88\x02\x03\xe8")


def test_subprotocol_and_fields_of_the_answer(site):
    async def app(scope, receive, send):
        await accept(
            receive, send, subprotocol="b", headers=[(b"x-more", b"1"), (b"set-cookie", b"a=\xe9")]
        )

    serve_sockets(site, app)
    client = call(site, subprotocols=["a", "b"])
    assert client.subprotocol == "b"
    assert client.headers["x-more"] == "1"
    assert client.headers["set-cookie"] == "a=\xe9"


@pytest.mark.parametrize(
    "message",
    [
        {"subprotocol": "never offered"},
        {"headers": [(b"sec-websocket-protocol", b"a")]},
        {"headers": [(b"connection", b"close")]},
        {"headers": [(b"x", b"1\r\nset-cookie: a=b")]},
        {"headers": [("x", "text")]},
    ],
)
def test_what_may_not_be_in_the_answer_is_an_error(site, message):
    async def app(scope, receive, send):
        await accept(receive, send, **message)

    serve_sockets(site, app)
    with pytest.raises(Refused) as caught:
        call(site, subprotocols=["a", "b"])
    assert caught.value.status == 500
    assert "Error in the ASGI application at '/api'" in site.text()


# -- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": None, "reason": None}, 1000, ""),
        ({"code": 1008, "reason": "é"}, 1008, "é"),
        ({"code": 4999}, 4999, ""),
    ],
)
def test_the_application_closes(site, message, code, reason):
    seen = []

    async def app(scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "last words"})
        await send({"type": "websocket.close", **message})
        seen.append(await receive())
        try:
            await send({"type": "websocket.send", "text": "more"})
        except RuntimeError as error:
            seen.append(str(error))

    serve_sockets(site, app)
    client = call(site)
    assert list(client) == ["last words"]
    assert (client.close_code, client.close_reason) == (code, reason)
    until(lambda: len(seen) == 2, "the end of the application")
    assert seen[0] == {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert "after its end" in seen[1]
    assert site.text().count("ASGI") == 0


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        (lambda client: client.close(4000, "enough"), 4000, "enough"),
        (lambda client: client.send_raw(b"\x88\x80\0\0\0\0"), 1005, ""),
        (lambda client: client.sock.close(), 1006, ""),
        (lambda client: client.send_raw(b"\x83\x80\0\0\0\0"), 1002, "reserved opcode"),
        (lambda client: client.send_raw(b"\x81\x81\0\0\0\0\xff"), 1007, "text is not UTF-8"),
    ],
)
def test_the_client_closes(site, close, code, reason):
    seen = []

    async def app(scope, receive, send):
        await accept(receive, send)
        seen.append(await echo(receive, send))
        seen.append(await receive())
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            seen.append("OSError")
            raise LookupError("which is of no interest") from error

    serve_sockets(site, app)
    client = call(site)
    client.send("a")
    assert client.recv() == "a"
    close(client)
    until(lambda: len(seen) == 3, "the end of the application")
    assert seen[0]["code"] == code
    assert code == 1002 or seen[0]["reason"] == reason
    assert seen[1] == seen[0]
    assert seen[2] == "OSError"
    until(lambda: site.server.httpserver.kirsch.counters["open"] == 0, "the end of the connection")
    assert "Error" not in site.text()


def test_messages_before_a_close_still_come(site):
    seen = []
    go = threading.Event()

    async def app(scope, receive, send):
        await accept(receive, send)
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])
        seen.append(message["code"])

    serve_sockets(site, app)
    client = call(site)
    for number in range(5):
        client.send(str(number))
    client.close(4001)
    go.set()
    until(lambda: seen[-1:] == [4001], "the disconnect")
    assert seen == ["0", "1", "2", "3", "4", 4001]


def test_an_error_is_1011_for_the_client_and_a_traceback_in_the_log(site):
    async def app(scope, receive, send):
        await accept(receive, send)
        await receive()
        raise LookupError("a secret")

    serve_sockets(site, app)
    client = call(site)
    client.send("x")
    assert client.wait_closed() == 1011
    assert client.close_reason == ""
    assert "Error in the ASGI application at '/api'" in site.text()
    assert "LookupError: a secret" in site.text()


WRONG = [
    {"type": "websocket.send"},
    {"type": "websocket.send", "text": "a", "bytes": b"b"},
    {"type": "websocket.send", "text": b"bytes"},
    {"type": "websocket.send", "bytes": "text"},
    {"type": "websocket.send", "text": "\ud800"},
    {"type": "websocket.accept"},
    {"type": "websocket.close", "code": 1006},
    {"type": "websocket.close", "code": 99999},
    {"type": "websocket.close", "reason": "x" * 200},
    {"type": "http.response.start", "status": 200},
    {"type": "websocket.http.response.start", "status": 200},
]


@pytest.mark.parametrize("message", WRONG)
def test_wrong_messages_are_errors_of_the_application(site, message):
    async def app(scope, receive, send):
        await accept(receive, send)
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            await send(message)
        await send({"type": "websocket.send", "text": "unharmed"})
        await send(message)

    serve_sockets(site, app)
    client = call(site)
    assert client.recv() == "unharmed"
    assert client.wait_closed() == 1011


# -- refusing ----------------------------------------------------------------------------------


def test_a_close_before_accepting_is_403(site):
    seen = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        seen.append(await receive())

    serve_sockets(site, app)
    assert refused(site).status == 403
    until(lambda: seen, "the end")
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert "ASGI" not in site.text()


@pytest.mark.parametrize("kind", ["raises", "returns", "sends"])
def test_errors_before_accepting_are_500(site, kind):
    async def app(scope, receive, send):
        if kind == "raises":
            raise LookupError("a secret")
        if kind == "sends":
            await send({"type": "websocket.send", "text": "too soon"})

    serve_sockets(site, app)
    answer = refused(site)
    assert (answer.status, b"secret" in answer.body) == (500, False)
    wanted = {
        "raises": "LookupError: a secret",
        "returns": "ended within a handshake",
        "sends": "Unexpected ASGI message 'websocket.send' on a WebSocket before it is accepted",
    }
    assert wanted[kind] in site.text()


def test_a_denial_response(site):
    async def app(scope, receive, send):
        await receive()
        start = {"type": "websocket.http.response.start", "status": 401}
        await send({**start, "headers": [(b"www-authenticate", b"Basic"), (b"x-more", b"1")]})
        body = {"type": "websocket.http.response.body"}
        if scope["path"] == "/api/long":
            for _ in range(30):
                await send({**body, "body": b"~" * 10_000, "more_body": True})
        await send({**body, "body": b"no"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.accept"})

    serve_sockets(site, app)
    answer = refused(site)
    assert (answer.status, answer.body) == (401, b"no")
    assert answer.headers["www-authenticate"] == "Basic"
    assert answer.headers["x-more"] == "1"
    with site.connect(request_head("/api/long", "x", make_key())) as peer:
        data = peer.recv(100)
        while not data.endswith(b"0\r\n\r\n"):
            data += peer.recv(65536)
    assert data.startswith(b"HTTP/1.1 401 ")
    assert data.count(b"~") == 300_000
    assert "ASGI" not in site.text()


def test_the_connection_lives_on_after_a_refusal(site):
    async def app(scope, receive, send):
        await receive()
        if scope["type"] == "websocket":
            if scope["path"] == "/api/raises":
                raise LookupError
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"still here"})

    serve_sockets(site, app)
    with site.connect(request_head("/api", "x", make_key())) as peer:
        assert read_until(peer, b"refused the WebSocket.").startswith(b"HTTP/1.1 403 ")
        peer.sendall(request_head("/api/raises", "x", make_key()))
        assert read_until(peer, b"condition.").startswith(b"HTTP/1.1 500 ")
        peer.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_until(peer, b"still here").startswith(b"HTTP/1.1 200 ")


def test_handshakes_that_are_none(site):
    called = []

    async def app(scope, receive, send):
        called.append(scope["type"])
        await receive()
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    serve_sockets(site, app)
    good = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": make_key(),
    }
    for wrong, status in (
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Version": "12"}, 426),
        ({"Connection": "close"}, 400),
        ({"Sec_WebSocket_Protocol": "a b"}, 400),
    ):
        assert site.ask("/api", **{**good, **wrong})[0] == status
    assert called == []
    # RFC 9110 7.8: an Upgrade may be ignored, and in HTTP/1.0 it must be.
    assert site.ask("/api", "POST", b"body", **good)[0] == 204
    with site.connect(request_head("/api", "x", make_key()).replace(b"/1.1", b"/1.0")) as peer:
        assert b" 204 " in read_all(peer)
    assert called == ["http", "http"]


def test_an_application_that_does_not_decide_is_answered_for(site):
    seen = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    serve_sockets(site, app).websockets.accept_timeout = 0.2
    answer = refused(site)
    assert answer.status == 503
    until(lambda: seen, "the end of the application")
    assert "did not answer a WebSocket handshake within 0.2 s" in site.text()
