"""What the server takes up at once is looked at once; what changes is seen by all that comes after."""

import http.client
import logging
import os
import socket
import threading

import pytest
from cherrypy._cpconfig import merge
from test_hosting_servers import engine, get, server  # noqa: F401 fixtures are found by their names

import cherrypy
from cherrypy.framework import config
from cherrypy.framework.exchange import Asked, Origin, answer, resumed
from cherrypy.framework.logs import access_logged
from cherrypy.framework.templates import ClassHooks


class Root:
    @cherrypy.expose
    def index(self):
        return "Hello"

    @cherrypy.expose
    def on(self):
        cherrypy.tree.apps[""].merge({"/": {"tools.response_headers.on": True}})
        cherrypy.tree.apps[""].merge({"/": {"tools.response_headers.headers": [("X-On", "yes")]}})
        return "on"

    @cherrypy.expose
    def moved(self):
        del cherrypy.tree.apps[""]
        cherrypy.tree.graft(other, "")
        return "moved"

    @cherrypy.expose
    def log(self):
        cherrypy.log.access_log.addHandler(records)
        return "log"

    @cherrypy.expose
    def dispatch(self):
        cherrypy.tree.apps[""].merge({"/": {"request.dispatch": elsewhere}})
        return "dispatch"


def other(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"other"]


def elsewhere(path):
    cherrypy.serving.request.config = {}
    cherrypy.serving.request.handler = lambda: b"elsewhere"


class Records(logging.Handler):
    lines: list[str] = []

    def emit(self, record):
        self.lines.append(record.getMessage())


records = Records()


@pytest.fixture
def site(server):  # noqa: F811 the fixture of that name
    cherrypy.tree.mount(Root())
    records.lines.clear()
    yield server
    cherrypy.log.access_log.removeHandler(records)


def pipelined(site, *paths):
    """Send requests in one piece, and return everything that comes back."""
    lines = [f"GET {path} HTTP/1.1\r\nHost: x\r\n" for path in paths]
    lines[-1] += "Connection: close\r\n"
    with socket.create_connection(site.bound_addr, timeout=10) as peer:
        peer.sendall("\r\n".join([*lines, ""]).encode())
        found = b""
        while piece := peer.recv(65536):
            found += piece
    return found


def warmed(site):
    """Have everything remembered that is remembered, and the handlers known to be quick."""
    for path in ("/", "/", "/", "/"):
        assert get(site, path)[0] == 200


def test_what_a_handler_changes_is_seen_by_the_request_behind_it(site):
    """Even when both have come in one piece, and the server has taken them up at once."""
    warmed(site)
    assert b"X-On" not in pipelined(site, "/", "/", "/")
    first, second = pipelined(site, "/", "/on", "/").split(b"\r\n\r\non")
    assert b"X-On: yes" not in first
    assert b"X-On: yes" in second


def test_a_dispatcher_named_by_a_handler_finds_the_next_page(site):
    warmed(site)
    found = pipelined(site, "/", "/dispatch", "/")
    assert found.endswith(b"elsewhere"), found


def test_who_listens_to_the_log_reads_of_the_next_request(site, monkeypatch):
    monkeypatch.setattr(cherrypy.log.access_log, "propagate", False)  # pytest listens, too
    warmed(site)
    pipelined(site, "/", "/log", "/?after")
    assert any("/?after" in line for line in records.lines)


def test_a_graft_takes_the_next_request(site):
    warmed(site)
    found = pipelined(site, "/", "/moved", "/")
    if isinstance(site.httpserver, cherrypy._cpnative_server.CPHTTPServer):
        assert b"cannot be served by the native server" in found  # as ever
    else:
        assert found.endswith(b"other")


def answered(app, turn, path="/", **fields):
    asked = Asked("GET", path, "", {"HTTP_HOST": "x", **fields}, 1)
    origin = Origin(("127.0.0.1", 80), ("127.0.0.1", 50000), "http")
    return answer(app, asked, None, origin, None, "HTTP/1.1", True, turn)


def ask(app, turn):
    return dict(answered(app, turn)[1])


def test_only_within_a_turn_is_anything_taken_for_unchanged():
    app = cherrypy.Application(Root())
    turn = object()
    for one in (None, turn, turn):
        assert "X-On" not in ask(app, one)
    merge(
        app.config,
        {
            "/": {
                "tools.response_headers.on": True,
                "tools.response_headers.headers": [("X-On", "1")],
            }
        },
    )
    assert ask(app, None)["X-On"] == "1"  # who has no turn looks at everything
    assert ask(app, object())["X-On"] == "1"


def test_a_plan_that_no_longer_holds_is_found_out_by_the_next_turn():
    source, turn = {"a": 1}, object()
    first = config.plan((source,), None, turn)
    assert config.plan((source,), None, turn) is first
    source["a"] = 2
    assert config.plan((source,), None, object()).config == {"a": 2}
    assert config.plan((source,)).config == {"a": 2}


def test_two_applications_in_one_turn_keep_their_toolboxes_apart():
    """Without configuration of their own they share a plan, but not what their toolboxes make of it."""
    turn, seen = object(), []
    usual, own = cherrypy.Application(Root()), cherrypy.Application(Root())
    box = cherrypy._cptools.Toolbox("own")
    box.mark = cherrypy.Tool("before_handler", lambda: seen.append(1))
    own.toolboxes = {**own.toolboxes, "own": box}
    Root.index._cp_config = {"own.mark.on": True}
    try:
        for app in (usual, own, usual, own):
            ask(app, turn)
    finally:
        del Root.index._cp_config
    assert seen == [1, 1]


def test_nobody_who_wants_the_log_is_forgotten_beyond_a_turn():
    app, turn = cherrypy.Application(Root()), object()
    app.log.access_log.propagate = False  # pytest listens, too
    assert not access_logged(app, turn)
    app.log.access_log.addHandler(records)
    try:
        assert access_logged(app, object())
        assert access_logged(app)
    finally:
        app.log.access_log.removeHandler(records)


def test_a_change_is_seen_by_all_that_comes_after_it_while_others_keep_the_server_busy(site):
    """Turns are made and forgotten all the time; no request is served by what was known before it came."""
    app = cherrypy.tree.apps[""]
    app.merge({"/": {"tools.response_headers.on": True}})
    busy = threading.Event()

    def press():
        piece = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10
        with socket.create_connection(site.bound_addr, timeout=10) as peer:
            while not busy.is_set():
                peer.sendall(piece)
                peer.recv(65536)

    others = [threading.Thread(target=press) for _ in range(4)]
    for thread in others:
        thread.start()
    connection = http.client.HTTPConnection(*site.bound_addr, timeout=10)
    try:
        for number in range(300):
            app.config["/"]["tools.response_headers.headers"] = [("X-Now", str(number))]
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.read() == b"Hello"
            assert response.getheader("X-Now") == str(number)
    finally:
        busy.set()
        for thread in others:
            thread.join(10)
        connection.close()


def test_a_request_that_was_parked_has_no_turn_any_more():
    """Others have come since, and what was looked up for it may have changed."""
    app = cherrypy.Application(Root())
    request, _ = app.get_serving(None, None, "http", "HTTP/1.1")
    request._turn = object()
    seen = []

    def go_on():
        seen.append(request._turn)
        cherrypy.serving.response.finalize()

    resumed(app, None, Origin(None, None, "http"), None, "HTTP/1.1", request, go_on)
    assert seen == [None]


def replaced(path, text):
    """Put another file in the place of one, as careful programs do."""
    (path.parent / "new").write_text(text)
    os.replace(path.parent / "new", path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(ClassHooks, "seen", False)  # by another test: then no file is read for two
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("other")
    sections = {"/": {"tools.staticdir.on": True, "tools.staticdir.dir": str(tmp_path)}}
    return cherrypy.Application(None, "", sections), tmp_path / "a.txt"


def test_a_file_is_read_once_for_all_that_had_come_before(files):
    app, path = files
    turn = object()
    first = answered(app, turn, "/a.txt")
    replaced(path, "second")
    again = answered(app, turn, "/a.txt")
    for status, fields, body in (first, again):
        assert (status, dict(fields)["Content-Length"], body) == ("200 OK", "3", b"one")
    assert dict(first[1])["Etag"] == dict(again[1])["Etag"]
    assert answered(app, turn, "/b.txt")[2] == b"other"
    for later in (object(), None, None):
        assert answered(app, later, "/a.txt")[2] == b"second"
        replaced(path, "third")
        if later is not None:
            assert answered(app, later, "/a.txt")[2] == b"second"
        assert answered(app, object(), "/a.txt")[2] == b"third"
        replaced(path, "second")


def test_who_asks_for_more_than_the_file_has_it_looked_at(files):
    app, path = files
    turn = object()
    tag = dict(answered(app, turn, "/a.txt")[1])["Etag"]
    assert answered(app, turn, "/a.txt", HTTP_IF_NONE_MATCH=tag)[0].startswith("304")
    replaced(path, "second")
    assert answered(app, turn, "/a.txt", HTTP_IF_NONE_MATCH=tag)[0].startswith("200")


@pytest.mark.parametrize("point", ["on_start_resource", "before_request_body", "before_handler"])
def test_what_a_hook_writes_is_what_its_request_gets(files, point):
    app, path = files
    turn = object()
    assert answered(app, turn, "/a.txt")[2] == b"one"
    count = iter(range(9))
    hook = cherrypy._cprequest.Hook(lambda: replaced(path, f"v{next(count)}"), priority=1)
    app.merge({"/": {f"hooks.{point}": hook}})
    turn = object()
    assert [answered(app, turn, "/a.txt")[2] for _ in range(3)] == [b"v0", b"v1", b"v2"]
