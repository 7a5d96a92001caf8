"""Profiles: what threads do is seen, what waits is not, and what is kept has an end."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest
from dashboard_kit import opened, until

from cherrypy.monitor import profiles
from cherrypy.monitor.books.flights import UNREADABLE, stack_of
from cherrypy.monitor.dashboard.flames import flame, tone
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.profiles import Profile, Profiles, tree_of
from cherrypy.process.wspbus import Bus


class Worker(threading.Thread):
    """Does something until `end`, or waits for it."""

    def __init__(self, waits: bool) -> None:
        super().__init__(name="busy-worker-7" if not waits else "lazy-worker-7", daemon=True)
        self.waits = waits
        self.over = threading.Event()

    def run(self) -> None:
        if self.waits:
            self.over.wait(20)
        else:
            self.works_hard()

    def works_hard(self) -> None:
        while not self.over.is_set():
            sum(range(1000))


def test_who_works_is_seen_and_who_waits_is_not() -> None:
    busy, lazy = Worker(False), Worker(True)
    busy.start()
    lazy.start()
    try:
        profile = Profile(1, 0.5, 100, False)
        profile.run()
    finally:
        busy.over.set()
        lazy.over.set()
    names = {name for stack in profile.stacks for name in stack}
    assert any("works_hard" in name for name in names)
    assert "busy-worker" in names and "lazy-worker" not in names
    assert profile.over and profile.progress == 1.0
    assert 0 < profile.samples <= 55  # few, if the machine has other things to do
    assert profile.samples + profile.missed == pytest.approx(50, abs=5)


def test_what_serves_and_watches_is_idle_when_nobody_asks() -> None:
    """Else a site without visitors would seem to be busy with itself."""
    with opened():
        time.sleep(1)  # the server of the dashboard stays awake for a moment
        profile = Profile(1, 3, 50, False)
        profile.run()
    counts = {stack[0]: 0 for stack in profile.stacks}
    for stack, count in profile.stacks.items():
        counts[stack[0]] += count
    assert profile.samples > 20
    # Of whatever else runs here nothing is said.
    ours = {name: count for name, count in counts.items() if name.startswith(("kirsch", "monitor"))}
    assert not any(count > profile.samples / 4 for count in ours.values()), profile.stacks


def test_idle_threads_when_asked_for() -> None:
    lazy = Worker(True)
    lazy.start()
    try:
        profile = Profile(1, 0.2, 50, True)
        profile.run()
    finally:
        lazy.over.set()
    assert any("lazy-worker" in stack for stack in profile.stacks)


def test_collapsed_stacks() -> None:
    profile = Profile(1, 1, 1, False)
    profile.stacks.update({("worker", "a;b (x.py:1)"): 3, ("worker",): 1})
    assert profile.collapsed() == "worker 1\nworker;a,b (x.py:1) 3\n"


def test_no_path_of_the_machine() -> None:
    assert profiles.described(Worker.works_hard.__code__).endswith(
        f"(monitor/{__file__.rpartition('/')[2]}:{Worker.works_hard.__code__.co_firstlineno})"
    )


def test_what_is_kept_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MOST_STACKS", 3)
    profile = Profile(1, 1, 1, True)
    threads = [Worker(True) for _ in range(4)]
    for number, thread in enumerate(threads):
        thread.name = f"kind{number}x"
        thread.start()
    try:
        until(lambda: all(thread.ident for thread in threads))
        for _ in range(5):
            profile.look(threading.get_ident())
    finally:
        for thread in threads:
            thread.over.set()
    assert len(profile.stacks) <= 4
    assert profile.stacks["(more stacks than are kept)",] > 0

    def deep(count: int) -> tuple[str, ...]:
        return profile.stack(sys._getframe(), "deep") if not count else deep(count - 1)

    assert len(deep(300)) == profiles.DEEPEST + 1


def test_one_profile_at_a_time() -> None:
    kept = Profiles()
    first = kept.begin(20, 10, False)
    assert first is not None and kept.begin(1, 10, False) is None
    kept.end()
    until(lambda: first.over)
    for _ in range(profiles.KEPT + 2):
        one = kept.begin(0.5, 50, False)
        assert one is not None
        one.end()
        until(lambda one=one: one.over)
    assert len(kept.all()) == profiles.KEPT
    assert kept.get(first.number) is None


def test_idle_it_costs_nothing() -> None:
    before = threading.active_count()
    Profiles()
    assert threading.active_count() == before


def test_a_flame_graph() -> None:
    stacks = {
        ("worker", "serve (server/workers.py:1)", "page (shop/pages.py:9)"): 6,
        ("worker", "serve (server/workers.py:1)", "<b> (shop/x.py:1)"): 3,
        ("worker", "idle"): 1,
    }
    tree = tree_of(stacks)
    assert tree["count"] == 10
    picture, name = flame(tree, (), "/profile?id=1")
    assert name == "all"
    assert "page (shop/pages.py:9): 60.0 % (6 samples, 6 of its own)" in picture
    assert "<b>" not in picture and "&lt;b&gt;" in picture
    inner, name = flame(tree, (0, 1), "/profile?id=1")
    assert name == "serve (server/workers.py:1)"
    assert "idle" not in inner
    # Places that there are not lead as far as there are any.
    assert flame(tree, (0, 99, 3), "/profile?id=1")[1] == "worker"


def test_whose_code_it_is() -> None:
    assert tone("serve (server/workers.py:1)") == "server"
    assert tone("run (framework/request.py:1)") == "framework"
    assert tone("loads (json/__init__.py:1)") == "language"
    assert tone("page (shop/pages.py:1)").startswith("app")


def test_where_there_is_no_gil_nobody_looks_at_a_thread_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with opened() as one:
        answer = one.act("/profile/begin", "seconds=1")
        assert (answer.status, "PYTHON_GIL=1" in answer.text) == (501, True)
    assert stack_of(threading.get_ident()) == UNREADABLE


def test_asked_for_over_the_network() -> None:
    busy = Worker(False)
    busy.start()
    try:
        with opened() as one:
            for wrong in ("seconds=0", "seconds=61", "rate=0", "rate=1000", "seconds=inf"):
                assert one.act("/profile/begin", wrong).status == 400
            number = one.act("/profile/begin", "seconds=1&rate=50").json["id"]
            assert one.act("/profile/begin", "seconds=1").status == 409
            assert one.ask(f"/profile/stacks?id={number}").status == 404
            assert "samples so far" in one.ask("/profile").text
            until(lambda: one.ask(f"/profile/stacks?id={number}").status == 200)
            text = one.ask(f"/profile/stacks?id={number}").text
            assert "works_hard" in text
            assert "works_hard" in one.ask(f"/profile?id={number}").text
            for odd in ("x", "-1", "9" * 30, "1e3"):
                assert one.ask(f"/profile?id={odd}&focus=1.2.{odd}").status == 200
    finally:
        busy.over.set()


def test_the_level_of_a_logger_goes_back() -> None:
    logger = logging.getLogger("tests.monitor.levels")
    logger.setLevel(logging.ERROR)
    held = Monitor(Bus()).held
    held.level(logger.name, "DEBUG", 60)
    held.level(logger.name, "INFO", 0.1)
    assert logger.level == logging.INFO
    until(lambda: logger.level == logging.ERROR)
    held.level(logger.name, "DEBUG", 60)
    held.end()
    assert logger.level == logging.ERROR
    time.sleep(0)
