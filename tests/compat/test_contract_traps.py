"""Part A6 of the compatibility contract, the traps that need a server or a process of their own."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from compat_process import Program, free_port, get, wait_for, write
from contract_kit import served

import cherrypy


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "page"


@pytest.mark.parametrize("native", [False, True])
def test_servers_that_programs_make(native: bool) -> None:
    from cherrypy._cpnative_server import CPHTTPServer
    from cherrypy._cpserver import Server
    from cherrypy._cpwsgi_server import CPWSGIServer

    adapter = Server()
    adapter.bind_addr = ("127.0.0.1", free_port())
    server = (CPHTTPServer if native else CPWSGIServer)(adapter)
    assert server.bind_addr == adapter.bind_addr
    with served(Root()):
        adapter.httpserver = server
        adapter.subscribe()
        adapter.start()
        try:
            assert get(adapter.bind_addr[1])[1] == "page"
        finally:
            adapter.stop()
            adapter.unsubscribe()


@pytest.mark.parametrize("name", ["cherrypy._cpwsgi_server.CPWSGIServer", "made"])
def test_a_server_by_its_dotted_name(name: str) -> None:
    port = free_port()
    instance: object = name
    if name == "made":
        from cherrypy._cpserver import Server
        from cherrypy._cpwsgi_server import CPWSGIServer

        adapter = Server()
        adapter.bind_addr = ("127.0.0.1", port)
        instance = CPWSGIServer(adapter)
    with served(Root(), httpserver=instance) as ask:
        assert get(port if name == "made" else ask.port)[1] == "page"


def test_a_second_server_by_configuration() -> None:
    port = free_port()
    settings = {
        "server.2.instance": "cherrypy._cpwsgi_server.CPWSGIServer",
        "server.2.socket_port": port,
    }
    try:
        with served(Root(), **settings) as ask:
            assert get(port)[1] == ask("/").text == "page"
    finally:
        cherrypy.servers.pop("2").unsubscribe()


def test_threads_are_announced_one_by_one() -> None:
    seen: list[str] = []
    begun, ended = (lambda number: seen.append("start")), (lambda number: seen.append("stop"))
    cherrypy.engine.subscribe("start_thread", begun)
    cherrypy.engine.subscribe("stop_thread", ended)
    try:
        with served(Root()) as ask:
            assert seen == []
            ask("/")
            assert seen == ["start"]
            cherrypy.engine.graceful()
            assert seen == ["start", "stop"]
            ask("/")
        assert seen.count("start") == seen.count("stop")
    finally:
        cherrypy.engine.unsubscribe("start_thread", begun)
        cherrypy.engine.unsubscribe("stop_thread", ended)


def test_the_engine_starts_again_and_again() -> None:
    port = free_port()
    for _ in range(4):
        with served(Root(), **{"server.socket_port": port}):
            assert get(port)[1] == "page"


def test_aliases_in_a_class() -> None:
    class Aliased:
        @cherrypy.expose(alias=["b", "robots.txt"])
        def a(self) -> str:
            return "a"

        def c(self) -> str:
            return "c"

        cherrypy.expose(c, "d")

    with served(Aliased()) as ask:
        for path, text in [
            ("/a", "a"),
            ("/b", "a"),
            ("/robots.txt", "a"),
            ("/c", "c"),
            ("/d", "c"),
        ]:
            assert ask(path).text == text
    assert cherrypy.expose(type("Exposed", (), {})).exposed is True


PROGRAM = """
import cherrypy
class Root:
    @cherrypy.expose
    def index(self):
        return "STARTED"
    @cherrypy.expose
    def interrupt(self):
        raise KeyboardInterrupt
cherrypy.tree.mount(Root())
cherrypy.config.update({"server.socket_port": %d, "log.screen": True})
if %r:
    cherrypy.engine.subscribe("start", lambda: 1 / 0)
"""


def test_the_server_is_interrupted(tmp_path: Path) -> None:
    """Whoever assigns a class of exceptions stops the server, and with it the engine."""
    port = free_port()
    code = PROGRAM % (port, False)
    more = "cherrypy.server.httpserver.interrupt = SystemExit; return ''"
    write(tmp_path, "program.py", code.replace("raise KeyboardInterrupt", more))
    with Program(tmp_path, "-m", "cherrypy", "-i", "program") as program:
        program.listens(port)
        get(port, "/interrupt")
        program.ends()
        assert "EXITED" in program.text()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only on POSIX")
def test_an_interrupt_in_a_handler_ends_the_engine(tmp_path: Path) -> None:
    port = free_port()
    write(tmp_path, "program.py", PROGRAM % (port, False))
    with Program(tmp_path, "-m", "cherrypy", "-i", "program") as program:
        program.listens(port)
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(b"GET /interrupt HTTP/1.1\r\nHost: h\r\n\r\n")
            try:
                assert peer.recv(100) == b""
            except ConnectionResetError:
                pass  # no answer either
        program.ends()
        assert "EXITED" in program.text()


def test_a_start_that_fails_ends_the_program(tmp_path: Path) -> None:
    write(tmp_path, "program.py", PROGRAM % (free_port(), True))
    with Program(tmp_path, "-m", "cherrypy", "-i", "program") as program:
        assert program.ends() != 0


def test_a_touched_file_is_seen_within_two_seconds(tmp_path: Path) -> None:
    port = free_port()
    path = write(tmp_path, "program.py", PROGRAM % (port, False))
    with Program(tmp_path, "-m", "cherrypy", "-i", "program") as program:
        program.listens(port)
        later = time.time() + 5
        os.utime(path, (later, later))
        began = time.monotonic()
        wait_for(lambda: "Restarting" in program.text() or "changed" in program.text(), "a restart")
        assert time.monotonic() - began < 3
        program.listens(port)
