"""`cherrypy.Application` and trees on foreign servers: waitress, gunicorn, wsgiref, and one like mod_wsgi."""

from __future__ import annotations

import gzip
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import wsgiref.simple_server
from contextlib import contextmanager
from pathlib import Path

import foreign_site
import pytest
import waitress.server
from hosting_kit import ask, read_all, read_until, until

from cherrypy.lib.sessions import RamSession

HERE = Path(foreign_site.__file__).parent


# -- the hosts ---------------------------------------------------------------------------------


@contextmanager
def wsgiref_host(app, handler_class=None):
    class Quiet(handler_class or wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *args):
            pass

    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet)
    server.RequestHandlerClass.timeout = 10
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class Dechunked:
    """`wsgi.input` of a host that takes chunked bodies off: it ends where the body ends."""

    def __init__(self, rfile):
        self.rfile = rfile
        self.left = 0
        self.done = False

    def read(self, size=-1):
        data = b""
        while not self.done and (size < 0 or len(data) < size):
            if not self.left:
                self.left = int(self.rfile.readline().strip() or b"0", 16)
                if not self.left:
                    self.rfile.readline()
                    self.done = True
                    break
            block = self.rfile.read(self.left if size < 0 else min(self.left, size - len(data)))
            self.left -= len(block)
            data += block
            if not self.left:
                self.rfile.readline()
        return data

    def readline(self, size=-1):
        line = b""
        while not line.endswith(b"\n") and (size < 0 or len(line) < size):
            if not (byte := self.read(1)):
                break
            line += byte
        return line


class LikeModWSGI(wsgiref.simple_server.WSGIRequestHandler):
    """Mounted below a path, several processes, chunked input, strict about what it is given; no
    `wsgi.file_wrapper`."""

    mount = "/mnt"
    protocol_version = "HTTP/1.1"

    def handle(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.parse_request():
            return
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        environ = self.get_environ()
        environ["SCRIPT_NAME"] = self.mount
        environ["PATH_INFO"] = environ["PATH_INFO"][len(self.mount) :]
        environ["REQUEST_URI"] = self.path
        environ["SERVER_PROTOCOL"] = "HTTP/1.1"
        environ.update(
            {
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.errors": sys.stderr,
                "wsgi.multithread": False,
                "wsgi.multiprocess": True,
                "wsgi.run_once": False,
                "mod_wsgi.version": (5, 0, 0),
            }
        )
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            environ["wsgi.input"] = Dechunked(self.rfile)
            environ["wsgi.input_terminated"] = True
            environ.pop("CONTENT_LENGTH", None)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            environ["wsgi.input"] = Limited(self.rfile, length)
        self.respond(self.server.get_app(), environ)

    def respond(self, app, environ):
        head = []

        def start_response(status, headers, exc_info=None):
            assert type(status) is str and status[3] == " "
            assert type(headers) is list
            for pair in headers:
                assert type(pair) is tuple and type(pair[0]) is type(pair[1]) is str
                assert "transfer-encoding" not in pair[0].lower()
            head[:] = [status, headers]
            return self.wfile.write

        body = app(environ, start_response)
        try:
            sent = False
            for chunk in body:
                assert type(chunk) is bytes
                if chunk and not sent:
                    self.begin(*head)
                    sent = True
                self.wfile.write(chunk)
            if not sent:
                self.begin(*head)
        except OSError:
            pass  # the client has gone
        finally:
            if hasattr(body, "close"):
                body.close()

    def begin(self, status, headers):
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        self.wfile.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))


class Limited:
    def __init__(self, rfile, left):
        self.rfile = rfile
        self.left = left

    def read(self, size=-1):
        size = self.left if size < 0 else min(size, self.left)
        data = self.rfile.read(size)
        self.left -= len(data)
        return data

    def readline(self, size=-1):
        line = self.rfile.readline(self.left if size < 0 else min(size, self.left))
        self.left -= len(line)
        return line


@contextmanager
def waitress_host(app):
    server = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=4)

    def close():
        for channel in list(server.active_channels.values()):
            channel.close()
        server.close()

    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield "127.0.0.1", server.effective_port
    finally:
        server.trigger.pull_trigger(close)  # runs in the server's thread, whose loop then ends
        thread.join(10)
        server.task_dispatcher.shutdown()
        assert not thread.is_alive()


@contextmanager
def gunicorn_host(name, tmp_path, *options):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        log = tmp_path / "gunicorn.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "--bind", f"fd://{listener.fileno()}"]
                + ["--worker-tmp-dir", str(tmp_path), "--chdir", str(HERE), f"foreign_site:{name}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        try:
            until(lambda: "Booting worker" in log.read_text(), "gunicorn", 20)
            yield listener.getsockname()
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)


# -- what all of them have to serve ------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        "wsgiref",
        "mod_wsgi",
        "waitress",
        "waitress tree",
        "gunicorn sync",
        "gunicorn threads",
    ],
)
def host(request, tmp_path_factory):
    """(address, the path where the pages are, what the host cannot)."""
    kind = request.param
    site = foreign_site
    if kind == "wsgiref":
        with wsgiref_host(site.application) as address:
            yield address, "", {"chunked"}
    elif kind == "mod_wsgi":
        with wsgiref_host(site.anywhere, LikeModWSGI) as address:
            yield address, "/mnt", set()
    elif kind == "waitress":
        with waitress_host(site.application) as address:
            yield address, "", set()
    elif kind == "waitress tree":
        with waitress_host(site.tree) as address:
            yield address, "/deep/down", set()
    else:
        threads = ["--threads", "3"] if kind.endswith("threads") else []
        tmp_path = tmp_path_factory.mktemp("gunicorn")
        with gunicorn_host("application", tmp_path, *threads) as address:
            yield address, "", set()


@pytest.fixture(scope="module", autouse=True)
def no_cleanup_left():
    """The sessions here leave a monitor on the engine, which other tests count on to be theirs."""
    yield
    monitor, RamSession.clean_thread = RamSession.clean_thread, None
    if monitor is not None:
        monitor.unsubscribe()


@pytest.fixture
def get(host):
    address, base, _ = host

    def get(path="/", method="GET", body=None, **headers):
        return ask(address, base + path, method, body, **headers)

    return get


def test_pages_and_their_urls(host, get):
    (name, port), base, _ = host
    assert get("/?name=J%C3%BCrgen") == (200, f"Jürgen at http://{name}:{port}{base}/")
    assert get("/facts") == (200, f"127.0.0.1 http {base!r} '/facts'")
    assert get("/nothing")[0] == 404
    assert get("/", "HEAD") == (200, "")


def test_forms_and_bodies(get):
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert get("/form?q=1", "POST", "a=%C3%A9&b=2", **form) == (
        200,
        "[('a', 'é'), ('b', '2'), ('q', '1')]",
    )
    for size in (0, 1, 100_000):
        assert get("/size", "POST", b"x" * size, Content_Type="text/plain") == (200, str(size))


def test_uploads(get):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%s\r\n--b--\r\n'
    )
    kind = "multipart/form-data; boundary=b"
    assert get("/upload", "POST", body % (b"x" * 200_000), Content_Type=kind) == (200, "f 200000")


def test_chunked_bodies(host, get):
    if "chunked" in host[2]:
        assert host[1] == ""  # wsgiref itself reads no chunked bodies
        return
    chunks = [b"x" * 1000] * 5
    assert get("/size", "POST", iter(chunks), Content_Type="text/plain") == (200, "5000")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert get("/form", "POST", iter([b"a=1&", b"b=2"]), **form) == (
        200,
        "[('a', '1'), ('b', '2')]",
    )


def test_streams(get):
    assert get("/stream") == (200, "firstlast")


def test_a_client_that_goes_away_ends_its_request(host, get):
    address, base, _ = host
    before = get("/ended")[1].split().count("/stream")
    with socket.create_connection(address, 10) as peer:
        peer.sendall(f"GET {base}/stream?endless=1 HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        read_until(peer, b"first")
    until(lambda: get("/ended")[1].split().count("/stream") == before + 1, "the end", 10)


def test_files_and_ranges(get):
    text = Path(foreign_site.__file__).read_text()
    assert get("/file") == (200, text)
    assert get("/file", Range="bytes=3-9") == (206, text[3:10])


def test_redirects(host, get):
    address, base, _ = host
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", base + "/elsewhere")
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 303
    assert response.headers["Location"].endswith(f"{base}/form?to=here")
    assert get("/inside") == (200, "[('from', 'inside')]")


def test_sessions(host):
    address, base, _ = host
    cookie = ""
    for number in (b"1", b"2"):
        connection = http.client.HTTPConnection(*address, timeout=10)
        connection.request("GET", base + "/count", headers={"Cookie": cookie})
        response = connection.getresponse()
        assert response.read() == number
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        connection.close()


def test_tools(host):
    address, base, _ = host
    with socket.create_connection(address, 10) as peer:
        peer.sendall(
            f"GET {base}/?name=x HTTP/1.0\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        )
        head, _, body = read_all(peer).partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head.lower()
    assert gzip.decompress(body) == f"x at http://h{base}/".encode()


def test_errors(get):
    status, text = get("/broken")
    assert status == 500
    assert "secret" not in text
    assert get("/?name=still")[1].startswith("still at")
