"""Two real servers, the monitor on in one of them, and one client that asks both by turns.

Each server is a process of its own, with a page that does nothing; `benchmarks/monitor.py --served` asks
them over loopback, one request at a time on a connection that is kept.

    python benchmarks/served.py on|off

is such a server: it prints its port, and for each line that it reads the processor seconds of its process
and, of these, those of the monitor's own threads, which work once a second whatever is asked. It ends with
its input.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import fmean, median, quantiles
from typing import Any

import cherrypy

REQUESTS = 256  # a run; then the other is asked
RUNS = 4  # of each in a round: the recorder adds up 1,024 requests at once
WARM = 3072  # requests before anything is measured
PAIRS = 3  # of processes: two that run the same program are not equally fast
SETTLED = 2.5  # seconds until what is done once after the first requests has been done
IDLE = 5.0  # seconds; servers close connections that say nothing for ten
LONGEST = 600.0  # seconds that a server lives
PATIENCE = 10.0  # seconds that its end may take

#: The clock of a thread's processor time; None where the system has none for each.
CLOCK_OF: Any = getattr(time, "pthread_getcpuclockid", None)

ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"

#: A run: processor microseconds and those that the client waits, for a request.
Run = tuple[float, float]
#: The runs of a server in a round.
Runs = list[Run]
#: Those without the recorder, and those with it, as they took turns.
Round = tuple[Runs, Runs]


class Root:
    @cherrypy.expose
    def index(self) -> bytes:
        return b"Hello World!"


# -- the server: a process of its own --------------------------------------------------------------


def spent() -> list[float]:
    """Processor seconds of this process, and those of the monitor's threads among them.

    The second is zero where the system does not tell of threads.
    """
    own = 0.0
    for thread in threading.enumerate() if CLOCK_OF else ():
        if thread.name.startswith("monitor") and thread.ident is not None:
            own += time.clock_gettime(CLOCK_OF(thread.ident))
    return [time.process_time(), own]


def serve(how: str) -> None:
    """Serve the page until the input ends."""
    cherrypy.config.update(
        {
            "environment": "production",
            "log.screen": False,
            "server.socket_host": "127.0.0.1",
            "server.socket_port": 0,
            "engine.autoreload.on": False,
        }
    )
    if how == "on":
        cherrypy.config.update(
            {"engine.monitor.on": True, "engine.monitor.dashboard.listen": "127.0.0.1:0"}
        )
    cherrypy.tree.mount(Root())
    cherrypy.engine.start()
    print(cherrypy.server.bound_addr[1], flush=True)
    for _ in sys.stdin:
        print(json.dumps(spent()), flush=True)
    cherrypy.engine.exit()


# -- the client ------------------------------------------------------------------------------------


@contextmanager
def placed(processor: int | None) -> Iterator[None]:
    """Have what is started meanwhile run on one processor; None, or where systems do not: anywhere."""
    if processor is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def places() -> dict[str, tuple[int | None, int | None]]:
    """Where server and client run: on processors of their own, and both on one."""
    if not hasattr(os, "sched_getaffinity"):
        return {"anywhere": (None, None)}
    first, *others = sorted(os.sched_getaffinity(0))
    together: dict[str, tuple[int | None, int | None]] = {"together": (first, first)}
    return {"apart": (first, others[0]), **together} if others else together


class Server:
    """A server in a process of its own, and one connection to it.

    how
        'on' or 'off': the monitor.
    """

    def __init__(self, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Who waits for it hears of its end, so no wait below needs a limit of its own.
        self.limit = threading.Timer(LONGEST, self.process.kill)
        self.limit.daemon = True
        self.limit.start()
        self.connection = socket.create_connection(("127.0.0.1", int(self._line())))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(ASKED)
        self.answer = self.connection.recv(1 << 16)
        if not self.answer.startswith(b"HTTP/1.1 200 ") or not self.answer.endswith(b"World!"):
            raise RuntimeError(f"the server answered {self.answer[:200]!r}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with status {self.process.wait(PATIENCE)}")
        return line

    def spent(self) -> tuple[float, float]:
        """Processor seconds of the process until now, and of the monitor's threads among them."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        process, own = json.loads(self._line())
        return process, own

    def ask(self, requests: int) -> None:
        """Ask so often, each time when the last answer is there."""
        send, receive, size = self.connection.sendall, self.connection.recv, len(self.answer)
        for _ in range(requests):
            send(ASKED)
            left = size - len(receive(size))
            while left:
                data = receive(left)
                if not data:
                    raise RuntimeError("the server closed the connection")
                left -= len(data)

    def run(self, idle: float, requests: int = REQUESTS) -> Run:
        """Return what a request takes.

        idle
            Processor seconds that a second takes, without the monitor's own threads; they are taken off.
        """
        before, own = self.spent()
        began = time.perf_counter()
        self.ask(requests)
        waited = time.perf_counter() - began
        after, owned = self.spent()
        taken = after - before - (owned - own) - idle * waited
        return taken / requests * 1e6, waited / requests * 1e6

    def end(self) -> None:
        """End the process."""
        self.limit.cancel()
        self.connection.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.process.stdout.close()


def idle(servers: list[Server], seconds: float) -> list[tuple[float, float]]:
    """Return processor seconds that a second takes while nobody asks.

    For each server all of it, and what is left without the monitor's own threads.
    """
    before = [server.spent() for server in servers]
    began = time.perf_counter()
    time.sleep(seconds)
    after = [server.spent() for server in servers]
    took = time.perf_counter() - began
    return [
        ((now[0] - then[0]) / took, (now[0] - then[0] - now[1] + then[1]) / took)
        for then, now in zip(before, after, strict=True)
    ]


def pair(rounds: int, where: tuple[int | None, int | None]) -> tuple[list[Round], list[float]]:
    """Ask a server without the recorder, and one with it, by turns.

    Returns the rounds, and processor seconds that a second takes, off and on, when nobody asks.
    """
    with ExitStack() as stack:
        servers = []
        with placed(where[0]):
            for how in ("off", "on"):
                servers.append(Server(how))
                stack.callback(servers[-1].end)
        stack.enter_context(placed(where[1]))
        for server in servers:
            server.ask(WARM)
        time.sleep(SETTLED)
        (all_off, off), (all_on, on) = idle(servers, IDLE)
        found: list[Round] = []
        for _ in range(rounds):
            turns = [(servers[0].run(off), servers[1].run(on)) for _ in range(RUNS)]
            found.append(([plain for plain, _ in turns], [taken for _, taken in turns]))
    return found, [all_off, all_on]


def quieter(rounds: list[Round], which: int) -> list[tuple[float, float]]:
    """Of the quieter half of the rounds: what a request takes without, and what is added.

    which
        0 for processor time, 1 for that of the client.
    """
    rows = []
    for without, with_it in rounds:
        plain = [run[which] for run in without]
        usual = fmean(plain)
        # How quiet it was is for those without to say: what is looked for plays no part in it.
        rows.append(
            (
                max(plain) + max(plain) - min(plain),
                usual,
                fmean(run[which] for run in with_it) - usual,
            )
        )
    rows.sort()
    return [(plain, added) for _, plain, added in rows[: max(1, len(rows) // 2)]]


def said(pairs: list[list[Round]], which: int) -> dict[str, float]:
    """What all pairs say together: a request without, what is added in place, and its quartiles."""
    found = [row for rounds in pairs for row in quieter(rounds, which)]
    low, middle, high = quantiles([added for _, added in found], n=4)
    return {"plain": median(plain for plain, _ in found), "added": middle, "from": low, "to": high}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Measure everywhere.

    rounds
        How many in each place, two or more; the pairs share them.

    Returns for each of the `places` microseconds of a request, by `processor` and `client` (`plain`,
    `added`, `from`, `to`), and `idle`: milliseconds of processor time that a second takes, `off` and `on`.
    `exact` says whether the monitor's own threads are known to have had no part in `processor`.
    """
    found: dict[str, dict[str, Any]] = {}
    number = min(PAIRS, rounds)
    for name, where in places().items():
        measured = [pair(-(-rounds // number), where) for _ in range(number)]
        pairs, seconds = zip(*measured, strict=True)
        off, on = (sum(one) / number * 1e3 for one in zip(*seconds, strict=True))
        found[name] = {
            "processor": said(list(pairs), 0),
            "client": said(list(pairs), 1),
            "idle": {"off": off, "on": on},
            "exact": CLOCK_OF is not None,
        }
    return found


if __name__ == "__main__":
    serve(sys.argv[1])
