"""What the monitor's instruments add to a call of a library, in microseconds of processor time.

    python benchmarks/monitor_instruments.py [rounds]

The same calls are made with the instruments on and off, by turns, in one process; each line is the
median of the differences between neighbouring runs, and what the call takes without. Servers that
answer are processes of their own, whose time does not count. `--json` prints numbers.
"""

from __future__ import annotations

import http.client
import http.server
import json
import logging
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import cherrypy
from cherrypy.monitor import metrics
from cherrypy.monitor.instruments.control import begin
from cherrypy.monitor.plugin import Monitor

#: Makes what is called; a name that begins with a library's. Made anew for each state, as
#: connections that were opened before stay what they are.
Case = Callable[[ExitStack], Callable[[], Any]]
CASES: dict[str, tuple[int, Case]] = {}


def case(name: str, calls: int) -> Callable[[Case], Case]:
    """Name a case, and how often it is called in a run."""

    def named(make: Case) -> Case:
        CASES[name] = (calls, make)
        return make

    return named


def database(stack: ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    stack.callback(connection.close)
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(2000)])
    return connection


@case("sqlite3 execute", 3000)
def execute(stack: ExitStack) -> Callable[[], Any]:
    connection = database(stack)
    return lambda: connection.execute("SELECT 1")


@case("sqlite3 execute and fetchone", 2000)
def fetch(stack: ExitStack) -> Callable[[], Any]:
    cursor = database(stack).cursor()
    return lambda: cursor.execute("SELECT a FROM t WHERE rowid = ?", (7,)).fetchone()


@case("sqlite3 a row of 2000", 5)
def rows(stack: ExitStack) -> Callable[[], Any]:
    connection = database(stack)

    def walk() -> int:
        for _ in connection.execute("SELECT a FROM t"):
            pass
        return 2000

    return walk


@case("logging a record", 2000)
def record(stack: ExitStack) -> Callable[[], Any]:
    logger = logging.getLogger("measured.instruments")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    return lambda: logger.error("text")


@case("jinja2 render", 500)
def render(stack: ExitStack) -> Callable[[], Any]:
    import jinja2

    template = jinja2.Template("{% for x in xs %}{{ x }}{% endfor %}")
    return lambda: template.render(xs="abc")


@case("sqlalchemy session.execute", 100)
def session(stack: ExitStack) -> Callable[[], Any]:
    import sqlalchemy
    from sqlalchemy import orm

    engine = sqlalchemy.create_engine("sqlite://")
    stack.callback(engine.dispose)
    session = stack.enter_context(orm.Session(engine))
    statement = sqlalchemy.text("SELECT 1")
    return lambda: session.execute(statement).all()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for an acknowledgment

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def serve() -> None:
    """Answer for ever: in a process of its own, as a thread would fight for the interpreter's lock."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def service() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@case("http.client a request", 100)
def client(stack: ExitStack) -> Callable[[], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.enter_context(service()))
    stack.callback(connection.close)

    def ask() -> None:
        connection.request("GET", "/")
        connection.getresponse().read()

    return ask


@case("requests a request", 50)
def by_requests(stack: ExitStack) -> Callable[[], Any]:
    import requests

    session = stack.enter_context(requests.Session())
    url = f"http://127.0.0.1:{stack.enter_context(service())}/"
    return lambda: session.get(url).content


@contextmanager
def redis_server() -> Iterator[str]:
    command = shutil.which("redis-server")
    if command is None:
        raise FileNotFoundError("redis-server")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        arguments = [command, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with socket.socket(socket.AF_UNIX) as one:
                    if one.connect_ex(path) == 0:
                        break
                time.sleep(0.01)
            try:
                yield path
            finally:
                process.terminate()


@case("redis GET", 300)
def get(stack: ExitStack) -> Callable[[], Any]:
    import redis

    client = redis.Redis(unix_socket_path=stack.enter_context(redis_server()))
    stack.callback(client.close)
    return lambda: client.get("key")


def run(call: Callable[[], Any], calls: int) -> float:
    """Return the seconds of this thread's processor time that a call takes."""
    for _ in range(calls // 5 + 1):  # what has just been put on or taken off has cooled the caches
        call()
    began = time.thread_time()
    done = 0
    for _ in range(calls):
        answer = call()
        done += answer if isinstance(answer, int) else 1
    return (time.thread_time() - began) / done


def compare(name: str, rounds: int, monitor: Monitor) -> dict[str, float]:
    """Return what a call takes without its instruments, and what they add, in microseconds."""
    calls, make = CASES[name]
    libraries = {"sqlalchemy": ["sqlalchemy", "sqlite3"], "requests": ["requests", "http.client"]}
    library = name.partition(" ")[0]
    monitor.settings["libraries"] = libraries.get(library, [library])
    with ExitStack() as stack:
        plain = make(stack)
        part = begin(monitor)
        counted = make(stack)
        part.end()
        run(plain, calls)
        without, differences = [], []
        for _ in range(rounds):
            before = run(plain, calls)
            part = begin(monitor)
            taken = run(counted, calls)
            part.end()
            after = run(plain, calls)
            without += [before, after]
            differences.append(taken - (before + after) / 2)
    return {"plain": median(without) * 1e6, "added": median(differences) * 1e6}


def main() -> None:
    as_json = "--json" in sys.argv
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    rounds = numbers[0] if numbers else 15
    metrics.select(1, ["*"], [])
    monitor = Monitor(cherrypy.engine)
    found = {}
    for name in CASES:
        try:
            found[name] = compare(name, rounds, monitor)
        except (ImportError, FileNotFoundError) as missing:
            print(f"{name}: left out, {missing} is not there", file=sys.stderr)
            continue
        if not as_json:
            row = found[name]
            more = row["added"] / row["plain"]
            print(f"{name:30} {row['plain']:8.2f} us   {row['added']:+6.2f} us   {more:+7.1%}")
    if as_json:
        print(json.dumps(found))


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
