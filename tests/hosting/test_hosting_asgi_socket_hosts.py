"""WebSockets of ASGI applications: limits, hosts, the stop, and real frameworks."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from asgi_kit import accept, call, echo, echoes, opened, refused, serve_sockets
from cherrypy._cpnative_server import CPHTTPServer
from fastapi import FastAPI, WebSocket, WebSocketException
from fastapi.responses import JSONResponse
from hosting_kit import hosted, until
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect as connect_other

import cherrypy
from cherrypy.websocket.client import ConnectionClosed


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        made.clients = []
        yield made
        for client in made.clients:
            client.sock.close()


# -- the settings of native sockets --------------------------------------------------------------


def test_compression_where_it_is_wanted(site):
    serve_sockets(site, echoes)
    graft = site.tree.apps["/api"]
    host, port = site.address
    for wanted, extension in (
        (None, ""),
        (True, "permessage-deflate"),
        ({"level": 1}, "permessage"),
    ):
        graft.websockets.compression = wanted
        with connect_other(f"ws://{host}:{port}/api") as client:
            assert extension in client.response.headers.get("Sec-WebSocket-Extensions", "")
            client.send("x" * 100_000)
            assert client.recv(timeout=10) == "x" * 100_000


def test_a_message_beyond_the_limit_is_1009(site):
    seen = []

    async def app(scope, receive, send):
        await accept(receive, send)
        seen.append(await echo(receive, send))

    serve_sockets(site, app).websockets.max_message = 1000
    client = call(site)
    client.send("x" * 1000)
    assert len(client.recv()) == 1000
    client.send("x" * 1001)
    assert client.wait_closed() == 1009
    until(lambda: seen, "the disconnect")
    assert seen[0]["code"] == 1009


def test_a_silent_peer_is_asked_for_a_sign_of_life(site):
    seen = []

    async def app(scope, receive, send):
        await accept(receive, send)
        seen.append(await echo(receive, send))

    settings = serve_sockets(site, app).websockets
    settings.ping_interval, settings.ping_timeout = 0.1, 0.3
    client = call(site)
    client.answers_pings = False
    assert client.wait_closed() == 1011
    until(lambda: seen, "the disconnect")
    assert seen[0]["code"] == 1006
    with call(site) as other:  # which answers
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.8)
        other.send("alive")
        assert other.recv() == "alive"


# -- hosts -------------------------------------------------------------------------------------


def test_the_native_server_hosts_them_too(site):
    site.server.httpserver = CPHTTPServer(site.server)
    serve_sockets(site, echoes)
    with call(site) as client:
        client.send("native")
        assert client.recv() == "native"


def test_middleware_that_lets_a_body_pass_lets_them_pass(site):
    serve_sockets(site, echoes)

    def middleware(environ, start_response):
        return site.tree(environ, start_response)

    site.server.httpserver.wsgi_app = middleware
    with call(site) as client:
        client.send("through")
        assert client.recv() == "through"


@pytest.mark.parametrize("kind", ["drops", "takes apart"])
def test_middleware_that_loses_the_body_leaves_nobody_waiting(site, kind):
    graft = serve_sockets(site, echoes)

    def drops(environ, start_response):
        site.tree(environ, lambda *given: None)
        start_response("503 Service Unavailable", [])
        return [b"something else"]

    def takes_apart(environ, start_response):
        return list(site.tree(environ, start_response))

    if kind == "drops":
        site.server.httpserver.wsgi_app = drops
        assert refused(site).status == 503
    else:  # the test's log holds the traceback, and with it the body
        graft.websockets.accept_timeout = 0.5
        site.server.httpserver.wsgi_app = takes_apart
        assert refused(site).status == 500
    until(lambda: not opened(site), "the application to hear of it", 3)


def test_other_servers_cannot_switch(site):
    called = []

    async def app(scope, receive, send):
        called.append(1)

    graft = site.tree.graft_asgi(app, "/api", lifespan="off")
    status = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_UPGRADE": "websocket",
        "SCRIPT_NAME": "/api",
    }
    try:
        for _ in range(2):
            body = graft(environ, lambda *given: status.append(given))
            assert b"not kirsch" in b"".join(body)
    finally:
        graft.stop()
    assert [given[0] for given in status] == ["501 Not Implemented"] * 2
    assert called == []
    assert site.text().count("was refused (501)") == 1


# -- the stop ----------------------------------------------------------------------------------


def test_the_stop_of_the_server_is_told_to_both(site):
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            seen.append(message["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        await accept(receive, send)
        seen.append(await echo(receive, send))

    site.tree.graft_asgi(app, "/api")
    site.start()
    client = call(site)
    client.send("hello")
    assert client.recv() == "hello"
    codes = []
    reader = threading.Thread(target=lambda: codes.append(client.wait_closed()))
    reader.start()
    cherrypy.engine.exit()
    reader.join(10)
    assert codes == [1001]
    assert [one if isinstance(one, str) else one["code"] for one in seen] == [
        1001,
        "lifespan.shutdown",
    ]


def test_who_does_not_end_is_cancelled_before_the_lifespan_ends(site, monkeypatch):
    monkeypatch.setattr("cherrypy.hosting.asgi.graft.GRACE", 0.2)
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            seen.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await accept(receive, send)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    site.tree.graft_asgi(app, "/api")
    site.server.shutdown_timeout = 0.3
    site.start()
    call(site)
    cherrypy.engine.exit()
    assert seen == ["cancelled", "shutdown"]


def test_a_graft_that_stops_alone_closes_its_own(site):
    serve_sockets(site, echoes)
    graft = site.tree.apps["/api"]
    serve_sockets(site, echoes, "/other", start=False)
    client, other = call(site), call(site, "/other")
    graft.stop()
    assert client.wait_closed() == 1001
    other.send("still here")
    assert other.recv() == "still here"


def test_keyboard_interrupt_is_for_the_process(site):
    async def app(scope, receive, send):
        await accept(receive, send)
        await receive()
        raise KeyboardInterrupt

    serve_sockets(site, app)
    client = call(site)
    client.send("x")
    assert client.wait_closed() == 1006
    engine = cherrypy.engine
    until(lambda: engine.state == engine.states.EXITING, "the end of the engine")


# -- real frameworks ---------------------------------------------------------------------------


def fast_api(seen):
    app = FastAPI()

    @app.websocket("/echo/{name}")
    async def echo(websocket: WebSocket, name: str, mark: str = "!"):
        await websocket.accept(subprotocol="chat", headers=[(b"x-name", name.encode())])
        try:
            async for text in websocket.iter_text():
                await websocket.send_text(f"{name}: {text}{mark}")
        finally:
            seen.append("left")

    @app.websocket("/json")
    async def in_json(websocket: WebSocket):
        await websocket.accept()
        while True:
            await websocket.send_json({"got": await websocket.receive_json()})

    @app.websocket("/secret")
    async def secret(websocket: WebSocket):
        if websocket.headers.get("authorization") is None:
            raise WebSocketException(1008, "who are you?")
        await websocket.accept()

    @app.websocket("/denied")
    async def denied(websocket: WebSocket):
        await websocket.send_denial_response(JSONResponse({"detail": "no"}, 418))

    @app.websocket("/gone")
    async def gone(websocket: WebSocket):
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(0.01)
        except WebSocketDisconnect as error:
            seen.append(error.code)

    @app.websocket("/broken")
    async def broken(websocket: WebSocket):
        await websocket.accept()
        raise LookupError("a secret")

    return app


def test_fastapi(site):
    seen = []
    site.tree.graft_asgi(fast_api(seen), "/api")
    site.start()
    with call(site, "/api/echo/ann?mark=?", subprotocols=["chat"]) as client:
        assert (client.subprotocol, client.headers["x-name"]) == ("chat", "ann")
        client.send("hello")
        assert client.recv() == "ann: hello?"
    until(lambda: seen == ["left"], "the end of the endpoint")
    client = call(site, "/api/json")
    client.send_json([1, 2])
    assert client.receive_json() == {"got": [1, 2]}
    client.close()
    answer = refused(site, "/api/denied")
    assert (answer.status, json.loads(answer.body)) == (418, {"detail": "no"})
    assert refused(site, "/api/secret").status == 403
    assert refused(site, "/api/nothing").status == 403
    client = call(site, "/api/gone")
    assert client.recv() == "tick"
    client.sock.close()
    until(lambda: seen == ["left", 1006], "the disconnect")
    assert "ASGI" not in site.text(), "an unhandled WebSocketDisconnect is none to log"
    client = call(site, "/api/broken")
    assert client.wait_closed() == 1011
    until(lambda: "LookupError: a secret" in site.text(), "the log")


def test_starlette_in_tasks(site):
    """Reading and writing at the same time, as chat rooms do."""
    everybody = set()

    async def chat(websocket):
        await websocket.accept()
        everybody.add(websocket)
        try:
            async for text in websocket.iter_text():
                await asyncio.gather(*(one.send_text(text) for one in everybody))
        finally:
            everybody.discard(websocket)

    app = Starlette(routes=[WebSocketRoute("/chat", chat), Route("/", lambda request: None)])
    site.tree.graft_asgi(app, "/api")
    site.start()
    clients = [call(site, "/api/chat") for _ in range(5)]
    until(lambda: len(everybody) == 5, "all to be there")
    for number, client in enumerate(clients):
        client.send(f"{number}")
        assert [one.recv() for one in clients] == [f"{number}"] * 5
    for client in clients:
        client.close()
    until(lambda: not everybody, "all to leave")
    assert "ASGI" not in site.text()


def test_no_worker_belongs_to_an_open_socket(site):
    serve_sockets(site, echoes)
    clients = [call(site) for _ in range(30)]
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "all workers to be free")
    names = {
        thread.name
        for thread in threading.enumerate()
        if "asgi" in thread.name or "loop" in thread.name
    }
    assert names == {"event-loop"}
    assert len(opened(site)) == 30
    for client in clients:
        client.send("x")
    assert [client.recv() for client in clients] == ["x"] * 30
    for client in clients:
        client.close()
    until(lambda: not opened(site), "the end of all tasks")


def test_a_closed_client_raises(site):
    serve_sockets(site, echoes)
    client = call(site)
    client.close()
    with pytest.raises((ConnectionClosed, OSError)):
        client.recv()
