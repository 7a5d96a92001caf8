"""Helpers for the tests of the bus: buses that remember their log, children with deadlines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from cherrypy import process
from cherrypy.process import wspbus

PRELUDE = """
import os, signal, sys, threading, time
from cherrypy.process import plugins, servers, wspbus
bus = wspbus.Bus()
# In one write: two processes that share the output may speak at once.
bus.subscribe('log', lambda msg, level: print(f'LOG {level} {msg}' + chr(10), end='', flush=True))
"""


class LoggedBus(wspbus.Bus):
    """A bus whose log is a list of ``(level, text)``."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.subscribe("log", lambda msg, level: self.lines.append((level, msg)))

    @property
    def texts(self):
        return [text for _, text in self.lines]


def until(condition, seconds=5.0, what="the condition"):
    """Poll until ``condition()`` is true; return its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.005)


def run_alone(code, cwd=None):
    """Run code in a bare interpreter where ``cherrypy.process`` can be had without the rest."""
    package = str(Path(process.__path__[0]).parent)
    prelude = (
        "import sys, types; sys.modules['cherrypy'] = types.ModuleType('cherrypy');"
        f"sys.modules['cherrypy'].__path__ = [{package!r}];"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", prelude + code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class Child:
    """A Python program in a process of its own, whose output can be waited for."""

    def __init__(self, source, tmp_path, *args, prelude=PRELUDE, command=None, cwd=None, **env):
        if command is None:
            self.file = Path(tmp_path) / "program.py"
            self.file.write_text(prelude + textwrap.dedent(source))
            command = [sys.executable, str(self.file), *args]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **env}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environ,
            cwd=cwd or tmp_path,
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_for(self, text, seconds=15.0, times=1):
        deadline = time.monotonic() + seconds
        while self.output.count(text) < times:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output}"
            ended = self.process.poll() is not None and not self.reader.is_alive()
            assert not ended or self.output.count(text) >= times, f"ended:\n{self.output}"
            time.sleep(0.005)

    def send(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)

    def end(self, seconds=15.0):
        """Wait for the end; return exit status and how long it took."""
        began = time.monotonic()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None
        took = time.monotonic() - began
        self.reader.join(5)
        return status, took
