"""Event streams over TLS, with either poller, and behind servers that need a thread for each."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import waitress.server
from streaming_site import Client, Site, lines_of, until

import cherrypy
from cherrypy.lib import sse
from kirsch.server.selfsigned import self_signed_certificate

HERE = Path(__file__).parent


class Pages:
    def __init__(self) -> None:
        self.room = sse.Room("hosts")
        self.options: dict[str, Any] = {}

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    def news(self) -> Any:
        return sse.stream(self.room, **self.options)


def test_over_tls(make_site: Callable[..., Site], tmp_path: Path) -> None:
    both = self_signed_certificate(str(tmp_path))
    site = make_site(ssl_certificate=both, ssl_private_key=both)
    pages = Pages()
    pages.options = {"heartbeat": 0.2}
    site.mount(pages)
    clients = [site.stream("/news") for _ in range(5)]
    for number in range(50):
        assert pages.room.send(f"{number} " + "x" * 30_000) == 5
        for client in clients:
            assert client.event()["data"].startswith(f"{number} ")
    assert next(clients[0].events()) == {"#": ""}
    clients[0].close()
    assert until(lambda: len(pages.room) == 4, 1)
    site.adapter.stop()
    for client in clients[1:]:
        client.read(lambda body: False)
        assert client.ended


def test_a_slow_client_over_tls_loses_whole_events(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    both = self_signed_certificate(str(tmp_path))
    site = make_site(ssl_certificate=both, ssl_private_key=both)
    pages = Pages()
    pages.options = {"queue": 5}
    site.mount(pages)
    client = site.client(receive=4096)
    client.ask("/news")
    assert client.head() == 200 and until(lambda: len(pages.room) == 1)
    for number in range(500):
        pages.room.send(f"{number} " + "x" * 20_000)
    (stream,) = pages.room
    assert stream.dropped > 100
    seen = []
    while not seen or seen[-1] != 499:
        data = client.event()["data"]
        assert len(data) > 20_000 and set(data.split()[1]) == {"x"}
        seen.append(int(data.split()[0]))
    assert seen == sorted(set(seen)) and len(seen) == 500 - stream.dropped


def test_with_selectors(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIRSCH_POLLER", "selectors")
    site = make_site()
    pages = Pages()
    site.mount(pages)
    client = site.stream("/news")
    pages.room.send("one")
    assert client.event()["data"] == "one"
    client.close()
    assert until(lambda: len(pages.room) == 0, 1)


# -- a thread each ------------------------------------------------------------------------------


def talk(address: tuple[str, int], pages: Pages) -> None:
    """What any host can do."""
    client = Client(address)
    try:
        client.ask("/news")
        assert client.head() == 200
        assert client.fields["content-type"] == "text/event-stream;charset=utf-8"
        next(client.events())
        assert pages.room.send("one", event="e") == 1
        assert client.event()["event"] == "e"
        assert next(client.events()) == {"#": ""}  # the heartbeat
    finally:
        client.close()


class Passing:
    """A WSGI middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        yield from self.app(environ, start_response)


def test_behind_a_middleware(site: Site) -> None:
    pages = Pages()
    pages.options = {"heartbeat": 0.1}
    site.mount(pages, {"/": {"wsgi.pipeline": [("passing", Passing)], "response.timeout": 0.05}})
    talk(site.address, pages)
    assert until(lambda: len(pages.room) == 0)
    client = site.stream("/news")
    time.sleep(0.1)
    cherrypy.engine.timeout_monitor.run()
    assert [next(client.events()) for _ in range(5)] == [{"#": ""}] * 5  # it goes on
    site.stream("/news")
    cherrypy.engine.stop()  # the thread that waits is told


@contextlib.contextmanager
def waitress_host(app: Any) -> Iterator[tuple[str, int]]:
    server = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=4)

    def close() -> None:
        for channel in list(server.active_channels.values()):
            channel.close()
        server.close()

    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield "127.0.0.1", int(server.effective_port)
    finally:
        server.trigger.pull_trigger(close)  # runs in the server's thread, whose loop then ends
        thread.join(10)
        server.task_dispatcher.shutdown()
        assert not thread.is_alive()


def test_on_waitress(site: Site) -> None:
    pages = Pages()
    pages.options = {"heartbeat": 0.1}
    app = site.mount(pages)
    with waitress_host(app) as address, lines_of(app.log.access_log) as lines:
        talk(address, pages)
        assert until(lambda: len(pages.room) == 0, 10) is True
        assert until(lambda: lines) and '"GET /news HTTP/1.1" 200 ' in lines[0]
        assert int(lines[0].split('" 200 ')[1].split()[0]) > len(":\n\n") + len("data: one\n\n")


GUNICORN = """
import cherrypy
from cherrypy.lib import sse

class Pages:
    @cherrypy.expose
    def news(self):
        return sse.stream(sse.Room(), heartbeat=0.1, timeout=0.5)

cherrypy.config.update({"environment": "embedded"})
application = cherrypy.Application(Pages(), "")
"""


@contextlib.contextmanager
def gunicorn(folder: Path) -> Iterator[tuple[str, int]]:
    (folder / "sse_site.py").write_text(GUNICORN)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        command = [sys.executable, "-m", "gunicorn", "--threads", "2"]
        command += ["--bind", f"fd://{listener.fileno()}", "sse_site:application"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield listener.getsockname()[:2]
        finally:
            process.terminate()
            process.wait(10)


def test_on_gunicorn(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as address:
        client = Client(address)
        client.ask("/news")
        assert client.head() == 200
        blocks = list(client.events())
        client.close()
    assert len(blocks) >= 3 and client.ended
