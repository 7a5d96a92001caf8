"""Rooms of one process, shared and not; and how the relay is configured."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
from websocket_site import Site, until

import cherrypy
from cherrypy.websocket import Relay, Room, WebSocket


class Quiet(WebSocket):
    made: list[Any] = []

    def opened(self) -> None:
        self.made.append(self)
        self.send("in")


@pytest.fixture
def sockets(site: Site) -> Any:
    """Return a function that connects, and gives the client and its handler."""
    Quiet.made = []

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket(handler_cls=Quiet)
        def ws(self) -> None:
            pass

    site.mount(Root())

    def one() -> Any:
        client = site.connect("/ws")
        assert client.recv() == "in"
        return client, Quiet.made[-1]

    yield one
    Quiet.made = []


def test_a_shared_room_is_the_same_wherever_it_is_named(sockets: Any) -> None:
    client, ws = sockets()
    Room("same", shared=True).join(ws)
    again, other = Room("same", shared=True), Room("same")
    assert (len(again), len(other)) == (1, 0)
    assert ws in again
    assert again.send("to members") == 1
    assert client.recv() == "to members"
    again.leave(ws)
    assert len(Room("same", shared=True)) == 0


def test_a_socket_that_goes_from_room_to_room_gathers_none(sockets: Any) -> None:
    _, ws = sockets()
    rooms = [Room(f"room {number}", shared=True) for number in range(50)]
    for room in rooms:
        room.join(ws)
        room.leave(ws)
    refs = [weakref.ref(room) for room in rooms]
    del room, rooms
    gc.collect()
    assert [ref() for ref in refs] == [None] * 50


def test_a_socket_that_closes_leaves(sockets: Any) -> None:
    client, ws = sockets()
    room = Room("left", shared=True)
    room.join(ws)
    client.close()
    assert until(lambda: len(room) == 0)
    room.join(ws)  # too late
    assert len(room) == 0


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_shared_room_needs_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters"):
        Room(name, shared=True)


SETUP = """
import sys
import cherrypy
cherrypy.config.update({"server.socket_port": 0, "engine.autoreload.on": False})
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", SETUP + source]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_without_the_library_the_start_says_what_to_install() -> None:
    done = run(
        """
sys.modules["redis"] = None
cherrypy.config.update({"engine.websocket.redis": "redis://localhost"})
cherrypy.engine.start()
"""
    )
    assert done.returncode == 1
    assert "pip install 'kirsch[redis]'" in done.stderr


def test_a_plugin_that_a_program_called_engine_websocket_knows_the_settings() -> None:
    done = run(
        """
from cherrypy.websocket import WebSocketPlugin
cherrypy.engine.websocket = WebSocketPlugin(cherrypy.engine)
cherrypy.engine.websocket.subscribe()
cherrypy.config.update({"engine.websocket.redis": "unix:///nowhere", "engine.websocket.redis_channel": "c"})
relay = cherrypy.engine.websocket.relay
print(relay.redis, relay.redis_channel, "redis" in vars(cherrypy.engine.websocket))
cherrypy.engine.start()
print(relay.connected)
cherrypy.engine.exit()
"""
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "ENGINE" not in line]
    assert lines[:2] == ["unix:///nowhere c False", "False"]


def test_the_settings_make_the_relay_and_nothing_else_does() -> None:
    done = run(
        """
print(hasattr(cherrypy.engine, "websocket"), "cherrypy.websocket" in sys.modules)
cherrypy.config.update({"engine.websocket.redis_timeout": 2})
print(type(cherrypy.engine.websocket).__name__, cherrypy.engine.websocket.redis_timeout)
"""
    )
    assert done.stdout.split() == ["False", "False", "Relay", "2"], done.stderr
    assert Relay.redis is None


def test_a_setting_that_there_is_not() -> None:
    done = run('cherrypy.config.update({"engine.websocket.redis_chanel": "x"})')
    assert done.returncode == 1
    assert "engine.websocket has no setting 'redis_chanel'" in done.stderr
