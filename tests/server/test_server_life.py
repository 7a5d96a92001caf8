"""Starting, stopping, starting again, and what interrupts a server."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from server_kit import Peer, hello, until

from kirsch.server.server import Latch, Server


def test_restart_on_the_same_port_at_once(bench):
    server = bench.server()
    address = server.bound_addresses[0]
    for _ in range(5):
        peer = Peer(address)
        assert peer.get()[0] == 200
        server.stop()
        assert not server.ready and server.bound_addresses == []
        assert peer.closed()
        server.binds = [address]
        server.start()
        assert server.ready and server.bound_addresses == [address]
    other = Server(address, hello)
    with pytest.raises(OSError, match=rf"{address[0]}:{address[1]}.*{os.getpid()}"):
        other.start()
    other.stop()


def test_stop_lets_requests_finish(bench):
    entered = threading.Event()

    def app(environ, start_response):
        entered.set()
        time.sleep(0.3)
        start_response("200 OK", [])
        return [b"x" * 3_000_000]

    server = bench.server(app, shutdown_timeout=5)
    busy, idle = bench.peer(server), bench.peer(server)
    half = bench.peer(server).send(b"GET / HT")
    busy.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert entered.wait(2)
    address = server.bound_addresses[0]
    begin = time.monotonic()
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    assert idle.closed(0.2) and half.closed(0.2)
    with pytest.raises(ConnectionRefusedError):
        Peer(address)
    status, fields, body = busy.response()
    assert status == 200 and len(body) == 3_000_000 and fields["connection"] == "close"
    stopper.join(5)
    assert time.monotonic() - begin < 2


def test_stop_right_after_a_response(bench):
    """A connection that turns idle while the stop begins is closed as well, without the timeout."""
    server = bench.server(shutdown_timeout=5)
    address = server.bound_addresses[0]
    server.binds = [address]
    for turn in range(40):
        peer = Peer(address)
        assert peer.get(f"/{turn}")[0] == 200
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 2
        assert peer.closed()
        server.start()


def test_stop_loses_patience(bench):
    gate = threading.Event()

    def app(environ, start_response):
        gate.wait(10)
        start_response("200 OK", [])
        return []

    server = bench.server(app, shutdown_timeout=0.2)
    peer = bench.peer(server).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    until(lambda: server.counters["requests"] == 1)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 2.5
    assert peer.closed()
    gate.set()


def test_stop_under_load(bench):
    server = bench.server(threads=4, shutdown_timeout=5)
    address = server.bound_addresses[0]
    over = threading.Event()
    broken = []

    def load():
        while not over.is_set():
            try:
                peer = Peer(address)
            except OSError:
                return
            try:
                while not over.is_set():
                    _status, fields, body = peer.get()
                    if body != b"hello":
                        broken.append(body)
                    if fields.get("connection") == "close":
                        break
            except (OSError, AssertionError):
                if peer.data:
                    broken.append(peer.data)
            peer.close()

    crowd = [threading.Thread(target=load) for _ in range(8)]
    for thread in crowd:
        thread.start()
    time.sleep(0.3)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 4
    over.set()
    for thread in crowd:
        thread.join(5)
    assert broken == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(3)])
def test_exit_in_a_handler_ends_serve(bench, error):
    def app(environ, start_response):
        raise error

    server = Server(("127.0.0.1", 0), app, log=bench.log, shutdown_timeout=1)
    outcome = []

    def serve():
        try:
            server.serve()
        except BaseException as caught:
            outcome.append(caught)

    thread = threading.Thread(target=serve)
    thread.start()
    until(lambda: server.ready)
    peer = bench.peer(server).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert peer.rest() == b""
    thread.join(5)
    assert isinstance(outcome[0], error if isinstance(error, type) else SystemExit)


def test_latch():
    latch = Latch()
    assert not latch.wait(0.01)
    woken = []
    crowd = [threading.Thread(target=lambda: woken.append(latch.wait(5))) for _ in range(3)]
    for thread in crowd:
        thread.start()
    latch.set()
    latch.set()
    for thread in crowd:
        thread.join(5)
    assert woken == [True] * 3 and latch.wait(0)
    latch.clear()
    assert not latch.wait(0.01)


def test_interrupt_assigned_from_outside(bench):
    server = Server(("127.0.0.1", 0), hello, log=bench.log)
    threading.Timer(0.1, lambda: setattr(server, "interrupt", RuntimeError)).start()
    with pytest.raises(RuntimeError):
        server.serve()
    assert not server.ready


@pytest.mark.parametrize("direct", [False, True])
def test_stop_from_a_handler(bench, direct):
    def app(environ, start_response):
        if direct:
            server.stop()
        else:
            threading.Thread(target=server.stop).start()
        start_response("200 OK", [])
        return [b"bye"]

    server = bench.server(app)
    assert bench.peer(server).get()[2] == b"bye"
    assert until(lambda: not server.ready)


# -- the command line ---------------------------------------------------------------------------

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"cli"]
"""


def run(tmp_path, *arguments):
    (tmp_path / "served.py").write_text(APP)
    return subprocess.Popen(
        [sys.executable, "-m", "kirsch", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_line(tmp_path, number):
    process = run(tmp_path, "served:app", "--bind", "127.0.0.1:0", "--threads", "2", "--access-log")
    try:
        line = process.stderr.readline()
        assert "listening on http://127.0.0.1:" in line
        port = int(line.rpartition(":")[2])
        peer = Peer(("127.0.0.1", port))
        assert peer.get("/x?y")[2] == b"cli"
        process.send_signal(number)
        _, errors = process.communicate(timeout=5)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "GET /x?y 200 OK" in errors and "stopped" in errors and "Traceback" not in errors
    peer.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere:app"], "no module 'nowhere'"),
        (["served:nothing"], "has no 'nothing'"),
        (["served:app."], "has no 'app.'"),
        ([":app"], "'' is no module's name"),
        ([".served:app"], "'.served' is no module's name"),
        (["served/app.py"], "'served/app.py' is no module's name"),
        (["served.py"], "no module 'served.py'"),
        (["served", "--bind", "LISTEN_FDS"], "no sockets were passed"),
        (["served", "--bind", "unix:/nonexistent/s"], "cannot listen on unix:/nonexistent/s"),
        (["served:__name__"], "cannot be called"),
        (["served", "--threads", "many"], "threads must be int"),
        (["served", "--bind", "nonsense"], "not an address"),
        (["served", "--bind", "203.0.113.9:80"], "cannot listen on 203.0.113.9:80"),
    ],
)
def test_command_line_explains(tmp_path, arguments, words):
    process = run(tmp_path, *arguments)
    _, errors = process.communicate(timeout=10)
    process.wait()
    assert process.returncode == 1
    assert words in errors and "Traceback" not in errors


def test_command_line_help_and_version(capsys):
    from kirsch.__main__ import NOT_OPTIONS, main
    from kirsch.server.limits import TABLE

    for flag, words in (("--version", "Kirsch 0."), ("--help", "--keep-alive-timeout")):
        with pytest.raises(SystemExit) as caught:
            main([flag])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert words in out
    for row in TABLE:
        option = re.search(rf"--{row.name.replace('_', '-')}(?![\w-])", out)
        assert (option is not None) == (row.name not in NOT_OPTIONS), row.name


def test_inherited_descriptors(tmp_path):
    (tmp_path / "served.py").write_text(APP)
    listener = socket.create_server(("127.0.0.1", 0))
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'kirsch', 'served', '--bind', 'LISTEN_FDS'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(listener.fileno())],
        pass_fds=[listener.fileno()],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        peer = Peer(listener.getsockname())
        assert peer.get()[2] == b"cli"
        peer.close()
        process.terminate()
        process.communicate(timeout=5)
    finally:
        process.kill()
        process.wait()
        listener.close()
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux tells of each thread")
def test_a_server_that_nobody_asks_lies_still(bench):
    """Its threads wake up for what may have slipped by, and for nothing else."""
    server = bench.server()
    thread = threading.Thread(target=server.serve)  # as a program runs it that has a main thread
    thread.start()
    try:
        peer = bench.peer(server)
        assert peer.get()[0] == 200
        peer.close()
        watched = [thread, server.house.thread, *(one.thread for one in server.pool.workers)]

        def woken():
            number = 0
            for one in watched:
                with open(f"/proc/self/task/{one.native_id}/status") as file:
                    lines = dict(line.split(":", 1) for line in file)
                number += int(lines["voluntary_ctxt_switches"])
            return number

        def times_in_two_seconds():
            before = woken()
            time.sleep(2)
            return woken() - before

        assert until(lambda: times_in_two_seconds() <= 8, within=20)  # they were 20
        assert bench.peer(server).get()[0] == 200
    finally:
        server.stop()
        server.finish()
        thread.join(10)
    assert not thread.is_alive()
