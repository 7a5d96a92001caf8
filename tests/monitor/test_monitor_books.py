"""The books: errors, slow requests, requests in flight, statements; each with a last page."""

from __future__ import annotations

import json
import os
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.monitor.books.errors import CHAIN, MESSAGE, TRACEBACK, Errors, message_of, where
from cherrypy.monitor.books.flights import Flights
from cherrypy.monitor.books.slow import EACH, LATEST, ROUTES, STEPS, Slow, story
from cherrypy.monitor.books.statements import LONGEST, Statements
from cherrypy.monitor.shards import own
from cherrypy.monitor.traces import APP, DB, Trace, clock

SECRET = "hunter2"


class Root:
    def __init__(self) -> None:
        self.gate = threading.Event()

    @cherrypy.expose
    def index(self) -> str:
        return "home"

    @cherrypy.expose
    def boom(self, **params: Any) -> str:
        password = SECRET
        raise KeyError("no such thing") if password else ValueError

    @cherrypy.expose
    def chain(self) -> str:
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("outer") from error
        return ""

    @cherrypy.expose
    def nap(self, seconds: str = "0.1") -> str:
        trace = own.trace
        began = clock()
        before = trace.enter(DB)
        time.sleep(float(seconds))
        trace.leave(before, "sqlite3 SELECT users", began)
        return "slept"

    @cherrypy.expose
    def item(self, number: str) -> str:
        return number

    @cherrypy.expose
    def wait(self, *args: str, **params: Any) -> str:
        self.gate.wait(20)
        return "waited"


@pytest.fixture
def root(site: Monitored) -> Root:
    root = Root()
    site.mount(root)
    site.start(slow_threshold=0.2)
    return root


# -- errors -------------------------------------------------------------------------------------------


def test_errors_with_their_traceback_and_without_values(site: Monitored, root: Root) -> None:
    before = time.time()
    for _ in range(3):
        assert site.ask("/boom?token=" + SECRET)[0] == 500
    site.ask("/chain")
    found = {entry["route"]: entry for entry in site.monitor.books.errors()}
    entry = found["/boom"]
    assert (entry["type"], entry["code"], entry["count"]) == ("KeyError", "500", 3)
    assert before <= entry["first"] <= entry["last"] <= time.time()
    assert "no such thing" in entry["message"]
    assert "in boom" in entry["traceback"] and entry["traceback"].endswith("KeyError\n")
    assert SECRET not in json.dumps(list(found.values())).replace("password = SECRET", "")
    chain = found["/chain"]["traceback"]
    assert chain.index("ValueError\n") < chain.index("RuntimeError\n")
    assert "written" not in entry


def test_errors_travel_with_the_snapshot(site: Monitored, root: Root) -> None:
    site.ask("/boom")
    site.monitor.beat()
    details = site.monitor.site.merged().details
    ((worker, books),) = details.items()
    assert worker == site.monitor.taker.worker
    assert books["errors"][0]["type"] == "KeyError"
    assert set(books) >= {"errors", "slow", "inflight", "statements"}
    json.dumps(details)


def test_what_is_written_stays_when_the_monitor_stops(site: Monitored, root: Root) -> None:
    site.ask("/boom")
    cherrypy.engine.stop()
    assert [entry["count"] for entry in site.monitor.books.errors()] == [1]
    cherrypy.engine.start()
    site.ask("/boom")
    assert [entry["count"] for entry in site.monitor.books.errors()] == [2]
    assert site.counts("cherrypy.requests") == {("",): 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on systems that fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_empty_books(site: Monitored, root: Root) -> None:
    site.ask("/boom")
    books = site.monitor.books
    books._errors._lock.acquire()  # whoever held it stays behind
    pid = os.fork()
    if pid == 0:
        books.error(ValueError("child"), "/", "500")
        os._exit(len(books.errors()) + 10 * len(books.slow()))
    books._errors._lock.release()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert len(books.errors()) == 1


def raised(text: str) -> BaseException:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_the_book_of_errors_has_a_last_page() -> None:
    book = Errors(most=20)
    for _ in range(50):
        book.add(raised("often"), "often", "/", "500")
    for number in range(1000):
        book.add(raised("x" * 100_000), f"type{number}", "/", "500")
    found = {entry["type"]: entry for entry in book.all()}
    assert len(found) == 20
    assert found["often"]["count"] == 50  # the frequent one has stayed
    assert "type999" in found
    assert all(len(entry["message"]) <= MESSAGE for entry in found.values())
    assert all(len(entry["traceback"]) <= TRACEBACK for entry in found.values())


def test_a_flood_of_one_error_is_written_down_once_a_second() -> None:
    book = Errors()
    error = raised("flood")
    began = time.thread_time()
    for _ in range(20_000):
        book.add(error, "ValueError", "/", "500")
    took = time.thread_time() - began
    assert book.all()[0]["count"] == 20_000
    assert took < 2.0  # a traceback each time takes longer than that


def test_counts_of_errors_by_many_threads_are_exact() -> None:
    book = Errors()
    error = raised("many")

    def add() -> None:
        for _ in range(2000):
            book.add(error, "ValueError", "/", "500")

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert book.all()[0]["count"] == 16_000


def test_messages_are_short_and_printable() -> None:
    assert message_of(None) == ""
    assert message_of(ValueError("a\nb\x00c\ud800")) == "a b c "
    assert len(message_of(ValueError("x" * 10**6))) == MESSAGE

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert message_of(Broken()) == ""


def test_causes_that_go_round_in_circles_end() -> None:
    one, other = raised("one"), raised("other")
    one.__cause__, other.__cause__ = other, one
    assert where(one).count("ValueError\n") == 2
    error = raised("deep")
    for _ in range(100):
        outer = raised("outer")
        outer.__cause__, error = error, outer
    assert where(error).count("ValueError\n") == CHAIN


def test_a_traceback_of_any_depth_is_short() -> None:
    def dive(depth: int) -> None:
        if depth == 0:
            raise ValueError
        dive(depth - 1)

    try:
        dive(800)
    except ValueError as error:
        lines = where(error)
    assert len(lines) <= TRACEBACK
    assert lines.endswith("ValueError\n")


# -- slow requests ------------------------------------------------------------------------------------


def test_a_slow_request_with_its_layers_and_steps(site: Monitored, root: Root) -> None:
    assert site.ask("/nap?seconds=0.3")[0] == 200
    site.ask("/")
    # On a machine that is busy the other one may be slow as well.
    (entry,) = [one for one in site.monitor.books.slow() if one["route"] != "/"]
    assert (entry["route"], entry["method"], entry["status"]) == ("/nap", "GET", "200")
    assert 0.3 <= entry["duration"] < 10
    assert abs(time.time() - entry["at"] - entry["duration"]) < 20
    assert entry["layers"]["db"] >= 0.3
    assert sum(entry["layers"].values()) == pytest.approx(entry["duration"], rel=0.01)
    ((layer, label, start, end),) = entry["steps"]
    assert (layer, label) == ("db", "sqlite3 SELECT users")
    assert 0 <= start < end <= entry["duration"]
    assert end - start >= 0.3
    assert site.counts("cherrypy.request.slow")["/nap",] == 1


def test_a_failed_request_is_kept_however_quick_it_was(site: Monitored, root: Root) -> None:
    site.monitor.settings["slow_threshold"] = 60.0
    site.ask("/boom")
    (entry,) = site.monitor.books.slow()
    assert (entry["route"], entry["status"]) == ("/boom", "500")
    assert entry["duration"] < 60.0


def test_a_request_of_over_two_seconds_has_the_stack_of_then(site: Monitored, root: Root) -> None:
    assert site.ask("/nap?seconds=3.5")[0] == 200
    (entry,) = site.monitor.books.slow()
    assert "in nap" in entry["stack"]
    assert "time.sleep(float(seconds))" in entry["stack"]
    assert site.ask("/nap?seconds=0.3")[0] == 200
    slowest, other = site.monitor.books.slow()
    assert slowest["stack"] and (not other["stack"] or other["duration"] > 1.0)


def entry_of(route: str, duration: float, at: float | None = None) -> dict[str, Any]:
    return {"route": route, "duration": duration, "at": time.time() if at is None else at}


def test_the_slowest_of_each_route_stay() -> None:
    book = Slow()
    for number in range(100):
        assert book.wants("/a", number + 1.0, False)
        book.add(entry_of("/a", number + 1.0), False)
    assert [one["duration"] for one in book.all()] == [100.0, 99.0, 98.0][:EACH]
    assert not book.wants("/a", 5.0, False)
    assert book.wants("/a", 5.0, True)
    assert book.wants("/b", 0.1, False)


def test_the_book_of_slow_requests_has_a_last_page() -> None:
    book = Slow()
    for number in range(5000):
        book.add(entry_of(f"/{number}", 1.0 + number), True)
    assert len(book.all()) <= ROUTES * EACH + LATEST
    assert book.all()[0]["route"] == "/4999"
    old = Slow()
    old.add(entry_of("/old", 100.0, at=time.time() - 4000), False)
    old.add(entry_of("/new", 1.0), False)
    assert [one["route"] for one in old.all()] == ["/new"]


def test_a_story_has_its_longest_steps() -> None:
    trace = Trace()
    trace.began = clock()
    trace.steps = [
        (DB, "x" * 1000, trace.began + n, trace.began + n + 0.001 * n) for n in range(200)
    ]
    trace.seconds[APP] = 1.0
    told = story(trace, "/", "200 OK", 1.5, None)
    assert len(told["steps"]) == STEPS
    assert told["steps"][-1][2] == 199.0  # in the order in which they came
    assert all(len(step[1]) <= 200 for step in told["steps"])
    assert told["layers"] == {"app": 1.0, "queue": 0.5}
    assert told["status"] == "200"


# -- in flight ----------------------------------------------------------------------------------------


def test_what_is_in_flight_and_where_it_is(site: Monitored, root: Root) -> None:
    thread = threading.Thread(target=site.ask, args=("/wait/a/b?password=" + SECRET,))
    thread.start()
    entry = until(lambda: [e for e in site.monitor.books.inflight() if e["route"]])[0]
    assert entry["route"] == "/wait/{*args}"
    assert (entry["path"], entry["method"], entry["phase"]) == ("/wait/a/b", "GET", "app")
    assert entry["thread"].startswith("kirsch-worker-")
    assert entry["worker"] == site.monitor.taker.worker
    assert 0 <= entry["age"] < 10
    assert SECRET not in json.dumps(entry)
    stack = site.monitor.books.stack(entry["ident"])
    assert "in wait" in stack and "self.gate.wait(20)" in stack
    root.gate.set()
    thread.join(10)
    until(lambda: site.monitor.books.inflight() == [])
    assert site.monitor.books.stack(-1) is None


def test_a_request_on_its_way_to_its_page_has_no_route_yet() -> None:
    calls: list[Any] = []

    class Routes:
        def of(self, *args: Any) -> Any:
            calls.append(args)
            raise RuntimeError("changed by its thread")

    flights = Flights(SimpleNamespace(routes=Routes(), parked={}), SimpleNamespace(worker="1"))
    trace = Trace()
    trace.request = object()
    assert flights._route(trace) == "" and calls == []  # it would be a guess
    trace.page = object()
    assert flights._route(trace) == ""  # what fails here is nobody's request


def test_looking_at_what_is_in_flight_makes_no_routes(site: Monitored, root: Root) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            site.monitor.books.inflight()

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(300):
        site.ask(f"/item/{number}" if number % 2 else "/")
    over.set()
    looking.join(10)
    routes = {name for _, name in site.monitor.recorder.routes._known}
    assert routes <= {"/", "/item/{number}"}


# -- statements ---------------------------------------------------------------------------------------


def test_statements_by_the_time_they_take() -> None:
    book = Statements(most=10)
    for number in range(3):
        book.add("sqlite", "SELECT * FROM users WHERE id = ?", 0.5 + number, number == 2)
    for number in range(100):
        book.add("sqlite", f"SELECT {number}" + "x" * 10_000, 0.001)
    found = book.all()
    assert len(found) == 10
    first = found[0]
    assert (first["count"], first["total"], first["longest"], first["errors"]) == (3, 4.5, 2.5, 1)
    assert all(len(entry["statement"]) <= LONGEST for entry in found)


def test_statements_are_told_by_the_books(site: Monitored, root: Root) -> None:
    site.monitor.books.statement("sqlite", "SELECT 1", 0.25)
    assert site.monitor.books.statements()[0]["statement"] == "SELECT 1"
