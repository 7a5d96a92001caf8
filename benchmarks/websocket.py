"""WebSockets: what a message costs the server, what a connection costs, and what two deaf peers do to the others.

One raw client asks all servers. A figure of time is the processor time of the server's process, user and
system, over the messages that it handled: the client's own speed is not in it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import select
import socket
import statistics
import struct
import time
from collections.abc import Iterator
from typing import Any

from . import servers

CONTENDERS = ("kirsch", "kirsch+c", "ws4py", "websockets", "uvicorn", "aiohttp")
DEADLINE = 30.0  # seconds: what is not all there then is given up
ROOM, READERS, DEAF, IDLE = 500, 20, 2, 1000

# figure: (what it is, its unit, digits, the goal, how the goal is written)
FIGURES: dict[str, tuple[str, str, int, float, str]] = {
    "echo_125": ("echo of 125 B", "µs", 1, 12.0, "≤ 12 µs"),
    "echo_16k": ("echo of 16 KiB", "µs", 1, 40.0, "≤ 40 µs"),
    "broadcast": ("broadcasts to 500, 20 in a row: a delivery", "µs", 1, 3.5, "≤ 3.5 µs"),
    "idle": ("idle connection (of 1,000)", "KiB", 1, 3.0, "≤ 3 KiB"),
    "threads": ("threads for 1,000 connections", "", 0, 0.0, "none"),
    "gap": ("2 of 22 do not read: longest gap", "s", 2, 0.2, "≤ 0.2 s"),
    "growth": ("2 of 22 do not read: memory", "MiB", 1, 16.0, "≤ 16 MiB"),
}


class Peer:
    """A connection that counts the bytes that come; none of them is looked at."""

    def __init__(self, port: int, path: str, receive_buffer: int = 0) -> None:
        self.sock = sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE)
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                break
            head += data
        if not head.startswith(b"HTTP/1.1 101"):
            raise servers.Unavailable(f"it answered {head[:40]!r} to a handshake")
        sock.settimeout(None)  # with a time-out, Python would ask poll() before each call
        self.got = 0

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def peers(port: int, path: str, count: int, receive_buffer: int = 0) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(Peer(port, path, receive_buffer)))
            for _ in range(count)
        ]


def masked(payload: str | bytes) -> bytes:
    """One frame as a client sends it (RFC 6455 5.2, 5.3)."""
    first, data = (0x81, payload.encode()) if isinstance(payload, str) else (0x82, payload)
    key = b"\x12\x34\x56\x78"
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    body = (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
    if size < 126:
        return struct.pack(">BB", first, 0x80 | size) + key + body
    return struct.pack(">BBH", first, 0x80 | 126, size) + key + body


def frame_size(length: int) -> int:
    return length + (2 if length < 126 else 4)


def read_all(readers: list[Peer], size: int) -> tuple[float, bool]:
    """Read until each has got `size` bytes: the longest time that one was without, and whether all have."""
    poll = select.poll()
    waiting = {}
    for peer in readers:
        peer.got = 0
        poll.register(peer.sock, select.POLLIN)
        waiting[peer.sock.fileno()] = peer
    now = time.perf_counter()
    seen, end = dict.fromkeys(waiting, now), now + DEADLINE
    longest = 0.0
    while waiting:
        if now > end:
            return max(longest, *(now - seen[fd] for fd in waiting)), False
        for fd, _ in poll.poll(1000) or [(-1, 0)]:
            now = time.perf_counter()
            if fd < 0:
                break
            peer = waiting[fd]
            got = len(peer.sock.recv(1 << 18))
            if not got:
                raise OSError("the server closed a connection that reads")
            longest, seen[fd] = max(longest, now - seen[fd]), now
            peer.got += got
            if peer.got >= size:
                poll.unregister(fd)
                del waiting[fd]
    return longest, True


def echo(port: int, pid: int, size: int, seconds: float) -> float:
    """µs of the server for an echo: 16 connections, each with one message under way."""
    with peers(port, "/echo", 16) as speakers:
        frame = masked("x" * size if size < 1000 else b"x" * size)
        answer = frame_size(size)
        poll = select.poll()
        by_fd = {peer.sock.fileno(): peer for peer in speakers}
        for peer in speakers:
            poll.register(peer.sock, select.POLLIN)
            peer.sock.sendall(frame)
        done, start, began = 0, -1, 0.0
        end = time.perf_counter() + 0.5  # a warm-up first
        while True:
            events = poll.poll(DEADLINE * 1000)
            if not events:
                raise OSError("no answer to a message")
            for fd, _ in events:
                peer = by_fd[fd]
                peer.got += len(peer.sock.recv(1 << 17))
                if peer.got >= answer:
                    peer.got -= answer
                    done += 1
                    peer.sock.sendall(frame)
            now = time.perf_counter()
            if now < end:
                continue
            if start >= 0:
                return (servers.cpu_seconds(pid) - began) / (done - start) * 1e6
            start, began, end = done, servers.cpu_seconds(pid), now + seconds


def broadcast(port: int, pid: int, seconds: float) -> float:
    """µs of the server for a delivery to one of 500; 20 messages without a pause, again and again."""
    count, size = 20, 125
    with peers(port, "/room", ROOM) as members:
        order = masked(f"{count} {size} 0")
        members[0].sock.sendall(order)  # a warm-up
        read_all(members, count * frame_size(size))
        began, rounds = servers.cpu_seconds(pid), 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            members[0].sock.sendall(order)
            if not read_all(members, count * frame_size(size))[1]:
                raise OSError("a broadcast did not arrive")
            rounds += 1
        return (servers.cpu_seconds(pid) - began) / (rounds * count * ROOM) * 1e6


def idle(port: int, pid: int) -> tuple[float, int]:
    """KiB and threads that 1,000 connections take."""
    with peers(port, "/echo", 50):  # what is made once is made
        before, threads = settled(pid), servers.threads(pid)
        with peers(port, "/echo", IDLE):
            grown = settled(pid) - before
            return grown / IDLE / 1024, max(0, servers.threads(pid) - threads)


def settled(pid: int) -> int:
    """Memory when it has stood still for a moment, or after some seconds."""
    last, deadline = 0, time.monotonic() + 5
    while (now := servers.memory(pid)) != last and time.monotonic() < deadline:
        last = now
        time.sleep(0.4)
    return now


def deaf(port: int, pid: int) -> tuple[float, float]:
    """Longest gap in seconds and growth in MiB: 20 peers read, 2 do not; 1,500 times 16 KiB, 2 ms apart."""
    count, size = 1500, 16384
    with peers(port, "/room", DEAF, 4096), peers(port, "/room", READERS) as readers:
        time.sleep(0.3)
        before = servers.memory(pid)
        readers[0].sock.sendall(masked(f"{count} {size} 0.002"))
        gap, _ = read_all(readers, count * frame_size(size))
        return gap, (servers.memory(pid) - before) / (1 << 20)


def turn(name: str, seconds: float, all_of_it: bool) -> dict[str, float]:
    """One turn of a contender: a fresh server for each figure; what is no time is found out only once."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))  # for it and for us
    asked: list[tuple[tuple[str, ...], Any]] = [
        (("echo_125",), lambda port, pid: (echo(port, pid, 125, seconds),)),
        (("echo_16k",), lambda port, pid: (echo(port, pid, 16384, seconds),)),
        (("broadcast",), lambda port, pid: (broadcast(port, pid, seconds),)),
    ]
    if all_of_it:
        asked += [(("idle", "threads"), idle), (("gap", "growth"), deaf)]
    found: dict[str, float] = {}
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    for keys, ask in asked:
        with servers.running(f"ws:{name}", "/", "Hello World!") as (port, pid):
            try:
                if before is not None and len(before) > 1:
                    os.sched_setaffinity(0, before - {0})  # the server has that one
                found.update(zip(keys, ask(port, pid), strict=True))
            except OSError:
                continue  # it has no figure here, which the table shows
            finally:
                if before is not None:
                    os.sched_setaffinity(0, before)
    return found


def figure(results: dict[str, Any], name: str, key: str) -> float | None:
    """The median of a contender's turns, None without any."""
    values = [one[key] for one in results.get("websocket", {}).get(name, ()) if key in one]
    return statistics.median(values) if values else None


def goals(results: dict[str, Any]) -> Iterator[tuple[str, str, str, bool | None]]:
    """(what, the goal, the figure, reached or None); they are kirsch's alone, without C."""
    for key, (what, unit, digits, goal, words) in FIGURES.items():
        have = figure(results, "kirsch", key)
        shown = "" if have is None else f"{have:.{digits}f} {unit}".rstrip()
        yield f"WebSocket: {what}", words, shown, None if have is None else have <= goal


def table(results: dict[str, Any]) -> Iterator[str]:
    """The section of RESULTS.md."""
    yield "Processor time of the server a message; medians of the turns, the last four of one turn."
    yield "`kirsch+c` has the masking function of the `websockets` package installed beside it."
    names = [name for name in CONTENDERS if results["websocket"].get(name)]
    shown = (f"**{name}**" if name.startswith("kirsch") else name for name in names)
    yield from ("", f"| | {' | '.join(shown)} |", "|---|" + "---:|" * len(names))
    for key, (what, unit, digits, _, _) in FIGURES.items():
        cells = (figure(results, name, key) for name in names)
        row = " | ".join("–" if cell is None else f"{cell:,.{digits}f}" for cell in cells)
        yield f"| {what}{', ' + unit if unit else ''} | {row} |"
