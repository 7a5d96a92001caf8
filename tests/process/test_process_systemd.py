"""The systemd plugin, heard on a real datagram socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bus_kit import LoggedBus, until

from cherrypy.process import plugins
from cherrypy.process.plugins.systemd import Systemd, attach
from cherrypy.process.servers import ServerAdapter

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="only on systems with unix sockets"
)


class Manager:
    """systemd's end: a datagram socket, and all that came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address[0] == "@" else address)
        self.sock.settimeout(10)

    def hear(self) -> dict[str, str]:
        """The assignments of the next datagram."""
        text = self.sock.recv(65536).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for a while."""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(10)
        return False

    def close(self) -> None:
        self.sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: Any, tmp_path: Path) -> Any:
    if request.param == "abstract":
        if not Path("/proc/net/unix").exists():
            pytest.skip("only on Linux: abstract names")
        made = Manager(f"@kirsch-test-{os.getpid()}-{time.monotonic_ns()}")
    else:
        made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def bus() -> Any:
    made = LoggedBus()
    yield made
    made.exit()


def subscribed(bus: Any, manager: Manager, watchdog: float = 0.0) -> Systemd:
    plugin = Systemd(bus, manager.address, watchdog)
    plugin.subscribe()
    return plugin


def test_a_life(bus: Any, manager: Manager) -> None:
    subscribed(bus, manager)
    hold, held = threading.Event(), threading.Event()

    def slow() -> None:
        held.set()
        assert hold.wait(10)

    bus.subscribe("start", slow, priority=100)
    starting = threading.Thread(target=bus.start)
    starting.start()
    assert held.wait(10)
    assert manager.silent(0.1)  # ready is who has started
    hold.set()
    starting.join(10)
    assert manager.hear() == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "Started"}
    before = time.monotonic_ns() // 1000
    bus.subscribe("graceful", lambda: manager.sock.setblocking(True))
    bus.graceful()
    told = manager.hear()
    assert (told["RELOADING"], told["STATUS"]) == ("1", "Reloading")
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.hear() == {"READY": "1", "STATUS": "Started"}
    manager.sock.settimeout(10)
    bus.exit()
    assert manager.hear() == {"STOPPING": "1", "STATUS": "Stopping"}
    assert manager.silent(0.05)
    bus.start()  # an exited bus can be started again
    assert manager.hear()["READY"] == "1"


def test_nothing_can_be_smuggled_into_an_assignment(bus: Any, manager: Manager) -> None:
    assert Systemd(bus, manager.address).notify("STATUS=in words\nSTOPPING=1", "X=2")
    assert manager.hear() == {"STATUS": "in words STOPPING=1", "X": "2"}


def test_stopping_is_said_before_anything_stops(bus: Any, manager: Manager) -> None:
    subscribed(bus, manager)
    heard: list[dict[str, str]] = []

    def listen() -> None:
        heard.append(manager.hear())

    bus.subscribe("stop", listen, priority=1)
    bus.start()
    manager.hear()
    bus.exit()
    bus.unsubscribe("stop", listen)
    assert heard == [{"STOPPING": "1", "STATUS": "Stopping"}]


def test_a_stop_without_exit_is_no_end(bus: Any, manager: Manager) -> None:
    """systemd would kill a process that says STOPPING and stays."""
    subscribed(bus, manager)
    bus.start()
    manager.hear()
    bus.stop()
    assert manager.hear() == {"STATUS": "Stopped"}
    bus.start()
    assert manager.hear()["READY"] == "1"


def test_a_restart_is_a_reload(bus: Any, manager: Manager) -> None:
    subscribed(bus, manager)
    bus.start()
    manager.hear()
    bus.restart()
    told = manager.hear()
    assert (told["RELOADING"], told["STATUS"]) == ("1", "Restarting")
    bus.execv = False


def test_a_start_that_fails_is_never_ready(bus: Any, manager: Manager) -> None:
    subscribed(bus, manager)

    def fail() -> None:
        raise RuntimeError("no database")

    bus.subscribe("start", fail, priority=95)
    with pytest.raises(Exception, match="no database"):
        bus.start()
    assert "STOPPING" in manager.hear()
    assert manager.silent(0.1)
    bus.unsubscribe("start", fail)


def test_signs_of_life_and_their_absence(bus: Any, manager: Manager) -> None:
    plugin = subscribed(bus, manager, watchdog=0.1)
    well: list[Any] = [True]

    def database() -> Any:
        if isinstance(well[0], Exception):
            raise well[0]
        return well[0]

    plugin.checks.append(database)
    bus.start()
    assert "READY" in manager.hear()
    began = time.monotonic()
    for _ in range(4):
        assert manager.hear() == {"WATCHDOG": "1"}
    assert 0.15 < time.monotonic() - began < 5  # at half of the time each
    well[0] = False
    while True:
        told = manager.hear()
        if told != {"WATCHDOG": "1"}:
            break
    assert list(told) == ["STATUS"]
    assert told["STATUS"].startswith("Not well: ")
    assert "database says so" in told["STATUS"]
    assert manager.silent(0.3)
    well[0] = ValueError("gone\nREADY=1")
    assert manager.silent(0.2)  # once is enough
    assert len([text for text in bus.texts if "No sign of life" in text]) == 1
    well[0] = None  # what returns nothing has nothing to complain of
    assert manager.hear() == {"WATCHDOG": "1", "STATUS": "Started"}
    assert manager.hear() == {"WATCHDOG": "1"}
    bus.stop()
    while "STATUS" not in manager.hear():
        pass
    assert manager.silent(0.3)  # a stopped bus is none that lives


class Answering:
    """A server that says whether it answers."""

    ready = False
    well = True

    def __init__(self) -> None:
        self.over = threading.Event()

    def start(self) -> None:
        self.over.clear()
        self.ready = True
        self.over.wait(20)

    def stop(self) -> None:
        self.ready = False
        self.over.set()

    def answers(self, timeout: float) -> bool:
        assert timeout == 0.025
        return self.well


def test_servers_are_named_and_asked(bus: Any, manager: Manager) -> None:
    plugin = subscribed(bus, manager, watchdog=0.1)
    server = Answering()
    adapter = ServerAdapter(bus, server, ("127.0.0.1", 1234))
    adapter.subscribe()
    bus.start()
    assert manager.hear()["STATUS"] == "Serving on http://127.0.0.1:1234"
    assert manager.hear() == {"WATCHDOG": "1"}
    server.well = False
    until(lambda: manager.hear().get("STATUS", "").startswith("Not well"), what="the complaint")
    assert plugin.trouble() == "http://127.0.0.1:1234 does not answer"
    server.well = True
    assert manager.hear()["WATCHDOG"] == "1"
    adapter.stop()
    assert "does not answer" in plugin.trouble()


def test_where_nobody_listens_life_goes_on(bus: Any, tmp_path: Path) -> None:
    for address in (str(tmp_path / "nobody"), "vsock:2:1234", "relative", ""):
        plugin = Systemd(bus, address, 0.05)
        plugin.subscribe()
        bus.start()
        until(lambda p=plugin: p._complained or not p.address, what="the warning")
        assert plugin.notify("STATUS=x") is False
        bus.exit()
        plugin.unsubscribe()
    assert len([text for text in bus.texts if text.startswith("Cannot tell systemd")]) == 3


def test_a_queue_that_is_full_does_not_hold_us_up(bus: Any, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    plugin = Systemd(bus, manager.address)
    began = time.monotonic()
    for _ in range(2000):
        if not plugin.notify("STATUS=" + "x" * 1000):
            break
    else:
        pytest.fail("the queue never filled")
    assert time.monotonic() - began < 8
    manager.close()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("3000000", None, 3.0),
        ("3000000", "own", 3.0),
        ("3000000", "1", None),
        ("3000000", "x", None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert Systemd(LoggedBus()).watchdog == seconds


def test_it_is_attached_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    bus = LoggedBus()
    attach(bus)
    assert not hasattr(bus, "systemd")
    monkeypatch.setenv("NOTIFY_SOCKET", "@somewhere")
    attach(bus)
    assert isinstance(bus.systemd, plugins.Systemd)
    assert bus.systemd.address == "@somewhere"
    bus.systemd.unsubscribe()
    attach(bus)  # configuration has switched it off
    assert not any(
        getattr(one, "__self__", None) is bus.systemd
        for listeners in bus.listeners.values()
        for one in listeners
    )
