"""What it costs to be there: importing, memory after the start, and thousands of connections that say nothing."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, field

from . import servers


@dataclass
class ImportCost:
    """`import cherrypy` in a fresh process."""

    milliseconds: float  # by -X importtime, all that it pulls in
    modules: int  # in sys.modules afterwards, the interpreter's own included


def importing(room: str, rounds: int) -> ImportCost:
    python = servers.environment_python(room)
    if not python.exists():
        raise servers.Unavailable("its environment could not be made")
    times, modules = [], 0
    for _ in range(rounds + 1):  # the first writes the .pyc files
        done = subprocess.run(
            [
                *servers.pinned(1),
                python,
                "-X",
                "importtime",
                "-c",
                "import sys, cherrypy; cherrypy.quickstart; sys.stdout.write(str(len(sys.modules)))",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The package's own line, not that of a module in it; depth shows as indentation, so the name is stripped.
        found = re.search(r"\|\s+(\d+) \|\s+cherrypy$", done.stderr, re.MULTILINE)
        if done.returncode or not found:
            raise servers.Unavailable((done.stderr.strip().splitlines() or ["?"])[-1][:160])
        times.append(int(found[1]) / 1000)
        modules = int(done.stdout)
    return ImportCost(statistics.median(times[1:]), modules)


def memory_after_start(name: str) -> int:
    """Resident bytes once the first request has been answered."""
    with servers.running(name, "/", "Hello World!") as (_port, pid):
        return servers.memory(pid)


@dataclass
class IdleCost:
    """Thousands of keep-alive connections that have had one answer and stay open."""

    wanted: int
    open: int  # how many the server has kept
    bytes_each: float
    latency_before: float  # median milliseconds of a request on a new connection
    latency_after: float
    threads_before: int
    threads_after: int
    idle_cpu: float  # percent of a core while nothing happens
    notes: list[str] = field(default_factory=list)


def _new_request(port: int) -> float:
    """Milliseconds from connect to the first bytes of the answer."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        if not connection.recv(65536):
            raise OSError("closed without an answer")
    return (time.perf_counter() - started) * 1000


def idle(name: str, wanted: int) -> IdleCost:
    """Open `wanted` connections to the contender, one request on each, and look at it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    notes = []
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted + 1000), hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < wanted + 100:
        wanted = limit - 200
        notes.append(f"only {wanted} connections: that is as many files as one may open here")
    with servers.running(name, "/", "Hello World!") as (port, pid), contextlib.ExitStack() as stack:
        before = statistics.median(_new_request(port) for _ in range(200))
        memory, threads = servers.memory(pid), servers.threads(pid)
        connections = []
        for _ in range(wanted):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            if not connection.recv(65536):
                break
            connections.append(connection)
        after = statistics.median(_new_request(port) for _ in range(200))
        cpu, started = servers.cpu_seconds(pid), time.monotonic()
        time.sleep(5)  # the measurement itself: nothing happens for five seconds
        spent = (servers.cpu_seconds(pid) - cpu) / (time.monotonic() - started)
        still = 0
        for connection in connections:
            connection.setblocking(False)
            try:
                still += bool(connection.recv(1))
            except BlockingIOError:
                still += 1
            except OSError:
                pass
        return IdleCost(
            wanted=wanted,
            open=still,
            bytes_each=(servers.memory(pid) - memory) / max(still, 1),
            latency_before=before,
            latency_after=after,
            threads_before=threads,
            threads_after=servers.threads(pid),
            idle_cpu=spent * 100,
            notes=notes,
        )
