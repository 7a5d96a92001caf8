"""Processor time a request, of the server's own accounting: steadier than a rate on a shared machine.

usage: python benchmarks/cpu_per_request.py [SECONDS]      needs wrk and taskset; hello world three ways
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"
TICK = os.sysconf("SC_CLK_TCK")
HELLO = {"wsgi": "wsgi", "native": "native"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def spent(pid: int) -> tuple[float, float]:
    """User and system seconds of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def load(port: int, seconds: int) -> int:
    """Ask for / with 64 connections; how many answers came."""
    command = f"taskset -c 1 wrk -t1 -c64 -d{seconds} http://127.0.0.1:{port}/".split()
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", told)
    assert found, told
    return int(found[1])


def measure(name: str, command: list[str], seconds: int) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as files:
        server = subprocess.Popen(
            ["taskset", "-c", "0", sys.executable, *[x.format(port=port) for x in command]],
            env={**os.environ, "BENCH_FILES": files},
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            load(port, 1)
            before = spent(server.pid)
            count = load(port, seconds)
            user, system = (b - a for a, b in zip(before, spent(server.pid), strict=True))
        finally:
            server.terminate()
            server.wait(20)
    user, system = user / count * 1e6, system / count * 1e6
    print(f"{name:8} user {user:6.2f}  system {system:6.2f}  together {user + system:6.2f} us")


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    raw = f"import sys; sys.path.insert(0, {str(APPS)!r}); import raw, kirsch; "
    measure("raw", ["-c", raw + "kirsch.serve(raw.app, '127.0.0.1:{port}')"], seconds)
    for name, kind in HELLO.items():
        measure(name, [str(APPS / "cherrypy_app.py"), "{port}", kind], seconds)


if __name__ == "__main__":
    main()
