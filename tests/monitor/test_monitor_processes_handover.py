"""A process that only collects takes the role back from one that serves: no total falls, and nothing is lost."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import processes_kit
import pytest
from processes_kit import Processes, ask, until

from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.processes import handover, role
from cherrypy.monitor.processes.collector import Collector
from cherrypy.monitor.processes.frames import CLAIM, Frames, frame
from cherrypy.monitor.processes.sender import Sender
from cherrypy.process.wspbus import Bus

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(400)

#: Seconds without an answer of the dashboard while it goes over.
GAP = 5.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    return {"CHERRYPY_MONITOR_STORE_PATH": str(tmp_path / "history.sqlite3")}


def begin_serve(site: Processes, **environment: str) -> Popen[str]:
    listen = f"127.0.0.1:{site.dashboard}"
    more = {"CHERRYPY_MONITOR_SOCKET": site.socket, "CHERRYPY_MONITOR_DASHBOARD_LISTEN": listen}
    return site.start("-m", "cherrypy", "monitor", "serve", **more, **environment)


def log_of(site: Processes, process: Popen[str]) -> str:
    return (site.logs / f"{site.running.index(process)}.log").read_text()


def collects(site: Processes) -> str:
    """The name of the process that holds the lock beside the socket, as the system has it; or ''."""
    inode = os.stat(site.socket + ".lock").st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and fields[5].rpartition(":")[2] == str(inode):
            return holder(inode)
    return ""


def holder(inode: int) -> str:
    """Who has the file open that is locked. The system names who took the lock, not who was given it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(one.stat().st_ino == inode for one in (process / "fd").iterdir()):
                found.append(process.name)
        except OSError:
            continue
    return found[0] if len(found) == 1 else ""


class Watching(threading.Thread):
    """Asks for the sum of all requests, over and over."""

    def __init__(self, site: Processes) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.over = threading.Event()
        self.seen: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self.over.wait(0.02):
            count = self.site.count()
            if count >= 0:
                self.seen.append((time.monotonic(), count))

    def end(self) -> None:
        self.over.set()
        self.join(30)
        counts = [count for _, count in self.seen]
        assert counts == sorted(counts)
        gaps = [
            after[0] - before[0] for before, after in zip(self.seen, self.seen[1:], strict=False)
        ]
        assert max(gaps) < GAP, max(gaps)


@pytest.mark.parametrize("kept", [True, False], ids=["store", "memory"])
def test_it_collects_again_when_it_comes_again(
    site: Processes, store: dict[str, str], kept: bool
) -> None:
    more = store if kept else {}
    first = site.serve(**more)
    workers = [site.site(**more) for _ in range(3)]
    site.becomes(3)  # each was asked whether it is there
    for _, port in workers:
        for _ in range(5):
            ask(port)
    site.becomes(18)
    assert collects(site) == str(first.pid)
    time.sleep(1.5)  # what is a second old is in the files
    first.kill()
    first.wait(10)
    pids = {str(process.pid): (process, port) for process, port in workers}
    leader = until(lambda: collects(site) in pids and collects(site))
    site.becomes(18)
    watching = Watching(site)
    watching.start()
    # One that dies while a worker collects: what it had counted, and its book of errors, go over as well.
    process, port = next(one for pid, one in pids.items() if pid != leader)
    ask(port, "/broken")
    site.becomes(19)
    until(lambda: "as it was asked" in site.look("/api/errors"))
    process.kill()
    until(lambda: f"{process.pid} (gone)" in site.look("/api/errors"))
    again = begin_serve(site, **more)
    until(lambda: collects(site) == str(again.pid) or again.poll() is not None)
    assert again.poll() is None, site.said()
    assert until(site.metrics) and site.found == site.dashboard  # the very port
    site.becomes(19)
    assert f"{process.pid} (gone)" in site.look("/api/errors")
    alive = [one for one in workers if one[0] is not process]
    for _, port in alive:
        for _ in range(4):
            ask(port)
    site.becomes(27)
    watching.end()
    until(lambda: '"workers":3,' in site.look("/api/now").replace(" ", ""))
    if kept:  # the lock of the store is its own, too
        path = Path(store["CHERRYPY_MONITOR_STORE_PATH"] + "-lock")
        until(lambda: path.read_text()[1:].strip() == str(again.pid))
        assert "in use" not in site.said()
    # And so it goes on: it ends, and another one has the role until it comes again.
    again.send_signal(signal.SIGTERM)
    again.wait(20)
    until(lambda: collects(site) in pids)
    if kept:
        site.becomes(27)


def test_the_collector_from_the_first_hour_gives_way_as_well(site: Processes) -> None:
    """What it was told for all, and what holds for a while, go over."""
    leader, one = site.site()
    _, two = site.site()
    site.becomes(2)
    site.act("/runtime/choose", level="2")
    site.act("/runtime/pause", minutes="10")
    again = begin_serve(site)
    until(lambda: collects(site) == str(again.pid) or again.poll() is not None)
    assert again.poll() is None, site.said()
    _, three = site.site()
    for port in (one, two, three):
        until(lambda port=port: "level_is 2" in ask(port, "/settings"))
        until(lambda port=port: "paused True" in ask(port, "/held"))
    assert f"{leader.pid}</th>" in until(lambda: site.look("/runtime"))
    assert "traceback" not in site.said().lower()


def test_two_that_come_at_once(site: Processes) -> None:
    _, port = site.site()
    site.becomes(1)
    both = [begin_serve(site) for _ in range(2)]
    until(lambda: any(one.poll() is not None for one in both))
    loser = next(one for one in both if one.poll() is not None)
    winner = next(one for one in both if one is not loser)
    assert loser.wait(10) == 1
    assert "Another process that only collects" in log_of(site, loser)
    assert "End it first, or name another socket." in log_of(site, loser)
    until(lambda: collects(site) == str(winner.pid))
    ask(port)
    site.becomes(2)
    late = begin_serve(site)
    assert late.wait(30) == 1
    assert f"({winner.pid}) collects at {site.socket} already" in log_of(site, late)


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4, 0.8])
def test_killed_while_the_role_goes_over(
    site: Processes, store: dict[str, str], delay: float
) -> None:
    """First the one that takes it, then the one that gives it, at whatever moment."""
    workers = [site.site(**store) for _ in range(3)]
    for _, port in workers:
        for _ in range(5):
            ask(port)
    site.becomes(18)
    time.sleep(1.5)  # what is a second old is in the files
    watching = Watching(site)
    watching.start()
    taker = begin_serve(site, **store)
    until(lambda: "takes over" in site.said())
    time.sleep(delay)
    taker.kill()
    taker.wait(10)
    pids = {str(process.pid): process for process, _ in workers}
    leader = until(lambda: collects(site) in pids and collects(site))
    site.becomes(18)
    said = site.said().count("takes over")
    again = begin_serve(site, **store)
    until(lambda: site.said().count("takes over") > said)
    time.sleep(delay)
    pids[leader].kill()
    until(lambda: collects(site) == str(again.pid) or again.poll() is not None)
    assert again.poll() is None, site.said()
    site.becomes(18)
    for process, port in workers:
        if process is not pids[leader]:
            ask(port)
    site.becomes(20)
    watching.end()


def test_who_takes_over_has_its_dashboard_on_the_sites_port_as_well(site: Processes) -> None:
    token = "a-long-and-secret-token"
    more = {
        "CHERRYPY_MONITOR_DASHBOARD_MOUNT": "/-/monitor",
        "CHERRYPY_MONITOR_DASHBOARD_AUTH": f"token:{token}",
    }

    def seen(port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            connection.request("GET", "/-/monitor/api/now", headers=headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    first = begin_serve(site, **more)
    until(lambda: Path(site.socket).exists())
    _, port = site.site(**more)
    assert seen(port) == 404
    first.kill()
    until(lambda: seen(port) == 200)
    again = begin_serve(site, **more)
    until(lambda: seen(port) == 404)
    until(lambda: collects(site) == str(again.pid))


# -- one end of it at a time -----------------------------------------------------------------------


def read_all(sock: socket.socket, frames: Frames, patience: float = 20.0) -> list[bytes]:
    sock.settimeout(patience)
    return frames.feed(sock.recv(1 << 20))


@pytest.mark.parametrize("answer", [b"", frame(b"nonsense"), frame(handover.REFUSED)])
def test_who_claims_and_does_not_take(site: Processes, answer: bytes) -> None:
    """All is as it was: by the same process, at the same port."""
    leader, port = site.site()
    site.becomes(1)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(site.socket)
        sock.sendall(frame(CLAIM + b"1"))
        frames = Frames()
        assert until(lambda: read_all(sock, frames))[0].startswith(handover.STATE)
        assert ask(site.dashboard, "/metrics") == ""
        if answer:
            sock.sendall(answer)
    site.becomes(1)
    ask(port)
    site.becomes(2)
    assert collects(site) == str(leader.pid) and site.found == site.dashboard


def test_who_claims_and_says_nothing_is_not_waited_for(site: Processes) -> None:
    _, port = site.site()
    site.becomes(1)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(site.socket)
        sock.sendall(frame(CLAIM + b"1"))
        began = time.monotonic()
        until(lambda: "hand-over failed" in site.said())
        assert time.monotonic() - began < 30
        ask(port)
        site.becomes(2)


def test_what_was_not_read_is_told_to_who_collects_then(tmp_path: Path) -> None:
    """A process ends in the moment in which another one takes over: its last numbers are not lost."""
    monitor, path = Monitor(Bus()), str(tmp_path / "monitor.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        made = Sender(monitor, path, sock)
        before, _ = listener.accept()
        ending = threading.Thread(target=made.end)
        ending.start()
        frames = Frames()
        before.settimeout(20)
        assert before.recv(1)  # something has come, and the rest is never read
        before.close()
        listener.settimeout(20)
        after, _ = listener.accept()
        with after:
            found: list[bytes] = []
            while b"" not in found:
                found += read_all(after, frames)
        ending.join(20)
        assert not ending.is_alive()
        assert len(found) == 2 and found[-1] == b""


def test_who_does_not_hand_over_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped, or of a version that knows no hand-over."""
    path = str(tmp_path / "monitor.sock")
    monkeypatch.setattr(handover, "PATIENCE", 0.5)
    stopped: Any = role.join(Monitor(Bus()), path)
    stopped.hold_still()
    with pytest.raises(handover.Refused, match=r"does not hand over: .* End it first"):
        role.claim(Monitor(Bus()), path)
    stopped.end()


def claimant(path: str) -> handover.Claim:
    return handover.Claim(Monitor(Bus()), path, time.monotonic() + 20)


@pytest.mark.parametrize(
    "sent",
    [
        frame(handover.LOCK),
        frame(b"x"),
        frame(handover.STATE + b"[1]"),
        frame(handover.STATE + b'{"many": 0}'),
        frame(handover.STATE + b'{"many": 1, "since": 0, "settings": {}}') + frame(b"junk"),
        b"\xff" * 8,
        b"",
    ],
)
def test_nonsense_is_not_taken_over(tmp_path: Path, sent: bytes) -> None:
    path = str(tmp_path / "monitor.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(sent)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises((OSError, ValueError)):
            claimant(path).take()
        thread.join(20)


def test_descriptors_of_nobody_are_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "monitor.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                socket.send_fds(sock, [frame(handover.LOCK)], [sock.fileno(), sock.fileno()])

        thread = threading.Thread(target=answer)
        before = len(os.listdir("/proc/self/fd"))
        thread.start()
        with pytest.raises(ValueError):
            claimant(path).take()
        thread.join(20)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_collector_stands_still_and_goes_on(tmp_path: Path) -> None:
    monitor, path = Monitor(Bus()), str(tmp_path / "monitor.sock")
    made: Any = role.join(monitor, path)
    assert isinstance(made, Collector)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        snapshot = Monitor(Bus()).taker.take()
        snapshot.worker = "another"
        sock.sendall(frame(snapshot.pack()))
        made.hold_still()
        assert made.others() == ["another"]  # what was sent before has been read
        snapshot.worker = "third"
        snapshot.born += 1
        sock.sendall(frame(snapshot.pack()))
        made.go_on()
        until(lambda: made.others() == ["third"])
        began = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - began < 0.25  # and does not turn in circles
    made.end()
