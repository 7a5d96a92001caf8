"""Sites of several processes: started, asked, counted and ended by the tests."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from site_program import MOMENT, PULSE

HERE = Path(__file__).parent
PROGRAM = HERE / "site_program.py"
PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody has, of those that the system gives to nobody by itself meanwhile."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports are taken")


def until(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Call until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"never true in {patience:g} s"
        time.sleep(0.02)


def ask(port: int, path: str = "/", patience: float = 30.0) -> str:
    """GET a page; '' when nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def lateness(pulse: Path, ended: float) -> float:
    """The seconds by which the system has kept a process waiting at worst, until its end.

    pulse
        What it has written: see `site_program`.
    ended
        When it was killed.
    """
    moments = [moment for (moment,) in MOMENT.iter_unpack(pulse.read_bytes())]
    assert len(moments) > 100
    gaps = [after - before for before, after in pairwise([*moments, max(ended, moments[-1])])]
    return max(0.0, max(gaps) - PULSE)


def suspend(process: subprocess.Popen[str]) -> None:
    """Stop a process, and wait until all its threads stand still: some may go on for a moment."""
    process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{process.pid}/task")

    def states() -> set[str]:
        found = set()
        for stat in tasks.glob("*/stat"):
            with suppress(OSError):
                found.add(stat.read_text().rpartition(")")[2].split()[0])
        return found

    if tasks.exists():
        until(lambda: states() <= {"T"})


class Processes:
    """Processes of one site, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "monitor.sock")
        self.dashboard = free_port()
        self.found = self.dashboard
        self.running: list[subprocess.Popen[str]] = []
        self.logs = folder

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a process; its output goes to a file."""
        log = open(self.logs / f"{len(self.running)}.log", "w")  # noqa: SIM115 the process has it
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=HERE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        log.close()
        self.running.append(process)
        return process

    def site(self, **environment: str) -> tuple[subprocess.Popen[str], int]:
        """Start a process of the site; itself and its port."""
        port = free_port()
        listen = f"127.0.0.1:{self.dashboard}"
        process = self.start(str(PROGRAM), str(port), self.socket, listen, **environment)
        until(lambda: ask(port, "/nowhere") or process.poll() is not None)
        assert process.poll() is None, self.said()
        return process, port

    def serve(self, **environment: str) -> subprocess.Popen[str]:
        """Start a process that does nothing but collect, and wait until it does."""
        listen = f"127.0.0.1:{self.dashboard}"
        more = {"CHERRYPY_MONITOR_SOCKET": self.socket, "CHERRYPY_MONITOR_DASHBOARD_LISTEN": listen}
        process = self.start("-m", "cherrypy", "monitor", "serve", **more, **environment)
        until(lambda: self.metrics() or process.poll() is not None)
        assert process.poll() is None, self.said()
        return process

    def metrics(self) -> str:
        """What /metrics answers."""
        return self.look("/metrics")

    def look(self, path: str) -> str:
        """Ask the dashboard: at its port, or the one above that was free."""
        ports = re.findall(r"The dashboard is at http://127\.0\.0\.1:(\d+)/", self.said())
        for port in dict.fromkeys([self.dashboard, *map(int, reversed(ports))]):
            text = ask(port, path)
            if text:
                self.found = port
                return text
        return ""

    def act(self, path: str, **form: object) -> Any:
        """Do something by the dashboard; what it answers, as JSON."""
        page = self.look("/live")
        match = re.search(r'name="kirsch-token" content="(\w+)"', page)
        assert match, page
        headers = {
            "X-Kirsch-Token": match[1],
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.found, timeout=30)
        try:
            connection.request("POST", path, urlencode(form), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def count(self, name: str = "cherrypy_requests_total", **labels: str) -> float:
        """The sum of the samples of a metric; -1 when there is none."""
        found = -1.0
        for line in self.metrics().splitlines():
            match = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
            if match and all(
                f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()
            ):
                found = max(found, 0.0) + float(match[2])
        return found

    def told(self, process: subprocess.Popen[str], number: int) -> tuple[float, float]:
        """Wait for so many snapshots of a process; how far apart they were taken, and when the last was seen."""
        ages: list[float] = []

        def another() -> bool:
            age = self.count("cherrypy_server_worker_uptime_seconds", worker=str(process.pid))
            if age >= 0 and age not in ages:
                ages.append(age)
            return len(ages) >= number

        until(another)
        return median(after - before for before, after in pairwise(ages)), time.monotonic()

    def becomes(self, number: float) -> None:
        """Wait until so many requests are counted."""
        deadline = time.monotonic() + PATIENCE
        while self.count() != number:
            assert time.monotonic() < deadline, (
                f"{self.count()} is not {number}\n{self.said()[-3000:]}\n{self.metrics()[:3000]}"
            )
            time.sleep(0.05)

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.logs.glob("*.log")))

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def processes(folder: Path) -> Iterator[Processes]:
    """For a fixture."""
    site = Processes(folder)
    try:
        yield site
    finally:
        site.end()
