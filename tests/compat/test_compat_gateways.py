"""FastCGI and SCGI through flup: what web servers keep open does not keep the process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from compat_process import free_port, wait_for
from gateway_clients import fastcgi, scgi

from cherrypy.process import servers

pytestmark = [
    pytest.mark.skipif(find_spec("flup") is None, reason="flup is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # its threads, since Python 3.10
]

Asking = Callable[..., tuple[str, str]]
KINDS = [
    pytest.param((servers.FlupFCGIServer, fastcgi), id="fcgi"),
    pytest.param((servers.FlupSCGIServer, scgi), id="scgi"),
]


class Site:
    """An application whose pages take as long as they are let."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.entered.set()
            self.leave.wait(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"answered"]


class Served:
    def __init__(self, kind: Any) -> None:
        self.site = Site()
        self.port = free_port()
        self.server = kind(self.site, bindAddress=("127.0.0.1", self.port))
        self.thread = threading.Thread(target=self.server.start, daemon=True)
        self.peers: list[socket.socket] = []

    def start(self) -> None:
        self.thread.start()
        wait_for(lambda: self.server.ready, "the server")

    def held(self, data: bytes = b"") -> socket.socket:
        """A connection that stays open."""
        peer = socket.create_connection(("127.0.0.1", self.port), 10)
        peer.sendall(data)
        self.peers.append(peer)
        return peer

    def ends(self) -> float:
        """Seconds that it takes to stop."""
        began = time.monotonic()
        self.server.stop()
        self.thread.join(15)
        assert not self.thread.is_alive()
        return time.monotonic() - began


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Served, Asking]]:
    kind, ask = request.param
    found = Served(kind)
    yield found, ask
    found.site.leave.set()
    found.server.stop()
    found.thread.join(15)
    for peer in found.peers:
        peer.close()


def test_it_listens_when_it_says_so(served: tuple[Served, Asking]) -> None:
    found, ask = served
    assert found.server.ready is False
    found.start()
    assert ask(found.port, "/") == ("200 OK", "answered")
    assert found.ends() < 0.7
    assert found.server.ready is False


def test_idle_connections_keep_nothing(served: tuple[Served, Asking]) -> None:
    found, ask = served
    found.start()
    for number in range(8):
        found.held(b"9" if number else b"")  # some of them with the beginning of something
        # One after the other: flup counts its threads only when they have begun.
        wait_for(lambda count=number + 1: len(found.server._gateway._jobs) == count, "its thread")
    assert ask(found.port, "/") == ("200 OK", "answered")
    assert found.ends() < 1.5
    for peer in found.peers:
        peer.settimeout(5)
        try:
            assert peer.recv(10) == b""
        except ConnectionResetError:
            pass  # closed with something unread


def test_a_request_in_flight_is_answered(served: tuple[Served, Asking]) -> None:
    found, ask = served
    found.start()
    answers: list[tuple[str, str]] = []
    client = threading.Thread(target=lambda: answers.append(ask(found.port, "/slow")))
    client.start()
    assert found.site.entered.wait(10)
    found.server.stop()
    assert found.thread.is_alive()
    found.site.leave.set()
    client.join(10)
    assert answers == [("200 OK", "answered")]
    found.thread.join(5)
    assert not found.thread.is_alive()


def test_a_handler_that_hangs_has_a_deadline(served: tuple[Served, Asking]) -> None:
    found, ask = served
    found.server.shutdown_timeout = 0.5
    found.start()

    def client() -> None:
        try:
            ask(found.port, "/slow")
        except (OSError, ValueError, AssertionError, IndexError, EOFError):
            pass  # cut

    thread = threading.Thread(target=client)
    thread.start()
    assert found.site.entered.wait(10)
    assert 0.4 < found.ends() < 3
    thread.join(10)
    assert not thread.is_alive()
