"""Parts A4 to A6 of the compatibility contract: the HTTP server's object, wordings, and traps."""

from __future__ import annotations

import gc
import http.client
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from contract_kit import FORM, served

import cherrypy


class Root:
    _cp_config: dict[str, Any] = {}

    @cherrypy.expose
    def index(self, *args: str, **params: str) -> str:
        return "page"

    @cherrypy.expose
    def needs(self, thing: str) -> str:
        return thing

    @cherrypy.expose
    def boom(self) -> str:
        raise RuntimeError("boomed")

    @cherrypy.expose
    def moved(self) -> str:
        raise cherrypy.HTTPRedirect("/there")

    @cherrypy.expose
    def status(self, code: str) -> str:
        cherrypy.response.status = code
        return "x"

    @cherrypy.expose
    @cherrypy.tools.json_in()
    def json(self) -> str:
        return repr(cherrypy.request.json)

    @cherrypy.expose
    @cherrypy.tools.accept(media=["text/x-a", "text/x-b"])
    def accepting(self) -> str:
        return "x"

    @cherrypy.expose
    @cherrypy.tools.referer(pattern="http://good")
    def referred(self) -> str:
        return "x"

    @cherrypy.expose
    @cherrypy.tools.gzip()
    def zipped(self) -> str:
        return "x"

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def streamed(self) -> Any:
        yield "begun"
        raise ValueError

    @cherrypy.expose
    def texts(self) -> str:
        return str(cherrypy.HTTPRedirect("/"))

    @cherrypy.expose
    def pages(self, what: str = "", status: str = "404") -> str:
        raise cherrypy.HTTPError(int(status))

    @cherrypy.expose
    def asked(self) -> str:
        return str(cherrypy.request.headers["Host"])


@pytest.fixture(scope="module")
def ask() -> Any:
    config = {
        "/broken": {"error_page.404": "/nonexistent/page.html"},
        "/pages": {
            "error_page.500": lambda **told: "short",
            "error_page.404": lambda **told: "short",
            "error_page.401": lambda **told: "short",
        },
        "/static": {"tools.staticdir.on": True},
    }
    with served(Root(), config) as found:
        yield found


# -------------------------------------------------------------------------------- A5, wordings


RAW: list[tuple[bytes, int, str]] = [
    (b"GET /\r\n\r\n", 400, r"^Malformed Request-Line"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nrubbish\r\n\r\n", 400, r"^Illegal header line\."),
    (b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400, r"^HTTP requires CRLF terminators$"),
    (b"GET / HTTP/1.1\nHost: h\n\n", 400, r"^HTTP requires CRLF terminators$"),
    (b"GET /#fragment HTTP/1.1\r\nHost: h\r\n\r\n", 400, "Illegal #fragment in Request-URI"),
    (b"GET mailto:x HTTP/1.1\r\nHost: h\r\n\r\n", 400, "Invalid path in Request-URI"),
    (b"CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n", 400,
     r"^Invalid path in Request-URI: request-target must match authority-form\.$"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n", 413,
     r"^The entity sent with the request exceeds the maximum allowed bytes\.$"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 600_000 + b"\r\n\r\n", 413, ""),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: " + FORM.encode() + b"\r\n\r\n", 411, ""),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(RAW)))
def test_wording_of_the_server(ask: Any, number: int) -> None:
    data, status, pattern = RAW[number]
    answer = ask.raw(data.replace(b"Host: h\r\n", b"Host: h\r\nConnection: close\r\n", 1))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, answer[:300]
    assert re.search(pattern, body.decode("latin-1")), body


ACCEPTED = "Your client sent this Accept header: text/x-c. But this resource only emits these media types: text/x-a, text/x-b."
CHARSET = (
    "Your client sent this Accept-Charset header: x-none, iso-8859-1;q=0. We tried these charsets: "
)
PAGES: list[tuple[str, dict[str, Any], int, str]] = [
    ("/nothing", {}, 404, "The path '/nothing' was not found."),
    ("/nothing", {}, 404, "404 Not Found"),
    ("/needs", {}, 404, "Missing parameters: thing"),
    ("/needs?thing=1&x=2", {}, 404, "Unexpected query string parameters: x"),
    ("/needs", {"method": "POST", "body": b"thing=1&x=2", "Content_Type": FORM}, 400, "Unexpected body parameters: x"),
    ("/needs/1?thing=2", {}, 404, "Multiple values for parameters"),
    ("/status?code=781", {}, 500, "Illegal response status from server (781 is out of range)."),
    ("/status?code=error", {}, 500, "Illegal response status from server ('error' is non-numeric)."),
    ("/?a=%FF", {}, 404, "The given query string could not be processed. Query strings for this resource must be encoded with 'utf8'."),
    ("/", {"method": "POST", "body": b"a=%FF", "Content_Type": FORM}, 400,
     "The request entity could not be decoded. The following charsets were attempted: ['utf-8']"),
    ("/", {"Accept_Charset": "x-none, iso-8859-1;q=0"}, 406, CHARSET),
    ("/zipped", {"Accept_Encoding": "identity;q=0"}, 406, "identity, gzip"),
    ("/accepting", {"Accept": "text/x-c"}, 406, ACCEPTED),
    ("/referred", {"Referer": "http://evil"}, 403, "Forbidden Referer header."),
    ("/json", {"method": "POST", "body": b"{}", "Content_Type": "text/plain"}, 415, "Expected an entity of content type application/json"),
    ("/json", {"method": "POST", "body": b"{,", "Content_Type": "application/json"}, 400, "Invalid JSON document"),
    ("/broken", {}, 404, "In addition, the custom error page failed:\n<br />FileNotFoundError: [Errno 2] "),
    ("/static", {}, 500, "staticdir() missing 2 required positional arguments"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PAGES)))
def test_wording_of_pages(ask: Any, number: int) -> None:
    from html import unescape

    path, how, status, text = PAGES[number]
    cherrypy.config["request.show_tracebacks"] = path == "/static"
    try:
        answer = ask(path, **how)
    finally:
        cherrypy.config["request.show_tracebacks"] = True
    assert answer.status == status, answer
    assert text in answer.text or text in unescape(answer.text)


def test_wording_of_redirects(ask: Any) -> None:
    answer = ask("/moved")
    assert answer.status == 303
    where = f"http://127.0.0.1:{ask.port}/there"
    assert re.search(
        rf"This resource .*<a href=(['\"]){re.escape(where)}\1>{re.escape(where)}</a>\.",
        answer.text,
    )


def test_pages_of_513_bytes(ask: Any) -> None:
    """Internet Explorer hid shorter ones of some statuses."""
    for path, size in [
        ("/pages/nothing", 513),
        ("/pages/refused/500", 513),
        ("/pages/refused/401", 5),
    ]:
        answer = ask(path)
        assert answer.text.strip() == "short"
        assert len(answer.body) == size


def test_more_than_was_declared_is_not_sent(ask: Any) -> None:
    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"longer"]

    cherrypy.tree.graft(wsgi, "/long")
    answer = ask("/long")
    text = "The requested resource returned more bytes than the declared Content-Length."
    assert (answer.status, answer.text) == (500, text)


def test_texts_of_exceptions(ask: Any) -> None:
    assert ask("/texts").text == f"(['http://127.0.0.1:{ask.port}/'], 303)"
    assert repr(cherrypy.HTTPError(404, "x").args) == "(404, 'x')"
    from cherrypy.lib.cptools import SessionAuth

    page = SessionAuth().login_screen("/", "u")
    assert b'<form method="post" action="do_login">' in page


def test_405_tells_what_the_table_says(ask: Any) -> None:
    from cherrypy.lib.httputil import response_codes

    class Only:
        @cherrypy.expose
        @cherrypy.tools.allow(methods=["PUT"])
        def index(self) -> str:
            return "x"

    cherrypy.tree.mount(Only(), "/only")
    answer = ask("/only/")
    assert answer.status == 405
    assert response_codes[405][1] in answer.text


# ---------------------------------------------------------------------- A4, the server's object


SERVER = """
wsgi_app timeout interrupt socket requests shutdown_timeout ssl_adapter stats ready numthreads
request_queue_size bind_addr
"""


def test_the_object_of_the_server(ask: Any) -> None:
    server = cherrypy.server.httpserver
    for name in SERVER.split():
        assert hasattr(server, name), name
    for name in ["min", "max", "idle", "grow", "shrink", "qsize", "_threads"]:
        assert hasattr(server.requests, name), name
    assert server.socket.getsockname() == ("127.0.0.1", ask.port)
    assert server.bind_addr == ("127.0.0.1", ask.port)
    assert server.ready
    assert server.timeout == cherrypy.server.socket_timeout


def test_another_application_after_the_start(ask: Any) -> None:
    server = cherrypy.server.httpserver
    before = server.wsgi_app

    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"other"]

    server.wsgi_app = other
    try:
        assert ask("/").text == "other"
    finally:
        server.wsgi_app = before
    assert ask("/").text == "page"


def test_idle_connections_end_with_the_time_limit(ask: Any) -> None:
    server = cherrypy.server.httpserver
    before, server.timeout = server.timeout, 0.3
    try:
        with socket.create_connection(("127.0.0.1", ask.port), 10) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            began = time.monotonic()
            data = b""
            while block := peer.recv(65536):  # to the end of the file
                data += block
        assert data.endswith(b"page")
        assert time.monotonic() - began < 5
    finally:
        server.timeout = before


# ------------------------------------------------------------------------------------ A6, traps


def test_nothing_is_frozen(ask: Any) -> None:
    app = cherrypy.tree.apps[""]
    app.root.late = cherrypy.expose(lambda: "late")
    assert ask("/late").text == "late"
    del app.root.late
    assert ask("/late").status == 404
    Root._cp_config["response.headers.X-Class"] = "1"
    assert ask("/")["X-Class"] == "1"
    Root._cp_config.clear()
    assert ask("/")["X-Class"] is None
    cherrypy.config["response.headers.X-Site"] = "2"
    assert ask("/")["X-Site"] == "2"
    del cherrypy.config["response.headers.X-Site"]
    assert ask("/")["X-Site"] is None
    cherrypy.tools.contract_new = cherrypy.Tool(
        "before_finalize", lambda: cherrypy.response.headers.update({"X-Tool": "3"})
    )
    app.merge({"/": {"tools.contract_new.on": True}})
    assert ask("/")["X-Tool"] == "3"
    app.merge({"/": {"tools.contract_new.on": False}})
    assert ask("/")["X-Tool"] is None
    del cherrypy.tools.contract_new
    before, cherrypy.tree = cherrypy.tree, cherrypy._cptree.Tree()
    try:
        cherrypy.tree.mount(Root(), "/elsewhere")
        cherrypy.server.httpserver.wsgi_app = cherrypy.tree
        assert ask("/elsewhere/").text == "page"
        assert ask("/").status == 404
    finally:
        cherrypy.tree = before
        cherrypy.server.httpserver.wsgi_app = cherrypy.tree
    assert ask("/").text == "page"


def test_the_session_may_be_deleted_and_comes_back(ask: Any) -> None:
    class Counted:
        @cherrypy.expose
        @cherrypy.tools.sessions()
        def index(self) -> str:
            cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
            return str(cherrypy.session["n"])

    cherrypy.tree.mount(Counted(), "/counted")
    for _ in range(2):
        assert ask("/counted/").text == "1"
        assert hasattr(cherrypy, "session")
        del cherrypy.session
        kind = cherrypy.lib.sessions.RamSession
        if kind.clean_thread:
            kind.clean_thread.stop()
            kind.clean_thread.unsubscribe()
            del kind.clean_thread


def test_the_headers_of_autovary(ask: Any) -> None:
    class Varied:
        @cherrypy.expose
        @cherrypy.tools.autovary()
        @cherrypy.tools.gzip()
        def index(self) -> str:
            return "x"

    cherrypy.tree.mount(Varied(), "/varied")
    answer = ask("/varied/", Accept_Encoding="gzip")
    names = {name.strip() for name in str(answer["Vary"]).split(",")}
    assert names <= {
        "Accept",
        "Accept-Charset",
        "Accept-Encoding",
        "Host",
        "If-Modified-Since",
        "Range",
    }
    assert {"Accept-Charset", "Accept-Encoding"} <= names


def test_a_host_in_rfc_2047_loses_its_newline(ask: Any) -> None:
    assert ask("/asked", Host="=?iso-8859-1?q?foo=0Abar?=").text == "foobar"


def test_a_stream_that_breaks_is_left_incomplete(ask: Any) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask("/streamed")


def test_a_100_and_a_body_that_nobody_wants(ask: Any) -> None:
    def refuse() -> None:
        raise cherrypy.HTTPError(403)

    cherrypy.tools.contract_refuse = cherrypy.Tool("on_start_resource", refuse)
    cherrypy.tree.apps[""].merge({"/refused": {"tools.contract_refuse.on": True}})
    with socket.create_connection(("127.0.0.1", ask.port), 10) as peer:
        peer.sendall(
            b"POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        first = peer.recv(100)
        assert first.split()[1] in (b"100", b"403")
        peer.sendall(b"body" + b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        rest = first
        while block := peer.recv(65536):
            rest += block
    assert rest.count(b"HTTP/1.1 403") == 1
    assert rest.endswith(b"page")
    del cherrypy.tools.contract_refuse


def test_who_leaves_has_the_response_closed(ask: Any) -> None:
    """Within 0.4 s, when the server's time limit is 0.2."""
    closed, ended = threading.Event(), threading.Event()

    class Endless:
        @cherrypy.expose
        @cherrypy.config(**{"response.stream": True})
        def index(self) -> Any:
            cherrypy.request.hooks.attach("on_end_request", ended.set)
            try:
                while True:
                    yield b"x" * 65536
            finally:
                closed.set()

    cherrypy.tree.mount(Endless(), "/endless")
    server = cherrypy.server.httpserver
    before, server.timeout = server.timeout, 0.2
    try:
        with socket.create_connection(("127.0.0.1", ask.port), 10) as peer:
            peer.sendall(b"GET /endless/ HTTP/1.1\r\nHost: h\r\n\r\n")
            peer.recv(1000)
        assert closed.wait(0.8)
        assert ended.wait(0.8)
    finally:
        server.timeout = before
    gc.collect()


def test_the_icon_is_served(ask: Any) -> None:
    name = Path(cherrypy.__file__).with_name("favicon.ico")
    icon = cherrypy.tools.staticfile.handler(filename=str(name))
    cherrypy.tree.apps[""].root.favicon_ico = icon
    assert ask("/favicon.ico").body == name.read_bytes()
