"""The client, with our own server, with an independent one, and with servers that behave badly."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websocket_site import Site, until
from websockets.sync.server import serve as serve_theirs

import cherrypy
from cherrypy.websocket.client import BadAnswer, Client, ConnectionClosed, Refused, connect
from kirsch.server.selfsigned import self_signed_certificate
from kirsch.wire.websocket.handshake import accept_key


class Pages:
    @cherrypy.expose
    @cherrypy.tools.websocket(max_message=1 << 25, max_output=1 << 25, compression=True)
    def echo(self, ws: Any) -> None:
        for message in ws:
            ws.send(message)

    @cherrypy.expose
    @cherrypy.tools.websocket(protocols=["b", "a"])
    def told(self, ws: Any) -> None:
        request = ws.request
        names = ("Authorization", "X-One", "Origin", "Host")
        seen: dict[str, Any] = {name: request.headers.get(name) for name in names}
        ws.send_json(seen | {"cookies": {k: v.value for k, v in request.cookie.items()}})

    @cherrypy.expose
    @cherrypy.tools.websocket()
    def ends(self, ws: Any, code: str = "1000", reason: str = "") -> None:
        ws.send("first")
        ws.close(int(code), reason)

    @cherrypy.expose
    @cherrypy.tools.websocket(ping_interval=0.05)
    def asks(self, ws: Any) -> None:
        ws.recv()


@pytest.fixture
def pages(site: Site) -> Site:
    site.mount(Pages())
    return site


def test_messages_of_both_kinds(pages: Site) -> None:
    with pages.connect("/echo") as client:
        client.send_text("Grüße")
        assert client.receive_text() == "Grüße"
        client.send_bytes(b"\0\xff")
        assert client.receive_bytes() == b"\0\xff"
        client.send_json({"a": [1, None]})
        assert client.receive_json() == {"a": [1, None]}
        client.send("text")
        with pytest.raises(TypeError, match="a text came in place of bytes: 'text'"):
            client.receive_bytes()
        client.send(bytearray(b"x"))
        with pytest.raises(TypeError, match="bytes came in place of a text"):
            client.receive_text()
        client.send("no JSON")
        with pytest.raises(ValueError, match="Expecting value"):
            client.receive_json()
        client.send("x" * 2_000_000)
        assert client.recv() == "x" * 2_000_000


def test_pings_are_answered_and_asked(pages: Site) -> None:
    client = pages.connect("/asks")
    with pytest.raises(TimeoutError):
        client.recv(0.3)
    assert pages.kirsch.counters["websocket_unanswered_pings"] == 0
    client.ping(b"there?")
    assert client.wait_pong() == b"there?"
    client.ping()
    assert client.wait_pong(5) == b""
    assert client.pongs == [b"there?", b""]
    with pytest.raises(TimeoutError, match=r"no pong came within 0\.05 s"):
        client.wait_pong(0.05)


def test_the_end(pages: Site) -> None:
    client = pages.connect("/ends?code=4007&reason=enough")
    assert client.recv() == "first"
    with pytest.raises(ConnectionClosed) as closed:
        client.recv()
    assert (closed.value.code, closed.value.reason) == (4007, "enough")
    assert (client.close_code, client.close_reason, client.open) == (4007, "enough", False)
    for call in (client.ping, lambda: client.send("x"), client.recv, client.wait_pong):
        with pytest.raises(ConnectionClosed):
            call()  # type: ignore[operator]  # each of them can be called
    client.close()
    client.close()
    assert list(pages.connect("/ends")) == ["first"]


def test_closing(pages: Site) -> None:
    client = pages.connect("/echo")
    with pytest.raises(ValueError, match="may not be sent"):
        client.close(1005)
    client = pages.connect("/echo")
    with pytest.raises(ValueError, match="125 bytes"):
        client.close(1000, "x" * 124)
    with pages.connect("/echo") as client:
        assert client.open
    assert client.close_code == 1000
    assert client.sock.fileno() == -1


def test_what_the_handshake_says(pages: Site) -> None:
    host, port = pages.address
    client = connect(
        f"ws://Zoë:se%3Acret@{host}:{port}/told",
        subprotocols=["c", "a", "b"],
        headers={"X-One": "1"},
        cookies={"taste": "sweet", "size": "2"},
        origin=f"http://{host}:{port}",
    )
    with client:
        assert client.receive_json() == {
            "Authorization": "Basic Wm/DqzpzZTpjcmV0",
            "X-One": "1",
            "Origin": f"http://{host}:{port}",
            "Host": f"{host}:{port}",
            "cookies": {"taste": "sweet", "size": "2"},
        }
        assert client.subprotocol == "a"
        assert client.headers["sec-websocket-protocol"] == "a"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost/", "expected ws://host"),
        ("localhost:80", "expected ws://host"),
        ("ws:///path", "expected ws://host"),
        ("ws://localhost:80/a b", "malformed target"),
    ],
)
def test_addresses_that_are_none(url: str, words: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ValueError, match=words):
        connect(url, sock=ours)
    ours.close()


def test_fields_that_are_none(pages: Site) -> None:
    with pytest.raises(ValueError, match="malformed field"):
        pages.connect("/echo", headers=[("X", "a\r\nEvil: 1")])
    with pytest.raises(ValueError, match="malformed field"):
        pages.connect("/echo", cookies={"a": "\n"})
    with pytest.raises(ValueError, match="wss"):
        pages.connect("/echo", ca_file="x")


def test_a_refusal_is_told(pages: Site) -> None:
    with pytest.raises(Refused) as refused:
        pages.connect("/nowhere")
    error = refused.value
    assert (error.status, error.headers["content-type"]) == (404, "text/html;charset=utf-8")
    assert b"404 Not Found" in error.body
    assert str(error).startswith("404 b'<!DOCTYPE")


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            connect(f"ws://127.0.0.1:{probe.getsockname()[1]}/")


def test_too_large_a_message_is_refused(pages: Site) -> None:
    for compression in (False, True):
        client = pages.connect("/echo", max_message=1000, compression=compression)
        client.send("x" * 1000)
        assert client.recv() == "x" * 1000
        client.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.code == 1009
        client.close()


def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    pem = self_signed_certificate(str(tmp_path))
    adapter = cherrypy._cpserver.Server()
    adapter.socket_port = 0
    adapter.ssl_certificate = adapter.ssl_private_key = pem
    adapter.thread_pool = 2
    cherrypy.tree.mount(Pages(), "/tls")
    adapter.start()
    try:
        port = adapter.bound_addr[1]
        url = f"wss://localhost:{port}/tls/echo"
        for options in (
            {"ca_file": pem},
            {"ssl_context": ssl.create_default_context(cafile=pem), "compression": True},
        ):
            with connect(url, **options) as client:  # type: ignore[arg-type]  # two sets of them
                for message in ("x" * 200_000, b"\1" * 70_000, ""):
                    client.send(message)
                    assert client.recv() == message
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(url)
        sock = socket.create_connection(("127.0.0.1", port), 5)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect("wss://somebody.else/tls/echo", ca_file=pem, sock=sock)
        sock = socket.create_connection(("127.0.0.1", port), 5)
        connect("wss://localhost/tls/echo", ca_file=pem, sock=sock).close()
    finally:
        adapter.stop()
        del cherrypy.tree.apps["/tls"]


def test_a_unix_socket(tmp_path: Path) -> None:
    adapter = cherrypy._cpserver.Server()
    adapter.socket_file = str(tmp_path / "s")
    adapter.thread_pool = 2
    cherrypy.tree.mount(Pages(), "/unix")
    adapter.start()
    try:
        with connect("ws://anything/unix/echo", unix_path=adapter.socket_file) as client:
            client.send("x")
            assert client.recv() == "x"
    finally:
        adapter.stop()
        del cherrypy.tree.apps["/unix"]


# -------------------------------------------------------------------------- an independent server


@pytest.mark.parametrize("compression", [False, True, {"window_bits": 9, "threshold": 1}])
def test_an_independent_server(compression: Any) -> None:
    def echo(ws: Any) -> None:
        for message in ws:
            if message == "pieces":
                ws.send(["pie", "ces"])
            else:
                ws.send(message)

    with serve_theirs(echo, "127.0.0.1", 0, subprotocols=["two"]) as server:  # type: ignore[list-item]  # a string is one
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
            with connect(url, compression=compression, subprotocols=["one", "two"]) as client:
                assert client.subprotocol == "two"
                assert bool(compression) == ("sec-websocket-extensions" in client.headers)
                for message in ("ab" * 50_000, b"\0" * 70_000, "", "short", "ab" * 50_000):
                    client.send(message)
                    assert client.recv() == message
                client.send("pieces")
                assert client.recv() == "pieces"
                client.ping(b"x")
                assert client.wait_pong() == b"x"
            assert client.close_code == 1000
        finally:
            server.shutdown()
            thread.join(10)


# ---------------------------------------------------------------------- servers that behave badly


@contextmanager
def misbehaving(behave: Callable[[socket.socket, str], object]) -> Iterator[str]:
    """A server for one client: called with the connection and the key of the handshake."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def run() -> None:
        try:
            conn, _ = listener.accept()
            with conn:
                conn.settimeout(10)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += conn.recv(65536)
                key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
                behave(conn, key.decode())
        except OSError:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join(15)
        assert not thread.is_alive()


def head(key: str, *more: str, accept: str = "") -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept or accept_key(key)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def trickle(conn: socket.socket, data: bytes) -> None:
    """Byte by byte, for as long as the client stays."""
    for byte in data:
        conn.sendall(bytes((byte,)))
        time.sleep(0.05)


def wait_for_end(conn: socket.socket) -> None:
    while conn.recv(65536):
        pass


@pytest.mark.parametrize(
    "behave",
    [
        lambda conn, key: wait_for_end(conn),
        lambda conn, key: trickle(conn, head(key) * 10),
        lambda conn, key: trickle(conn, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100),
    ],
)
def test_a_handshake_has_one_deadline(behave: Any) -> None:
    with misbehaving(behave) as url:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer to the handshake within 0\.5 s"):
            connect(url, timeout=0.5)
        assert time.monotonic() - began < 3


def test_a_message_has_one_deadline() -> None:
    def behave(conn: socket.socket, key: str) -> None:
        conn.sendall(head(key))
        trickle(conn, b"\x81\x7e\xff\xff" + b"x" * 1000)

    with misbehaving(behave) as url:
        client = connect(url)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no message came within 0\.4 s"):
            client.recv(0.4)
        assert time.monotonic() - began < 3
        client.timeout = 0.2
        began = time.monotonic()
        client.close()  # nobody answers
        assert time.monotonic() - began < 3


def test_a_server_that_does_not_read() -> None:
    done = threading.Event()

    def behave(conn: socket.socket, key: str) -> None:
        conn.sendall(head(key))
        done.wait(10)

    with misbehaving(behave) as url:
        client = connect(url, timeout=0.5)
        with pytest.raises(TimeoutError, match=r"has not read for 0\.5 s"):
            for _ in range(100):
                client.send(b"x" * 1_000_000)
        with pytest.raises(ConnectionClosed):
            client.send("more")
        done.set()
        client.close()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda key: head(key, accept="x" * 28), BadAnswer, "does not belong to the key"),
        (lambda key: head(key, "Sec-WebSocket-Protocol: z"), BadAnswer, "not asked for"),
        (lambda key: head(key, "Sec-WebSocket-Extensions: x"), BadAnswer, "not asked for"),
        (lambda key: b"SSH-2.0\r\n\r\n", BadAnswer, "no HTTP/1.1 status line"),
        (lambda key: b"HTTP/1.1 101 X\r\n\r\n", BadAnswer, "no 'Upgrade: websocket'"),
        (lambda key: b"X" * 100_000, BadAnswer, "more than 65536 bytes"),
        (lambda key: b"HTTP/1.1 200", ConnectionResetError, "closed within its answer"),
        (lambda key: b"", ConnectionResetError, "closed within its answer"),
        (lambda key: b"HTTP/1.1 500 X\r\nContent-Length: x\r\n\r\n", Refused, "500"),
        (lambda key: b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nshort", Refused, "500 b'short'"),
    ],
)
def test_answers_that_are_none(answer: Any, error: Any, words: str) -> None:
    with misbehaving(lambda conn, key: conn.sendall(answer(key))) as url:
        with pytest.raises(error, match=words):
            connect(url, timeout=5)


def test_messages_that_come_with_the_answer_and_an_end_without_a_word() -> None:
    with misbehaving(lambda conn, key: conn.sendall(head(key) + b"\x81\x02hi\x81\x05cut")) as url:
        client = connect(url)
        assert client.recv() == "hi"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.code == client.close_code == 1006
        client.close()


def test_frames_that_are_none() -> None:
    codes: list[bytes] = []

    def behave(conn: socket.socket, key: str) -> None:
        conn.sendall(head(key) + b"\x81\x82maskxx")  # a server does not mask
        codes.append(conn.recv(100))

    with misbehaving(behave) as url:
        client = connect(url)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.code == 1002
        client.close()
    assert until(lambda: codes)
    assert codes[0][0] == 0x88


def test_a_client_is_what_connect_returns(pages: Site) -> None:
    client = pages.connect("/echo")
    assert isinstance(client, Client)
    assert client.open
    assert client.close_code is None
