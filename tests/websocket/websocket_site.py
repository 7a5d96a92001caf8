"""A site with WebSockets on a free port, and what its tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import cherrypy
from cherrypy.websocket.client import Client, connect


def until(condition: Callable[[], Any], within: float = 5) -> Any:
    """Wait for a condition with a deadline; its last value."""
    end = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


class Site:
    """What is served, and how to reach it."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.clients: list[Client] = []

    @property
    def kirsch(self) -> Any:
        return self.adapter.httpserver.kirsch

    @property
    def address(self) -> tuple[str, int]:
        return self.kirsch.bound_addresses[0][:2]

    def mount(self, root: Any, config: dict[str, Any] | None = None, path: str = "") -> None:
        cherrypy.tree.mount(root, path, config)

    def url(self, path: str = "/") -> str:
        host, port = self.address
        return f"ws://{host}:{port}{path}"

    def connect(self, path: str = "/", **options: Any) -> Client:
        client = connect(self.url(path), **options)
        self.clients.append(client)
        return client

    def drop_clients(self) -> None:
        for client in self.clients:
            client.sock.close()


class Gate:
    """Something that a handler waits for and a test opens."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.open.wait(10)
