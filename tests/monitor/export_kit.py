"""Helpers for the tests of what the monitor tells others: sites in processes of their own, and waiting."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.metrics import COUNTER, HISTOGRAM, METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.process.wspbus import Bus

# A shell that runs the tests in the background has them ignore it, and so would their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: A site of three pages; `main(config)` serves it.
SITE = """
import sys, time
import cherrypy

class Root:
    @cherrypy.expose
    def index(self):
        return "hello"

    @cherrypy.expose
    def users(self, id):
        return f"user {id}"

    @cherrypy.expose
    def fail(self):
        raise ValueError("no")

def main(config=None, root=None):
    cherrypy.config.update({
        "server.socket_host": "127.0.0.1", "server.socket_port": PORT, "log.screen": False,
        "engine.autoreload.on": False, "checker.on": False,
    })
    cherrypy.engine.subscribe("log", lambda msg, level: print(f"LOG {level} {msg}", flush=True))
    cherrypy.engine.subscribe("start", lambda: print("READY", flush=True), 99)
    cherrypy.quickstart(root or Root(), config=config)
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "the condition") -> Any:
    """Poll until `condition()` is true; return its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.01)


def get(port: int, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Ask 127.0.0.1; the status and the text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Program:
    """A Python program in a process of its own, whose output can be waited for."""

    def __init__(self, command: list[str], cwd: Path, **env: str) -> None:
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **env}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        """What it has written so far."""
        return "\n".join(self.lines)

    def said(self, words: str, seconds: float = 20.0) -> str:
        """Wait for a line with these words."""

        def found() -> str | None:
            for line in self.lines:
                if words in line:
                    return line
            assert self.process.poll() is None or self._reader.is_alive(), self.text
            return None

        try:
            return str(until(found, seconds))
        except AssertionError:
            raise AssertionError(f"{words!r} was not said: {self.text}") from None

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self, seconds: float = 20.0) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def write_site(folder: Path, last: str = "main()", port: int | None = None) -> tuple[Path, int]:
    """Write the program of a site, which ends with the lines `last`; its path and its port."""
    port = port or free_port()
    path = folder / "app.py"
    path.write_text(SITE.replace("PORT", str(port)) + "\n" + textwrap.dedent(last) + "\n")
    return path, port


def site(folder: Path, last: str = "main()", command: list[str] | None = None, **env: str) -> Any:
    """Start a site, and wait until it serves; the program and its port."""
    path, port = write_site(folder, last)
    program = Program([sys.executable, *(command or []), str(path)], folder, **env)
    try:
        program.said("READY")
    except BaseException:
        program.close()
        raise
    return program, port


def everything(workers: tuple[str, ...] = ("1",)) -> Any:
    """A monitor that has a series of every metric, of each worker, and is not running.

    The n-th metric has the value n; a histogram n values of 0.0625 (a quarter of them above 2).
    """
    monitor = Monitor(Bus())
    for worker in workers:
        snapshot = Snapshot(worker, time.time() + 60, time.time(), 0)
        for number, metric in enumerate(METRICS.values(), 1):
            key = (metric, tuple(f"v{place}" for place in range(len(metric.labels))))
            if metric.kind == HISTOGRAM:
                spread = snapshot.spreads[key] = Spread(metric.scale)
                for index in range(number):
                    spread.observe(2.5 if index % 4 == 3 else 0.0625)
            else:
                into = snapshot.counts if metric.kind == COUNTER else snapshot.gauges
                into[key] = float(number)
        monitor.site.take(snapshot)
    return monitor


def command(name: str) -> str:
    """The path of a program; the test is skipped without it (and fails in CI)."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


#: `python -m cherrypy monitor`.
MONITOR = ["-m", "cherrypy", "monitor"]


def done(*arguments: str, cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
    """Run Python to its end; status, output and errors."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100", **env}
    one = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return one.returncode, one.stdout, one.stderr
