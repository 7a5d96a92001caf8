"""What the tests of hosting share: a site of one's own on a free port, raw clients, bounded waits."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cherrypy._cpserver import Server

import cherrypy

PATIENCE = 10.0


def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = 5.0) -> Any:
    """Poll until `condition()` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
    return value


class Hosted:
    """The engine with a tree of its own and one server on a free port."""

    def __init__(self) -> None:
        self.tree = cherrypy.tree
        self.server = Server()
        self.server.socket_port = 0
        self.lines: list[str] = []

    def start(self) -> Hosted:
        self.server.subscribe()
        cherrypy.engine.start()
        return self

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self.server.bound_addr
        return address

    def text(self) -> str:
        return "\n".join(self.lines)

    def ask(
        self, path: str = "/", method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, str]:
        """Status and text of one request, on a connection of its own."""
        return ask(self.address, path, method, body, **headers)

    def connect(self, data: bytes = b"") -> socket.socket:
        peer = socket.create_connection(self.address, PATIENCE)
        peer.sendall(data)
        return peer


def ask(
    address: tuple[str, int], path: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def read_until(peer: socket.socket, wanted: bytes, data: bytes = b"") -> bytes:
    """Read until `wanted` has come; fails at the end of the stream."""
    while wanted not in data:
        block = peer.recv(65536)
        assert block, f"the stream ended before {wanted!r}: {data[-300:]!r}"
        data += block
    return data


def read_all(peer: socket.socket) -> bytes:
    """Read to the end of the stream."""
    data = bytearray()
    try:
        while block := peer.recv(1 << 20):
            data += block
    except ConnectionResetError:
        pass
    return bytes(data)


class Lines(logging.Handler):
    """Keeps what is logged, tracebacks included."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def hosted(monkeypatch: Any) -> Iterator[Hosted]:
    """A `Hosted`, not yet started; everything is as before afterwards."""
    before = dict(cherrypy.config)
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    cherrypy.server.unsubscribe()
    site = Hosted()

    handler = Lines(site.lines)
    cherrypy.log.error_log.addHandler(handler)
    try:
        yield site
    finally:
        cherrypy.engine.exit()
        cherrypy.log.error_log.removeHandler(handler)
        site.server.unsubscribe()
        for graft in site.tree.apps.values():
            getattr(graft, "unsubscribe", lambda: None)()
        cherrypy.server.subscribe()
        cherrypy.config.clear()
        dict.update(cherrypy.config, before)
