"""The servers of `cherrypy.server`: the members programs touch, over real sockets."""

import http.client
import os
import socket
import time

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cpserver import Server
from cherrypy._cpwsgi_server import CPWSGIServer

import cherrypy


class Root:
    @cherrypy.expose
    def index(self):
        return "Hello"

    @cherrypy.expose
    def echo(self, **params):
        return repr(sorted(params.items()))

    @cherrypy.expose
    def size(self):
        return str(len(cherrypy.request.body.read()))

    @cherrypy.expose
    def address(self):
        request = cherrypy.request
        return f"{request.remote.ip} {request.scheme} {request.local.port} {request.base}"

    @cherrypy.expose
    def quit(self):
        raise KeyboardInterrupt

    @cherrypy.expose
    def stream(self):
        return (str(i).encode() for i in range(3))

    stream._cp_config = {"response.stream": True}


@pytest.fixture
def engine(monkeypatch):
    """The engine with a tree of its own and no server but the test's; stopped afterwards."""
    before = dict(cherrypy.config)
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    cherrypy.server.unsubscribe()
    yield cherrypy.engine
    cherrypy.engine.exit()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


@pytest.fixture(params=[CPWSGIServer, CPHTTPServer])
def server(engine, request):
    """A subscribed server of each kind on a free port, and the engine started."""
    adapter = Server()
    adapter.socket_port = 0
    cherrypy.tree.mount(Root())
    adapter.httpserver = request.param(adapter)
    adapter.subscribe()
    engine.start()
    yield adapter
    engine.exit()
    adapter.unsubscribe()


def get(adapter, path="/", method="GET", body=None, headers=()):
    connection = http.client.HTTPConnection(*adapter.bound_addr, timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_both_servers_serve_the_tree(server):
    assert get(server) == (200, "Hello")
    assert get(server, "/echo?b=2&a=1")[1] == "[('a', '1'), ('b', '2')]"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert get(server, "/echo?q=1", "POST", "a=%C3%A9", form)[1] == "[('a', 'é'), ('q', '1')]"
    assert get(server, "/stream") == (200, "012")
    assert get(server, "/nothing")[0] == 404
    assert get(server, "/echo", "HEAD") == (200, "")
    ip, scheme, port, base = get(server, "/address")[1].split()
    assert (ip, scheme) == ("127.0.0.1", "http")
    assert int(port) == server.bound_addr[1]
    assert base == f"http://127.0.0.1:{port}"


def test_port_0_is_reported_while_running_only(server):
    assert server.bind_addr == ("127.0.0.1", 0)
    assert server.bound_addr[1] > 0
    assert server.httpserver.socket.getsockname() == server.bound_addr
    cherrypy.engine.stop()
    assert server.bound_addr == ("127.0.0.1", 0)
    assert server.httpserver.socket is None


def test_body_limit_is_followed_while_running(server):
    assert get(server, "/size", "POST", b"x" * 1000)[0] == 200
    server.max_request_body_size = 999
    assert get(server, "/size", "POST", b"x" * 1000)[0] == 413
    server.max_request_body_size = 1000
    assert get(server, "/size", "POST", b"x" * 1000)[0] == 200


def test_timeout_closes_idle_connections(server):
    assert server.httpserver.timeout == server.socket_timeout == 10
    # The grace of one second on top is for clients that count on what was promised.
    server.httpserver.timeout = 0.2
    with socket.create_connection(server.bound_addr, timeout=5) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while b"Hello" not in data:
            data += idle.recv(4096)
        started = time.monotonic()
        assert idle.recv(1) == b""
        assert time.monotonic() - started < 4


def test_pool_can_be_read_and_changed(server):
    pool = server.httpserver.requests
    assert (pool.min, pool.max) == (10, 256)
    assert pool.qsize == 0
    server.thread_pool = 2
    assert pool.min == server.httpserver.numthreads == 2
    server.thread_pool_max = 30
    assert pool.max == server.httpserver.maxthreads == 30
    before = pool.size
    pool.grow(3)
    wait_until(lambda: pool.size == before + 3)


def test_keyboard_interrupt_in_a_handler_ends_the_engine_without_answer(server):
    with socket.create_connection(server.bound_addr, timeout=10) as client:
        client.sendall(b"GET /quit HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert client.recv(100) == b""
        except ConnectionResetError:
            pass
    wait_until(lambda: cherrypy.engine.state == cherrypy.engine.states.EXITING)


def test_wsgi_app_may_be_replaced_after_the_start(engine):
    adapter = Server()
    adapter.socket_port = 0
    adapter.subscribe()
    cherrypy.tree.mount(Root())
    engine.start()
    try:
        assert get(adapter) == (200, "Hello")

        def other(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"other"]

        adapter.httpserver.wsgi_app = other
        assert get(adapter) == (200, "other")
    finally:
        engine.exit()
        adapter.unsubscribe()


def test_several_servers_follow_the_engine(engine, tmp_path):
    path = str(tmp_path / "site.sock")
    tcp, unix = Server(), Server()
    tcp.socket_port, unix.socket_file, unix.socket_mode = 0, path, 0o600
    cherrypy.tree.mount(Root())
    for adapter in (tcp, unix):
        adapter.subscribe()
    engine.start()
    try:
        assert get(tcp) == (200, "Hello")
        assert os.stat(path).st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            client.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        engine.stop()
        assert not os.path.exists(path)
        engine.start()
        assert get(tcp) == (200, "Hello")
    finally:
        engine.exit()
        for adapter in (tcp, unix):
            adapter.unsubscribe()


def test_configured_server_is_made_and_named(engine):
    cherrypy.config.update({"server.side.socket_port": 0, "server.side.thread_pool": 3})
    side = cherrypy.servers["side"]
    try:
        assert type(side) is Server
        cherrypy.tree.mount(Root())
        engine.start()
        assert get(side) == (200, "Hello")
        assert side.httpserver.requests.min == 3
    finally:
        engine.exit()
        side.unsubscribe()
        del cherrypy.servers["side"]


def test_native_server_refuses_grafts_and_says_so(engine):
    lines = []
    engine.subscribe("log", lambda msg, level: lines.append(msg))
    cherrypy.tree.mount(Root())
    cherrypy.tree.graft(lambda environ, start_response: [], "/wsgi")
    adapter = Server()
    adapter.socket_port = 0
    adapter.httpserver = CPHTTPServer(adapter)
    adapter.subscribe()
    engine.start()
    try:
        assert any("'/wsgi'" in line and "native" in line for line in lines)
        assert get(adapter, "/wsgi/x")[0] == 500
        assert get(adapter) == (200, "Hello")
    finally:
        engine.exit()
        adapter.unsubscribe()


def test_native_server_serves_an_application_with_middleware(engine):
    def shout(app):
        def middleware(environ, start_response):
            return [b"".join(app(environ, start_response)).upper()]

        return middleware

    app = cherrypy.tree.mount(Root())
    app.wsgiapp.pipeline.append(("shout", shout))
    adapter = Server()
    adapter.socket_port = 0
    adapter.httpserver = CPHTTPServer(adapter)
    adapter.subscribe()
    engine.start()
    try:
        assert get(adapter) == (200, "HELLO")
    finally:
        engine.exit()
        adapter.unsubscribe()


def test_address_in_use_is_named(engine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        adapter = Server()
        adapter.socket_port = port
        adapter.subscribe()
        try:
            with pytest.raises(Exception, match=f"127.0.0.1:{port}"):
                engine.start()
        finally:
            adapter.unsubscribe()


def test_adapter_addresses():
    adapter = Server()
    assert adapter.bind_addr == ("127.0.0.1", 8080)
    assert adapter.base() == "http://127.0.0.1:8080"
    with pytest.raises(ValueError, match=r"0\.0\.0\.0"):
        adapter.socket_host = ""
    adapter.socket_host = "::1"
    assert adapter.base() == "http://[::1]:8080"
    adapter.socket_host = "0.0.0.0"
    assert adapter.base() == f"http://{socket.gethostname()}:8080"
    adapter.bind_addr = "/tmp/x.sock"
    assert (adapter.socket_file, adapter.socket_host, adapter.socket_port) == (
        "/tmp/x.sock",
        None,
        None,
    )
    assert adapter.base() == adapter.bind_addr == "/tmp/x.sock"
    adapter.bind_addr = ("192.0.2.1", 80)
    assert adapter.socket_file is None
    assert adapter.base() == "http://192.0.2.1"
    with pytest.raises(ValueError, match="bind_addr must be"):
        adapter.bind_addr = 5
    adapter.bind_addr = None
    assert adapter.bind_addr is None
    with pytest.raises(ValueError, match="no address"):
        CPWSGIServer(adapter)


def test_server_by_dotted_name():
    adapter = Server()
    adapter.socket_port = 0
    server, address = adapter.httpserver_from_self("cherrypy._cpwsgi_server.CPWSGIServer")
    assert type(server) is CPWSGIServer
    assert address == ("127.0.0.1", 0)
    adapter.instance = "cherrypy._cpnative_server.CPHTTPServer"
    assert type(adapter.httpserver_from_self()[0]) is CPHTTPServer
