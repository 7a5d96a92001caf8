"""What the monitor's recorder adds to a request, in microseconds of processor time and in instructions.

    python benchmarks/monitor.py [ROUNDS] [--served] [--instructions] [--json] [--gate]

The same requests go through the gateway of a server, with the recorder and without, by turns, in one
process and one thread; no socket takes part, but the gateway is called as a worker calls it, sixteen
requests a batch, and the clock is read after each of them as there. `off` is the same without a
recorder after one has been there and is gone.

Times. A round is a run without, one with and one without again, a thousandth of a minute; what it says
is the difference to the mean of its neighbours. Whatever else the machine does comes in all three, or
makes the neighbours differ. So the rounds are sorted by how long their neighbours took and by how much
they differ, and what counts is the median of the quieter half; the quartiles of that half stand beside
it, and the share of the request itself.

Instructions (`--instructions`, needs valgrind). callgrind counts those of the processor, with the
recorder and without: the same figure on a busy machine and on a quiet one. As all takes fifty times as
long under it, the clock is one that says what it would without: `Ticks`.

Served (`--served`). The same page from real servers, each a process of its own, with the monitor in one of
two and without: over loopback, one request at a time on a connection that is kept. It says what such a
request takes of the processor in the server's process, and how long the client waits; what the monitor adds
to both there; and which share of both the recorder's microseconds are, as they are measured in one process.
Server and client have a processor each (`apart`), then one for both (`together`), where nobody has to be
woken up. What an idle server takes is taken off, and said by itself.

The goal is 1.5 microseconds for a page that does nothing, on a machine and a Python on which that page
takes 7.1 without: 21 % of the request. `--gate` ends with 1 when more is added than both the microseconds
and that share, by the lower quartile of the times; and by instructions, too, where valgrind is there. With
`--served`, also when the recorder's microseconds are more than 2 % of what a client with a processor of its own waits.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from statistics import median, quantiles
from typing import Any

import callgrind
import served

import cherrypy
from cherrypy.hosting.wsgi import CPWSGIServer
from cherrypy.monitor import metrics, recorder, table, traces, watch
from cherrypy.monitor.recorder import Recorder
from cherrypy.monitor.watch import Watch
from kirsch.server.exchange import Exchange
from kirsch.server.input import EMPTY
from kirsch.server.workers import called
from kirsch.wire.http1.requests import HeadLimits, parse_head

REQUESTS = 2048  # a run: what is counted together comes a whole number of times
BATCH = 16
ROUNDS = 40
FEW = 2048  # requests before instructions are counted: by then all is warm
GOAL = 1.5  # microseconds
REQUEST = 7.1  # microseconds that a request takes where that is the goal
SHARE = 0.02  # of the time that a client waits for such a request, with a processor of its own
OFF = 0.02  # microseconds that may be added while it is off

PATHS = ("/", "/user/42?tab=posts", "/json")

now: Any = time.monotonic  # the clock of all this


class Root:
    @cherrypy.expose
    def index(self) -> bytes:
        return b"Hello World!"

    @cherrypy.expose
    def user(self, number: str, tab: str = "") -> str:
        return number + tab

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json(self) -> dict[str, Any]:
        return {"message": "Hello, World!"}


class Worker:
    """What a worker of the server is for those who look at it, without a thread."""

    __slots__ = ("came", "now", "turn", "watch")

    def __init__(self) -> None:
        self.turn = object()
        self.came = self.now = now()
        self.watch: Any = None


class Connection:
    """The same of a connection, without a socket."""

    __slots__ = ("body_since", "local", "remote", "scheme", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.scheme = "http"
        self.remote = ("127.0.0.1", 50000)
        self.local = ("127.0.0.1", 8080)
        self.body_since = 0.0


class Ticks:
    """Times as the clock says them while such requests are served, the same in each process.

    Between two looks at it lies what goes before a page, the page, what comes after it, and the rest.
    """

    BATCH = (20e-6, 2e-6)
    REQUEST = (3.5e-6, 0.5e-6, 2.5e-6, 1.5e-6)

    def __init__(self) -> None:
        dice = random.Random(7)
        at = time.monotonic()
        times = []
        # Those that look less often find as much to look at.
        for _ in range((FEW + REQUESTS) // BATCH * 2):
            for usual in self.BATCH + self.REQUEST * BATCH:
                at += usual * dice.lognormvariate(0.0, 0.1)
                if dice.random() < 0.0002:
                    at += 1e-3  # somebody else has the processor
                times.append(at)
        self.read = iter(times).__next__

    def set(self) -> None:
        """Have all look at this clock."""
        global now
        now = traces.clock = recorder.clock = watch.clock = self.read


def exchange_for(path: str, worker: Worker) -> Exchange:
    """Return a request as the server hands it over, on a connection that is none."""
    data = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
    connection: Any = Connection(worker)
    return Exchange(connection, parse_head(data, HeadLimits()), EMPTY)


def run(gateway: Any, exchange: Exchange, worker: Worker, requests: int = REQUESTS) -> float:
    """Return the microseconds of processor time that a request takes."""
    clock = time.process_time
    began = clock()
    for number in range(requests):
        if number % BATCH == 0:
            worker.turn = object()
            worker.came = now()
            worker.now = now()
        gateway(exchange)
        worker.now = now()
    return (clock() - began) / requests * 1e6


def quiet(rounds: list[tuple[float, float, float]]) -> dict[str, float]:
    """What the quieter half of the rounds says: a request without, what is added, and its quartiles."""
    best = min(min(before, after) for before, _, after in rounds)
    noise = [
        (max(before, after) - best + abs(before - after), number)
        for number, (before, _, after) in enumerate(rounds)
    ]
    half = [rounds[number] for _, number in sorted(noise)[: max(2, len(rounds) // 2)]]
    added = [taken - (before + after) / 2 for before, taken, after in half]
    low, middle, high = quantiles(added, n=4)
    plain = median((before + after) / 2 for before, _, after in half)
    return {"plain": plain, "added": middle, "from": low, "to": high}


def compare(path: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return what a request to `path` takes with the recorder, and after one is gone."""
    worker = Worker()
    exchange = exchange_for(path, worker)
    kirsch = cherrypy.server.httpserver.kirsch
    plain = called(kirsch.gateway)
    sees = Recorder()
    watched = sees.watched(kirsch.gateway)
    on, off = [], []
    last = run(plain, exchange, worker)
    for _ in range(rounds):
        before = run(plain, exchange, worker)
        off.append((last, before, run(plain, exchange, worker)))
        seen = Watch(sees)
        run(watched, exchange, worker, BATCH * 16)
        taken = run(watched, exchange, worker)
        seen.end()
        run(plain, exchange, worker, BATCH * 16)
        last = run(plain, exchange, worker)
        on.append((off[-1][2], taken, last))
    return {"on": quiet(on), "off": quiet(off)}


def instructions(path: str, how: str) -> float:
    """Return the instructions of the processor that a request takes, 'on' or 'off'."""
    few, many = (
        callgrind.count([__file__, "--serve", path, how, str(FEW + more)]).total()
        for more in (0, REQUESTS)
    )
    return (many - few) / REQUESTS


def serve(path: str, how: str, requests: int) -> None:
    """Answer so many requests; what is counted."""
    Ticks().set()
    worker = Worker()
    exchange = exchange_for(path, worker)
    gateway = cherrypy.server.httpserver.kirsch.gateway
    if how == "on":
        sees = Recorder()
        Watch(sees)
        gateway = sees.watched(gateway)
    run(called(gateway), exchange, worker, requests)


def prepare() -> None:
    """Mount the pages, and have a server that is not started."""
    cherrypy.config.update({"environment": "production", "log.screen": False})
    cherrypy.tree.mount(Root())
    cherrypy.server.socket_port = 0
    cherrypy.server.httpserver = CPWSGIServer(cherrypy.server)
    assert table.__all__
    metrics.select(1, ["*"], [])


def measure(rounds: int, counted: bool, say: Any) -> dict[str, dict[str, Any]]:
    """Measure all pages."""
    found: dict[str, dict[str, Any]] = {}
    for path in PATHS:
        row = found[path] = compare(path, rounds)
        on, off = row["on"], row["off"]
        say(
            f"{path:20} {on['plain']:6.2f} us   recorder {on['added']:+5.2f} us "
            f"({on['from']:.2f} to {on['to']:.2f}), {on['added'] / on['plain']:5.1%}   "
            f"off {off['added']:+.3f} ({off['from']:+.3f} to {off['to']:+.3f})"
        )
        if counted:
            plain = instructions(path, "off")
            added = instructions(path, "on") - plain
            row["instructions"] = {"plain": plain, "added": added}
            say(f"{'':20} {plain:,.0f} instructions, recorder {added:+,.0f}, {added / plain:.1%}")
    return found


def missed(row: dict[str, Any]) -> bool:
    """Whether more is added to a request than may be."""
    share = GOAL / REQUEST
    beyond = row["on"]["from"] > max(GOAL, share * row["on"]["plain"])
    if "instructions" in row:
        beyond = beyond and row["instructions"]["added"] > share * row["instructions"]["plain"]
    return bool(beyond or row["off"]["from"] > OFF)


def share_said(name: str, row: dict[str, Any], recorder: float) -> str:
    """Return what has been found of served requests as text.

    recorder
        The microseconds that it adds in one process; their shares of a served request go into `row`.
    """
    where = {"apart": "a processor each", "together": "one processor for both"}.get(
        name, "anywhere"
    )
    lines = [f"a request that is served, server and client: {where}"]
    for what in ("processor", "client"):
        one = row[what]
        one["share"] = recorder / one["plain"]
        lines.append(
            f"  {what:10} {one['plain']:6.1f} us   monitor, in place {one['added']:+5.2f} us "
            f"({one['from']:+.2f} to {one['to']:+.2f})   recorder, {recorder:.2f} us: {one['share']:.1%}"
        )
    idle = row["idle"]
    lines.append(f"  idle       {idle['off']:.1f} ms a second, with the monitor {idle['on']:.1f}")
    if not row["exact"]:
        lines.append(
            "  This system has no clock for each thread: what the monitor does once a second is"
        )
        lines.append("  taken off as its mean, and most runs had less of it.")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS, help=f"({ROUNDS})")
    parser.add_argument("--served", action="store_true", help="by real servers as well")
    parser.add_argument("--instructions", action="store_true", help="count them as well")
    parser.add_argument("--json", action="store_true", help="print one object, and nothing else")
    parser.add_argument("--gate", action="store_true", help="end with 1 when the goal is missed")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)  # what is counted
    chosen = parser.parse_args()
    if chosen.rounds < 2:
        parser.error("two rounds are the least")
    if chosen.instructions and shutil.which("valgrind") is None:
        parser.error("valgrind is needed: apt-get install valgrind")
    return chosen


def main() -> int:
    chosen = options()
    prepare()
    if chosen.serve:
        path, how, requests = chosen.serve
        serve(path, how, int(requests))
        return 0
    counted = chosen.instructions or (chosen.gate and shutil.which("valgrind") is not None)
    say: Any = (lambda line: None) if chosen.json else print
    found = measure(chosen.rounds, counted, say)
    beyond = missed(found["/"])
    result = {"pages": found, "share": GOAL / REQUEST, "missed": beyond}
    goal = f"{GOAL} us, or {GOAL / REQUEST:.0%} of a request that takes longer than {REQUEST}"
    say(f"the goal is {goal}: {'missed' if beyond else 'reached'}")
    if chosen.served:
        result["served"] = served.measure(chosen.rounds)
        for name, row in result["served"].items():
            say(share_said(name, row, found["/"]["on"]["added"]))
        waited = next(iter(result["served"].values()))["client"]["share"]
        slow = waited > SHARE
        say(f"the goal is {SHARE:.0%} of what a client waits: {'missed' if slow else 'reached'}")
        beyond = result["missed"] = beyond or slow
    if chosen.json:
        print(json.dumps(result))
    return int(beyond and chosen.gate)


if __name__ == "__main__":
    sys.exit(main())
