"""WebSockets and event streams, in exact numbers, over real sockets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.lib import sse
from cherrypy.websocket import EchoWebSocket
from cherrypy.websocket.client import Client, Refused, connect


class Slow(EchoWebSocket):
    def received_message(self, message: Any) -> None:
        if message.data == b"boom":
            raise ValueError("boom")
        if message.data == b"bye":
            self.close(1001, "bye")
            return
        time.sleep(0.05)
        super().received_message(message)


class Root:
    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=Slow)
    def echo(self) -> None:
        pass

    @cherrypy.expose
    @cherrypy.tools.websocket()
    def talk(self, ws: Any) -> None:
        for message in ws:
            ws.send(message)

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=EchoWebSocket, ping_interval=0.1, ping_timeout=0.3)
    def pinged(self) -> None:
        pass

    @cherrypy.expose
    def news(self) -> Any:
        return sse.stream(channel="house-news")

    @cherrypy.expose
    def index(self) -> str:
        return "home"


@pytest.fixture
def served(site: Monitored) -> Monitored:
    site.mount(Root())
    site.start()
    return site


dialled: list[Client] = []


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while dialled:
        dialled.pop().sock.close()


def dial(site: Monitored, path: str, **options: Any) -> Client:
    client = connect("ws://{}:{}{}".format(*site.address, path), **options)
    dialled.append(client)
    return client


def test_the_life_of_websockets(served: Monitored) -> None:
    clients = [dial(served, "/echo"), dial(served, "/echo"), dial(served, "/talk")]
    assert served.counts("cherrypy.websocket.connections") == {("/echo",): 2, ("/talk",): 1}
    assert served.counts("cherrypy.websocket.handshakes") == {("101",): 3}
    assert served.counts("cherrypy.server.connections.upgraded") == {("websocket",): 3}
    for client in clients:
        client.send("hello")
        assert client.recv() == "hello"
    clients[0].send(b"bytes")
    assert clients[0].recv() == b"bytes"
    assert served.counts("cherrypy.websocket.messages") == {
        ("in", "text"): 3,
        ("in", "binary"): 1,
        ("out", "text"): 3,
        ("out", "binary"): 1,
    }
    # A client's frame has a mask of four bytes.
    assert served.counts("cherrypy.websocket.bytes") == {
        ("in",): 4 * (6 + 5),
        ("out",): 4 * (2 + 5),
    }
    served.becomes("cherrypy.websocket.message.duration", {("/echo",): 3})
    took = served.series("cherrypy.websocket.message.duration")[("/echo",)]
    assert 0.15 <= took.total < 2
    for client in clients:
        client.close()
    served.becomes("cherrypy.websocket.connections", {})
    served.becomes("cherrypy.websocket.closes", {("1000", "peer"): 3})
    assert served.counts("cherrypy.websocket.connection.duration") == {("/echo",): 2, ("/talk",): 1}
    requests = {labels[1]: n for labels, n in served.counts("http.server.request.duration").items()}
    assert requests == {"/echo": 2, "/talk": 1}


def test_who_closes_a_websocket(served: Monitored) -> None:
    client = dial(served, "/echo")
    client.send(b"bye")
    with pytest.raises(Exception, match="1001"):
        client.recv()
    served.becomes("cherrypy.websocket.closes", {("1001", "app"): 1})
    client = dial(served, "/echo")
    client.send(b"boom")
    with pytest.raises(Exception, match="1011"):
        client.recv()
    served.becomes("cherrypy.websocket.closes", {("1001", "app"): 1, ("1011", "error"): 1})
    client = dial(served, "/echo")
    client.sock.close()
    served.becomes(
        "cherrypy.websocket.closes",
        {("1001", "app"): 1, ("1011", "error"): 1, ("1006", "lost"): 1},
    )


def test_a_peer_that_does_not_answer_pings(served: Monitored) -> None:
    client = dial(served, "/pinged")
    served.becomes("cherrypy.websocket.closes", {("1006", "timeout"): 1})
    client.sock.close()


def test_how_long_a_ping_takes(served: Monitored) -> None:
    client = dial(served, "/pinged")
    client.sock.settimeout(0.25)
    until(lambda: _listen(client) or served.counts("cherrypy.websocket.ping.rtt").get((), 0) >= 2)
    rtt = served.series("cherrypy.websocket.ping.rtt")[()]
    assert 0 <= rtt.total / rtt.count < 0.3
    messages = served.counts("cherrypy.websocket.messages")
    assert messages["out", "ping"] >= 2 and messages["in", "pong"] >= 2
    client.close()


def _listen(client: Client) -> bool:
    """Give the client a chance to answer."""
    try:
        client.recv(timeout=0.05)
    except TimeoutError:
        pass
    return False


def test_handshakes_that_are_refused(served: Monitored) -> None:
    with pytest.raises(Refused):
        dial(served, "/echo", origin="https://elsewhere.example")
    assert served.ask("/echo")[0] == 426
    assert served.counts("cherrypy.websocket.handshakes") == {("403",): 1, ("426",): 1}
    assert served.ask("/nowhere")[0] == 404
    assert sum(served.counts("cherrypy.websocket.handshakes").values()) == 2


def test_what_peers_do_not_take_is_seen(served: Monitored) -> None:
    client = dial(served, "/talk", timeout=1.0)
    data = b"x" * 500_000
    deadline = time.monotonic() + 8
    while not served.counts("cherrypy.websocket.send.queue") and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):  # neither of us reads
            client.send(data)
    queue = served.counts("cherrypy.websocket.send.queue")
    assert queue[("max",)] == queue[("sum",)] > 0
    client.sock.close()
    served.becomes("cherrypy.websocket.send.queue", {})


def test_event_streams(served: Monitored) -> None:
    peers = [served.connect(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(3)]
    for peer in peers:
        assert b"text/event-stream" in peer.recv(4096)
    served.becomes("cherrypy.sse.streams", {("/news",): 3})
    assert served.counts("cherrypy.server.connections.upgraded") == {("stream",): 3}
    peers.pop().close()
    served.becomes("cherrypy.sse.streams", {("/news",): 2})
    for peer in peers:
        peer.close()
    served.becomes("cherrypy.sse.streams", {})
    served.becomes("cherrypy.requests", {("",): 3})
    streams = served.series("cherrypy.request.stream.duration")[("/news",)]
    assert streams.count == 3
