"""Where a WebSocket can be opened: on our servers, with or without WSGI between; elsewhere 501."""

from __future__ import annotations

import wsgiref.handlers
from collections.abc import Iterable
from typing import Any

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cpwsgi_server import CPWSGIServer
from websocket_site import Site, until

import cherrypy
from cherrypy.websocket import EchoWebSocket
from cherrypy.websocket.client import Refused
from kirsch.server.link import CLOSED_STATE


class Pages:
    @cherrypy.expose
    @cherrypy.tools.websocket()
    def talk(self, ws: Any) -> None:
        for message in ws:
            ws.send(message)

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=EchoWebSocket)
    def listen(self) -> None:
        pass

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=EchoWebSocket)
    def elsewhere(self) -> None:
        raise cherrypy.HTTPRedirect("/listen")

    @cherrypy.expose
    def inside(self) -> None:
        raise cherrypy.InternalRedirect("/talk")


class Passing:
    """A WSGI middleware that hands bodies on as they are."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.app(environ, start_response)


class Prying:
    """One that takes bodies apart."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        yield from self.app(environ, start_response)


@pytest.mark.parametrize("path", ["/talk", "/listen", "/inside"])
def test_our_own_gateway(site: Site, path: str) -> None:
    site.mount(Pages())
    client = site.connect(path)
    client.send("x")
    assert client.recv() == "x"


@pytest.mark.parametrize("kind", [CPWSGIServer, CPHTTPServer])
def test_each_kind_of_server(site: Site, kind: Any) -> None:
    site.mount(Pages())
    adapter = cherrypy._cpserver.Server()
    adapter.socket_port = 0
    adapter.httpserver = kind(adapter)
    adapter.start()
    try:
        client = Site(adapter).connect("/listen")
        client.send("x")
        assert client.recv() == "x"
        client.close()
    finally:
        adapter.stop()


def test_a_redirect_is_one(site: Site) -> None:
    site.mount(Pages())
    with pytest.raises(Refused) as refused:
        site.connect("/elsewhere")
    assert refused.value.status == 303


@pytest.mark.parametrize("path", ["/talk", "/listen"])
def test_through_wsgi(site: Site, path: str) -> None:
    """A middleware, or the wrapper of a monitoring agent, stands between."""
    app = cherrypy.Application(Pages())
    app.wsgiapp.pipeline.append(("usual", Passing))
    cherrypy.tree.mount(app)
    with pytest.raises(Refused) as refused:
        site.connect(path)
    # What the pipeline puts around bodies is not the server's business: refused, not half open.
    assert refused.value.status == 500
    site.adapter.httpserver.wsgi_app = Passing(cherrypy.tree)
    cherrypy.tree.apps.clear()
    cherrypy.tree.mount(Pages())
    client = site.connect(path)
    client.send("through WSGI")
    assert client.recv() == "through WSGI"


def test_a_middleware_that_takes_bodies_apart(site: Site) -> None:
    site.mount(Pages())
    site.adapter.httpserver.wsgi_app = Prying(cherrypy.tree)
    with pytest.raises(Refused) as refused:
        site.connect("/listen")
    assert refused.value.status in (500, 501)


def test_another_server_says_501(site: Site) -> None:
    site.mount(Pages())
    told: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        told.append(status)

    environ = {
        **wsgiref.handlers.read_environ(),
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/talk",
        "SERVER_NAME": "h",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "h",
        "HTTP_CONNECTION": "upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA==",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
    }
    body = b"".join(cherrypy.tree(environ, start_response))
    assert told[0].startswith("501 ")
    assert b"cannot switch to WebSocket" in body


def test_nothing_is_left_of_a_closed_connection(site: Site) -> None:
    """Whoever keeps a handler keeps no socket, and nothing keeps a handler."""
    import gc
    import weakref

    refs: list[Any] = []

    class Noted(EchoWebSocket):
        def opened(self) -> None:
            refs.append(weakref.ref(self))

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket(handler_cls=Noted)
        def ws(self) -> None:
            pass

    site.mount(Root())
    for _ in range(5):
        client = site.connect("/ws")
        client.send("x")
        assert client.recv() == "x"
        client.close()
    assert until(lambda: site.kirsch.counters["open"] == 0)
    assert until(lambda: gc.collect() >= 0 and all(ref() is None for ref in refs))
    assert CLOSED_STATE not in [conn.state for conn in site.kirsch.groups[0].conns.values()]
