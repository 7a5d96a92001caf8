"""Open event streams and waiting coroutines: what they cost a page that is asked for meanwhile.

    python benchmarks/streams.py [seconds] [--streams 2000] [--write]

One server with ten threads and no more, in a process of its own, pinned to one core where the system can;
the client is on the other. In turns, the latency of a small page over a connection that stays open is
measured without streams, with all of them open and silent, and with an event a second to each of them.
Then a tenth of the clients leave, and it is measured how long their streams are still there; and 500
pages that `await asyncio.sleep(0.5)` are asked for at once. `--write` puts the table into
benchmarks/STREAMS_RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).with_name("STREAMS_RESULTS.md")
REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
TURNS = 3


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where that can be said and there is more than one."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def many_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve() -> None:
    """The server: prints its port."""
    import asyncio

    import cherrypy
    from cherrypy.lib import sse

    room = sse.Room("ticker")

    class Root:
        @cherrypy.expose
        def index(self) -> str:
            return "Hello, world!"

        @cherrypy.expose
        def events(self) -> Any:
            return sse.stream(room)

        @cherrypy.expose
        async def sleep(self) -> str:
            await asyncio.sleep(0.5)
            return "slept"

        @cherrypy.expose
        def tick(self) -> str:
            return str(room.send("x" * 100))

        @cherrypy.expose
        @cherrypy.tools.json_out()
        def state(self) -> dict[str, Any]:
            with open("/proc/self/statm") as file:
                pages = int(file.read().split()[1])
            counters = cherrypy.server.httpserver.kirsch.counters
            return {
                "streams": len(room),
                "threads": counters["threads"],
                "memory": pages * os.sysconf("SC_PAGE_SIZE"),
            }

    cherrypy.config.update(
        {
            "environment": "embedded",
            "server.socket_port": 0,
            "server.thread_pool": 10,
            "server.thread_pool_max": 10,
            "log.screen": False,
        }
    )
    cherrypy.tree.mount(Root())
    cherrypy.server.subscribe()
    cherrypy.engine.start()
    print(cherrypy.server.bound_addr[1], flush=True)
    cherrypy.engine.block()


class Streams:
    """Clients of event streams; one thread reads what comes, so that nobody lags."""

    def __init__(self, port: int) -> None:
        import select

        self.port = port
        self.socks: list[socket.socket] = []
        self.poller = select.epoll()
        self.by_number: dict[int, socket.socket] = {}
        threading.Thread(target=self.read, daemon=True).start()

    def open(self, count: int) -> None:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self.port))
            sock.sendall(REQUEST % b"/events")
            data = b""
            while b":\n\n" not in data:
                data += sock.recv(4096)
            self.socks.append(sock)
            self.by_number[sock.fileno()] = sock
            self.poller.register(sock, select_in())

    def read(self) -> None:
        while True:
            for number, _ in self.poller.poll():
                sock = self.by_number.get(number)
                if sock is not None:
                    with contextlib.suppress(OSError):
                        sock.recv(65536)

    def close(self, count: int) -> None:
        for sock in self.socks[:count]:
            self.poller.unregister(sock)
            self.by_number.pop(sock.fileno(), None)
            sock.close()
        del self.socks[:count]


def select_in() -> int:
    import select

    return select.EPOLLIN


class Page:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path)
        return self.connection.getresponse().read()

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/state")))


def latencies(port: int, seconds: float) -> tuple[float, float]:
    """Median and 99th percentile of a page, in milliseconds; asked for 200 times a second."""
    sock = socket.create_connection(("127.0.0.1", port))
    took = []
    end = time.perf_counter() + seconds
    while (asked := time.perf_counter()) < end:
        sock.sendall(REQUEST % b"/")
        data = b""
        while b"Hello, world!" not in data:
            data += sock.recv(4096)
        took.append((time.perf_counter() - asked) * 1000)
        time.sleep(0.005)
    sock.close()
    took.sort()
    return median(took), took[int(len(took) * 0.99)]


@contextlib.contextmanager
def ticking(port: int) -> Iterator[None]:
    """An event a second to all."""
    stop = threading.Event()

    def tick() -> None:
        page = Page(port)
        while not stop.wait(1.0):
            page.get("/tick")

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def freed(port: int, streams: Streams, count: int) -> float:
    """Seconds until the server has let go of the streams of clients that left."""
    page = Page(port)
    left = page.state()["streams"] - count
    streams.close(count)
    began = time.perf_counter()
    while page.state()["streams"] > left:
        time.sleep(0.001)
    return time.perf_counter() - began


def sleepers(port: int, count: int) -> tuple[float, float]:
    """Seconds that `count` waiting pages take together, and the median of a page meanwhile."""
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    began = time.perf_counter()
    for sock in socks:
        sock.sendall(REQUEST % b"/sleep")
    between = latencies(port, 0.3)[0]
    for sock in socks:
        data = b""
        while b"slept" not in data:
            data += sock.recv(4096)
        sock.close()
    return time.perf_counter() - began, between


def measure(seconds: float, count: int) -> list[tuple[str, str]]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            pin(process.pid, 0)
            return figures(port, seconds, count)
        finally:
            process.terminate()


def figures(port: int, seconds: float, count: int) -> list[tuple[str, str]]:
    page, streams = Page(port), Streams(port)
    latencies(port, 0.5)
    before = page.state()
    found: dict[str, list[tuple[float, float]]] = {"none": [], "silent": [], "ticking": []}
    gone, each = [], 0.0
    for _ in range(TURNS):
        found["none"].append(latencies(port, seconds))
        streams.open(count)
        state = page.state()
        each = each or (state["memory"] - before["memory"]) / count / 1024
        assert state["streams"] == count
        found["silent"].append(latencies(port, seconds))
        with ticking(port):
            found["ticking"].append(latencies(port, seconds))
        threads = page.state()["threads"]
        gone.append(freed(port, streams, count // 10))
        freed(port, streams, len(streams.socks))
    asleep = [sleepers(port, 500) for _ in range(TURNS)]

    def shown(key: str) -> str:
        p50 = median(pair[0] for pair in found[key])
        p99 = median(pair[1] for pair in found[key])
        return f"{p50:.2f} ms, {p99:.2f} ms"

    return [
        ("a page, no streams: median, 99th percentile", shown("none")),
        (f"a page, {count:,} streams open and silent", shown("silent")),
        (f"a page, {count:,} streams with an event a second each", shown("ticking")),
        (f"threads of the server with {count:,} streams", str(threads)),
        ("memory of an open stream", f"{each:.1f} KiB"),
        (f"{count // 10} clients leave: all their streams freed within", f"{max(gone):.3f} s"),
        ("500 pages that await 0.5 s, all answered in", f"{median(a[0] for a in asleep):.2f} s"),
        ("a page meanwhile, median", f"{median(a[1] for a in asleep):.2f} ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=4.0)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--serve", action="store_true")
    chosen = parser.parse_args()
    many_files()
    if chosen.serve:
        serve()
        return
    pin(os.getpid(), 1)
    lines = [
        f"CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; "
        f"medians of {TURNS} turns.",
        "",
        "| what | |",
        "|---|---|",
    ]
    lines += [f"| {what} | {value} |" for what, value in measure(chosen.seconds, chosen.streams)]
    found = "\n".join(lines) + "\n"
    print(found)
    if chosen.write:
        RESULTS.write_text(
            "# Event streams and coroutines: what was measured\n\n"
            f"`python benchmarks/{Path(__file__).name} --write` wrote this.\n\n" + found
        )


if __name__ == "__main__":
    main()
