"""Who stops a server, and when: handlers, signals, forks; nobody's answer is lost by it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from server_kit import Peer, hello, until

from kirsch.server.server import Server


@pytest.mark.parametrize("kind", ["bytes", "generator"])
def test_a_quick_handler_that_stops_the_server_is_heard(bench, kind):
    """It keeps the baton, its answer does not fit the socket, and all the others leave meanwhile."""
    size = 3_000_000

    def app(environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/warm":
            return [b"warm"]
        server.stop()
        if kind == "bytes":
            return [b"x" * size]
        return (b"x" * 100_000 for _ in range(size // 100_000))

    server = bench.server(app, shutdown_timeout=5)
    bind = server.bound_addresses[0]
    server.binds = [bind]
    for _ in range(5):
        with contextlib.closing(Peer(bind, rcvbuf=16384)) as peer:
            for _ in range(30):
                assert peer.get("/warm")[2] == b"warm"
            begin = time.monotonic()
            peer.send(b"GET /stop HTTP/1.1\r\nHost: t\r\n\r\n")
            assert until(lambda: not server.ready)
            status, fields, body = peer.response()
            assert (status, len(body)) == (200, size)
            assert fields["connection"] == "close" and peer.closed()
            assert time.monotonic() - begin < 4
        server.start()


def test_two_handlers_that_stop_the_server_do_not_wait_for_each_other(bench):
    entered = threading.Barrier(2)

    def app(environ, start_response):
        entered.wait(5)
        server.stop()
        start_response("200 OK", [])
        return [b"bye"]

    server = bench.server(app, shutdown_timeout=5)
    peers = [bench.peer(server) for _ in range(2)]
    begin = time.monotonic()
    for peer in peers:
        peer.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert [peer.response()[2] for peer in peers] == [b"bye"] * 2
    assert time.monotonic() - begin < 2


def test_a_handler_that_stops_and_starts(bench):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/again":
            server.stop()
            server.start()
        start_response("200 OK", [])
        return [b"here"]

    server = bench.server(app)
    server.binds = [server.bound_addresses[0]]
    for _ in range(3):
        peer = bench.peer(server)
        assert peer.get("/again")[2] == b"here" and peer.closed()
        assert bench.peer(server).get("/")[2] == b"here"


def test_a_request_in_the_kernel_is_answered_by_a_stop(bench):
    """Closing a socket with unread bytes resets it; a request that has arrived is in flight."""
    gate = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/hold":
            gate.wait(5)
        start_response("200 OK", [])
        return [b"served"]

    server = bench.server(app, threads=1, threads_max=1, shutdown_timeout=3)
    keeper, late = bench.peer(server), bench.peer(server)
    assert late.get()[2] == b"served"
    keeper.send(b"GET /hold HTTP/1.1\r\nHost: t\r\n\r\n")
    assert until(lambda: server.counters["requests"] == 2)
    stopper = threading.Thread(target=server.stop)
    with server._life:  # the request is there before anybody stops
        stopper.start()
        late.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        time.sleep(0.05)
    gate.set()
    assert keeper.response()[2] == b"served"
    assert late.response()[2] == b"served"
    stopper.join(5)


def test_stop_within_stop(bench):
    """A second signal interrupts the stop of the first, in the same thread."""
    gate = threading.Event()

    def app(environ, start_response):
        gate.wait(5)
        return hello(environ, start_response)

    server = bench.server(app, shutdown_timeout=3)
    peer = bench.peer(server).send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert until(lambda: server.counters["requests"] == 1)
    again = []

    def handler(number, frame):
        server.stop()
        again.append(number)
        gate.set()

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        server.stop()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert again == [signal.SIGUSR2]
    assert peer.response()[2] == b"hello"


def script(tmp_path, source):
    path = tmp_path / "program.py"
    path.write_text(source)
    return subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


SIGNALLED = """
import signal, threading
from kirsch import Server
def app(environ, start_response):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # as the kernel may deliver it
    start_response("200 OK", [])
    return [b"x" * 200_000]
server = Server("127.0.0.1:0", app)
signal.signal(signal.SIGTERM, lambda *_: server.finish())
server.start()
print(server.bound_addresses[0][1], flush=True)
server.serve()
"""


def test_a_signal_in_another_thread_ends_serve(tmp_path):
    process = script(tmp_path, SIGNALLED)
    try:
        peer = Peer(("127.0.0.1", int(process.stdout.readline())))
        assert len(peer.get()[2]) == 200_000
        _, errors = process.communicate(timeout=5)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0 and errors == ""
    peer.close()


ABANDONED = """
import threading, time
from kirsch import Server
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
server = Server("127.0.0.1:0", app)
server.start()
print(server.bound_addresses[0][1], flush=True)
input()
"""


def test_an_interpreter_that_ends_under_load_says_nothing(tmp_path):
    (tmp_path / "program.py").write_text(ABANDONED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    over = threading.Event()

    def load(address):
        with contextlib.suppress(OSError, AssertionError):
            peer = Peer(address)
            while not over.is_set():
                peer.get()

    try:
        address = ("127.0.0.1", int(process.stdout.readline()))
        crowd = [threading.Thread(target=load, args=(address,)) for _ in range(4)]
        for thread in crowd:
            thread.start()
        time.sleep(0.2)
        _, errors = process.communicate("\n", timeout=5)
    finally:
        process.kill()
        over.set()
    for thread in crowd:
        thread.join(5)
    assert process.returncode == 0 and errors == ""


FORKS = """
import os, sys, time
from kirsch import Server
def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Connection", "close")] if path == "/long" else [])
    if path != "/":
        pid = os.fork()
        if pid == 0:
            if path == "/exit":
                sys.exit(3)
            if path == "/long":
                time.sleep(20)
                os._exit(0)
            return [b"child " * 1000]
        if path == "/long":
            kept.append(pid)
        else:
            os.waitpid(pid, 0)
    return [b"parent"]
kept = []
server = Server("127.0.0.1:0", app)
server.start()
print(server.bound_addresses[0][1], flush=True)
input()
server.stop()
for pid in kept:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print("alive until the end", bool(kept), flush=True)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_handler_that_forks(tmp_path):
    """The child neither answers, nor closes, nor keeps open what is its parent's."""
    (tmp_path / "program.py").write_text(FORKS)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(tmp_path / "program.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(process.stdout.readline())
        peer = Peer(("127.0.0.1", port))
        for path in ("/exit", "/", "/return", "/", "/exit", "/return", "/"):
            assert peer.get(path)[2] == b"parent"
        other = Peer(("127.0.0.1", port))
        body = other.get("/long")[2]
        assert body == b"parent" and other.closed(2)
        assert peer.get("/")[2] == b"parent"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "alive until the end True\n"
        again = Server(("127.0.0.1", port), hello)
        again.start()  # no child holds the port
        again.stop()
        process.communicate(timeout=5)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    for one in (peer, other):
        one.close()


def test_fifty_lives_on_one_port_under_load(bench):
    server = bench.server(threads=2, shutdown_timeout=1)
    address = server.bound_addresses[0]
    server.binds = [address]
    over = threading.Event()
    wrong = []

    def load():
        while not over.is_set():
            with contextlib.suppress(OSError, AssertionError):
                peer = Peer(address, timeout=3)
                try:
                    while not over.is_set():
                        if peer.get()[2] != b"hello":
                            wrong.append(1)
                except TimeoutError:
                    wrong.append("hung")
                finally:
                    peer.close()
            time.sleep(0.001)

    crowd = [threading.Thread(target=load) for _ in range(3)]
    for thread in crowd:
        thread.start()
    try:
        descriptors = threads = 0
        for life in range(50):
            server.stop()
            server.start()
            if life == 5:
                descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    finally:
        over.set()
        for thread in crowd:
            thread.join(5)
    server.stop()
    assert wrong == []
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert threading.active_count() <= threads
    assert server.counters["open"] == 0
    assert not [m for m in bench.errors() if "internal" in m]
