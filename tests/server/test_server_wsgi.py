"""PEP 3333, read closely."""

import sys
from wsgiref.validate import validator

import pytest


def environ_of(bench, request, **settings):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    server = bench.server(app, **settings)
    peer = bench.peer(server).send(request)
    assert peer.response()[0] == 200
    seen["peer"] = peer.sock.getsockname()
    seen["server"] = server.bound_addresses[0]
    return seen


def test_environ(bench):
    env = environ_of(
        bench,
        b"POST /a%20b/%E2%82%AC;p?q=%201&r HTTP/1.1\r\nHost: foo:80\r\nX-A: 1\r\nX-A: 2\r\n"
        b"Content-Type: a/b\r\nContent-Length: 2\r\n\r\nhi",
    )
    assert env["REQUEST_METHOD"] == "POST"
    assert env["SCRIPT_NAME"] == "" and env["PATH_INFO"] == "/a b/\xe2\x82\xac;p"
    assert env["QUERY_STRING"] == "q=%201&r"
    assert env["REQUEST_URI"] == env["RAW_URI"] == "/a%20b/%E2%82%AC;p?q=%201&r"
    assert env["SERVER_PROTOCOL"] == env["ACTUAL_SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["CONTENT_TYPE"] == "a/b" and env["CONTENT_LENGTH"] == "2"
    assert env["HTTP_HOST"] == "foo:80" and env["HTTP_X_A"].replace(" ", "") == "1,2"
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == (env["peer"][0], str(env["peer"][1]))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(env["server"][1]))
    assert env["wsgi.version"] == (1, 0) and env["wsgi.url_scheme"] == "http"
    assert env["wsgi.multithread"] is True and env["wsgi.input_terminated"] is True
    env["wsgi.errors"].write("")
    env["wsgi.errors"].flush()


def test_asterisk(bench):
    env = environ_of(bench, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (env["PATH_INFO"], env["REQUEST_URI"]) == ("/*", "*")


def test_environs_do_not_leak_into_each_other(bench):
    def app(environ, start_response):
        found = environ.get("mine"), "HTTP_X" in environ
        environ["mine"] = environ["HTTP_X"] = 1
        environ["REMOTE_ADDR"] = "changed"
        start_response("200 OK", [])
        return [repr((found, environ["REMOTE_ADDR"])).encode()]

    peer = bench.peer(bench.server(app))
    for _ in range(3):
        assert peer.get()[2] == b"((None, False), 'changed')"


@pytest.mark.filterwarnings("error")
def test_wsgiref_validate(bench):
    def app(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.errors"].write("")
        if environ["PATH_INFO"] == "/write":
            start_response("200 OK", [("Content-Type", "text/plain")])(b"written ")
        else:
            start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok ", body]

    server = bench.server(validator(app))
    peer = bench.peer(server)
    assert peer.get("/a?b=c")[2] == b"ok "
    peer.send(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc")
    assert peer.response()[2] == b"ok abc"
    assert peer.get("/write")[2] == b"written ok "
    assert bench.errors() == []


def test_write_callable(bench):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one")
        write(b"two" * 20000)
        return [b"three"]

    peer = bench.peer(bench.server(app))
    for _ in range(2):
        assert peer.get()[2] == b"one" + b"two" * 20000 + b"three"


def test_generator_application_and_exc_info(bench):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b""
        try:
            raise RuntimeError("early")
        except RuntimeError:
            start_response("503 Later", [("X-Late", "1")], sys.exc_info())
        yield b"replaced"
        try:
            raise RuntimeError("late")
        except RuntimeError:
            start_response("500 No", [], sys.exc_info())
        yield b"never"

    peer = bench.peer(bench.server(app)).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    data = peer.rest()
    assert data.startswith(b"HTTP/1.1 503 Later\r\n") and b"X-Late: 1" in data
    assert b"replaced" in data and b"never" not in data and not data.endswith(b"0\r\n\r\n")
    assert len(bench.errors()) == 1


@pytest.mark.parametrize("body", [[], [b""], iter([]), (b"", b"")])
def test_empty_bodies(bench, body):
    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    peer = bench.peer(bench.server(app))
    assert peer.get()[2] == b""
    assert peer.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n").response("HEAD")[0] == 200


def test_faulty_applications_get_500(bench):
    def twice(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    def headers(pairs):
        def app(environ, start_response):
            start_response("200 OK", pairs)
            return [b"x"]

        return app

    server = bench.server()
    faulty = (
        twice,
        lambda environ, start_response: [b"no status"],
        lambda environ, start_response: None,
        headers([("A", "b\r\nSet-Cookie: x")]),
        headers([("A: b", "c")]),
        headers([("A", 1)]),
        headers(None),
        headers((("A", "b"),)),
        lambda environ, start_response: start_response(200, []) or [],
        lambda environ, start_response: start_response("200 OK", []) and [1],
    )
    for app in faulty:
        server.app = app
        status, _, body = bench.peer(server).get()
        assert status == 500 and b"Traceback" not in body
    assert len(bench.errors()) == len(faulty)


def test_str_items_are_forgiven_once_warned(bench):
    def app(environ, start_response):
        start_response("200 OK", [])
        return ["caf\xe9"] if environ["PATH_INFO"] == "/list" else iter(["caf\xe9"])

    peer = bench.peer(bench.server(app))
    assert peer.get("/list")[2] == peer.get("/iter")[2] == b"caf\xe9"
    assert len(bench.errors()) == 1


def test_app_is_replaced_while_serving(bench):
    def other(environ, start_response):
        start_response("200 OK", [])
        return [b"other"]

    server = bench.server()
    peer = bench.peer(server)
    assert peer.get()[2] == b"hello"
    server.app = other
    assert peer.get()[2] == b"other"


def test_close_is_called_once_even_for_head_and_errors(bench):
    closed = []

    class Body:
        def __init__(self, fail):
            self.fail = fail

        def __iter__(self):
            if self.fail:
                raise RuntimeError
            return iter([b"a", b"b"])

        def close(self):
            closed.append(1)
            raise RuntimeError("in close")

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body(environ["QUERY_STRING"])

    server = bench.server(app)
    peer = bench.peer(server)
    assert peer.get()[2] == b"ab"
    peer.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n").response("HEAD")
    assert peer.get("/?fail")[0] == 500
    assert bench.until(lambda: closed == [1, 1, 1])


def test_gateway_bypasses_wsgi(bench):
    from kirsch.server.server import Server

    seen = []

    def gateway(exchange):
        seen.append(
            (
                exchange.head.method,
                exchange.remote,
                exchange.local,
                exchange.scheme,
                exchange.server,
            )
        )
        return "200 OK", [(b"X-Native", b"1")], exchange.body.read() or b"native"

    server = Server(("127.0.0.1", 0), gateway=gateway)
    server.start()
    try:
        peer = bench.peer(server)
        _status, fields, body = peer.get()
        assert body == b"native" and fields["x-native"] == "1"
        peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi")
        assert peer.response()[2] == b"hi"
        assert seen[0] == ("GET", peer.sock.getsockname(), peer.sock.getpeername(), "http", server)
    finally:
        server.stop()
