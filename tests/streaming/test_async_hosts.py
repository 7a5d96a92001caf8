"""Coroutines as pages on the native server, over TLS, without epoll, and on servers with a thread each."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streaming_site import Client, Site, until
from test_sse_hosts import waitress_host

import cherrypy
from kirsch.server.selfsigned import self_signed_certificate


def middleware(app: Any) -> Any:
    """WSGI that passes all on."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        return app(environ, start_response)

    return call


class Pages:
    def __init__(self) -> None:
        self.entered = self.cancelled = 0
        self.threads: set[str] = set()

    @cherrypy.expose
    async def index(self, name: str = "nobody") -> str:
        self.threads.add(threading.current_thread().name)
        await asyncio.sleep(0.01)
        return f"{name} at {cherrypy.request.path_info}"

    @cherrypy.expose
    async def fails(self) -> str:
        await asyncio.sleep(0)
        raise cherrypy.HTTPError(409)

    @cherrypy.expose
    async def long(self) -> str:
        self.entered += 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "long"


def talk(site: Any, pages: Pages, parked: bool = True) -> None:
    assert site.get("/?name=x") == (200, "x at /")
    assert site.get("/fails")[0] == 409
    assert site.get("/?no=x")[0] == 404
    assert pages.threads == {"event-loop"}
    if parked:
        assert site.counters["parked"] == 2
        client = site.ask("/long")
        assert until(lambda: pages.entered == 1) and site.counters["parked"] == 3
        client.close()
        assert until(lambda: pages.cancelled == 1, 1) is True


def test_the_native_server(make_site: Callable[..., Site]) -> None:
    site = make_site(instance="cherrypy._cpnative_server.CPHTTPServer")
    site.mount(pages := Pages())
    talk(site, pages)


def test_over_tls(make_site: Callable[..., Site], tmp_path: Path) -> None:
    both = self_signed_certificate(str(tmp_path))
    site = make_site(ssl_certificate=both, ssl_private_key=both)
    site.mount(pages := Pages())
    talk(site, pages)


def test_with_selectors(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIRSCH_POLLER", "selectors")
    site = make_site()
    site.mount(pages := Pages())
    talk(site, pages)


def test_behind_a_middleware(site: Site) -> None:
    site.mount(pages := Pages(), {"/": {"wsgi.pipeline": [("mine", middleware)]}})
    talk(site, pages, parked=False)
    assert site.counters["parked"] == 0


def test_behind_a_middleware_a_time_out_cancels(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"wsgi.pipeline": [("mine", middleware)], "response.timeout": 0.1}
    site.mount(pages := Pages(), {"/": config})
    client = site.ask("/long")
    for _ in range(100):
        cherrypy.engine.timeout_monitor.run()
        if until(lambda: pages.cancelled, 0.05):
            break
    assert pages.cancelled == 1
    assert client.head() == 503


def test_a_request_class_of_the_program_has_its_thread(site: Site) -> None:
    class Mine(cherrypy._cprequest.Request):
        def run(self, *args: Any) -> Any:
            return super().run(*args)

    app = site.mount(pages := Pages())
    app.request_class = Mine
    talk(site, pages, parked=False)
    assert site.counters["parked"] == 0


def test_waitress(site: Site) -> None:
    app = site.mount(pages := Pages())
    with waitress_host(app) as address:

        class Elsewhere:
            @staticmethod
            def get(path: str) -> tuple[int, str]:
                client = Client(address)
                try:
                    return client.get(path)
                finally:
                    client.close()

        talk(Elsewhere, pages, parked=False)


def test_a_child_process_has_a_loop_of_its_own(site: Site) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("only on systems with fork")
    app = site.mount(pages := Pages())
    assert site.get("/?name=x") == (200, "x at /")  # the parent's loop runs
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
        child = os.fork()
    if child == 0:
        try:
            environ: dict[str, Any] = {"PATH_INFO": "/", "HTTP_HOST": "x", "REQUEST_METHOD": "GET"}
            body = app(environ, lambda *args: None)
            os.write(writer, b"".join(body))
        finally:
            os._exit(0)
    os.close(writer)
    try:
        assert select.select([reader], [], [], 10)[0], "the child hangs"
        assert os.read(reader, 100) == b"nobody at /"
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert pages.threads == {"event-loop"}
