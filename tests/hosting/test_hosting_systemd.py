"""Services of systemd, as whole processes: readiness, reload, watchdog, and sockets that were passed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cherrypy._cpserver import Server
from hosting_kit import Hosted, ask, hosted, until

import cherrypy
from kirsch.server.server import Server as Kirsch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only on systems with fork")

SITE = """
import cherrypy, os

class Root:
    @cherrypy.expose
    def index(self):
        return f'{os.getpid()} {cherrypy.server.description}'

    @cherrypy.expose
    def restart(self):
        cherrypy.engine.restart()
        return 'restarting'

cherrypy.tree.mount(Root())
cherrypy.config.update({
    'server.socket_port': PORT, 'engine.autoreload.on': False, 'checker.on': False})
"""

#: What systemd does before it runs a service: descriptors from 3 on, and who they are meant for.
ACTIVATE = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(',') if n]
held = [os.dup(fd) for fd in fds]
high = [os.dup2(fd, 50 + n) for n, fd in enumerate(held)]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
os.environ['LISTEN_PID'], os.environ['LISTEN_FDS'] = str(os.getpid()), str(len(fds))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Service:
    """A process under a manager that listens."""

    def __init__(
        self, folder: Path, *args: str, port: int = 0, fds: tuple[int, ...] = (), **env: str
    ) -> None:
        self.folder = folder
        self.address = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.address)
        self.sock.settimeout(20)
        (folder / "site1.py").write_text(SITE.replace("PORT", str(port)))
        self.output = (folder / "output").open("wb")
        command = list(args) if args else ["-m", "cherrypy", "-i", "site1"]
        if fds:
            command = ["-c", ACTIVATE, ",".join(map(str, fds)), *command]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "NOTIFY_SOCKET": self.address, "PYTHONPATH": str(folder), **env},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
        )

    def hear(self) -> dict[str, str]:
        try:
            text = self.sock.recv(65536).decode()
        except TimeoutError:
            raise AssertionError((self.folder / "output").read_text()[-3000:]) from None
        return dict(line.split("=", 1) for line in text.splitlines())

    def where(self) -> tuple[str, int]:
        """Where the status says that it serves."""
        status = self.hear()["STATUS"]
        assert status.startswith("Serving on http://"), status
        host, _, port = status.rpartition("/")[2].partition(":")
        return host, int(port)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0
        except subprocess.TimeoutExpired:
            raise AssertionError((self.folder / "output").read_text()[-3000:]) from None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self.sock.close()
        self.output.close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    with hosted(monkeypatch) as running:
        yield running


@pytest.fixture
def made() -> Iterator[list[Any]]:
    things: list[Any] = []
    yield things
    for one in things:
        one.close()


QUICKSTART = """
exec(open('site1.py').read())
cherrypy.quickstart(cherrypy.tree.apps[''].root)
"""


@pytest.mark.parametrize("way", ["module", "cherryd", "quickstart"])
def test_a_service_tells_how_it_is(tmp_path: Path, made: list[Any], way: str) -> None:
    args = ["-m", "cherrypy", "-i", "site1"]
    if way == "cherryd":
        args[:2] = [str(Path(sys.executable).parent / "cherryd")]
    elif way == "quickstart":
        args = ["-c", QUICKSTART]
    service = Service(tmp_path, *args)
    made.append(service)
    told = service.hear()
    assert (told["READY"], told["MAINPID"]) == ("1", str(service.process.pid))
    host, _, port = told["STATUS"].rpartition("/")[2].partition(":")
    address = (host, int(port))
    assert ask(address, "/")[0] == 200  # at once: ready is who answers
    service.process.send_signal(signal.SIGUSR1)
    assert service.hear()["RELOADING"] == "1"
    assert service.hear()["READY"] == "1"
    service.process.send_signal(signal.SIGTERM)
    assert service.hear() == {"STOPPING": "1", "STATUS": "Stopping"}
    assert service.process.wait(20) == 0


def test_a_restart_keeps_the_process_and_says_so(tmp_path: Path, made: list[Any]) -> None:
    service = Service(tmp_path)
    made.append(service)
    address = service.where()
    ask(address, "/restart")
    told = service.hear()
    assert (told["RELOADING"], told["STATUS"]) == ("1", "Restarting")
    told = service.hear()
    assert (told["READY"], told["MAINPID"]) == ("1", str(service.process.pid))
    service.end()


def test_signs_of_life_come_while_it_answers(tmp_path: Path, made: list[Any]) -> None:
    service = Service(tmp_path, WATCHDOG_USEC="400000")
    made.append(service)
    address = service.where()
    for _ in range(3):
        assert service.hear() == {"WATCHDOG": "1"}
    # A process that hangs gives none, and systemd ends it.
    service.process.send_signal(signal.SIGSTOP)
    service.sock.settimeout(0.8)
    with pytest.raises(TimeoutError):
        for _ in range(3):
            service.sock.recv(65536)
    service.sock.settimeout(20)
    service.process.send_signal(signal.SIGCONT)
    assert service.hear()["WATCHDOG"] == "1"
    assert ask(address, "/")[0] == 200
    service.end()


def test_it_can_be_switched_off(tmp_path: Path, made: list[Any]) -> None:
    (tmp_path / "site.conf").write_text("[global]\nengine.systemd.on = False\n")
    service = Service(tmp_path, "-m", "cherrypy", "-i", "site1", "-c", "site.conf")
    made.append(service)
    until(lambda: "Bus STARTED" in (tmp_path / "output").read_text(), "the start", 20)
    service.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        service.sock.recv(65536)
    service.end()


def test_a_server_knows_whether_it_answers() -> None:
    server = Kirsch(("127.0.0.1", 0), lambda environ, start: [])
    assert not server.answers(0.1)
    server.start()
    try:
        assert all(server.answers(5) for _ in range(50))
        stuck = [True]
        poller = server.groups[0].poller
        woken = poller.woken

        def hang() -> None:
            while stuck:
                time.sleep(0.01)
            woken()

        poller.woken = hang  # type: ignore[method-assign]  # a holder that never comes round
        until(lambda: not server.answers(0.2), "the hang")
        stuck.clear()
        poller.woken = woken  # type: ignore[method-assign]  # as it was
        assert server.answers(5)
    finally:
        server.stop()
    assert not server.answers(0.1)


def test_busy_workers_are_no_failure() -> None:
    import threading

    enough, busy = threading.Event(), threading.Semaphore(0)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        busy.release()
        enough.wait(20)
        start_response("200 OK", [])
        return [b""]

    server = Kirsch(("127.0.0.1", 0), app, threads=1, threads_max=2)
    server.start()
    peers = [socket.create_connection(server.bound_addresses[0], 5) for _ in range(2)]
    try:
        for peer in peers:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert busy.acquire(timeout=10)
        assert server.answers(5)
    finally:
        enough.set()
        for peer in peers:
            peer.close()
        server.stop()


# -- sockets that were passed ------------------------------------------------------------------


def listener(path: str | None = None) -> socket.socket:
    if path is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_a_passed_socket_is_taken_without_being_told(tmp_path: Path, made: list[Any]) -> None:
    with listener() as sock:
        address = sock.getsockname()
        waiting = socket.create_connection(address, 20)  # before anybody serves
        waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
        service = Service(tmp_path, fds=(sock.fileno(),))
        made.append(service)
        sock.close()
        assert service.where() == address
        text = waiting.recv(65536)
        while block := waiting.recv(65536):
            text += block
        waiting.close()
        assert text.endswith(f"http://127.0.0.1:{address[1]}".encode())
        # It is kept over a restart: nobody is refused meanwhile.
        ask(address, "/restart")
        assert service.hear()["RELOADING"] == "1"
        assert ask(address, "/")[0] == 200
        assert service.where() == address
        service.end()


def test_passed_sockets_of_both_kinds(tmp_path: Path, made: list[Any]) -> None:
    path = str(tmp_path / "app.sock")
    with listener() as tcp, listener(path) as unix:
        address = tcp.getsockname()
        service = Service(tmp_path, fds=(tcp.fileno(), unix.fileno()))
        made.append(service)
        status = service.hear()["STATUS"]
        assert status == f"Serving on http://127.0.0.1:{address[1]}, unix:{path}"
        assert ask(address, "/")[0] == 200
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(path)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(65536).startswith(b"HTTP/1.1 200 OK")
        service.end()
    assert Path(path).exists()  # it is systemd's


def test_systemds_own_tool(tmp_path: Path, made: list[Any]) -> None:
    """What `systemd-socket-activate` passes when the first client knocks."""
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("systemd-socket-activate is not installed")
    with listener() as sock:
        address = sock.getsockname()
    names = [f"--setenv={name}" for name in ("PYTHONPATH", "NOTIFY_SOCKET")]
    run = f"import os, sys; os.execv({tool!r}, [{tool!r}, *sys.argv[1:]])"
    command = [f"--listen=127.0.0.1:{address[1]}", *names, sys.executable]
    service = Service(tmp_path, "-c", run, *command, "-m", "cherrypy", "-i", "site1")
    made.append(service)

    def knock() -> bool:
        try:
            return ask(address, "/")[0] == 200
        except ConnectionRefusedError:  # the tool is not there yet
            return False

    until(knock, "the service", 20)
    assert service.where() == address
    service.end()


def test_each_server_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from cherrypy.hosting import activation

    one, two, three = listener(), listener(), socket.socket()
    fds = [sock.fileno() for sock in (one, two, three)]
    monkeypatch.setattr(activation, "activation_fds", lambda: fds)
    second = Server()
    second.bind_addr = two.getsockname()
    third = Server()
    third.bind_addr = ("127.0.0.1", 0)
    servers, cherrypy.servers = cherrypy.servers, {"second": second, "third": third}
    try:
        assert activation.binds_of(second, second.bind_addr) == [f"fd://{fds[1]}"]
        assert activation.binds_of(third, ("127.0.0.1", 0)) == ("127.0.0.1", 0)
        main = activation.binds_of(cherrypy.server, ("127.0.0.1", 8080))
        assert main[:1] == [f"fd://{fds[0]}"]
        assert f"fd://{fds[1]}" not in main
        monkeypatch.setattr(activation, "activation_fds", lambda: [fds[1]])
        assert activation.binds_of(cherrypy.server, ("127.0.0.1", 8080)) == ("127.0.0.1", 8080)
        monkeypatch.setattr(activation, "activation_fds", lambda: [10_000])  # closed
        assert activation.binds_of(cherrypy.server, "/run/x.sock") == "unix:/run/x.sock"
    finally:
        cherrypy.servers = servers
        for sock in (one, two, three):
            sock.close()


def test_a_descriptor_may_be_named(site: Hosted) -> None:
    with listener() as sock:
        site.server.socket_file = f"fd://{sock.fileno()}"
        site.start()
        assert site.server.bound_addr == sock.getsockname()
        assert site.server.description == f"http://127.0.0.1:{sock.getsockname()[1]}"
        assert ask(sock.getsockname(), "/")[0] == 404
