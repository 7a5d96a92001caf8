"""The server adapter with real sockets: readiness, failures, addresses, bounded ends."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest
from bus_kit import Child, LoggedBus, until

from cherrypy.process import servers
from cherrypy.process.servers import ServerAdapter
from cherrypy.process.wspbus import ChannelFailures


class EchoServer:
    """Listens, and sends everybody the same word; ``interrupt`` ends its loop."""

    def __init__(self, address=("127.0.0.1", 0), delay=0.0):
        self.bind_addr = address
        self.delay = delay
        self.ready = False
        self.interrupt = None
        self.socket = None
        self.stopping = threading.Event()

    def start(self):
        self.stopping.clear()
        family = socket.AF_UNIX if isinstance(self.bind_addr, str) else socket.AF_INET
        self.socket = socket.socket(family)
        try:
            self.socket.bind(self.bind_addr)
            self.socket.listen()
            self.socket.settimeout(0.02)
            time.sleep(self.delay)
            self.ready = True
            while not self.stopping.is_set():
                if self.interrupt is not None:
                    raise self.interrupt
                try:
                    connection, _ = self.socket.accept()
                except TimeoutError:
                    continue
                connection.sendall(b"word")
                connection.close()
        finally:
            self.ready = False
            self.socket.close()

    def stop(self):
        self.stopping.set()


@pytest.fixture
def bus():
    made = LoggedBus()
    yield made
    if made.state is not made.states.EXITING:
        made.exit()


def ask(address):
    with socket.create_connection(address, 5) as client:
        return client.recv(10)


# ---------------------------------------------------------------- start, stop


def test_it_serves_with_the_bus_and_again(bus):
    server = EchoServer()
    adapter = ServerAdapter(bus, server, ("127.0.0.1", 0))
    adapter.subscribe()
    assert bus._priorities["start", adapter.start] == 75
    assert bus._priorities["stop", adapter.stop] == 25
    for _ in range(2):
        assert adapter.bound_addr == ("127.0.0.1", 0)
        bus.start()
        assert adapter.running is True
        host, port = adapter.bound_addr
        assert host == "127.0.0.1" and port
        assert ask((host, port)) == b"word"
        assert adapter.description == f"http://127.0.0.1:{port}"
        assert f"Serving on http://127.0.0.1:{port}" in bus.texts
        names = [thread.name for thread in threading.enumerate() if thread is not None]
        (name,) = (name for name in names if name.startswith("HTTPServer "))
        assert name.endswith("(_start_http_thread)")
        adapter.start()
        assert bus.texts[-1] == f"Already serving on http://127.0.0.1:{port}"
        bus.exit()
        assert adapter.running is False
        assert adapter.bound_addr == ("127.0.0.1", 0)
        assert not [one for one in threading.enumerate() if one.name.startswith("HTTPServer ")]
        assert f"HTTP Server {server} shut down" in bus.texts
        with pytest.raises(ConnectionRefusedError):
            ask((host, port))
    adapter.stop()
    assert bus.texts[-1] == f"HTTP Server {server} already shut down"
    adapter.unsubscribe()
    assert bus.listeners["start"] == bus.listeners["stop"] == set()


def test_readiness_is_noticed_quickly_and_nobody_connects(bus):
    class Counting(EchoServer):
        delay_over = 0.0
        accepted = 0

        def start(self):
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.socket.settimeout(0.3)
            time.sleep(0.05)
            self.delay_over = time.monotonic()
            self.ready = True
            try:
                self.socket.accept()
                self.accepted += 1
            except TimeoutError:
                pass
            self.socket.close()

    server = Counting()
    adapter = ServerAdapter(bus, server, ("127.0.0.1", 0))
    adapter.start()
    assert time.monotonic() - server.delay_over < 0.28
    thread = adapter._thread
    thread.join(5)
    adapter.stop()
    assert server.accepted == 0


def test_restart(bus):
    adapter = ServerAdapter(bus, EchoServer(), ("127.0.0.1", 0))
    adapter.start()
    first = adapter._thread
    adapter.restart()
    assert adapter.running and adapter._thread is not first
    assert ask(adapter.bound_addr) == b"word"
    adapter.stop()


def test_unix_sockets(bus, tmp_path):
    path = str(tmp_path / "x.sock")
    adapter = ServerAdapter(bus, EchoServer(path), path)
    adapter.start()
    assert f"Serving on socket file: {path}" in bus.texts
    assert adapter.bound_addr == path
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        assert client.recv(10) == b"word"
    adapter.stop()


def test_a_subclass_need_not_call_init(bus):
    class Late(ServerAdapter):
        def __init__(self, bus):
            self.bus = bus

        def start(self):
            if not self.httpserver:
                self.httpserver, self.bind_addr = EchoServer(), ("127.0.0.1", 0)
            super().start()

        start.priority = 75

    adapter = Late(bus)
    assert (adapter.interrupt, adapter.running, adapter.httpserver) == (None, False, None)
    adapter.stop()
    assert bus.texts == ["HTTP Server None already shut down"]
    adapter.start()
    assert ask(adapter.bound_addr) == b"word"
    adapter.stop()


@pytest.mark.parametrize(
    ("address", "secure", "text"),
    [
        (None, False, "unknown interface (dynamic?)"),
        (("127.0.0.1", 8080), False, "http://127.0.0.1:8080"),
        (("0.0.0.0", 80), False, "http://0.0.0.0"),
        (("localhost", 443), False, "http://localhost:443"),
        (("localhost", 443), True, "https://localhost"),
        (("localhost", 80), True, "https://localhost:80"),
        (("::1", 8080), False, "http://[::1]:8080"),
        ("/run/x.sock", False, "socket file: /run/x.sock"),
    ],
)
def test_descriptions(bus, address, secure, text):
    server = EchoServer(address)
    server.ssl_adapter = object() if secure else None
    assert ServerAdapter(bus, server, address).description == text


# ------------------------------------------------------------------ failures


def test_without_a_server(bus):
    with pytest.raises(ValueError, match=r"^No HTTP server has been created\.$"):
        ServerAdapter(bus).start()


def test_an_occupied_port_raises_at_once_with_its_name(bus):
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        adapter = ServerAdapter(bus, EchoServer(("127.0.0.1", port)), ("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(OSError, match=f"127.0.0.1:{port}") as caught:
            adapter.start()
    assert time.monotonic() - began < 1
    assert caught.value.errno == errno.EADDRINUSE
    assert adapter.running is False
    assert bus.state is bus.states.STOPPED  # who starts alone is told alone


def test_an_occupied_port_fails_the_start_of_the_bus(bus):
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        ServerAdapter(bus, EchoServer(("127.0.0.1", port)), ("127.0.0.1", port)).subscribe()
        with pytest.raises(ChannelFailures, match=str(port)):
            bus.start()
    assert bus.state is bus.states.EXITING
    # Written by the server's own thread.
    said = "Error in HTTP server: shutting down\nTrace"
    until(lambda: any(text.startswith(said) for text in bus.texts), what="the line in the log")
    assert bus.texts.count("Bus EXITED") == 1


def test_errors_that_name_the_address_pass_unchanged(bus):
    error = OSError(errno.EACCES, "no right to bind 127.0.0.1 port 80")

    class Refused(EchoServer):
        def start(self):
            raise error

    with pytest.raises(PermissionError) as caught:
        ServerAdapter(bus, Refused(), ("127.0.0.1", 80)).start()
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_of_a_starting_server_reach_the_starter(bus, error):
    class Interrupted(EchoServer):
        def start(self):
            raise error()

    ServerAdapter(bus, Interrupted(), ("127.0.0.1", 0)).subscribe()
    with pytest.raises(error):
        bus.start()
    assert bus.state is bus.states.EXITING


def test_a_server_that_ends_at_once_or_never_gets_ready_is_an_error(bus):
    class Ends(EchoServer):
        def start(self):
            pass

    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1:0 ended at once"):
        ServerAdapter(bus, Ends(), ("127.0.0.1", 0)).start()
    adapter = ServerAdapter(bus, EchoServer(delay=1), ("127.0.0.1", 0))
    adapter.start_timeout = 0.2
    with pytest.raises(TimeoutError, match=r"not ready within 0\.2 s"):
        adapter.start()
    adapter.httpserver.stop()
    adapter._thread.join(5)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt, "<Ctrl-C> hit: shutting down HTTP server"),
        (SystemExit, "SystemExit raised: shutting down HTTP server"),
        (OSError(5, "disk"), "Error in HTTP server: shutting down"),
    ],
)
def test_an_interrupt_of_a_running_server_exits_the_bus(bus, error, text):
    server = EchoServer()
    adapter = ServerAdapter(bus, server, ("127.0.0.1", 0))
    adapter.subscribe()
    bus.start()
    thread = adapter._thread
    server.interrupt = error
    bus.wait(bus.states.EXITING, interval=0.05)
    thread.join(5)
    assert not thread.is_alive()
    until(lambda: "Bus EXITED" in bus.texts)
    assert any(line.startswith(text) for line in bus.texts)
    assert adapter.running is False
    assert adapter.interrupt is not None


def test_a_server_that_does_not_end_is_left_after_a_while(bus):
    release = threading.Event()

    class Stubborn(EchoServer):
        def start(self):
            self.ready = True
            release.wait(20)

    adapter = ServerAdapter(bus, Stubborn(), ("127.0.0.1", 80))
    adapter.stop_timeout = 0.1
    adapter.start()
    thread = adapter._thread
    began = time.monotonic()
    adapter.stop()
    assert time.monotonic() - began < 2
    assert any("did not end within 0.1 s" in text for text in bus.texts)
    release.set()
    thread.join(5)


def test_the_servers_own_thread_may_exit_the_bus(bus):
    class Leaves(EchoServer):
        def start(self):
            self.ready = True
            until(lambda: bus.state is bus.states.STARTED)
            bus.exit()

    adapter = ServerAdapter(bus, Leaves(), ("127.0.0.1", 80))
    adapter.subscribe()
    bus.start()
    began = time.monotonic()
    bus.wait(bus.states.EXITING)
    assert time.monotonic() - began < 2
    until(lambda: "Bus EXITED" in bus.texts)


def test_a_program_that_cannot_bind_ends_with_an_error(tmp_path):
    source = """
        import socket
        occupied = socket.create_server(('127.0.0.1', 0))
        address = occupied.getsockname()
        class Server:
            ready = False
            def start(self):
                socket.socket().bind(address)
            def stop(self):
                pass
        servers.ServerAdapter(bus, Server(), address).subscribe()
        print('ADDRESS', address[1], flush=True)
        bus.start()
        bus.block()
        """
    with Child(source, tmp_path) as child:
        status, took = child.end()
    assert status == 1
    assert took < 3
    port = child.lines[0].split()[1]
    assert (
        f"ChannelFailures: OSError(98, 'Address already in use: 127.0.0.1:{port}')" in child.output
    )


# ----------------------------------------------------------- the other names


def test_safe_wait_forgives_wildcards_only():
    for host in ("0.0.0.0", "::"):
        with (
            pytest.warns(UserWarning, match="Unable to verify that the server is bound on 8080"),
            servers._safe_wait(host, 8080),
        ):
            raise TimeoutError("not occupied")
    with pytest.raises(TimeoutError), servers._safe_wait("127.0.0.1", 8080):
        raise TimeoutError("not occupied")
    with pytest.raises(PermissionError), servers._safe_wait("0.0.0.0", 80):
        raise PermissionError(errno.EACCES, "no")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with servers._safe_wait("0.0.0.0", 8080):
            pass
    assert (servers.Timeouts.occupied, servers.Timeouts.free) == (5, 1)


@pytest.mark.parametrize("kind", ["FCGI", "SCGI"])
def test_flup_is_not_imported_before_it_is_started(kind):
    code = (
        "import sys\nfrom cherrypy.process import servers\n"
        f"adapter = servers.Flup{kind}Server('app', bindAddress=('', 1))\n"
        "assert adapter.args == ('app',) and adapter.kwargs == {'bindAddress': ('', 1)}\n"
        "adapter.stop()\n"
        "assert adapter.ready is False and not [n for n in sys.modules if n.startswith('flup')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_dynamic_fcgi_needs_inherited_sockets(monkeypatch):
    monkeypatch.delattr(socket, "fromfd")
    with pytest.raises(ValueError, match="Dynamic FCGI server not available on this platform"):
        servers.FlupFCGIServer("app")
