"""Programs in processes of their own, with bounded waits; ``COMPAT_PYTHON`` chooses another
Python, to hold the expectations against the real CherryPy."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PYTHON = os.environ.get("COMPAT_PYTHON", sys.executable)
PATIENCE = 15.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Poll until ``condition`` gives something true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {patience} s for {what}")


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def get(port: int, path: str = "/", **headers: str) -> tuple[int, str]:
    """Status and text of a page."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        conn.request("GET", path, headers={"Connection": "close", **headers})
        response = conn.getresponse()
        return response.status, response.read().decode()
    finally:
        conn.close()


class Program:
    """A running Python program; ends with the ``with`` statement, by force if need be."""

    def __init__(self, folder: Path, *args: str, **env: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
        self.output = folder / f"output-{time.monotonic_ns()}.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [PYTHON, *args],
                cwd=folder,
                env=clean | {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"} | env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def listens(self, port: int) -> Program:
        def check() -> bool:
            """A signal while the engine is still starting is another story."""
            assert self.process.poll() is None, f"it ended:\n{self.text()[-3000:]}"
            if not listening(port):
                return False
            log = self.output.parent / "error.log"
            told = self.text() + (log.read_text() if log.exists() else "")
            return "Bus STARTED" in told or "STARTED" in get(port)[1]

        wait_for(check, f"port {port}; so far: {self.text()[-500:]}")
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, patience: float = PATIENCE) -> int:
        """Its exit status, as the shell counts: negative for a signal."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.text()[-3000:]}") from None


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path
