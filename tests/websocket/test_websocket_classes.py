"""Handlers as classes under ws4py's names, its plugin and bus channels; its known faults, each as a test."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from websocket_site import Gate, Site, until

import cherrypy
from cherrypy.websocket import (
    BinaryMessage,
    EchoWebSocket,
    TextMessage,
    WebSocket,
    WebSocketPlugin,
    WebSocketTool,
)
from cherrypy.websocket.client import Client, ConnectionClosed


def page(site: Site, handler: Any, **settings: Any) -> None:
    """Mount a page whose WebSockets are handled by `handler`."""

    class Root:
        @cherrypy.expose
        def ws(self, name: str = "nobody") -> str:
            cherrypy.request.ws_handler.username = name
            return "is not sent"

    conf: dict[str, Any] = {"tools.websocket.on": True, "tools.websocket.handler_cls": handler}
    conf.update({f"tools.websocket.{key}": value for key, value in settings.items()})
    site.mount(Root(), {"/ws": conf})


class Chatty(WebSocket):
    kept: list[Any] = []
    said: list[Any] = []

    def opened(self) -> None:
        self.send(f"hello {self.username}")  # type: ignore[attr-defined]  # the page has set it

    def received_message(self, message: Any) -> None:
        self.kept.append(message)
        text = str(message)
        if text == "bye":
            self.close(4001, "as you wish")
        elif text == "pieces":
            self.send(piece for piece in ("a", "b", "c"))
        elif text == "environ":
            environ = self.environ
            self.send(
                f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']}"
            )
        elif text == "state":
            states = (self.terminated, self.client_terminated, self.server_terminated)
            self.send(json.dumps([states, self.protocols, list(self.peer_address)]))
        elif text == "bytes as text":
            self.send(b"bytes", False)
        else:
            self.send(message.data, message.is_binary)

    def closed(self, code: int, reason: str | None = None) -> None:
        self.said.append((code, reason, self.terminated))


@pytest.fixture
def chatty(site: Site) -> Site:
    Chatty.kept, Chatty.said = [], []
    page(site, Chatty, protocols=["one", "two"])
    return site


def test_what_programs_for_ws4py_do(chatty: Site) -> None:
    client = chatty.connect("/ws?name=ann", subprotocols=["two", "one"])
    assert client.recv() == "hello ann"
    client.send("Grüße")
    assert client.recv() == "Grüße"
    client.send(b"\xff\0")
    assert client.recv() == b"\xff\0"
    client.send("pieces")
    assert client.recv() == "abc"
    client.send("bytes as text")
    assert client.recv() == "bytes"
    client.send("environ")
    assert client.recv() == "GET /ws name=ann"
    client.send("state")
    name = list(client.sock.getsockname())
    assert client.receive_json() == [[False, False, False], ["two"], name]
    client.send("bye")
    assert client.wait_closed() == 4001
    assert until(lambda: Chatty.said) == [(4001, "", True)]
    # A message may be kept: ws4py emptied it.
    assert [str(message) for message in Chatty.kept[:1]] == ["Grüße"]
    assert (Chatty.kept[0].data, Chatty.kept[0].is_text) == ("Grüße".encode(), True)
    assert isinstance(Chatty.kept[1], BinaryMessage) and isinstance(Chatty.kept[0], TextMessage)


def test_the_code_of_the_peer_is_told(chatty: Site) -> None:
    chatty.connect("/ws").close(1001, "I leave")
    assert until(lambda: Chatty.said) == [(1001, "I leave", True)]
    Chatty.said.clear()
    chatty.connect("/ws").sock.close()  # without a word
    assert until(lambda: Chatty.said) == [(1006, "", True)]


def test_a_factory_may_pass_arguments(site: Site) -> None:
    class Greeter(WebSocket):
        def __init__(self, greeting: str, *args: Any, **kwargs: Any) -> None:
            assert kwargs["environ"]["PATH_INFO"] == "/ws"
            super().__init__(*args, **kwargs)
            self.greeting = greeting

        def opened(self) -> None:
            self.send(self.greeting)

    page(site, lambda *args, **kwargs: Greeter("servus", *args, **kwargs))
    assert site.connect("/ws").recv() == "servus"


def test_a_tool_of_the_programs_own(site: Site) -> None:
    before = cherrypy.tools.websocket
    cherrypy.tools.websocket = WebSocketTool()
    try:
        page(site, EchoWebSocket)
        client = site.connect("/ws")
        client.send("x")
        assert client.recv() == "x"
    finally:
        cherrypy.tools.websocket = before


@pytest.fixture
def plugin(site: Site) -> Any:
    plugin = WebSocketPlugin(cherrypy.engine)
    plugin.subscribe()
    yield plugin
    plugin.unsubscribe()


def test_broadcasts_on_the_bus(site: Site, plugin: Any) -> None:
    class Repeats(WebSocket):
        def received_message(self, message: Any) -> None:
            cherrypy.engine.publish("websocket-broadcast", message)

    page(site, Repeats)
    one, two = site.connect("/ws"), site.connect("/ws")
    assert until(lambda: len(plugin.manager) == 2)
    cherrypy.engine.publish("websocket-broadcast", "text")
    cherrypy.engine.publish("websocket-broadcast", b"\xff", binary=True)
    cherrypy.engine.publish("websocket-broadcast", b"bytes of text")
    one.send(b"\xfe")
    for client in (one, two):
        got = [client.recv() for _ in range(4)]
        assert got == ["text", b"\xff", "bytes of text", b"\xfe"]
    one.close()
    assert until(lambda: len(plugin.manager) == 1)
    assert all(isinstance(ws, Repeats) for ws in plugin.manager)


def test_handle_websocket_is_published(site: Site) -> None:
    seen: list[Any] = []

    def listen(handler: Any, peer: Any) -> None:
        seen.append((handler, peer))

    cherrypy.engine.subscribe("handle-websocket", listen)
    try:
        page(site, EchoWebSocket)
        client = site.connect("/ws")
        assert until(lambda: seen)
    finally:
        cherrypy.engine.unsubscribe("handle-websocket", listen)
    handler, peer = seen[0]
    assert isinstance(handler, EchoWebSocket)
    assert peer == client.sock.getsockname()


# ---------------------------------------------------------------------- the faults of ws4py


def test_heartbeat_freq_asks_and_a_silent_peer_is_closed(site: Site) -> None:
    """It did nothing there."""
    page(site, EchoWebSocket, heartbeat_freq=0.2, ping_timeout=0.3)
    alive, silent = site.connect("/ws"), site.connect("/ws")
    silent.answers_pings = False
    codes: list[int] = []
    waits = threading.Thread(target=lambda: codes.append(silent.wait_closed(10)))
    waits.start()
    # Reads, and so answers, for longer than the silent one lives.
    end = time.monotonic() + 10
    while not codes and time.monotonic() < end:
        with pytest.raises(TimeoutError):
            alive.recv(0.1)
    waits.join(10)
    assert codes == [1011]
    alive.send("still here")
    assert alive.recv() == "still here"
    assert site.kirsch.counters["websocket_unanswered_pings"] == 1


def test_a_slow_handler_stops_only_its_own_peer(site: Site) -> None:
    """It stopped all of them there."""
    gate = Gate()

    class Slow(WebSocket):
        def received_message(self, message: Any) -> None:
            if str(message) == "wait":
                gate.wait()
            self.send(message)

    page(site, Slow)
    others = [site.connect("/ws") for _ in range(3)]
    for client in others:  # the handler has proved quick: it runs with the baton
        for number in range(20):
            client.send(str(number))
            assert client.recv() == str(number)
    slow = [site.connect("/ws") for _ in range(8)]  # more than there are threads
    for client in slow:
        client.send("wait")
        client.send("second")
    assert gate.entered.wait(5)
    for client in others:
        client.send("quick")
        assert client.recv(2) == "quick"
    gate.open.set()
    for client in slow:
        assert [client.recv(), client.recv()] == ["wait", "second"]  # in order


def test_peers_that_do_not_read_hold_nobody_up(site: Site, plugin: Any) -> None:
    """One stopped every connection there."""
    page(site, EchoWebSocket, max_output=1 << 20)
    deaf = [site.connect("/ws", receive_buffer=4096) for _ in range(2)]
    readers = [site.connect("/ws") for _ in range(6)]
    assert until(lambda: len(plugin.manager) == 8)
    longest = 0.0
    message = "x" * 64_000
    for _ in range(300):
        start = time.monotonic()
        cherrypy.engine.publish("websocket-broadcast", message)
        for client in readers:
            assert client.recv(5) == message
        longest = max(longest, time.monotonic() - start)
    assert longest < 2
    assert until(lambda: len(plugin.manager) == 6)  # both were dropped at the limit
    assert site.kirsch.counters["websocket_slow_peers"] == 2
    assert [read_all(client) for client in deaf] == [1006, 1006]


def read_all(client: Client) -> int:
    try:
        while True:
            client.recv(5)
    except ConnectionClosed as closed:
        return closed.code


def test_sending_from_many_threads_keeps_frames_whole(site: Site) -> None:
    """They were mixed there."""
    handlers: list[Any] = []

    class Kept(WebSocket):
        def opened(self) -> None:
            handlers.append(self)

    page(site, Kept, max_output=1 << 27)
    client = site.connect("/ws", receive_buffer=8192)
    assert until(lambda: handlers)

    def say(mark: str) -> None:
        for number in range(100):
            handlers[0].send(f"{mark}{number} " + mark * 3000)

    threads = [threading.Thread(target=say, args=(mark,)) for mark in "abcdefgh"]
    for thread in threads:
        thread.start()
    counts = dict.fromkeys("abcdefgh", 0)
    for _ in range(800):
        message = client.recv()
        assert isinstance(message, str)
        mark = message[0]
        assert message == f"{mark}{counts[mark]} " + mark * 3000
        counts[mark] += 1
    for thread in threads:
        thread.join()


def test_an_exception_is_a_close_frame_and_one_log_line(site: Site) -> None:
    """TCP was dropped there."""
    errors: list[Any] = []

    class Fails(WebSocket):
        def received_message(self, message: Any) -> None:
            raise ValueError("on purpose")

        def unhandled_error(self, error: BaseException) -> None:
            errors.append(error)

        def closed(self, code: int, reason: str | None = None) -> None:
            errors.append(code)

    page(site, Fails)
    client = site.connect("/ws")
    client.send("one")
    client.send("two")
    assert client.wait_closed() == 1011
    assert until(lambda: len(errors) == 2)
    assert (repr(errors[0]), errors[1]) == ("ValueError('on purpose')", 1011)


def test_unmasked_frames_are_refused_and_so_are_large_ones(site: Site) -> None:
    """Neither was there, not even an empty unmasked one."""
    page(site, EchoWebSocket)
    client = site.connect("/ws")
    client.send_raw(b"\x81\x00")
    assert client.wait_closed() == 1002
    client = site.connect("/ws")
    client.send_raw(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
    client.send_raw(b"x" * 100_000)  # it goes on meanwhile, and yet can read why
    assert client.wait_closed() == 1009
    client = site.connect("/ws")
    client.send("x" * ((1 << 20) + 1))
    assert client.wait_closed() == 1009


def test_the_stop_of_the_server_says_so(site: Site) -> None:
    said: list[Any] = []

    class Last(WebSocket):
        def closed(self, code: int, reason: str | None = None) -> None:
            said.append(code)

    page(site, Last)
    clients = [site.connect("/ws") for _ in range(5)]
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda c=client: codes.append(c.wait_closed(10)))
        for client in clients[:4]
    ]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    cherrypy.engine.stop()  # the fifth does not answer: bounded by the shutdown timeout, 2 s
    assert time.monotonic() - start < 4
    for thread in threads:
        thread.join(5)
    assert codes == [1001] * 4
    assert until(lambda: len(said) == 5)
    assert sorted(said) == [1001] * 4 + [1006]
