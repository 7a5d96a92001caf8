"""Connections, threads, queues, refusals and timeouts of a server, in exact numbers."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.monitor.house.connections import reason_of
from cherrypy.monitor.house.servers import backlog_of
from cherrypy.monitor.metrics import METRICS
from kirsch.server.counters import Counters

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only on Linux")


class Root:
    def __init__(self) -> None:
        self.gate = threading.Event()
        self.count = 0

    @cherrypy.expose
    def index(self, **params: Any) -> str:
        return "home"

    @cherrypy.expose
    def wait(self) -> str:
        self.count += 1
        self.gate.wait(15)
        return "waited"

    @cherrypy.expose
    def upload(self) -> str:
        return str(len(cherrypy.request.body.read()))


def get(peer: socket.socket, request: bytes) -> bytes:
    """Send a request and read a response that has a length."""
    peer.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        block = peer.recv(65536)
        assert block, data
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
            while len(body) < length:
                body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_connections_from_their_beginning_to_their_end(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    first, second = site.connect(), site.connect()
    sent = 0
    for _ in range(3):
        sent += len(get(first, HELLO))
    sent += len(get(second, HELLO))
    listener = (site.listener,)
    assert site.counts("cherrypy.server.connections.accepted") == {listener: 2}
    site.becomes("cherrypy.server.connections.active", {listener: 2})
    site.becomes("cherrypy.server.connections.idle", {listener: 2})
    assert site.counts("cherrypy.server.io.received") == {listener: 4 * len(HELLO)}
    assert site.counts("cherrypy.server.io.sent") == {listener: sent}
    first.close()
    second.close()
    site.becomes("cherrypy.server.connections.closed", {("client",): 2})
    site.becomes("cherrypy.server.connections.active", {})
    requests = site.series("cherrypy.server.connection.requests")[listener]
    assert (requests.count, requests.total, requests.most) == (2, 4, 3)
    duration = site.series("cherrypy.server.connection.duration")[listener]
    assert duration.count == 2 and 0 < duration.total < 10
    assert site.counts("cherrypy.server.protocol") == {("1.1",): 4}
    heads = site.series("cherrypy.server.header.size")[()]
    assert (heads.count, heads.total) == (4, 4 * len(HELLO))


def test_who_ends_a_connection(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    peer = site.connect()
    get(peer, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    site.becomes("cherrypy.server.connections.closed", {("response",): 1})
    bad = site.connect(b"nonsense\r\n\r\n")
    assert b" 400 " in bad.recv(4096)
    bad.close()
    site.becomes("cherrypy.server.connections.closed", {("response",): 1, ("error",): 1})
    for group in site.kirsch.groups:
        group.settings.keep_alive_timeout = 0.1  # and a second
    time.sleep(1.1)  # groups look at it once a second
    idle = site.connect()
    get(idle, HELLO)
    assert idle.recv(10) == b""
    site.becomes(
        "cherrypy.server.connections.closed",
        {("response",): 1, ("error",): 1, ("keepalive_timeout",): 1},
    )
    assert site.counts("cherrypy.server.timeouts")[("keepalive",)] == 1
    for group in site.kirsch.groups:
        group.settings.keep_alive_timeout = 10
    time.sleep(1.1)
    left = site.connect()
    get(left, HELLO)
    cherrypy.engine.stop()
    assert site.counts("cherrypy.server.connections.closed")[("shutdown",)] == 1
    for sock in (peer, idle, left):
        sock.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"GET\r\n\r\n", "request_line"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
        (b"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
        (b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", "version"),
        (b"GET / HTTP/1.1\r\n\r\n", "host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n", "header"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "content_length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer_encoding"),
        (b"GET /" + b"a" * 600_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "too_large"),
    ],
)
def test_requests_that_are_refused(site: Monitored, request_: bytes, reason: str) -> None:
    site.mount(Root())
    site.start()
    peer = site.connect()
    with contextlib.suppress(OSError):  # it may have enough before the end
        peer.sendall(request_)
    answer = peer.recv(4096)
    assert answer[9:10] in (b"4", b"5"), answer
    peer.close()
    assert site.counts("cherrypy.server.parse.errors") == {(reason,): 1}
    code = answer[9:12].decode()
    assert site.counts("cherrypy.http_errors") == {(code, "server"): 1}


def test_a_body_that_is_too_large(site: Monitored) -> None:
    site.mount(Root())
    cherrypy.server.max_request_body_size = 100
    try:
        site.start()
        assert site.ask("/upload", "POST", b"x" * 1000)[0] == 413
    finally:
        cherrypy.server.max_request_body_size = 100 * 1024 * 1024
    assert site.counts("cherrypy.server.parse.errors") == {("too_large",): 1}
    assert reason_of(431, "whatever") == "too_large"


def test_a_head_and_a_body_that_come_too_slowly(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    site.kirsch.settings.head_timeout = 0.2
    site.kirsch.settings.body_timeout = 0.2
    slow = site.connect(b"GET / HTTP/1.1\r\n")
    assert b" 408 " in slow.recv(4096)
    slow.close()
    slow = site.connect(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    assert b" 408 " in slow.recv(4096)
    slow.close()
    site.becomes("cherrypy.server.timeouts", {("header",): 1, ("body",): 1})
    assert site.counts("cherrypy.server.parse.errors") == {}
    site.becomes("cherrypy.server.connections.closed", {("timeout",): 2})


def test_a_peer_that_leaves_within_its_body(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    peer = site.connect(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    until(lambda: site.kirsch.counters["bytes_in"] > 40)
    peer.close()
    site.becomes("cherrypy.request.aborted", {("read",): 1})
    # And one whose page is reading it already, as it is more than waits without a thread.
    size = 10_000_000
    head = f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    peer = site.connect(head.encode() + b"x" * 2_000_000)
    until(lambda: site.kirsch.counters["bytes_in"] > 2_000_000)
    peer.close()
    site.becomes("cherrypy.request.aborted", {("read",): 2})


def test_threads_and_the_queue(site: Monitored) -> None:
    root = Root()
    site.mount(root)
    cherrypy.server.thread_pool, cherrypy.server.thread_pool_max = 2, 2
    try:
        site.start()
        site.kirsch.settings.queue_size = 1
        assert site.counts("cherrypy.server.threads.limit") == {("min",): 2, ("max",): 2}
        site.becomes("cherrypy.server.threads", {("idle",): 2})
        request = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
        busy = [site.connect(request), site.connect(request)]
        until(lambda: root.count == 2)
        site.becomes("cherrypy.server.threads", {("busy",): 2})
        busy.append(site.connect(request))
        until(lambda: site.kirsch.pool.qsize == 1)
        refused = site.connect(request)
        assert b" 503 " in refused.recv(4096)
        assert site.counts("cherrypy.server.queue.depth") == {(): 1}
        assert site.counts("cherrypy.server.queue.rejected") == {("full",): 1}
        assert site.counts("cherrypy.http_errors") == {("503", "server"): 1}
        root.gate.set()
        for peer in (*busy, refused):
            peer.close()
        site.becomes("cherrypy.server.connections.closed", {("busy",): 1, ("client",): 3})
        site.becomes("cherrypy.server.queue.depth", {})
        started = site.counts("cherrypy.server.threads.started")
        assert 2 <= started[()] <= 4
    finally:
        root.gate.set()
        cherrypy.server.thread_pool = 10
        cherrypy.server.thread_pool_max = -1


def test_requests_by_thread_are_of_level_2(site: Monitored) -> None:
    site.mount(Root())
    site.start(level=2)
    for _ in range(5):
        site.ask()
    counts = site.counts("cherrypy.server.thread.requests")
    assert sum(counts.values()) == 5
    assert all(labels[0].startswith("kirsch-worker-") for labels in counts)


@LINUX
def test_connections_that_nobody_has_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        assert backlog_of(listener) == 0
        peers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        until(lambda: backlog_of(listener) == 3)
        for peer in peers:
            peer.close()


@LINUX
def test_the_backlog_of_a_server(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    assert site.series("cherrypy.server.accept_backlog") == {(site.listener,): 0.0}


def test_files_that_the_system_sends(site: Monitored, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "big.bin").write_bytes(data)
    (tmp_path / "small.txt").write_text("small")
    config = {"tools.staticdir.on": True, "tools.staticdir.dir": str(tmp_path)}
    site.mount(Root(), {"/files": config})
    site.start()
    assert site.ask("/files/big.bin")[1] == data
    site.becomes("cherrypy.server.sendfile.sent", {(): len(data)})
    status, fields, _ = site.whole("/files/small.txt")
    assert status == 200
    assert site.ask("/files/small.txt", If_Modified_Since=fields["Last-Modified"])[0] == 304
    assert site.ask("/files/small.txt", Range="bytes=0-1") == (206, b"sm")
    assert site.ask("/files/none.txt")[0] == 404
    assert site.ask("/files/%2e%2e/x")[0] in (403, 404)
    found = site.counts("cherrypy.static.responses")
    assert found[("200",)] == 2 and found[("304",)] == 1 and found[("206",)] == 1
    assert found[("missing",)] + found.get(("403",), 0) == 2
    routes = {labels[1] for labels in site.counts("http.server.request.duration")}
    assert routes <= {"/files/{*file}", "(unmatched)"}


def test_this_process_is_a_worker(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    assert site.counts("cherrypy.server.workers") == {("running",): 1}
    assert site.counts("cherrypy.server.workers.active") == {}
    site.ask()
    assert site.counts("cherrypy.server.workers.active") == {(): 1}
    uptime = site.series("cherrypy.server.worker.uptime")[()]
    assert 0 <= uptime < 60


def test_a_unix_socket_has_its_path_for_a_name(site: Monitored, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    site.mount(Root())
    cherrypy.server.socket_file = path
    try:
        site.start()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            get(peer, HELLO)
            assert site.counts("cherrypy.server.connections.accepted") == {(f"unix:{path}",): 1}
            assert site.counts("cherrypy.server.io.received") == {(f"unix:{path}",): len(HELLO)}
    finally:
        cherrypy.server.socket_file = None


def test_two_servers_are_told_apart(site: Monitored) -> None:
    other = cherrypy._cpserver.Server()
    other.socket_port = 0
    site.mount(Root())
    other.subscribe()
    try:
        site.start()
        address = other.httpserver.kirsch.bound_addresses[0]
        for _ in range(2):
            connection = http.client.HTTPConnection(*address, timeout=10)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
        site.ask()
        assert site.counts("cherrypy.server.connections.accepted") == {
            (site.listener,): 1,
            ("{}:{}".format(*address),): 2,
        }
        assert site.counts("cherrypy.requests") == {("",): 3}
    finally:
        cherrypy.engine.exit()  # before it is unsubscribed: it would go on
        other.unsubscribe()


def test_the_counters_of_a_server_are_added_up_once_for_each_snapshot(
    site: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.mount(Root())
    site.start()
    site.monitor._stop.set()  # no beat comes in between
    site.monitor._thread.join(10)
    site.ask()
    asked = []
    plain = Counters.snapshot

    def snapshot(counters: Any) -> dict[str, int]:
        if counters is site.kirsch.counters_:
            asked.append(counters)
        return plain(counters)

    monkeypatch.setattr(Counters, "snapshot", snapshot)
    taken = site.take()
    assert len(asked) == 1  # they were 21
    # One moment for all of them, and the next one sees what has come since.
    assert taken.counts[METRICS["cherrypy.server.io.received"], (site.listener,)] > 0
    site.ask()
    again = site.take()
    assert len(asked) == 2
    received = METRICS["cherrypy.server.io.received"], (site.listener,)
    assert again.counts[received] == 2 * taken.counts[received]


def test_numbers_of_a_server_do_not_fall_when_it_starts_again(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    site.ask()
    before = site.counts("cherrypy.server.io.received")[(site.listener,)]
    threads = site.counts("cherrypy.server.threads.started")[()]
    cherrypy.server.restart()
    site.monitor.serve()
    time.sleep(0)
    received = sum(site.counts("cherrypy.server.io.received").values())
    assert received == before
    assert site.counts("cherrypy.server.threads.started")[()] > threads


def test_off_nothing_is_left_of_it(site: Monitored) -> None:
    from kirsch.server.connection import Connection
    from kirsch.server.group import Group
    from kirsch.server.link import Link

    places = [(Link, "close"), (Link, "refuse"), (Link, "__init__"), (Group, "overflow")]
    before = [vars(owner)[name] for owner, name in places]
    site.mount(Root())
    site.start()
    assert [vars(owner)[name] for owner, name in places] != before
    site.monitor.stop()
    assert [vars(owner)[name] for owner, name in places] == before
    assert "close" not in vars(Connection)
    assert site.ask()[0] == 200
