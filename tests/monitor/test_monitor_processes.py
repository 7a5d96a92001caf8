"""Several processes of a site are one: whoever ends, however, nothing that was counted is lost."""

from __future__ import annotations

import os
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import processes_kit
import pytest
from processes_kit import Processes, ask, free_port, lateness, until

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


def served(site: Processes, *ports: int, each: int = 5) -> None:
    for port in ports:
        for _ in range(each):
            assert ask(port)


def test_what_all_have_counted_is_one_sum(site: Processes) -> None:
    _, first = site.site()
    others = [site.site()[1] for _ in range(2)]
    served(site, first, *others, each=7)
    # Each has been asked once whether it is there.
    site.becomes(24)
    assert stat.S_IMODE(os.stat(site.socket).st_mode) == 0o600


def test_one_is_killed_and_one_ends_and_no_total_falls(site: Processes) -> None:
    _, first = site.site()
    killed, second = site.site()
    ended, third = site.site()
    served(site, first, second, third)
    site.becomes(18)  # each was asked once before, whether it is there
    seen = [site.count()]
    killed.kill()
    served(site, third)  # told with its farewell
    ended.send_signal(signal.SIGTERM)
    ended.wait(15)
    until(lambda: seen.append(site.count()) or seen[-1] == 23)
    for _ in range(20):
        seen.append(site.count())
        time.sleep(0.1)
    known = [count for count in seen if count >= 0]
    assert known == sorted(known)
    assert known[-1] == 23
    _, fourth = site.site()
    served(site, fourth)
    site.becomes(29)
    until(lambda: f"The process {killed.pid} has died." in site.said())
    until(lambda: f"The process {ended.pid} has ended." in site.said())


class Asking(threading.Thread):
    """Asks one process for a page, over and over, and notes when it was answered."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.over = threading.Event()
        self.answered: list[float] = []
        self.failed = 0

    def run(self) -> None:
        while not self.over.wait(0.03):
            if ask(self.port):
                self.answered.append(time.monotonic())
            else:
                self.failed += 1

    def end(self) -> None:
        self.over.set()
        self.join(30)


class Watching(threading.Thread):
    """Looks at the total of all processes, over and over."""

    def __init__(self, site: Processes) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.over = threading.Event()
        self.seen: list[float] = []
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            self.seen.append(self.site.count())

    def end(self) -> list[float]:
        self.over.set()
        self.join(30)
        return [count for count in self.seen if count >= 0]


def kill_late(site: Processes, process: subprocess.Popen[str], pulse: Path) -> tuple[float, float]:
    """Kill a process when it is soon to tell again what it has counted: hardly more can be lost.

    Returns when that was, and how late the system may have made its last snapshot.
    """
    apart, seen = site.told(process, 5)
    time.sleep(max(0.0, seen + 0.75 * apart - time.monotonic()))
    at = time.monotonic()
    process.kill()
    process.wait(10)
    return at, lateness(pulse, at)


def test_four_processes_of_which_one_is_killed_and_one_recycled(
    site: Processes, tmp_path: Path
) -> None:
    """While all of them serve: no total ever falls, and what is lost is at most what the killed one had
    counted in its last second, and in the time in which the system did not let it tell."""
    site.serve()
    pulse = tmp_path / "pulse"
    workers = [site.site(SITE_PULSE=str(pulse)) if one == 1 else site.site() for one in range(4)]
    probes = 4.0  # each was asked once before, whether it is there
    site.becomes(probes)
    watching = Watching(site)
    asking = [Asking(port) for _, port in workers]
    for one in asking:
        one.start()
    killed, recycled = asking[1], asking[2]
    until(lambda: all(len(one.answered) > 60 for one in asking), 60)
    at, late = kill_late(site, workers[1][0], pulse)
    workers[2][0].send_signal(signal.SIGTERM)
    workers[2][0].wait(20)
    for one in (killed, recycled):
        one.end()
    process, port = site.site()
    asking.append(Asking(port))
    asking[-1].start()
    until(lambda: len(asking[-1].answered) > 20, 60)
    for one in asking:
        one.end()
    lost = 1 + sum(moment > at - 1.0 - late for moment in killed.answered)
    answered = sum(len(one.answered) for one in asking) + probes + 1
    most = answered + sum(one.failed for one in asking)  # counted, and the answer did not arrive
    with suppress(AssertionError):  # the numbers are said below
        until(lambda: site.count() >= answered - lost, 20)
    time.sleep(2.5)  # what would be counted twice is there by now
    known = watching.end()
    assert answered - lost <= site.count() <= most
    assert known == sorted(known)
    assert len(known) > 20
    said = site.said()
    assert f"The process {workers[1][0].pid} has died." in said
    assert f"The process {workers[2][0].pid} has ended." in said
    assert process.poll() is None


def test_another_collects_when_the_collector_is_gone(site: Processes) -> None:
    collector, first = site.site()
    _, second = site.site()
    served(site, first, second)
    site.becomes(12)
    collector.kill()
    collector.wait(5)
    site.becomes(6)  # the same dashboard, by the other
    served(site, second)
    site.becomes(11)
    until(lambda: "this process collects from now on" in site.said())


def test_a_process_that_only_collects(site: Processes) -> None:
    listen = f"127.0.0.1:{site.dashboard}"
    more = {"CHERRYPY_MONITOR_SOCKET": site.socket, "CHERRYPY_MONITOR_DASHBOARD_LISTEN": listen}
    collector = site.start("-m", "cherrypy", "monitor", "serve", **more)
    until(lambda: os.path.exists(site.socket) or collector.poll() is not None)
    _, port = site.site()
    served(site, port)
    site.becomes(6)
    second = site.start("-m", "cherrypy", "monitor", "serve", **more)
    assert second.wait(20) == 1
    assert "collects at" in site.said()
    assert collector.poll() is None


def test_without_a_socket_there_is_nothing_to_collect(site: Processes) -> None:
    assert site.start("-m", "cherrypy", "monitor", "serve").wait(20) == 2
    assert "--set socket=" in site.said()


def test_workers_of_gunicorn(site: Processes) -> None:
    """Processes that fork after the application is loaded, behind the server of others."""
    listen = f"127.0.0.1:{site.dashboard}"
    more = {"CHERRYPY_MONITOR_SOCKET": site.socket, "CHERRYPY_MONITOR_DASHBOARD_LISTEN": listen}
    collector = site.start("-m", "cherrypy", "monitor", "serve", **more)
    until(lambda: os.path.exists(site.socket) or collector.poll() is not None)
    port = free_port()
    options = ["-w", "2", "-b", f"127.0.0.1:{port}", "--preload"]
    gunicorn = site.start(
        "-m",
        "gunicorn",
        *options,
        "gunicorn_program:application",
        SITE_SOCKET=site.socket,
    )
    until(lambda: ask(port) or gunicorn.poll() is not None)
    before = until(
        lambda: max(
            0.0,
            site.count(
                method="GET", name="http_server_request_duration_seconds_count", http_route="/"
            ),
        )
    )
    pids: list[str] = []
    deadline = time.monotonic() + 60
    while len(set(pids)) < 2:  # who of the two takes a connection is the system's affair
        pids += [answer for answer in (ask(port) for _ in range(20)) if answer]
        assert time.monotonic() < deadline, site.said()
    assert ask(port, "/stream") == "ab"
    until(
        lambda: (
            site.count("http_server_request_duration_seconds_count", http_route="/")
            == before + len(pids)
        )
    )
    until(
        lambda: site.count("http_server_request_duration_seconds_count", http_route="/stream") == 1
    )


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff" * 64, struct.pack("!I", 5) + b"hello", struct.pack("!I", 1 << 31), b"\0\0\0"],
)
def test_rubbish_harms_nobody(site: Processes, rubbish: bytes) -> None:
    _, port = site.site()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(site.socket)
        peer.sendall(rubbish)
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(10)
        with suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    served(site, port)
    site.becomes(6)
