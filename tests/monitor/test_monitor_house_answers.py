"""Exceptions, error pages and redirects: each counted once, under the route of its request."""

from __future__ import annotations

import http.client
import threading
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.monitor.house.answers import Types, raised_by


class Own(cherrypy.HTTPError):
    def __init__(self) -> None:
        super().__init__(418)


class Root:
    gate = threading.Event()
    inside = threading.Event()

    @cherrypy.expose
    def index(self) -> str:
        return "home"

    @cherrypy.expose
    def boom(self, number: str = "0") -> str:
        raise KeyError(number)

    @cherrypy.expose
    def teapot(self) -> str:
        raise Own()

    @cherrypy.expose
    def busy(self) -> str:
        raise cherrypy.HTTPError(503, "later")

    @cherrypy.expose
    def down(self) -> str:
        cherrypy.response.status = 502
        return "no exception"

    @cherrypy.expose
    def away(self) -> str:
        raise cherrypy.HTTPRedirect("/")

    @cherrypy.expose
    def inner(self) -> str:
        raise cherrypy.InternalRedirect("/")

    @cherrypy.expose
    def twice(self) -> str:
        raise cherrypy.InternalRedirect("/inner")

    @cherrypy.expose
    def wait(self) -> str:
        self.inside.set()
        self.gate.wait(10)
        return "waited"

    @cherrypy.expose
    def stream(self) -> Any:
        def parts() -> Any:
            yield b"first"
            raise OSError("the disk")

        return parts()

    stream._cp_config = {"response.stream": True}


@pytest.fixture
def root(site: Monitored) -> Root:
    root = Root()
    root.gate.clear()
    root.inside.clear()
    site.mount(root)
    site.start()
    return root


def test_an_exception_is_counted_once_with_its_route_and_the_class_of_500(
    site: Monitored, root: Root
) -> None:
    for number in range(5):
        assert site.ask(f"/boom/{number}")[0] == 500
    assert site.counts("cherrypy.exceptions") == {("KeyError", "/boom/{number}", "false"): 5}
    assert site.counts("cherrypy.responses") == {("5xx",): 5}
    assert site.counts("cherrypy.requests") == {("",): 5}
    assert site.counts("cherrypy.http_errors") == {}
    duration = site.counts("http.server.request.duration")
    key = ("GET", "/boom/{number}", "500", "http", "1.1", "500", "")
    assert duration == {key: 5}
    assert [
        (e["type"], e["route"], e["code"], e["count"]) for e in site.monitor.books.errors()
    ] == [("KeyError", "/boom/{number}", "500", 5)]


def test_an_internal_redirect_is_neither_an_error_nor_a_second_request(
    site: Monitored, root: Root
) -> None:
    assert site.ask("/inner") == (200, b"home")
    assert site.ask("/twice") == (200, b"home")
    assert site.counts("cherrypy.requests") == {("",): 2}
    assert site.counts("cherrypy.responses.code") == {("200",): 2}
    assert site.counts("cherrypy.exceptions") == {}
    assert site.counts("cherrypy.redirects") == {("internal",): 3}
    assert site.monitor.books.errors() == []
    routes = {labels[1] for labels in site.counts("http.server.request.duration")}
    assert routes == {"/"}


def test_answers_that_are_raised_are_handled_exceptions(site: Monitored, root: Root) -> None:
    assert site.ask("/teapot")[0] == 418
    assert site.ask("/busy")[0] == 503
    assert site.ask("/nowhere")[0] == 404
    assert site.ask("/away")[0] == 303
    assert site.counts("cherrypy.exceptions") == {
        ("test_monitor_house_answers.Own", "/teapot", "true"): 1,
        ("cherrypy.framework.errors.HTTPError", "/busy", "true"): 1,
        ("cherrypy.framework.errors.NotFound", "(unmatched)", "true"): 1,
    }
    assert site.counts("cherrypy.http_errors") == {
        ("418", "app"): 1,
        ("503", "app"): 1,
        ("404", "framework"): 1,
    }
    assert site.counts("cherrypy.redirects") == {("external",): 1}
    assert site.counts("cherrypy.request.unmatched") == {("",): 1}
    errors = [(e["type"], e["code"], e["count"]) for e in site.monitor.books.errors()]
    assert errors == [("cherrypy.framework.errors.HTTPError", "503", 1)]


def test_a_page_that_answers_5xx_by_itself_is_an_error_without_exception(
    site: Monitored, root: Root
) -> None:
    assert site.ask("/down")[0] == 502
    assert site.counts("cherrypy.exceptions") == {}
    errors = [(e["type"], e["route"], e["code"]) for e in site.monitor.books.errors()]
    assert errors == [("(none)", "/down", "502")]


def test_errors_that_are_let_out_of_the_framework_are_counted_all_the_same(
    site: Monitored,
) -> None:
    site.mount(Root(), {"/": {"request.throw_errors": True}})
    site.start()
    assert site.ask("/boom")[0] == 500
    assert site.counts("cherrypy.exceptions") == {("KeyError", "/boom", "false"): 1}
    assert [e["count"] for e in site.monitor.books.errors()] == [1]


def test_a_stream_that_breaks_is_an_exception(site: Monitored, root: Root) -> None:
    peer = site.connect(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    data = b""
    while block := peer.recv(65536):
        data += block
    peer.close()
    assert b"first" in data and not data.endswith(b"0\r\n\r\n")
    site.becomes("cherrypy.exceptions", {("OSError", "/stream", "false"): 1})
    assert [(e["type"], e["route"]) for e in site.monitor.books.errors()] == [
        ("OSError", "/stream")
    ]


def test_what_the_server_refuses_is_an_error_of_the_server(site: Monitored, root: Root) -> None:
    peer = site.connect(b"GET / HTTP/1.1\r\n\r\n")
    assert peer.recv(4096).startswith(b"HTTP/1.1 400")
    peer.close()
    assert site.counts("cherrypy.http_errors") == {("400", "server"): 1}
    assert site.counts("cherrypy.requests") == {}


def test_what_is_in_flight_is_known_by_method_scheme_and_application(
    site: Monitored, root: Root
) -> None:
    site.mount(Root(), path="/shop")
    thread = threading.Thread(target=site.ask, args=("/shop/wait",))
    thread.start()
    assert root.inside.wait(5) or Root.inside.is_set()
    assert site.counts("http.server.active_requests") == {("GET", "http", "/shop"): 1}
    oldest = until(lambda: site.counts("cherrypy.request.inflight.oldest").get((), 0) > 0.2)
    assert oldest
    root.gate.set()
    Root.gate.set()
    thread.join(5)
    assert site.counts("http.server.active_requests") == {}
    assert site.counts("cherrypy.request.inflight.oldest") == {}


def test_any_number_of_types_of_exceptions_has_a_limit() -> None:
    types = Types(3)
    made = [type(f"E{number}", (Exception,), {}) for number in range(10)]
    names = {types.name_of(kind) for kind in made}
    assert len(names) == 4 and "(other)" in names
    assert types.name_of(made[0]).endswith("E0")


def test_whose_code_has_raised() -> None:
    try:
        cherrypy.HTTPError(200)
    except ValueError as error:
        assert raised_by(error) == "framework"
    try:
        raise cherrypy.NotFound("/")
    except cherrypy.NotFound as error:
        assert raised_by(error) == "app"
    assert raised_by(ValueError()) == "framework"


def test_a_request_that_reaches_no_page_does_not_go_by_the_one_before(site: Monitored) -> None:
    def foreign(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"foreign"]

    site.mount(Root())
    cherrypy.tree.graft(foreign, "/other")
    site.start()
    connection = http.client.HTTPConnection(*site.address, timeout=10)  # so it is one thread
    for path in ("/", "/nowhere", "/", "/other", "/", "/nowhere"):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()
    routes = {labels[1]: n for labels, n in site.counts("http.server.request.duration").items()}
    assert routes == {"/": 3, "(unmatched)": 2, "(foreign)": 1}
