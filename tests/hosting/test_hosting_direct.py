"""Requests go to the application directly only while nobody could tell, or has asked to be asked."""

import json

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cptree import Application, Tree
from cherrypy._cpwsgi import AppResponse, CPWSGIApp
from cherrypy._cpwsgi_server import CPWSGIServer
from test_hosting_servers import engine, get, server  # noqa: F401 fixtures are found by their names

import cherrypy
from kirsch.server.wsgi import WSGIGateway


class Root:
    @cherrypy.expose
    def index(self):
        return "Hello"

    @cherrypy.expose
    def environ(self, **params):
        environ = cherrypy.request.wsgi_environ
        if environ is None:
            return "none"
        shown = {key: value for key, value in environ.items() if isinstance(value, (str, tuple))}
        again = cherrypy.request.wsgi_environ is environ
        return json.dumps([shown, environ["wsgi.input"].read().decode(), again])

    @cherrypy.expose
    def client(self):
        remote, local = cherrypy.request.remote, cherrypy.request.local
        return json.dumps([remote.ip, remote.name, local.ip, local.port, local.name])

    @cherrypy.expose
    def go(self):
        raise cherrypy.InternalRedirect("/there", "x=1")

    @cherrypy.expose
    def there(self, x):
        return f"{cherrypy.request.prev.path_info} {x} {cherrypy.request.path_info}"

    @cherrypy.expose
    def loop(self):
        raise cherrypy.InternalRedirect("/loop")

    environ._cp_config = {"request.process_request_body": False}


class Wrapper:
    """A WSGI application that is another one, as middleware is."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


@pytest.fixture
def through_wsgi(monkeypatch):
    """The requests that went through WSGI."""
    seen = []
    call = WSGIGateway.__call__

    def note(self, exchange):
        seen.append(exchange.head.path)
        return call(self, exchange)

    monkeypatch.setattr(WSGIGateway, "__call__", note)
    return seen


@pytest.fixture
def site(server):  # noqa: F811 the fixture of that name
    cherrypy.tree.mount(Root())
    return server


def test_the_usual_way_has_no_wsgi_in_it(site, through_wsgi):
    assert get(site) == (200, "Hello")
    assert get(site, "/go") == (200, "/go 1 /there")
    assert get(site, "/loop")[0] == 500
    assert get(site, "/nowhere")[0] == 404
    assert through_wsgi == []


def test_the_environment_is_the_one_that_wsgi_gives(site, through_wsgi):
    """Made when asked for, once, and the same as that of a request that went through WSGI."""

    def ask():
        fields = {"X-Own": "1", "Content-Type": "text/x", "Connection": "close"}
        return get(site, "/environ?a=1", "POST", "body", fields)[1]

    direct = ask()
    if isinstance(site.httpserver, CPHTTPServer):
        assert direct == "none"
        return
    assert through_wsgi == []
    site.httpserver.wsgi_app = Wrapper(cherrypy.tree)
    wsgi = ask()
    assert through_wsgi == ["/environ"]
    ours, theirs = json.loads(direct), json.loads(wsgi)
    for one in (ours, theirs):
        assert one[0].pop("REMOTE_PORT").isdigit()
        assert one[1:] == ["body", True]
    assert ours == theirs
    assert ours[0]["HTTP_X_OWN"] == "1"


def test_addresses_are_those_that_wsgi_gives(site):
    direct = json.loads(get(site, "/client")[1])
    if isinstance(site.httpserver, CPWSGIServer):
        site.httpserver.wsgi_app = Wrapper(cherrypy.tree)
        assert json.loads(get(site, "/client")[1]) == direct
    assert direct[0] == "127.0.0.1" and direct[3] == site.bound_addr[1]


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Application, "__call__"),
        (Tree, "__call__"),
        (CPWSGIApp, "__call__"),
        (AppResponse, "__init__"),
    ],
)
def test_who_wraps_a_call_of_wsgi_sees_every_request(site, monkeypatch, cls, name):
    original, seen = getattr(cls, name), []

    def wrapper(self, *args, **kwargs):
        seen.append(1)
        return original(self, *args, **kwargs)

    assert get(site) == (200, "Hello")
    monkeypatch.setattr(cls, name, wrapper)
    assert get(site) == (200, "Hello")
    assert seen
    monkeypatch.undo()
    assert get(site) == (200, "Hello")


def test_a_pipeline_of_ones_own_is_gone_through(site):
    seen = []

    def middleware(app):
        def call(environ, start_response):
            seen.append(environ["PATH_INFO"])
            return app(environ, start_response)

        return call

    app = cherrypy.tree.apps[""]
    assert get(site) == (200, "Hello")
    app.wsgiapp.pipeline.append(("own", middleware))
    assert get(site) == (200, "Hello")
    assert seen == ["/"]
    app.wsgiapp.pipeline.pop()

    class Response(AppResponse):
        def __init__(self, environ, start_response, cpapp):
            seen.append("response")
            super().__init__(environ, start_response, cpapp)

    app.wsgiapp.response_class = Response
    assert get(site) == (200, "Hello")
    assert seen == ["/", "response"]


def test_a_request_class_of_ones_own_gets_its_hosts(site, monkeypatch):
    made = []

    class Request(cherrypy._cprequest.Request):
        def __init__(self, local_host, remote_host, *args):
            made.append((local_host.port, remote_host.ip))
            super().__init__(local_host, remote_host, *args)

    monkeypatch.setattr(cherrypy.tree.apps[""], "request_class", Request)
    assert get(site) == (200, "Hello")
    assert made == [(site.bound_addr[1], "127.0.0.1")]
