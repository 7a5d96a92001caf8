"""Pages that are conversations: the tool, the handshake behind other tools, sessions, what a page can do."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from websocket_site import Site, until
from websockets.exceptions import ConnectionClosed as TheirsClosed
from websockets.sync.client import connect as connect_theirs

import cherrypy
from cherrypy.websocket import ConnectionClosed, Room
from cherrypy.websocket.client import Refused


class Pages:
    seen: dict[str, Any] = {}

    @cherrypy.expose
    @cherrypy.tools.websocket()
    def echo(self, ws: Any) -> None:
        for message in ws:
            ws.send(message)

    @cherrypy.expose
    @cherrypy.tools.websocket(protocols=["chat", "superchat"])
    def hello(self, ws: Any, name: str, greeting: str = "Hello") -> None:
        ws.send_json({"text": f"{greeting}, {name}", "protocol": ws.subprotocol})

    @cherrypy.expose
    @cherrypy.tools.websocket()
    def patient(self, ws: Any) -> None:
        try:
            ws.recv(timeout=0.05)
        except TimeoutError:
            ws.send("nothing came")
        ws.send(repr(ws.receive_json()))
        try:
            ws.recv()
        except ConnectionClosed as closed:
            self.seen["closed"] = (closed.code, closed.reason)

    @cherrypy.expose
    @cherrypy.tools.websocket()
    def broken(self, ws: Any) -> None:
        ws.send(ws.recv())
        raise RuntimeError("on purpose")

    @cherrypy.expose
    def plain(self) -> str:
        return "plain"


@pytest.fixture
def pages(site: Site) -> Site:
    Pages.seen = {}
    site.mount(Pages())
    return site


def test_a_page_is_a_conversation(pages: Site) -> None:
    with pages.connect("/echo") as client:
        for message in ("Grüße", b"\0\1\2", "", "x" * 200_000):
            client.send(message)
            assert client.recv() == message
        client.close(4000, "done")
        assert client.close_code == 4000


def test_the_end_of_the_page_closes(pages: Site) -> None:
    client = pages.connect(
        "/hello/Zoë?greeting=Hi".replace("ë", "%C3%AB"), subprotocols=["x", "chat"]
    )
    assert client.subprotocol == "chat"
    assert client.receive_json() == {"text": "Hi, Zoë", "protocol": "chat"}
    assert client.wait_closed() == 1000


def test_one_subprotocol_is_answered(pages: Site) -> None:
    """ws4py answered all that are in common, which browsers refuse."""
    client = pages.connect("/hello/x", subprotocols=["superchat", "chat"])
    assert client.headers["sec-websocket-protocol"] == "superchat"


@pytest.mark.parametrize(("path", "status"), [("/hello", 404), ("/hello/a/b/c", 404), ("/no", 404)])
def test_arguments_that_do_not_fit_are_refused_before_the_switch(
    pages: Site, path: str, status: int
) -> None:
    with pytest.raises(Refused) as refused:
        pages.connect(path)
    assert refused.value.status == status


def test_waiting_with_a_timeout_and_the_code_of_the_end(pages: Site) -> None:
    client = pages.connect("/patient")
    assert client.recv() == "nothing came"
    client.send_json([1, {"a": None}])
    assert client.recv() == "[1, {'a': None}]"
    client.close(3333, "bye")
    assert until(lambda: Pages.seen.get("closed")) == (3333, "bye")


def test_an_exception_closes_with_1011(pages: Site) -> None:
    """ws4py dropped TCP without a close frame."""
    client = pages.connect("/broken")
    client.send("x")
    assert client.recv() == "x"
    assert client.wait_closed() == 1011
    assert client.close_reason == ""  # nothing of the inside


RAW = "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
V13 = "Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (RAW.replace("GET", "POST") + KEY + V13 + "Content-Length: 0\r\n", 405, "allow: GET"),
        ("GET /echo HTTP/1.1\r\nHost: h\r\n", 426, "upgrade: websocket"),
        (RAW.replace("Connection: Upgrade\r\n", "") + KEY + V13, 400, ""),
        (RAW + V13, 400, ""),
        (RAW + KEY.replace("AAAA", "", 1) + V13, 400, ""),
        (RAW + KEY, 400, "sec-websocket-version: 13"),
        (RAW + KEY + "Sec-WebSocket-Version: 8\r\n", 426, "sec-websocket-version: 13"),
        (RAW + KEY + V13 + "Origin: http://evil.example\r\n", 403, ""),
        (RAW + KEY + V13 + "Sec-WebSocket-Extensions: =;\r\n", 400, ""),
    ],
)
def test_bad_handshakes(pages: Site, request_: str, status: int, field: str) -> None:
    """ws4py answered most of them with 500; the connection lives on here."""
    import socket

    with socket.create_connection(pages.address, 5) as sock:
        sock.sendall((request_ + "\r\n").encode())
        sock.settimeout(5)
        data = b""
        while b"\r\n\r\n" not in data:
            got = sock.recv(65536)
            assert got, data
            data += got
        head = data.partition(b"\r\n\r\n")[0].decode()
        assert int(head.split()[1]) == status, head
        assert field.lower() in head.lower()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://{0}:{1}", True), ("https://{0}:{1}", True), ("http://{0}", False), ("null", False)],
)
def test_origin_is_checked_by_default(pages: Site, origin: str, allowed: bool) -> None:
    fields = [("Origin", origin.format(*pages.address))]
    if allowed:
        pages.connect("/echo", headers=fields).close()
        return
    with pytest.raises(Refused) as refused:
        pages.connect("/echo", headers=fields)
    assert refused.value.status == 403


def test_settings_of_a_path(site: Site) -> None:
    site.mount(
        Pages(),
        {
            "/echo": {
                "tools.websocket.origins": ["https://friend.example"],
                "tools.websocket.max_message": 10,
                "tools.websocket.compression": True,
            }
        },
    )
    fields = [("Origin", "https://friend.example")]
    client = site.connect("/echo", headers=fields, compression=True)
    assert "permessage-deflate" in client.headers["sec-websocket-extensions"]
    client.send("0123456789")
    assert client.recv() == "0123456789"
    client.send("0123456789!")
    assert client.wait_closed() == 1009


def test_compressed_messages_arrive(site: Site) -> None:
    site.mount(Pages(), {"/echo": {"tools.websocket.compression": {"window_bits": 10}}})
    client = site.connect("/echo", compression=True)
    for message in ("ab" * 5000, "small", b"\0" * 100_000):
        client.send(message)
        assert client.recv() == message


def test_other_tools_have_their_say_first(site: Site) -> None:
    check = cherrypy.lib.auth_basic.checkpassword_dict({"ann": "secret"})

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket()
        def who(self, ws: Any) -> None:
            ws.send(f"{ws.login} {cherrypy.request.login} {cherrypy.request.params}")

    site.mount(
        Root(),
        {
            "/": {
                "tools.auth_basic.on": True,
                "tools.auth_basic.realm": "x",
                "tools.auth_basic.checkpassword": check,
            }
        },
    )
    with pytest.raises(Refused) as refused:
        site.connect("/who")
    assert refused.value.status == 401
    client = site.connect("/who", headers=[("Authorization", "Basic YW5uOnNlY3JldA==")])
    assert client.recv() == "ann ann {}"


def test_the_session_is_read_and_given_back(site: Site) -> None:
    """A page that stays open for hours must not lock its visitor out of all others."""
    locked = []

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket()
        def talk(self, ws: Any) -> None:
            ws.send(str(ws.session.get("count", 0)))
            ws.recv()

        @cherrypy.expose
        def count(self) -> str:
            session = cherrypy.session  # type: ignore[attr-defined]  # there with the tool
            session["count"] = session.get("count", 0) + 1
            locked.append(session.locked)
            return str(session["count"])

    site.mount(Root(), {"/": {"tools.sessions.on": True, "tools.sessions.locking": "early"}})
    import http.client

    def count(cookie: str = "") -> tuple[str, str]:
        connection = http.client.HTTPConnection(*site.address, timeout=5)
        connection.request("GET", "/count", headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return text, (answer.headers["Set-Cookie"] or "").partition(";")[0]

    _, cookie = count()
    client = site.connect("/talk", headers=[("Cookie", cookie)])
    assert client.recv() == "1"
    assert count(cookie)[0] == "2"  # would wait for the lock, and time out
    assert locked == [True, True]
    # A session that begins with the handshake gets its cookie with the 101.
    assert "session_id=" in site.connect("/talk").headers["set-cookie"]


def test_pages_that_are_not_websockets_are_as_ever(pages: Site) -> None:
    with pytest.raises(Refused) as refused:
        pages.connect("/plain")
    assert (refused.value.status, refused.value.body) == (200, b"plain")


def test_many_threads_may_send(site: Site) -> None:
    """Frames of eight threads arrive whole; ws4py mixed them."""
    done = threading.Barrier(9)

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket(max_output=1 << 26)
        def many(self, ws: Any) -> None:
            def say(mark: str) -> None:
                for number in range(100):
                    ws.send(f"{mark}{number} " + mark * 3000)
                done.wait()

            for mark in "abcdefgh":
                threading.Thread(target=say, args=(mark,), daemon=True).start()
            done.wait()

    site.mount(Root())
    client = site.connect(
        "/many", receive_buffer=8192
    )  # so that the socket often takes a part only
    counts = dict.fromkeys("abcdefgh", 0)
    for message in client:
        assert isinstance(message, str)
        mark = message[0]
        assert message == f"{mark}{counts[mark]} " + mark * 3000
        counts[mark] += 1
    assert set(counts.values()) == {100}


def test_a_room(site: Site) -> None:
    room = Room("lobby")

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket(compression=True)
        def lobby(self, ws: Any) -> None:
            room.join(ws)
            for message in ws:
                room.send(message, but=ws if message == "hush" else None)

    site.mount(Root())
    ann, bob, cem = (site.connect("/lobby", compression=packed) for packed in (False, True, False))
    assert until(lambda: len(room) == 3)
    bob.send("hush")
    bob.send("to all " * 100)
    assert [ann.recv(), ann.recv()] == ["hush", "to all " * 100]
    assert bob.recv() == "to all " * 100
    cem.close()
    assert until(lambda: len(room) == 2)
    assert room.send_json({"a": 1}) == 2
    assert ann.receive_json() == {"a": 1}
    room.close(1001, "closing time")
    assert (ann.wait_closed(), bob.wait_closed()) == (1001, 1001)
    assert until(lambda: len(room) == 0)


def test_the_websockets_package_as_client(pages: Site) -> None:
    with connect_theirs(pages.url("/echo"), compression=None) as client:
        client.send("hello")
        assert client.recv() == "hello"
        client.send(b"x" * 100_000)
        assert client.recv() == b"x" * 100_000
        assert client.ping().wait(5)
        client.send(["frag", "men", "ted"])
        assert client.recv() == "fragmented"
    with connect_theirs(pages.url("/broken")) as client:
        client.send("x")
        assert client.recv() == "x"
        with pytest.raises(TheirsClosed) as closed:
            client.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011


def test_the_access_log_says_101(pages: Site) -> None:
    lines: list[str] = []
    import logging

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log = cherrypy.tree.apps[""].log.access_log
    keep = Keep()
    log.addHandler(keep)
    try:
        pages.connect("/echo").close()
        assert until(lambda: lines)
    finally:
        log.removeHandler(keep)
    assert '"GET /echo HTTP/1.1" 101 ' in lines[0]
