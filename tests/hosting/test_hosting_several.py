"""Several HTTP servers in one process: each with its own address, threads and limits, all on one bus."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cpserver import Server
from hosting_kit import ask, hosted, read_all, until

import cherrypy


class Page:
    def __init__(self):
        self.inside = 0
        self.go = threading.Event()

    @cherrypy.expose
    def index(self):
        request = cherrypy.request
        return f"{request.local.port} {request.base}"

    @cherrypy.expose
    def size(self):
        return str(len(cherrypy.request.body.read()))

    @cherrypy.expose
    def wait(self):
        self.inside += 1
        self.go.wait(10)
        return "waited"


@pytest.fixture
def page(monkeypatch):
    return Page()


@pytest.fixture
def site(monkeypatch, page):
    with hosted(monkeypatch) as made:
        made.tree.mount(page)
        made.more = []

        def server(**settings):
            one = Server()
            one.socket_port = 0
            for name, value in settings.items():
                setattr(one, name, value)
            one.subscribe()
            made.more.append(one)
            return one

        made.another = server
        yield made
        page.go.set()
        cherrypy.engine.exit()
        for one in made.more:
            one.unsubscribe()
        for one in cherrypy.servers.values():
            one.unsubscribe()
        cherrypy.servers.clear()


def through(path, request=b"GET / HTTP/1.0\r\n\r\n"):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(path)
        peer.sendall(request)
        return read_all(peer)


def refused(address):
    try:
        socket.create_connection(address, 2).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ports_families_and_unix_sockets_side_by_side(site, tmp_path):
    path = str(tmp_path / "s")
    second = site.another(socket_host="::1")
    local = site.another(socket_file=path, socket_mode=0o600)
    site.start()
    for server in (site.server, second):
        port = server.bound_addr[1]
        host = "[::1]" if server is second else "127.0.0.1"
        assert ask(server.bound_addr[:2], "/") == (200, f"{port} http://{host}:{port}")
    assert through(path).startswith(b"HTTP/1.1 200 OK\r\n")
    assert local.bound_addr == path
    lines = site.text()
    for server in (site.server, second, local):
        assert f"Serving on {server.description}" in lines


def test_all_follow_start_stop_and_graceful(site, tmp_path):
    path = str(tmp_path / "s")
    second, _ = site.another(), site.another(socket_file=path)
    site.start()
    engine = cherrypy.engine
    for _ in range(2):
        addresses = [site.address, second.bound_addr]
        assert len(set(addresses)) == 2
        assert [ask(address, "/")[0] for address in addresses] == [200, 200]
        assert b"200 OK" in through(path)
        engine.graceful()
        assert [site.address, second.bound_addr] == addresses, "graceful keeps the sockets"
        assert [ask(address, "/")[0] for address in addresses] == [200, 200]
        engine.stop()
        assert all(map(refused, addresses))
        assert not os.path.exists(path)
        assert not (site.server.running or second.running)
        engine.start()
    engine.exit()
    assert not os.path.exists(path)


def test_each_has_threads_of_its_own(site, page):
    small = site.another(thread_pool=1, thread_pool_max=1, accepted_queue_size=0)
    site.start()
    assert small.httpserver.requests.max == 1
    assert site.server.httpserver.requests.min == 10
    waiter = threading.Thread(target=ask, args=(small.bound_addr, "/wait"))
    waiter.start()
    until(lambda: page.inside, "the only thread to be busy")
    assert ask(small.bound_addr, "/")[0] == 503
    assert site.ask("/")[0] == 200
    page.go.set()
    waiter.join(10)
    until(lambda: ask(small.bound_addr, "/")[0] == 200, "the thread to be free")


def test_each_has_limits_of_its_own(site):
    strict = site.another(max_request_body_size=10, max_request_header_size=500)
    site.start()
    both = (site.server.bound_addr, strict.bound_addr)
    assert [ask(one, "/size", "POST", b"x" * 11)[0] for one in both] == [200, 413]
    assert [ask(one, "/", X_Long="x" * 600)[0] for one in both] == [200, 413]
    strict.max_request_body_size = 11  # while it runs
    assert ask(strict.bound_addr, "/size", "POST", b"x" * 11)[0] == 200


def test_each_may_be_of_another_kind_and_serve_something_else(site):
    native, other = site.another(), site.another()
    native.httpserver = CPHTTPServer(native)
    site.start()

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"another application"]

    other.httpserver.wsgi_app = app
    assert ask(native.bound_addr, "/")[0] == 200
    assert ask(other.bound_addr, "/") == (200, "another application")
    assert site.ask("/")[1].startswith(f"{site.address[1]} ")


def test_one_may_come_and_go_while_the_others_serve(site):
    site.start()
    late = site.another()
    late.start()
    assert ask(late.bound_addr, "/")[0] == 200
    address = late.bound_addr
    late.stop()
    late.unsubscribe()
    assert refused(address)
    assert site.ask("/")[0] == 200


def test_configured_by_name(site):
    cherrypy.config.update(
        {
            "server.socket_port": 8080,
            "server.admin.socket_port": 0,
            "server.admin.thread_pool": 2,
            "server.admin.max_request_body_size": 5,
            "server.idle.on": False,
            "server.idle.socket_port": 0,
        }
    )
    admin, idle = cherrypy.servers["admin"], cherrypy.servers["idle"]
    site.start()
    assert ask(admin.bound_addr, "/")[0] == 200
    assert admin.httpserver.requests.min == 2
    assert ask(admin.bound_addr, "/size", "POST", b"123456")[0] == 413
    assert site.ask("/size", "POST", b"123456") == (200, "6")
    assert not idle.running
    assert cherrypy.server.thread_pool == 10


def test_one_that_cannot_bind_stops_them_all_and_is_named(site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site.another(socket_port=port)
        with pytest.raises(Exception, match=f"127.0.0.1:{port}"):
            site.start()
    assert not site.server.running
    assert cherrypy.engine.state == cherrypy.engine.states.EXITING


RESTART = """
    import os, sys, cherrypy
    from cherrypy._cpserver import Server
    from cherrypy.process.plugins import SimplePlugin

    class Page:
        @cherrypy.expose
        def index(self):
            return f'round {os.environ.get("ROUND")}'

        @cherrypy.expose
        def restart(self):
            os.environ['ROUND'] = '2'
            cherrypy.engine.restart()
            return 'restarting'

    first, second, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    cherrypy.config.update({'server.socket_port': first, 'engine.autoreload.on': False})
    for settings in ({'socket_port': second, 'thread_pool': 3}, {'socket_file': path}):
        server = Server()
        for name, value in settings.items():
            setattr(server, name, value)
        server.subscribe()
    cherrypy.quickstart(Page())
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_all_come_back_after_a_restart(tmp_path):
    ports, path = [free_port(), free_port()], str(tmp_path / "s")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(RESTART))
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(program), *map(str, ports), path],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        until(lambda: "Bus STARTED" in log.read_text(), "the start", 20)
        assert ask(("127.0.0.1", ports[1]), "/") == (200, "round None")
        assert ask(("127.0.0.1", ports[1]), "/restart") == (200, "restarting")
        until(lambda: log.read_text().count("Bus STARTED") == 2, "the second start", 20)
        for port in ports:
            assert ask(("127.0.0.1", port), "/") == (200, "round 2")
        assert through(path).endswith(b"round 2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
        assert not os.path.exists(path)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
