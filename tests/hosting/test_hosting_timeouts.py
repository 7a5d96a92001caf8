"""Responses that take too long, over real sockets: the client is answered at the deadline."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import random
import socket
import threading
import time

import pytest
from cherrypy._cpnative_server import CPHTTPServer
from cherrypy._cpserver import Server
from cherrypy._cpwsgi_server import CPWSGIServer

import cherrypy

LIMIT = 0.2  # seconds a response may take here
GRACE = 1.0  # seconds after which the answer has to be there at the latest


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))  # with the traceback


class Closing:
    """A body that says when it has been closed."""

    def __init__(self, site):
        self.site = site

    def __iter__(self):
        return iter((b"late",))

    def close(self):
        self.site.events.append("body closed")


class Root:
    def __init__(self):
        self.gate = threading.Event()  # lets the stuck handlers go
        self.events = []
        self.busy = 0
        self.lock = threading.Lock()

    @cherrypy.expose
    def index(self):
        return "here"

    @cherrypy.expose
    def stuck(self):
        with self.lock:
            self.busy += 1
        assert self.gate.wait(30)
        self.events.append("handler back")
        return Closing(self)

    @cherrypy.expose
    def upload(self):
        return str(len(cherrypy.request.body.read()))

    @cherrypy.expose
    def failing(self):
        assert self.gate.wait(30)
        raise ValueError("much too late")

    @cherrypy.expose
    def patient(self):
        cherrypy.response.timeout = 30
        time.sleep(LIMIT + 0.2)
        return "in time"

    @cherrypy.expose
    def forgiven(self):
        response = cherrypy.response
        while not response.timed_out:
            time.sleep(0.002)
        response.timed_out = False
        return "done all the same"

    @cherrypy.expose
    def polling(self):
        response = cherrypy.response
        deadline = time.monotonic() + 10
        while not response.timed_out:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        self.events.append("gave up")
        return "whatever"

    @cherrypy.expose
    def stream(self):
        yield b"first"
        assert self.gate.wait(30)
        self.events.append("generator back")
        yield b"last"

    stream._cp_config = {"response.stream": True}

    @cherrypy.expose
    def unbegun(self):
        assert self.gate.wait(30)
        yield b"never seen"

    unbegun._cp_config = {"response.stream": True}

    @cherrypy.expose
    def close_call(self, spread="0"):
        """End just about when the time is up."""
        began = cherrypy.response.time
        time.sleep(max(0.0, began + LIMIT + float(spread) - time.time()))
        return "close call"


@pytest.fixture
def engine(monkeypatch):
    """The engine with a tree of its own and no server but the test's; stopped afterwards."""
    before = dict(cherrypy.config)
    monitor = cherrypy.engine.timeout_monitor
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    monkeypatch.setattr(monitor, "frequency", 0.05)
    monkeypatch.setattr(monitor, "status", 503)
    monkeypatch.setattr(monitor, "legacy", False)
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    cherrypy.config.update({"request.show_tracebacks": False})
    cherrypy.server.unsubscribe()
    yield cherrypy.engine
    cherrypy.engine.exit()
    monitor.subscribe()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


class Site:
    """A server, its application, and what it has logged."""

    def __init__(self, adapter, root, app):
        self.adapter, self.root, self.app = adapter, root, app
        self.access, self.errors = Lines(), Lines()
        app.log.access_log.addHandler(self.access)
        app.log.error_log.addHandler(self.errors)
        app.log.access_log.setLevel(logging.INFO)

    @property
    def counters(self):
        return self.adapter.httpserver.kirsch.counters

    def statuses(self, path):
        """What the access log says of a path."""
        wanted = f'"GET {path} '
        return [line.split('" ')[1].split()[0] for line in self.access.lines if wanted in line]

    def config(self, more):
        self.app.merge({"/": more})


@pytest.fixture(params=[CPWSGIServer, CPHTTPServer])
def site(engine, request):
    """A started server of each kind, whose responses may take LIMIT seconds."""
    adapter = Server()
    adapter.socket_port = 0
    adapter.thread_pool = adapter.thread_pool_max = 4
    adapter.shutdown_timeout = 1
    root = Root()
    app = cherrypy.tree.mount(root, "", {"/": {"response.timeout": LIMIT}})
    adapter.httpserver = request.param(adapter)
    adapter.subscribe()
    engine.start()
    site = Site(adapter, root, app)
    yield site
    root.gate.set()
    engine.exit()
    adapter.unsubscribe()


def get(site, path="/", method="GET", headers=()):
    """(status, fields, body, seconds it took)"""
    connection = http.client.HTTPConnection(*site.adapter.bound_addr, timeout=10)
    began = time.monotonic()
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        body = response.read().decode()
        return response.status, response.headers, body, time.monotonic() - began
    finally:
        connection.close()


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def read_to_end(sock):
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


def whole(data):
    """(status, body) of a stream that is exactly one complete response with a length."""
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(fields[b"content-length"]) == len(body), data
    return int(head.split()[1]), body


# ------------------------------------------------------------------------------ a stuck handler


def test_a_stuck_handler_is_answered_at_the_deadline_and_its_result_dropped(site):
    status, fields, body, took = get(site, "/stuck")
    assert status == 503
    assert LIMIT <= took < LIMIT + GRACE
    assert "did not make the response in time" in body
    assert "Traceback" not in body
    assert "stuck" not in body  # nor the stack of the handler
    assert fields["Connection"] == "close"
    assert site.statuses("/stuck") == ["503"]
    wait_until(lambda: any("answered 503" in line for line in site.errors.lines))
    assert any("no response in 0.2 seconds" in line for line in site.errors.lines)
    assert any("in stuck" in line for line in site.errors.lines)  # where it is, for the operator
    # The others are served while it hangs, and when it is back nothing of it is seen or counted.
    assert get(site)[:1] == (200,)
    assert "handler back" not in site.root.events
    wait_until(lambda: site.counters["open"] == 0)  # and all is counted
    before = site.counters
    site.root.gate.set()
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    wait_until(lambda: site.root.events == ["handler back", "body closed"])
    assert site.statuses("/stuck") == ["503"]
    after = site.counters
    for name in ("responses", "responses_2xx", "responses_5xx", "timeouts_response", "bytes_out"):
        assert after[name] == before[name], name
    assert after["timeouts_response"] == 1
    assert after["responses_5xx"] == 1
    assert get(site)[:1] == (200,)


def test_the_connection_is_closed_after_that_answer(site):
    with socket.create_connection(site.adapter.bound_addr, timeout=5) as sock:
        sock.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        assert whole(read_to_end(sock))[0] == 503
    wait_until(lambda: site.counters["open"] == 0)  # though the handler is still stuck
    assert site.root.events == []


def test_ten_stuck_handlers_do_not_stop_the_server(site):
    most = site.adapter.thread_pool
    for _ in range(3):
        clients = [threading.Thread(target=get, args=(site, "/stuck")) for _ in range(most)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(10)
    wait_until(lambda: site.counters["threads_stuck"] == 3 * most)
    assert site.counters["threads"] == most
    assert [get(site)[0] for _ in range(20)] == [200] * 20
    site.root.gate.set()
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.counters["threads"] == most
    assert site.statuses("/stuck") == ["503"] * 3 * most


def test_hooks_run_in_the_thread_of_the_handler(site):
    here = threading.current_thread
    ran = []

    def note(name):
        return lambda: ran.append((name, here().name))

    points = ("before_error_response", "after_error_response", "on_end_request")
    site.config({f"hooks.{point}": note(point) for point in points})
    assert get(site, "/stuck")[0] == 503
    assert ran == []
    wait_until(lambda: site.counters["open"] == 0)
    before = site.counters
    site.root.gate.set()
    wait_until(lambda: len(ran) == 3)
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.counters["responses"] == before["responses"]
    assert site.counters["resets"] == before["resets"]
    assert [name for name, _ in ran] == list(points)
    assert len({thread for _, thread in ran}) == 1
    assert ran[0][1].startswith("kirsch-worker")


def test_a_late_error_is_dropped_like_a_late_result(site):
    assert get(site, "/failing")[0] == 503
    wait_until(lambda: site.counters["open"] == 0)
    before = site.counters
    site.root.gate.set()
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    wait_until(lambda: any("much too late" in line for line in site.errors.lines))
    assert site.counters["responses"] == before["responses"]
    assert site.statuses("/failing") == ["503"]
    assert get(site)[0] == 200


def test_an_error_page_and_a_status_of_ones_own(site):
    def page(status, message, traceback, version):
        return f"sorry: {status} for {cherrypy.request.path_info}"

    site.config({"error_page.504": page, "response.timeout_status": 504})
    status, _, body, _ = get(site, "/stuck")
    assert (status, body) == (504, "sorry: 504 Gateway Timeout for /stuck")
    wait_until(lambda: site.statuses("/stuck") == ["504"])


def test_the_status_of_the_whole_site(site):
    cherrypy.config.update({"engine.timeout_monitor.status": 500})
    assert get(site, "/stuck")[0] == 500
    cherrypy.config.update({"engine.timeout_monitor.status": 200})  # no status of an error
    assert get(site, "/stuck")[0] == 503


def test_an_error_page_that_hangs_keeps_nobody_else_waiting(site):
    held = threading.Event()

    def page(**kwargs):
        held.wait(30)
        return "at last"

    try:
        site.config({"error_page.504": page})
        site.app.merge({"/unbegun": {"response.timeout_status": 504}})
        client = threading.Thread(target=get, args=(site, "/unbegun"))
        client.start()
        wait_until(lambda: cherrypy.engine.timeout_monitor.marked)
        wait_until(lambda: site.counters["threads_stuck"] == 1)
        assert get(site, "/stuck")[0] == 503
    finally:
        held.set()
    client.join(5)
    assert not client.is_alive()


def test_a_response_class_that_fails_is_no_reason_to_wait(site):
    class Odd(cherrypy._cprequest.Response):
        def __init__(self):
            if not threading.current_thread().name.startswith("kirsch-worker"):
                raise RuntimeError("not here")
            super().__init__()

    site.app.response_class = Odd
    status, _, body, took = get(site, "/stuck")
    assert (status, body, took < LIMIT + GRACE) == (503, "", True)
    wait_until(lambda: site.counters["open"] == 0)


def test_tracebacks_are_shown_to_those_who_ask_for_them(site):
    site.config({"request.show_tracebacks": True})
    body = get(site, "/stuck")[2]
    assert "in stuck" in body


def test_a_head_request_gets_no_body(site):
    with socket.create_connection(site.adapter.bound_addr, timeout=5) as sock:
        sock.sendall(b"HEAD /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        data = read_to_end(sock)
    assert data.startswith(b"HTTP/1.1 503 ")
    assert data.endswith(b"\r\n\r\n")


def test_an_upload_that_does_not_end_is_answered_too(site):
    with socket.create_connection(site.adapter.bound_addr, timeout=5) as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        sock.sendall(bytes(2_000_000))
        assert whole(read_to_end(sock))[0] == 503
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert get(site)[0] == 200


def test_a_pipeline_of_wsgi_is_no_hindrance(site):
    class Middleware:
        def __init__(self, app):
            self.app = app

        def __call__(self, environ, start_response):
            return self.app(environ, start_response)

    site.app.wsgiapp.pipeline.append(("mine", Middleware))
    assert get(site, "/stuck")[0] == 503
    site.root.gate.set()
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.statuses("/stuck") == ["503"]


# ------------------------------------------------------------------------------------- streams


def test_a_stream_is_cut_so_that_it_shows(site):
    began = time.monotonic()
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(site, "/stream")
    assert time.monotonic() - began < LIMIT + GRACE
    assert cut.value.partial == b"first"
    assert get(site)[0] == 200
    site.root.gate.set()
    wait_until(lambda: site.root.events == ["generator back"])
    wait_until(lambda: site.counters["open"] == 0)
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.counters["timeouts_response"] == 1


def test_a_stream_that_has_not_begun_is_answered(site):
    status, _, body, took = get(site, "/unbegun")
    assert (status, took < LIMIT + GRACE) == (503, True)
    site.root.gate.set()
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.counters["responses"] == 1
    assert site.counters["responses_5xx"] == 1
    assert "never seen" not in body


# --------------------------------------------------------------------------- cooperative handlers


def test_a_handler_may_take_its_time(site):
    assert get(site, "/patient")[::2] == (200, "in time")


def test_a_path_may_have_a_time_of_its_own(site):
    site.app.merge({"/stuck": {"response.timeout": 30}})
    timer = threading.Timer(LIMIT + 0.3, site.root.gate.set)
    timer.start()
    assert get(site, "/stuck")[::2] == (200, "late")
    timer.join()


def test_a_handler_that_polls(site):
    assert get(site, "/polling")[0] == 503
    wait_until(lambda: site.root.events == ["gave up"])
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    assert site.statuses("/polling") == ["503"]


# ---------------------------------------------------------------------------- legacy, off, counters


def test_legacy_looks_at_the_end_only(site):
    cherrypy.config.update({"engine.timeout_monitor.legacy": True})
    ran = []
    site.config({"hooks.before_finalize": lambda: ran.append(1)})
    timer = threading.Timer(LIMIT + 0.3, site.root.gate.set)
    timer.start()
    status, _, body, took = get(site, "/stuck")
    assert (status, took > LIMIT + 0.25) == (503, True)
    assert ran == [1]  # the stages did not look
    assert "in time" in body
    assert site.root.events == ["handler back"]
    assert site.statuses("/stuck") == ["503"]
    assert site.counters["timeouts_response"] == 0
    timer.join()


def test_forgiven_in_legacy_mode(site):
    cherrypy.config.update({"engine.timeout_monitor.legacy": True})
    assert get(site, "/forgiven")[::2] == (200, "done all the same")


@pytest.mark.parametrize("how", ["config", "unsubscribe", "frequency"])
def test_switched_off(site, how):
    monitor = cherrypy.engine.timeout_monitor
    if how == "config":
        cherrypy.config.update({"engine.timeout_monitor.on": False})
    elif how == "unsubscribe":
        monitor.unsubscribe()
    else:
        monitor.stop()
        monitor.frequency = 0
        monitor.start()
    assert monitor.thread is None
    timer = threading.Timer(LIMIT + 0.3, site.root.gate.set)
    timer.start()
    assert get(site, "/stuck")[::2] == (200, "late")
    timer.join()
    if how == "config":
        cherrypy.config.update({"engine.timeout_monitor.on": True})
        site.root.gate.clear()
        assert get(site, "/stuck")[0] == 503


def test_it_says_what_it_finds(site):
    monitor = cherrypy.engine.timeout_monitor
    told = []
    marked, answered = monitor.marked, monitor.answered

    def listen(request, response):
        told.append((request.path_info, response.timeout))
        raise RuntimeError("a listener that fails stops nobody")

    cherrypy.engine.subscribe("timeout", listen)
    try:
        client = threading.Thread(target=get, args=(site, "/stuck"))
        client.start()
        wait_until(lambda: site.root.busy)
        requests = [request.path_info for request, _ in monitor.servings]
        assert requests == ["/stuck"]
        client.join(5)
        assert told == [("/stuck", LIMIT)]
        assert (monitor.marked, monitor.answered) == (marked + 1, answered + 1)
    finally:
        cherrypy.engine.unsubscribe("timeout", listen)
    site.root.gate.set()
    wait_until(lambda: monitor.servings == [])


def test_it_wakes_when_a_time_is_up_however_rarely_it_looks(site):
    """With the usual frequency of a minute and a time-out beyond it, the deadline is met as well."""
    monitor = cherrypy.engine.timeout_monitor
    monitor.frequency = 2
    site.config({"response.timeout": 2.2})
    monitor.graceful()
    took = get(site, "/stuck")[3]
    assert 2.2 <= took < 3.3  # the looks are after 2 seconds, and after 4


# ------------------------------------------------------------------------------------- the race


def one_race(site, number, seen):
    spread = (random.random() - 0.5) * 0.02
    with socket.create_connection(site.adapter.bound_addr, timeout=10) as sock:
        path = f"/close_call?spread={spread:.5f}&n={number}".split("&")[0]
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status, body = whole(read_to_end(sock))
    assert status in (200, 503)
    assert (body == b"close call") == (status == 200)
    seen.append(status)


def test_exactly_one_answer_whoever_is_first(site):
    monitor = cherrypy.engine.timeout_monitor
    monitor.frequency = 0.004
    monitor.graceful()
    get(site)
    wait_until(lambda: site.counters["open"] == 0)
    fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    before = site.counters["responses"]
    count, seen, numbers = 240, [], iter(range(240))
    lock = threading.Lock()

    def client():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            one_race(site, number, seen)

    clients = [threading.Thread(target=client) for _ in range(24)]
    site.adapter.thread_pool_max = 24
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60)
    assert len(seen) == count
    assert set(seen) == {200, 503}  # else this has tested nothing
    wait_until(lambda: site.counters["open"] == 0)
    wait_until(lambda: site.counters["threads_stuck"] == 0)
    counters = site.counters
    assert counters["responses"] - before == count
    assert counters["timeouts_response"] <= seen.count(503)
    assert counters["threads"] >= site.adapter.thread_pool
    wait_until(lambda: len(site.access.lines) >= count + 1)
    logged = [line.split('" ')[1].split()[0] for line in site.access.lines if "close_call" in line]
    assert sorted(logged) == sorted(map(str, seen))
    assert [get(site)[0] for _ in range(20)] == [200] * 20
    wait_until(lambda: site.counters["open"] == 0)
    if fds:
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= fds)
