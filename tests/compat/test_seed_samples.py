"""What the documentation and articles about CherryPy show: aliases, signals, several servers,
WSGI both ways, the native server; and the traps of the contract that need a process."""

from __future__ import annotations

import ast
import http.client
import signal
import socket
import time
from pathlib import Path

import pytest
from compat_process import Program, free_port, get, wait_for, write

SETTINGS = """
import cherrypy, os, sys
PORTS = [int(p) for p in sys.argv[1:]]
cherrypy.config.update({
    'server.socket_host': '127.0.0.1', 'server.socket_port': PORTS[0],
    'engine.autoreload.on': False, 'checker.on': False})
"""


def run(folder: Path, text: str, ports: int = 1) -> tuple[Program, list[int]]:
    chosen = [free_port() for _ in range(ports)]
    write(folder, "sample.py", SETTINGS + text)
    return Program(folder, "sample.py", *map(str, chosen)), chosen


def stop(program: Program) -> None:
    program.send(signal.SIGTERM)
    assert program.ends() == 0, program.text()


ALIASES = """
import random, string

class StringGenerator(object):
    @cherrypy.expose(['generer', 'generar'])
    def generate(self, length=8):
        return ''.join(random.choice(string.hexdigits) for _ in range(int(length)))

if __name__ == '__main__':
    cherrypy.quickstart(StringGenerator())
"""


def test_aliases(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, ALIASES)
    with program:
        program.listens(port)
        for name in ("generate", "generer", "generar"):
            status, text = get(port, f"/{name}?length=12")
            assert (status, len(text)) == (200, 12)
        assert get(port, "/generieren")[0] == 404
        stop(program)


SIGNALS = """
class Root:
    @cherrypy.expose
    def index(self):
        return 'index'

cherrypy.tree.mount(Root())
%s
cherrypy.engine.start()
cherrypy.engine.block()
print('block returned')
"""


@pytest.mark.parametrize("name", ["signals", "signal_handler"])
def test_signals_are_handled_once_subscribed(tmp_path: Path, name: str) -> None:
    program, (port,) = run(tmp_path, SIGNALS % f"cherrypy.engine.{name}.subscribe()")
    with program:
        program.listens(port)
        stop(program)
        assert "block returned" in program.text()
        assert "Bus EXITED" in program.text()


def test_signals_are_not_handled_without(tmp_path: Path) -> None:
    """Only quickstart subscribes by itself: SIGTERM then does what it does to any program."""
    program, (port,) = run(tmp_path, SIGNALS % "")
    with program:
        program.listens(port)
        program.send(signal.SIGTERM)
        assert program.ends() == -signal.SIGTERM


def test_own_signal_handler(tmp_path: Path) -> None:
    text = SIGNALS % (
        "def flush():\n    print('flushed', flush=True)\n"
        "cherrypy.engine.signal_handler.handlers['SIGUSR2'] = flush\n"
        "cherrypy.engine.signal_handler.subscribe()"
    )
    program, (port,) = run(tmp_path, text)
    with program:
        program.listens(port)
        program.send(signal.SIGUSR2)
        wait_for(lambda: "flushed" in program.text(), "the handler")
        stop(program)


SECURE = """
@cherrypy.tools.register('before_finalize', priority=60)
def secureheaders():
    headers = cherrypy.response.headers
    headers['X-Frame-Options'] = 'DENY'
    headers['X-XSS-Protection'] = '1; mode=block'
    headers['Content-Security-Policy'] = "default-src 'self';"
    if (cherrypy.server.ssl_certificate != None and cherrypy.server.ssl_private_key != None):
        headers['Strict-Transport-Security'] = 'max-age=31536000'

class Root:
    @cherrypy.expose
    def index(self):
        cherrypy.session['a'] = 1
        return 'secured'

cherrypy.quickstart(Root(), '/', {'/': {
    'tools.secureheaders.on': True, 'tools.sessions.on': True,
    'tools.sessions.secure': True, 'tools.sessions.httponly': True}})
"""


def test_secure_headers(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, SECURE)
    with program:
        program.listens(port)
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        conn.request("GET", "/")
        response = conn.getresponse()
        assert response.read() == b"secured"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Content-Security-Policy"] == "default-src 'self';"
        assert "Strict-Transport-Security" not in response.headers
        cookie = response.headers["Set-Cookie"]
        assert "httponly" in cookie.lower()
        assert "secure" in cookie.lower()
        conn.close()
        stop(program)


SERVERS = """
class Root:
    @cherrypy.expose
    def index(self):
        return 'on {}'.format(cherrypy.request.local.port)

from cherrypy._cpserver import Server
%s
cherrypy.quickstart(Root())
"""


@pytest.mark.parametrize(
    "how",
    [
        "server = Server()\nserver.socket_port = PORTS[1]\nserver.subscribe()",
        "cherrypy.config.update({'server.2.socket_port': PORTS[1], "
        "'server.2.socket_host': '127.0.0.1'})",
        "cherrypy.config.update({'server.2.instance': 'cherrypy._cpwsgi_server.CPWSGIServer', "
        "'server.2.socket_port': PORTS[1], 'server.2.socket_host': '127.0.0.1'})",
    ],
    ids=["Server()", "config", "config with instance"],
)
def test_several_servers(tmp_path: Path, how: str) -> None:
    program, ports = run(tmp_path, SERVERS % how, 2)
    with program:
        for port in ports:
            program.listens(port)
        for port in ports:
            assert get(port) == (200, f"on {port}")
        stop(program)
        text = program.text()
        for port in ports:
            assert f"Serving on http://127.0.0.1:{port}" in text


FOREIGN = """
from wsgiref.simple_server import make_server, WSGIRequestHandler

class StringGenerator:
    @cherrypy.expose
    def index(self, name='nobody'):
        return 'index for %s at %s' % (name, cherrypy.url())

    @cherrypy.expose
    def echo(self):
        return cherrypy.request.body.read()

    @cherrypy.expose
    @cherrypy.config(**{'response.stream': True})
    def stream(self):
        for i in range(3):
            yield str(i)

cherrypy.config.update({'log.screen': False})
wsgiapp = cherrypy.Application(StringGenerator(), '%s', config={'/': {'tools.gzip.on': True}})
make_server('127.0.0.1', PORTS[0], wsgiapp).serve_forever()
"""


@pytest.mark.parametrize("script_name", ["", "/"])
def test_application_under_a_foreign_server(tmp_path: Path, script_name: str) -> None:
    program, (port,) = run(tmp_path, FOREIGN.replace("'%s', config", f"'{script_name}', config"))
    with program:
        wait_for(lambda: _up(port), "wsgiref")
        base = f"http://127.0.0.1:{port}/"
        assert get(port, "/?name=x") == (200, f"index for x at {base}")
        assert get(port, "/stream") == (200, "012")
        assert get(port, "/nothing")[0] == 404
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        conn.request("POST", "/echo", b"posted", {"Content-Type": "text/plain"})
        assert conn.getresponse().read() == b"posted"
        conn.close()


def _up(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


GRAFTED = """
def raw_wsgi_app(environ, start_response):
    status = '200 OK'
    response_headers = [('Content-type','text/plain')]
    start_response(status, response_headers)
    return ['Hello world!']

cherrypy.tree.graft(raw_wsgi_app, '/')
cherrypy.engine.signals.subscribe()
cherrypy.engine.start()
cherrypy.engine.block()
"""


def test_a_foreign_application_is_hosted(tmp_path: Path) -> None:
    """The documented sample returns text, not bytes."""
    program, (port,) = run(tmp_path, GRAFTED)
    with program:
        program.listens(port)
        assert get(port) == (200, "Hello world!")
        assert get(port, "/any/path") == (200, "Hello world!")
        stop(program)


NATIVE = """
class Root(object):
    @cherrypy.expose
    def index(self):
        return "Hello World!"

    @cherrypy.expose
    def echo(self, **kw):
        return repr(sorted(kw.items()))

    @cherrypy.expose
    def read(self):
        return cherrypy.request.body.read()

    @cherrypy.expose
    @cherrypy.config(**{'response.stream': True})
    def stream(self):
        yield 'a'
        yield 'b'

    @cherrypy.expose
    def environ(self):
        return repr(getattr(cherrypy.request, 'wsgi_environ', None))

if __name__ == '__main__':
    from cherrypy._cpnative_server import CPHTTPServer
    cherrypy.server.httpserver = CPHTTPServer(cherrypy.server)
    cherrypy.quickstart(Root(), '/')
"""


def test_native_server(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, NATIVE)
    with program:
        program.listens(port)
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for method, path, body, wanted in (
            ("GET", "/", None, b"Hello World!"),
            ("GET", "/echo?a=%C3%A9&b=2", None, "[('a', 'é'), ('b', '2')]".encode()),
            ("POST", "/echo", b"x=1", b"[('x', '1')]"),
            ("POST", "/read", b"raw", b"raw"),
            ("GET", "/stream", None, b"ab"),
            ("HEAD", "/", None, b""),
        ):
            headers = {}
            if body:
                headers["Content-Type"] = (
                    "text/plain" if path == "/read" else "application/x-www-form-urlencoded"
                )
            conn.request(method, path, body, headers)
            response = conn.getresponse()
            assert (response.status, response.read()) == (200, wanted), path
        conn.request("GET", "/nothing")
        response = conn.getresponse()
        assert response.status == 404
        assert b"The path '/nothing' was not found." in response.read()
        conn.close()
        stop(program)


TRAPS = """
import threading, time

STARTED, STOPPED, CLOSED, ENDED = [], [], [], []
cherrypy.engine.subscribe('start_thread', STARTED.append)
cherrypy.engine.subscribe('stop_thread', STOPPED.append)

class Body:
    def __iter__(self):
        return self

    def __next__(self):
        time.sleep(0.01)
        return b'x' * 65536

    def close(self):
        CLOSED.append(1)

class Root:
    @cherrypy.expose
    def index(self):
        return 'index'

    @cherrypy.expose
    def threads(self):
        return '%d %d' % (len(STARTED), len(STOPPED))

    @cherrypy.expose
    def graceful(self):
        cherrypy.engine.graceful()
        return '%d' % (len(STARTED) - len(STOPPED))

    @cherrypy.expose
    @cherrypy.config(**{'response.stream': True})
    def endless(self):
        cherrypy.request.hooks.attach('on_end_request', lambda: ENDED.append(1))
        return Body()

    @cherrypy.expose
    def seen(self):
        return '%d %d' % (len(CLOSED), len(ENDED))

    @cherrypy.expose
    def swap(self):
        def other(environ, start_response):
            start_response('200 OK', [('Content-Type', 'text/plain')])
            return [b'other application']
        cherrypy.server.httpserver.wsgi_app = other
        return 'swapped'

    @cherrypy.expose
    def timeout(self, seconds):
        cherrypy.server.httpserver.timeout = float(seconds)
        return repr(cherrypy.server.socket_timeout)

    @cherrypy.expose
    def addresses(self):
        s = cherrypy.server
        return repr((s.bind_addr, s.bound_addr, s.httpserver.timeout, s.httpserver.ready,
                     s.httpserver.requests.min, s.httpserver.requests.qsize))

    @cherrypy.expose
    def upload(self):
        return 'got %d' % len(cherrypy.request.body.read())

    @cherrypy.expose
    def limit(self, n):
        cherrypy.server.max_request_body_size = int(n)
        return 'limited'

    @cherrypy.expose
    def interrupt(self):
        cherrypy.server.httpserver.interrupt = KeyboardInterrupt
        return 'interrupted'

cherrypy.config.update({'server.socket_timeout': 1})
cherrypy.quickstart(Root())
print('ended', len(STARTED) - len(STOPPED))
"""


def test_one_thread_has_started_after_one_request(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, TRAPS.replace("'server.socket_timeout': 1", ""))
    with program:
        wait_for(lambda: "Bus STARTED" in program.text(), "the start")
        assert get(port, "/threads") == (200, "1 0")
        stop(program)
        assert "ended 0" in program.text()


def test_graceful_leaves_no_thread(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, TRAPS)
    with program:
        wait_for(lambda: "Bus STARTED" in program.text(), "the start")
        assert get(port, "/graceful") == (200, "0")
        assert get(port)[0] == 200
        stop(program)


def test_traps_of_a_running_server(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, TRAPS)
    with program:
        program.listens(port)
        told = get(port, "/addresses")[1]
        address = ("127.0.0.1", port)
        assert ast.literal_eval(told)[:4] == (address, address, 1, True), told

        # an idle keep-alive connection is closed after the timeout
        with socket.create_connection(address, 5) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            start = time.monotonic()
            data = b""
            while block := peer.recv(65536):
                data += block
            assert data.endswith(b"index")
            assert 0.5 < time.monotonic() - start < 4

        # a client that goes away: the body is closed once, the request ends
        with socket.create_connection(address, 5) as peer:
            peer.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(1000)
        wait_for(lambda: get(port, "/seen")[1].endswith(" 1"), "on_end_request", 3)
        assert get(port, "/seen")[1] == "1 1"

        # 100 Continue, to a client that waits for it
        for path, status in (("/upload", b"200 OK"), ("/nothing", b"404 Not Found")):
            with socket.create_connection(address, 5) as peer:
                peer.sendall(
                    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                    b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n" % path.encode()
                )
                answer = peer.recv(1000)
                assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"), answer
                peer.sendall(b"abcGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                data = answer[25:]
                while block := peer.recv(65536):
                    data += block
                assert data.startswith(b"HTTP/1.1 " + status), data[:100]
                assert data.endswith(b"index")

        # limits are read for each request
        assert get(port, "/limit?n=10") == (200, "limited")
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        conn.request("POST", "/upload", b"x" * 11, {"Content-Type": "text/plain"})
        assert conn.getresponse().status == 413
        conn.close()

        assert get(port, "/timeout?seconds=0.2")[0] == 200
        start = time.monotonic()
        with socket.create_connection(address, 5) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while peer.recv(65536):
                pass
        assert time.monotonic() - start < 4  # the limit and a second of grace, not the default

        # the application is read for each request
        assert get(port, "/swap") == (200, "swapped")
        assert get(port) == (200, "other application")
        stop(program)


def test_interrupt_ends_the_server_and_the_engine(tmp_path: Path) -> None:
    program, (port,) = run(tmp_path, TRAPS)
    with program:
        program.listens(port)
        get(port, "/interrupt")
        program.ends()
        assert "Bus EXITED" in program.text()
