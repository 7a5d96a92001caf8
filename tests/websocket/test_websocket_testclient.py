"""`cherrypy.test.client`: a whole server without a port."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from websocket_site import Site, until

import cherrypy
from cherrypy.test.client import TestClient
from cherrypy.websocket import ConnectionClosed, EchoWebSocket, Room
from cherrypy.websocket.client import Refused


class Root:
    def __init__(self) -> None:
        self.room = Room()

    @cherrypy.expose
    def index(self, **params: str) -> str:
        return repr(sorted(params.items()))

    @cherrypy.expose
    def login(self, name: str) -> str:
        session = cherrypy.session  # type: ignore[attr-defined]  # there with the tool
        session["name"] = name
        return "welcome"

    @cherrypy.expose
    def logout(self) -> None:
        cherrypy.lib.sessions.expire()
        raise cherrypy.HTTPRedirect("/")

    @cherrypy.expose
    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def double(self) -> Any:
        return {"twice": cherrypy.request.json * 2}

    @cherrypy.expose
    @cherrypy.tools.websocket(protocols=["chat"])
    def talk(self, ws: Any) -> None:
        self.room.join(ws)
        ws.send_json([ws.session.get("name"), ws.subprotocol, list(ws.peer_address)])
        for message in ws:
            self.room.send(message)

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=EchoWebSocket, compression=True)
    def echo(self) -> None:
        pass

    @cherrypy.expose
    def where(self) -> str:
        local, remote = cherrypy.request.local, cherrypy.request.remote
        return f"{cherrypy.url('/x')} {local.name}:{local.port} {remote.ip}:{remote.port}"

    @cherrypy.expose
    def sleepy(self) -> str:
        time.sleep(0.5)
        return "x"

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def endless(self) -> Any:
        while True:
            time.sleep(0.01)
            yield "more "

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def pieces(self) -> Any:
        yield from ("a" * 100_000, "b", "c" * 100_000)


CONFIG = {"/": {"tools.sessions.on": True, "tools.proxy.on": False}}


def listening() -> set[str]:
    """The inodes of sockets of this process that listen on TCP."""
    own = {os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors()}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and f"socket:[{cells[9]}]" in own:
                    found.add(cells[9])
    return found


def descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def test_a_conversation_without_a_port() -> None:
    before = listening()
    state = cherrypy.engine.state
    with TestClient(Root(), CONFIG) as client:
        assert client.post("/login", {"name": "Zoë"}).text == "welcome"
        with client.websocket_connect("/talk", subprotocols=["chat"]) as ann:
            assert ann.receive_json() == ["Zoë", "chat", ["127.0.0.1", 50000]]
            with client.websocket_connect("/talk") as bob:
                assert bob.receive_json()[:2] == ["Zoë", None]
                bob.send("to all")
                assert ann.receive_text() == bob.receive_text() == "to all"
        assert listening() == before
    assert cherrypy.engine.state is state  # nobody has started it


def test_requests_and_cookies() -> None:
    with TestClient(Root(), CONFIG, headers={"Accept-Language": "de"}) as client:
        assert client.get("/pieces").text == "a" * 100_000 + "b" + "c" * 100_000
        assert client.request("HEAD", "/pieces").body == b""
        assert client.get("/?a=1&b=2").text == "[('a', '1'), ('b', '2')]"
        assert client.request("POST", "/double", json=[1, "ü"]).json() == {
            "twice": [1, "ü", 1, "ü"]
        }
        assert client.get("/where").text == "http://localhost/x 127.0.0.1:80 127.0.0.1:50000"
        name = set(client.cookies)
        assert name == {"session_id"}
        client.post("/login", {"name": "Ann"})
        answer = client.get("/logout")
        assert (answer.status, answer.headers["Location"]) == (303, "http://localhost/")
        assert client.cookies == {}
        with client.websocket_connect("/talk") as ws:
            assert ws.receive_json()[0] is None
        assert set(client.cookies) == {"session_id"}  # of the 101
        with pytest.raises(TypeError, match="unknown arguments: raise_errors"):
            client.request("GET", "/", raise_errors=True)


def test_refusals_and_limits() -> None:
    with TestClient(Root(), {"/echo": {"tools.websocket.max_message": 10}}) as client:
        with pytest.raises(Refused) as refused:
            client.websocket_connect("/nowhere")
        assert refused.value.status == 404
        with pytest.raises(Refused) as refused:
            client.websocket_connect("/echo", origin="https://evil.example")
        assert refused.value.status == 403
        with client.websocket_connect("/echo", compression=True) as ws:
            ws.send(b"0123456789")
            assert ws.receive_bytes() == b"0123456789"
            ws.send("01234567890")
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv()
            assert closed.value.code == 1009


def test_an_answer_that_takes_too_long() -> None:
    with TestClient(Root(), timeout=0.1) as client:
        with pytest.raises(TimeoutError):
            client.get("/sleepy")
        with pytest.raises(TimeoutError, match=r"no end of the answer within 0\.1 s"):
            client.get("/endless")
        with client.websocket_connect("/echo") as ws:
            with pytest.raises(TimeoutError, match=r"no message came within 0\.1 s"):
                ws.recv()


def test_what_is_mounted_in_the_tree_and_an_application(site: Site) -> None:
    site.mount(Root(), path="/app")
    with TestClient() as client:
        assert client.get("/app/").text == "[]"
        with client.websocket_connect("/app/echo") as ws:
            ws.send("x")
            assert ws.recv() == "x"
    application = cherrypy.Application(Root(), "/other")
    with TestClient(application) as client:
        assert client.get("/other/?x=1").text == "[('x', '1')]"
        assert client.get("/app/").status == 404


def test_many_visitors_at_once() -> None:
    results: list[Any] = []
    with TestClient(Root()) as client:

        def visit(number: int) -> None:
            with client.websocket_connect("/echo") as ws:
                for turn in range(20):
                    ws.send(f"{number} {turn}")
                    results.append(ws.recv() == f"{number} {turn}")
            results.append(client.get(f"/?n={number}").text == f"[('n', '{number}')]")

        threads = [threading.Thread(target=visit, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert results == [True] * 16 * 21


def test_nothing_is_left() -> None:
    def once() -> None:
        with TestClient(Root()) as client:
            client.websocket_connect("/echo")  # is not closed
            assert client.get("/").status == 200

    once()
    gc.collect()
    threads, open_files = threading.active_count(), len(descriptors())
    for _ in range(3):
        once()
    gc.collect()
    assert until(lambda: threading.active_count() == threads)
    assert until(lambda: len(descriptors()) == open_files)
    client = TestClient(Root())
    with pytest.raises(RuntimeError, match="within its with block"):
        client.get("/")
    client.close()
