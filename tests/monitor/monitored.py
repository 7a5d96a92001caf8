"""A site on a free port that is monitored, and what its tests share."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cherrypy
from cherrypy.monitor import shards
from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor, make
from cherrypy.monitor.snapshots import Snapshot

PATIENCE = 30.0
OF_TLS = ("ssl_certificate", "ssl_private_key", "ssl_context")


def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = 30.0) -> Any:
    """Poll until `condition()` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
    return value


class Monitored:
    """The engine with a tree and a monitor of its own, and one server on a free port."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def mount(self, root: Any, config: Any = None, path: str = "") -> None:
        cherrypy.tree.mount(root, path, config)

    def start(self, **settings: Any) -> Monitored:
        for name, value in settings.items():
            self.monitor.settings[name.replace("__", ".")] = value
        cherrypy.engine.start()
        return self

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self.kirsch.bound_addresses[0][:2]
        return address

    @property
    def listener(self) -> str:
        return "{}:{}".format(*self.address)

    @property
    def kirsch(self) -> Any:
        return cherrypy.server.httpserver.kirsch

    # -- asking --------------------------------------------------------------------------------------

    def connect(self, data: bytes = b"") -> socket.socket:
        peer = socket.create_connection(self.address, PATIENCE)
        peer.sendall(data)
        return peer

    def ask(
        self, path: str = "/", method: str = "GET", body: Any = None, **fields: str
    ) -> tuple[int, bytes]:
        """Status and body of one request, on a connection of its own."""
        status, _, data = self.whole(path, method, body, **fields)
        return status, data

    def whole(
        self, path: str = "/", method: str = "GET", body: Any = None, **fields: str
    ) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            names = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, body, names)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    # -- looking -------------------------------------------------------------------------------------

    def take(self) -> Snapshot:
        return self.monitor.taker.take()

    def series(self, name: str) -> dict[tuple[Any, ...], Any]:
        """What a metric has counted, by its labels."""
        metric, snapshot = METRICS[name], self.take()
        found: dict[tuple[Any, ...], Any] = {}
        for kind in (snapshot.counts, snapshot.gauges, snapshot.spreads):
            found.update({labels: value for (one, labels), value in kind.items() if one is metric})
        return found

    def counts(self, name: str) -> dict[tuple[Any, ...], float]:
        """The same, without what is 0; of a histogram how many values."""
        found = {
            labels: float(value.count if isinstance(value, Spread) else value)
            for labels, value in self.series(name).items()
        }
        return {labels: value for labels, value in found.items() if value}

    def becomes(self, name: str, expected: dict[tuple[Any, ...], float]) -> None:
        """Wait until a metric has counted just that: some things are counted after the response."""
        deadline = time.monotonic() + 30.0
        while (found := self.counts(name)) != expected:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name}: {found} is not {expected}")
            time.sleep(0.02)


@contextmanager
def monitored(monkeypatch: Any) -> Iterator[Monitored]:
    """A `Monitored`, not yet started; everything is as before afterwards."""
    engine, server = cherrypy.engine, cherrypy.server
    before = dict(cherrypy.config)
    for name in ("_socket_host", "socket_port", "socket_file", "httpserver", "instance", *OF_TLS):
        monkeypatch.setattr(server, name, getattr(server, name))
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    server.httpserver = server.instance = None
    server.socket_file, server.socket_host, server.socket_port = None, "127.0.0.1", 0
    shards.reset()
    for metric in METRICS.values():
        metric.forget()
    monitor = make(engine)
    monkeypatch.setitem(engine.__dict__, "monitor", monitor)
    monitor.subscribe()
    try:
        yield Monitored(monitor)
    finally:
        engine.exit()
        monitor.unsubscribe()
        cherrypy.config.clear()
        dict.update(cherrypy.config, before)
        shards.reset()
    assert monitor._failures == {}
