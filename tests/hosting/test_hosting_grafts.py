"""Real applications of other frameworks, grafted beside pages: routes, bodies, streams, files, errors."""

from __future__ import annotations

import io
import itertools
import os
import socket

import bottle
import falcon
import flask
import pytest
from hosting_kit import hosted, read_all, read_until, until

import cherrypy


class Page:
    @cherrypy.expose
    def index(self):
        return "a page"


LARGE = bytes(range(256)) * 2000


def flask_app(closed):
    app = flask.Flask("grafted")

    @app.get("/hello/<name>")
    def hello(name):
        return f"{name} {flask.request.args['q']} {flask.url_for('hello', name='x')}"

    @app.post("/size")
    def size():
        return str(len(flask.request.get_data()))

    @app.get("/stream")
    def stream():
        def numbers():
            try:
                for number in itertools.count():
                    yield f"{number}\n"
                    if number == 2 and "endless" not in flask.request.args:
                        break
            finally:
                closed.append(1)

        return flask.Response(flask.stream_with_context(numbers()))

    @app.get("/file")
    def file():
        return flask.send_file(io.BytesIO(LARGE), mimetype="application/x-large")

    @app.get("/broken")
    def broken():
        raise LookupError("a secret")

    return app


def falcon_app(closed):
    class Hello:
        def on_get(self, request, response, name):
            response.text = f"{name} {request.get_param('q')} {request.root_path}/hello/x"

    class Size:
        def on_post(self, request, response):
            response.text = str(len(request.bounded_stream.read()))

    class Stream:
        def on_get(self, request, response):
            response.content_type = "text/plain"
            endless = request.get_param("endless")
            response.stream = Numbers(closed, None if endless else 3)

    class File:
        def on_get(self, request, response):
            response.content_type = "application/x-large"
            response.set_stream(io.BytesIO(LARGE), len(LARGE))

    class Broken:
        def on_get(self, request, response):
            raise LookupError("a secret")

    app = falcon.App()
    app.add_route("/hello/{name}", Hello())
    app.add_route("/size", Size())
    app.add_route("/stream", Stream())
    app.add_route("/file", File())
    app.add_route("/broken", Broken())
    return app


class Numbers:
    """A body with a close() of its own."""

    def __init__(self, closed, end):
        self.closed = closed
        self.numbers = itertools.count() if end is None else iter(range(end))

    def __iter__(self):
        return self

    def __next__(self):
        return b"%d\n" % next(self.numbers)

    def close(self):
        self.closed.append(1)


def bottle_app(closed):
    app = bottle.Bottle()

    @app.get("/hello/<name>")
    def hello(name):
        return f"{name} {bottle.request.query.q} {bottle.request.script_name}hello/x"

    @app.post("/size")
    def size():
        return str(len(bottle.request.body.read()))

    @app.get("/stream")
    def stream():
        bottle.response.content_type = "text/plain"
        try:
            for number in itertools.count():
                yield f"{number}\n"
                if number == 2 and not bottle.request.query.endless:
                    break
        finally:
            closed.append(1)

    @app.get("/file")
    def file():
        bottle.response.content_type = "application/x-large"
        return io.BytesIO(LARGE)

    @app.get("/broken")
    def broken():
        raise LookupError("a secret")

    return app


def django_app(closed):
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF="django_urls",
            SECRET_KEY="x",
            MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
            LOGGING_CONFIG=None,
            USE_TZ=True,
        )
        django.setup()
    import django_urls
    from django.core.wsgi import get_wsgi_application

    django_urls.closed = closed
    return get_wsgi_application()


APPS = {"flask": flask_app, "falcon": falcon_app, "bottle": bottle_app, "django": django_app}


@pytest.fixture(params=sorted(APPS))
def closed(request, monkeypatch, site):
    closed = []
    site.tree.mount(Page())
    site.tree.graft(APPS[request.param](closed), "/there")
    site.start()
    return closed


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        yield made


def test_routes_see_the_path_below_their_mount_point(site, closed):
    assert site.ask("/there/hello/J%C3%BCrgen%20?q=%C3%A9+%26") == (
        200,
        "Jürgen  é & /there/hello/x",
    )
    assert site.ask("/") == (200, "a page")
    assert site.ask("/there/nothing")[0] == 404


@pytest.mark.parametrize("size", [0, 1, 70_000, 2_000_000])
def test_bodies(site, closed, size):
    assert site.ask("/there/size", "POST", b"x" * size) == (200, str(size))


def in_blocks(data, size=70_000):
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [0, 1, 3000, 65536, 300_000, 2_000_000])
def test_bodies_in_chunks(site, closed, size):
    """Falcon, Django and Bottle know a body by its length alone: so it has one."""
    data = b"x" * size
    assert site.ask("/there/size", "POST", in_blocks(data)) == (200, str(size))
    assert site.ask("/") == (200, "a page")


def test_bodies_in_chunks_of_a_graft_that_is_the_whole_site(site):
    site.tree.graft(falcon_app([]), "/")
    site.start()
    assert site.ask("/size", "POST", in_blocks(b"x" * 100_000)) == (200, "100000")


def test_a_body_in_chunks_beyond_the_limit_is_refused(site, closed):
    site.server.max_request_body_size = 1_000_000
    peer = site.connect(
        b"POST /there/size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    block = b"c350\r\n" + b"x" * 50_000 + b"\r\n"
    with peer:
        try:
            for _ in range(40):
                peer.sendall(block)
        except OSError:
            pass
        assert read_all(peer).startswith(b"HTTP/1.1 413 ")
    assert site.ask("/") == (200, "a page")


def test_what_a_graft_is_told_of_a_body_in_chunks(site):
    told = []

    def app(environ, start_response):
        body = environ["wsgi.input"]
        lines = [body.readline(3), *body.readlines()[:1]]
        body.seek(0)
        told.append((environ.get("CONTENT_LENGTH"), "HTTP_TRANSFER_ENCODING" in environ, lines))
        start_response("200 OK", [])
        return [b"%d %d" % (len(body.read()), len(list(body)))]

    site.tree.graft(app, "/whole")
    site.tree.graft(asking, "/streamed", whole_bodies=False)
    site.start()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for size in (10, 100_000, 1_000_000):
        data = b"a line\n" * size
        assert site.ask("/whole", "POST", in_blocks(data)) == (200, f"{len(data)} 0")
        assert told.pop() == (str(len(data)), False, [b"a l", b"ine\n"])
        assert site.ask("/streamed", "POST", in_blocks(data)) == (200, f"None True {len(data)}")
    assert site.ask("/whole", "POST", b"a line\n") == (200, "7 0")
    if before:
        until(
            lambda: len(os.listdir("/proc/self/fd")) <= before, "the temporary files to be closed"
        )


def asking(environ, start_response):
    """As Flask does, and others that know of `wsgi.input_terminated`."""
    size = len(environ["wsgi.input"].read()) if environ["wsgi.input_terminated"] else -1
    start_response("200 OK", [])
    chunked = environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
    return [f"{environ.get('CONTENT_LENGTH')} {chunked} {size}".encode()]


class Reader:
    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def index(self):
        request = cherrypy.request
        size = len(request.rfile.read())
        return f"{request.headers.get('Content-Length')} {size}"


def test_pages_among_grafts_read_chunks_as_they_come(site):
    """Behind a dispatcher by domain, and in a tree in the tree, too."""
    pages = cherrypy.Application(Reader(), "/hosts")
    hosts = cherrypy.wsgi.VirtualHost(pages, {"falcon": falcon_app([])})
    inner = type(site.tree)()
    inner.mount(Reader(), "/inner/pages")
    inner.graft(falcon_app([]), "/inner/falcon")
    site.tree.mount(Reader(), "/pages")
    site.tree.graft(hosts, "/hosts")
    site.tree.graft(inner, "/inner")
    site.start()
    data = b"x" * 100_000
    for path in ("/pages/", "/hosts/", "/inner/pages/"):
        assert site.ask(path, "POST", in_blocks(data)) == (200, "None 100000")
    assert site.ask("/hosts/size", "POST", in_blocks(data), Host="falcon") == (200, "100000")
    assert site.ask("/inner/falcon/size", "POST", in_blocks(data)) == (200, "100000")


def test_a_graft_may_answer_while_chunks_still_come(site):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"<" + environ["wsgi.input"].read(70_000)[:1])
        write(environ["wsgi.input"].read()[:1] + b">")
        return []

    site.tree.graft(app, "/streamed", whole_bodies=False)
    site.start()
    with site.connect(
        b"POST /streamed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"11170\r\n" + b"a" * 70_000 + b"\r\n"
    ) as peer:
        data = read_until(peer, b"<a")
        peer.sendall(b"1\r\nb\r\n0\r\n\r\n")
        read_until(peer, b"b>", data)


def test_a_body_that_ends_early_calls_nobody(site):
    called = []

    def app(environ, start_response):
        called.append(1)
        start_response("200 OK", [])
        return [b""]

    site.tree.graft(app, "/there")
    site.start()
    head = b"POST /there HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest, answer in ((b"zz\r\n", b"HTTP/1.1 400 "), (b"", b"")):
        with site.connect(head + b"11170\r\n" + b"a" * 70_000 + b"\r\n" + rest) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert read_all(peer).startswith(answer)
    assert called == []


def test_streams(site, closed):
    assert site.ask("/there/stream") == (200, "0\n1\n2\n")
    until(lambda: closed == [1], "the end of the generator")


def test_a_stream_without_end_is_closed_when_nobody_reads(site, closed):
    with site.connect(b"GET /there/stream?endless=1 HTTP/1.1\r\nHost: x\r\n\r\n") as peer:
        assert peer.recv(100)
    until(lambda: closed == [1], "close()")


def test_files(site, closed):
    with site.connect(b"GET /there/file HTTP/1.0\r\nHost: x\r\n\r\n") as peer:
        head, _, body = read_all(peer).partition(b"\r\n\r\n")
    assert b"application/x-large" in head
    assert body == LARGE


def test_errors_stay_inside(site, closed):
    status, text = site.ask("/there/broken")
    assert status == 500
    assert "a secret" not in text
    assert site.ask("/") == (200, "a page")


def test_tools_do_not_reach_into_a_graft(site, closed):
    cherrypy.config.update({"tools.response_headers.on": True})
    cherrypy.config.update({"tools.response_headers.headers": [("X-Tool", "yes")]})
    with site.connect(b"GET /there/stream HTTP/1.0\r\n\r\n") as peer:
        assert b"X-Tool" not in read_all(peer)
    with site.connect(b"GET / HTTP/1.0\r\n\r\n") as peer:
        assert b"X-Tool" in read_all(peer)


def test_a_graft_and_a_page_share_a_connection(site, closed):
    first = b"GET /there/hello/a?q=b HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with site.connect(first + last) as peer:
        data = read_all(peer)
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(b"a page")
    assert b"a b /there/hello/x" in data


def test_text_is_taken_for_latin_1_and_said_so_once(site):
    """The sample of CherryPy's own documentation returns text, which PEP 3333 does not allow."""

    def raw_wsgi_app(environ, start_response):
        status = "200 OK"
        response_headers = [("Content-type", "text/plain")]
        start_response(status, response_headers)
        return ["Hello world!", "\xe9"]

    site.tree.graft(raw_wsgi_app, "/")
    site.start()
    for _ in range(3):
        with site.connect(b"GET /any/path HTTP/1.0\r\n\r\n") as peer:
            assert read_all(peer).endswith(b"\r\n\r\nHello world!\xe9")
    assert site.text().count("a response body item is str, not bytes; sent as latin-1") == 1


def test_text_beyond_latin_1_is_an_error(site):
    def app(environ, start_response):
        start_response("200 OK", [])
        return ["\u20ac"]

    site.tree.graft(app, "/")
    site.start()
    assert site.ask("/")[0] == 500
