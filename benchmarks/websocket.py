"""WebSockets: processor time of the server for a message, beside the websockets package, in one run.

    python benchmarks/websocket.py [seconds] [--write]

Both servers run the same work in turn (A B A B), pinned to one core where the system can; the client is
the same raw one, on the other core. A figure is the processor time of the server's process (user and
system, from /proc) over the messages it handled, the median of the turns; memory is resident memory.
`--write` puts the table into benchmarks/WEBSOCKET_RESULTS.md.

kirsch is measured as an application uses it: a class under `tools.websocket`, text and bytes as messages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from kirsch.wire.websocket.client import make_key, read_answer, request_head
from kirsch.wire.websocket.protocol import Protocol

RESULTS = Path(__file__).with_name("WEBSOCKET_RESULTS.md")
CONTENDERS = ("kirsch", "websockets")
TICK = os.sysconf("SC_CLK_TCK")
GOALS = {  # figure -> (what is shown, goal, unit)
    "echo_125": ("125 B echo", 12.0, "µs of processor time"),
    "echo_16k": ("16 KiB echo", 40.0, "µs of processor time"),
    "broadcast": ("broadcast to 500, one delivery", 3.5, "µs of processor time"),
    "idle": ("an idle connection (of 1,000)", 3.0, "KiB"),
    "idle_threads": ("threads for 1,000 idle connections", 0.0, "threads"),
    "gap": ("longest gap, 2 of 22 not reading", 0.2, "s"),
    "growth": ("memory growth, 2 of 22 not reading", 16.0, "MiB"),
}


# -- the servers, each in a process of its own -------------------------------------------------------


def serve_kirsch() -> None:
    """/echo, and /room where a number asks for so many broadcasts."""
    import cherrypy
    from cherrypy.websocket import Room, WebSocket

    room = Room()

    class Echo(WebSocket):
        def received_message(self, message: Any) -> None:
            self.send(message)

    class Member(WebSocket):
        def opened(self) -> None:
            room.join(self)

        def received_message(self, message: Any) -> None:
            threading.Thread(target=say, args=(str(message),), daemon=True).start()

    def say(orders: str) -> None:
        for data in ordered(orders):
            room.send(data)

    class Root:
        @cherrypy.expose
        @cherrypy.tools.websocket(handler_cls=Echo)
        def echo(self) -> None:
            pass

        @cherrypy.expose
        @cherrypy.tools.websocket(handler_cls=Member)
        def room(self) -> None:
            pass

    cherrypy.config.update(
        {"environment": "embedded", "server.socket_port": 0, "log.screen": False}
    )
    cherrypy.tree.mount(Root())
    cherrypy.server.subscribe()
    cherrypy.engine.start()
    print(cherrypy.server.bound_addr[1], flush=True)
    cherrypy.engine.block()


def serve_websockets() -> None:
    """The same with the asyncio server of websockets, as its documentation has it."""
    from websockets.asyncio.server import broadcast, serve

    members: set[Any] = set()
    tasks: set[Any] = set()

    async def say(orders: str) -> None:
        for data in ordered(orders, pause=False):
            broadcast(members, data)
            await asyncio.sleep(pause_of(orders))

    async def handler(ws: Any) -> None:
        if ws.request.path == "/echo":
            async for message in ws:
                await ws.send(message)
            return
        members.add(ws)
        try:
            async for message in ws:
                tasks.add(asyncio.ensure_future(say(message)))
        finally:
            members.discard(ws)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()

    asyncio.run(main())


def pause_of(orders: str) -> float:
    return float(orders.split()[2])


def ordered(orders: str, pause: bool = True) -> Iterator[str]:
    """'COUNT SIZE PAUSE': so many messages of that size, with a pause between them."""
    count, size, seconds = orders.split()
    for _ in range(int(count)):
        yield "x" * int(size)
        if pause:
            time.sleep(float(seconds))


# -- the client ----------------------------------------------------------------------------------------


class Peer:
    """A raw connection that counts what comes."""

    def __init__(self, port: int, path: str, rcvbuf: int = 0) -> None:
        self.sock = sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request_head(path, f"127.0.0.1:{port}", make_key()))
        data = b""
        while read_answer(data) is None:
            data += sock.recv(4096)
        self.want = self.got = 0


def wait_all(peers: list[Peer], size: int) -> float:
    """Read until every peer has `size` bytes; the longest time between two reads of one."""
    poll = select.poll()
    waiting = {}
    for peer in peers:
        peer.got = 0
        poll.register(peer.sock, select.POLLIN)
        waiting[peer.sock.fileno()] = peer
    longest = 0.0
    seen = dict.fromkeys(waiting, time.perf_counter())
    while waiting:
        for fd, _ in poll.poll(60_000) or [(-1, 0)]:
            if fd < 0:
                raise TimeoutError("nothing comes any more")
            peer = waiting[fd]
            got = len(peer.sock.recv(1 << 18))
            if not got:
                raise ConnectionError("closed")
            now = time.perf_counter()
            longest, seen[fd] = max(longest, now - seen[fd]), now
            peer.got += got
            if peer.got >= size:
                poll.unregister(fd)
                del waiting[fd]
    return longest


def masked(message: Any) -> bytes:
    core = Protocol(client=True)
    return core.text(message) if isinstance(message, str) else core.binary(message)


def frame_size(length: int) -> int:
    return length + (2 if length < 126 else 4 if length < 65536 else 10)


class Server:
    """A contender in its process."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, __file__, "--serve", name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        pin(self.process.pid, 0)

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> int:
        statm = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(statm[1]) * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def pin(pid: int, core: int) -> None:
    """Give the server and the client a core each, where there are two."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {core})


@contextmanager
def running(name: str) -> Iterator[Server]:
    server = Server(name)
    try:
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(5)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(5)


def echo(name: str, size: int, seconds: float) -> float:
    """µs of the server for an echo: 16 connections, one message each under way."""
    with running(name) as server:
        peers = [Peer(server.port, "/echo") for _ in range(16)]
        frame = masked("x" * size if size < 1000 else b"x" * size)
        answer = frame_size(size)
        poll = select.poll()
        by_fd = {peer.sock.fileno(): peer for peer in peers}
        for peer in peers:
            poll.register(peer.sock, select.POLLIN)
            peer.sock.sendall(frame)
            peer.got = 0
        done, began, start = 0, 0.0, 0
        end = time.perf_counter() + 0.3  # a warm-up first
        while True:
            for fd, _ in poll.poll():
                peer = by_fd[fd]
                peer.got += len(peer.sock.recv(1 << 17))
                if peer.got >= answer:
                    peer.got -= answer
                    done += 1
                    peer.sock.sendall(frame)
            now = time.perf_counter()
            if now >= end:
                if not start:
                    start, began, end = done, server.cpu(), now + seconds
                else:
                    return (server.cpu() - began) / (done - start) * 1e6


def broadcasts(name: str, seconds: float) -> float:
    """µs of the server for a delivery to one of 500."""
    with running(name) as server:
        peers = [Peer(server.port, "/room") for _ in range(500)]
        time.sleep(0.3)
        rounds, began, delivered = 20, 0.0, 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not delivered:
            began = began or server.cpu()
            peers[0].sock.sendall(masked(f"{rounds} 125 0"))
            wait_all(peers, rounds * frame_size(125))
            delivered += rounds * 500
        return (server.cpu() - began) / delivered * 1e6


def idle(name: str) -> tuple[float, int]:
    """KiB and threads that 1,000 connections take."""
    with running(name) as server:
        first = [Peer(server.port, "/echo") for _ in range(50)]  # what is made once is made
        settled(server)
        before, threads = server.memory(), server.threads()
        peers = [Peer(server.port, "/echo") for _ in range(1000)]
        time.sleep(1.0)
        grown = settled(server) - before
        assert len(peers) + len(first) == 1050
        return grown / 1000 / 1024, max(0, server.threads() - threads)


def settled(server: Server) -> int:
    """Memory when it has stood still for a moment."""
    last = 0
    while (now := server.memory()) != last:
        last = now
        time.sleep(0.4)
    return now


def deaf(name: str) -> tuple[float, float]:
    """Longest gap in seconds, and MiB of growth: 20 peers read, 2 do not, 16 KiB every 2 ms."""
    with running(name) as server:
        silent = [Peer(server.port, "/room", rcvbuf=4096) for _ in range(2)]
        peers = [Peer(server.port, "/room") for _ in range(20)]
        time.sleep(0.3)
        before = server.memory()
        peers[0].sock.sendall(masked("1500 16384 0.002"))
        gap = wait_all(peers, 1500 * frame_size(16384))
        assert silent
        return gap, (server.memory() - before) / (1 << 20)


def measure(seconds: float, turns: int = 3) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in CONTENDERS}
    for _ in range(turns):
        for name in CONTENDERS:
            mine = figures[name]
            memory, threads = idle(name)
            gap, growth = deaf(name)
            for key, value in (
                ("echo_125", echo(name, 125, seconds)),
                ("echo_16k", echo(name, 16384, seconds)),
                ("broadcast", broadcasts(name, seconds)),
                ("idle", memory),
                ("idle_threads", threads),
                ("gap", gap),
                ("growth", growth),
            ):
                mine.setdefault(key, []).append(value)
    return {
        name: {key: median(values) for key, values in mine.items()}
        for name, mine in figures.items()
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    import websockets

    lines = [
        f"CPython {platform.python_version()}, websockets {websockets.__version__}, "
        f"{platform.machine()}, {os.cpu_count()} cores; medians of three turns.",
        "",
        "| what | kirsch | websockets | ratio | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for key, (what, goal, unit) in GOALS.items():
        ours, theirs = (figures[name][key] for name in CONTENDERS)
        ratio = f"{theirs / ours:.1f}" if ours > 0.01 and theirs > 0.01 else "–"
        verdict = "reached" if ours <= goal else "not reached"
        lines.append(
            f"| {what}, {unit} | {ours:.2f} | {theirs:.2f} | {ratio} | ≤ {goal:g} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=2.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--serve", choices=CONTENDERS)
    chosen = parser.parse_args()
    if chosen.serve:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        {"kirsch": serve_kirsch, "websockets": serve_websockets}[chosen.serve]()
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pin(os.getpid(), 1)
    found = table(measure(chosen.seconds))
    print(found)
    if chosen.write:
        intro = f"# WebSockets: what was measured\n\n`python benchmarks/{Path(__file__).name} --write` wrote this. "
        RESULTS.write_text(
            intro + "A ratio says more than a figure:\nthe machine was not ours alone.\n\n" + found
        )


if __name__ == "__main__":
    main()
