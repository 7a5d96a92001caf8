"""What a hostile client or an odd handler gets for an answer, from both servers, over real sockets."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cpserver import Server
from cherrypy._cpwsgi_server import CPWSGIServer

import cherrypy

PIECES = {
    "bytearray": bytearray(b"abc"),
    "memoryview": memoryview(b"abc"),
    "numbers": memoryview(b"abcd").cast("I"),
    "list": [bytearray(b"ab"), memoryview(b"cd")],
    "tuple": (bytearray(b"ab"), memoryview(b"cd")),
    "nothing": bytearray(),
    "no-view": memoryview(b""),
}


class Body:
    """An iterator that says when it is closed."""

    def __init__(self, pieces: int) -> None:
        self.pieces = iter(range(pieces))
        self.calls: list[str] = []
        BODIES.append(self)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> bytes:
        next(self.pieces)
        return b"x" * 50000

    def close(self) -> None:
        self.calls.append("close")


class Iterable(Body):
    """What makes a generator, whose end comes before the body's."""

    def __iter__(self) -> Any:
        self.calls.append("begin")
        try:
            for _ in self.pieces:
                yield b"x" * 50000
        finally:
            self.calls.append("end")


def generate(body: Body) -> Any:
    try:
        for piece in body:  # noqa: UP028 - `yield from` closes what is within as well
            yield piece
    finally:
        body.calls.append("end")


KINDS = {"iterator": Body, "iterable": Iterable, "generator": lambda pieces: generate(Body(pieces))}
BODIES: list[Body] = []


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return f"{len(cherrypy.request.cookie)} cookies"

    @cherrypy.expose
    def best(self) -> str:
        return str(cherrypy.request.headers.elements("X-Any")[0].value)

    @cherrypy.expose
    def pieces(self, kind: str, type: str = "text/html") -> Any:
        cherrypy.response.headers["Content-Type"] = type
        if kind == "generator":
            return iter(PIECES["list"])
        return PIECES[kind]

    @cherrypy.expose
    def body(self, kind: str, pieces: str) -> Any:
        return KINDS[kind](int(pieces))

    @cherrypy.expose
    def half(self) -> str:
        cherrypy.response.headers["X-Name"] = "a\udcff"
        cherrypy.response.cookie["half"] = "\ud800"
        return "fine"

    @cherrypy.expose
    def name(self) -> str:
        cherrypy.response.headers["X-\udcff"] = "name"
        return "fine"

    @cherrypy.expose
    def away(self) -> None:
        raise cherrypy.HTTPRedirect("/\ud800")


@pytest.fixture(params=[CPWSGIServer, CPHTTPServer])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server of each kind on a free port, serving a tree of its own."""
    before = dict(cherrypy.config)
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    stream = {"response.stream": True}
    cherrypy.tree.mount(Root(), "", {"/": {"tools.gzip.on": True}})
    cherrypy.tree.mount(Root(), "/stream", {"/": stream})
    cherrypy.tree.mount(Root(), "/plain", {"/": {"tools.encode.on": False}})
    cherrypy.tree.mount(Root(), "/plain/stream", {"/": {"tools.encode.on": False, **stream}})
    cherrypy.tree.mount(Root(), "/gzip/stream", {"/": {"tools.gzip.on": True, **stream}})
    cherrypy.server.unsubscribe()
    adapter = Server()
    adapter.socket_port = 0
    adapter.httpserver = request.param(adapter)
    adapter.subscribe()
    cherrypy.engine.start()
    yield adapter
    cherrypy.engine.exit()
    adapter.unsubscribe()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


def get(server: Any, path: str, **fields: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection(*server.bound_addr, timeout=10)
    try:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


@pytest.mark.parametrize(("path", "field"), [("/best", "X_Any"), ("/", "Accept_Encoding")])
def test_too_many_elements_are_the_peers_fault(server: Any, path: str, field: str) -> None:
    assert get(server, path, **{field: "b/c, a/b;q=0.5, " * 400})[0] == 200
    status, body, _ = get(server, path, **{field: "a/b;q=0.5," * 6000})
    assert status == 400
    assert b"header has more than 1000 elements." in body


def test_many_cookies_are_read_up_to_a_limit(server: Any) -> None:
    assert get(server, "/", Cookie="; ".join(f"c{n}=1" for n in range(300)))[1] == b"300 cookies"
    status, body, _ = get(server, "/", Cookie=";".join(f"c{n}=1" for n in range(6000)))
    assert (status, body) == (200, b"500 cookies")


@pytest.mark.parametrize("type", ["text/html", "image/png"])
@pytest.mark.parametrize("at", ["", "/stream", "/plain", "/plain/stream"])
@pytest.mark.parametrize("kind", [*PIECES, "generator"])
def test_whatever_holds_bytes_is_sent_as_bytes(server: Any, kind: str, at: str, type: str) -> None:
    wanted = b"" if kind.startswith("no") else b"abc"
    status, body, _ = get(server, f"{at}/pieces?kind={kind}&type={type}")
    assert (status, body[:3]) == (200, wanted)


@pytest.mark.parametrize("ending", ["all", "drop", "HEAD", "unread"])
@pytest.mark.parametrize("at", ["/stream", "/plain/stream", "/gzip/stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_closed_once(server: Any, kind: str, at: str, ending: str) -> None:
    BODIES.clear()
    pieces = 3 if ending == "all" else 10**9
    method = "HEAD" if ending == "HEAD" else "GET"
    with socket.create_connection(server.bound_addr, 10) as peer:
        fields = "Host: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n"
        target = f"{at}/body?kind={kind}&pieces={pieces}"
        peer.sendall(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode())
        assert ending == "unread" or peer.recv(12) == b"HTTP/1.1 200"
        while ending in ("all", "HEAD") and peer.recv(65536):
            pass
    deadline = time.monotonic() + 5
    while not (BODIES and (BODIES[0].calls or ending == "HEAD")):
        assert time.monotonic() < deadline, "the body was not closed"
        time.sleep(0.005)
    cherrypy.engine.stop()  # nothing happens after this
    (body,) = BODIES
    if kind == "generator":
        # Nothing ends that has not begun.
        assert body.calls == ([] if ending == "HEAD" else ["end"])
    elif kind == "iterable":
        assert body.calls in (["begin", "end", "close"], ["close"])
    else:
        assert body.calls == ["close"]


def test_half_a_surrogate_pair_is_an_answer(server: Any) -> None:
    status, body, headers = get(server, "/half")
    assert (status, body) == (200, b"fine")
    assert headers["X-Name"] == "=?utf-8?b?YT8=?="
    status, body, _ = get(server, "/name")
    assert status == 500
    assert b"The server encountered an unexpected condition" in body
    status, _, headers = get(server, "/away")
    assert (status, headers["Location"][-2:]) == (303, "/?")
