"""What the monitor's recorder adds to a request, in microseconds of processor time.

    python benchmarks/monitor.py [rounds]

The same requests go through the gateway of a server, with the recorder and without, by turns, in one
process and one thread; no socket takes part. Each line is the median of the differences between
neighbouring runs, so that what else the machine does falls on both sides. `--json` prints numbers.

The goal is 1.5 microseconds for a page that does nothing, on a machine and a Python that take 21
nanoseconds for `list[i] += 1`; what those here take is measured in the same run, and the goal with it.
`--gate` ends with 1 when it is missed.
"""

from __future__ import annotations

import json
import sys
import time
import timeit
from statistics import median
from types import SimpleNamespace
from typing import Any

import cherrypy
from cherrypy.hosting.wsgi import CPWSGIServer
from cherrypy.monitor import metrics, table
from cherrypy.monitor.recorder import Recorder
from cherrypy.monitor.watch import Watch
from kirsch.server.exchange import Exchange
from kirsch.server.input import EMPTY
from kirsch.wire.http1.requests import HeadLimits, parse_head

REQUESTS = 2000  # a run
GOAL = 1.5  # microseconds, where an increment takes
INCREMENT = 21.0  # nanoseconds


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


def exchange_for(path: str, worker: Any) -> Exchange:
    """Return a request as the server hands it over, on a connection that is none."""
    data = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
    connection: Any = SimpleNamespace(
        worker=worker,
        scheme="http",
        remote=("127.0.0.1", 50000),
        local=("127.0.0.1", 8080),
        body_since=0.0,
    )
    return Exchange(connection, parse_head(data, HeadLimits()), EMPTY)


def run(gateway: Any, exchange: Exchange, worker: Any) -> float:
    """Return the seconds of processor time that a request takes."""
    clock = time.process_time
    began = clock()
    for number in range(REQUESTS):
        if number % 16 == 0:
            worker.turn = object()
            worker.came = worker.now = time.monotonic()
        gateway(exchange)
    return (clock() - began) / REQUESTS


def compare(path: str, rounds: int, level: int) -> dict[str, float]:
    """Return what a request to `path` takes without and with the recorder, in microseconds."""
    metrics.select(level, ["*"], [])
    worker = SimpleNamespace(turn=object(), came=0.0, now=0.0, watch=None)
    exchange = exchange_for(path, worker)
    plain = cherrypy.server.httpserver.kirsch.gateway
    recorder = Recorder()
    watched = recorder.watched(plain)
    without, differences = [], []
    run(plain, exchange, worker)
    for _ in range(rounds):
        before = run(plain, exchange, worker)
        watch = Watch(recorder)
        taken = run(watched, exchange, worker)
        watch.end()
        after = run(plain, exchange, worker)
        without += [before, after]
        differences.append(taken - (before + after) / 2)
    return {"plain": median(without) * 1e6, "added": median(differences) * 1e6}


def increment() -> float:
    """Return the nanoseconds that `list[i] += 1` takes here, at best."""
    timer = timeit.Timer("c[i] += 1", "c = [0] * 10; i = 3")
    return min(timer.repeat(7, 200_000)) / 200_000 * 1e9


def main() -> int:
    as_json = "--json" in sys.argv
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    rounds = numbers[0] if numbers else 25
    cherrypy.config.update({"environment": "production", "log.screen": False})
    cherrypy.tree.mount(Root())
    cherrypy.server.socket_port = 0
    cherrypy.server.httpserver = CPWSGIServer(cherrypy.server)
    assert table.__all__
    found = {}
    for path in ("/", "/user/42?tab=posts", "/json"):
        found[path] = compare(path, rounds, 1)
        if not as_json:
            row = found[path]
            print(f"{path:20} {row['plain']:7.2f} us   recorder: {row['added']:+6.2f} us")
    unit = increment()
    goal = GOAL * unit / INCREMENT
    missed = found["/"]["added"] > goal
    if as_json:
        print(json.dumps({"pages": found, "increment_ns": unit, "goal_us": goal}))
    else:
        verdict = "missed" if missed else "reached"
        print(f"an increment takes {unit:.1f} ns here, so the goal is {goal:.2f} us: {verdict}")
    return int(missed and "--gate" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
