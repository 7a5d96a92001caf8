"""What the dashboard does to one process it does to all of the site: garbage, the pause, levels of loggers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes_kit
import pytest
from processes_kit import Processes, ask, free_port, suspend, until

from cherrypy.monitor.held import MOST, Held, State, read
from cherrypy.monitor.plugin import Monitor
from cherrypy.process.wspbus import Bus

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)

AS_EVER = "paused False levels [30, 0]"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


def known(site: Processes, many: int) -> None:
    """Wait until the dashboard knows so many processes."""
    until(lambda: f'"workers":{many},' in site.look("/api/now").replace(" ", ""))


def holds(port: int, words: str, patience: float = 60.0) -> None:
    until(lambda: ask(port, "/held") == words, patience)


def by_name(told: dict[str, Any]) -> dict[str, Any]:
    return {row["process"]: row for row in told["processes"]}


# -- garbage ---------------------------------------------------------------------------------------


def test_all_collect_garbage_and_who_does_not_is_named(site: Processes) -> None:
    first, one = site.site()
    second, two = site.site()
    third, three = site.site()
    known(site, 3)
    for port in (one, two, three):
        assert ask(port, "/litter") == "made"
    told = site.act("/runtime/collect")
    assert told["said"].startswith("All 3 processes: ")
    rows = by_name(told)
    assert set(rows) == {str(each.pid) for each in (first, second, third)}
    for row in rows.values():
        assert row["collected"] >= 500 and 0 < row["seconds"] < 10
        assert f"{row['process']}: " in told["said"]
    for port in (one, two, three):
        ask(port, "/litter")
    suspend(third)
    began = time.monotonic()
    told = site.act("/runtime/collect")
    assert time.monotonic() - began < 25
    assert told["said"].startswith("2 of 3 processes: ")
    rows = by_name(told)
    assert rows[str(second.pid)]["collected"] >= 500
    assert "has not answered in time" in rows[str(third.pid)]["error"]
    assert rows[str(third.pid)]["error"] in told["said"]
    # One alone, which is asked for by its name; and one that there is not.
    ask(two, "/litter")
    told = site.act("/runtime/collect", process=str(second.pid))
    assert list(by_name(told)) == [str(second.pid)]
    assert told["processes"][0]["collected"] >= 500
    assert "no such process" in site.act("/runtime/collect", process="1")["error"]
    assert f"{second.pid}</option>" in site.look("/runtime")


# -- the pause -------------------------------------------------------------------------------------


def test_a_pause_is_of_all_and_of_who_comes_later(site: Processes) -> None:
    _, one = site.site()
    _, two = site.site()
    known(site, 2)
    site.becomes(2)
    told = site.act("/runtime/pause", minutes="10")
    assert told["said"].startswith("All 2 processes: Requests are not recorded for 10")
    assert len(told["processes"]) == 2
    for port in (one, two):
        assert "paused True" in ask(port, "/held")
        ask(port)
    _, three = site.site()
    holds(three, "paused True levels [30, 0]")
    until(lambda: "not recorded by 3 of 3 processes" in site.look("/runtime"))
    for _ in range(5):
        assert ask(two) and ask(three)
    before = site.count()  # of the third some may have come before it heard of the pause
    told = site.act("/runtime/pause", do="resume")
    assert told["said"].startswith("All 3 processes: Requests are recorded.")
    for port in (one, two, three):
        assert "paused False" in ask(port, "/held")
    until(lambda: site.count() >= before + 3)
    time.sleep(2.5)  # what came in the pause would have been told by now
    assert site.count() <= before + 3 + 2  # two for the third, at most, that were on their way
    assert "not recorded" not in site.look("/runtime")


def test_a_pause_ends_by_itself_everywhere(site: Processes) -> None:
    _, one = site.site()
    _, two = site.site()
    known(site, 2)
    site.act("/runtime/pause", minutes="0.1")
    began = time.monotonic()
    assert "paused True" in ask(two, "/held")
    for port in (one, two):
        holds(port, AS_EVER)
    assert time.monotonic() - began > 4


def test_a_pause_outlives_who_told_of_it(site: Processes) -> None:
    """Its process is killed; a process that has never heard of the pause collects next, and takes it up."""
    told, _ = site.site()
    stopped, two = site.site()
    _, three = site.site()
    known(site, 3)
    suspend(stopped)
    said = site.act("/runtime/pause", minutes="10")
    assert said["said"].startswith("2 of 3 processes")
    assert "does it when it goes on" in said["said"]
    # The question waits where the stopped one will find it; so it is told anew by who comes next.
    suspend(told)
    fresh = site.start(
        "-m", "cherrypy", "monitor", "serve", CHERRYPY_MONITOR_SOCKET=site.socket,
        CHERRYPY_MONITOR_DASHBOARD_LISTEN=f"127.0.0.1:{site.dashboard}",
    )  # fmt: skip
    told.kill()
    stopped.send_signal(signal.SIGCONT)
    holds(two, "paused True levels [30, 0]")
    holds(three, "paused True levels [30, 0]")
    until(lambda: "Record again" in site.look("/runtime") or fresh.poll() is not None)
    site.act("/runtime/pause", do="resume")
    for port in (two, three):
        holds(port, AS_EVER)


def test_a_pause_behind_the_server_of_others(site: Processes) -> None:
    port = free_port()
    bind = ["-w", "1", "-b", f"127.0.0.1:{port}"]
    site.serve()
    site.start("-m", "gunicorn", *bind, "gunicorn_program:application", SITE_SOCKET=site.socket)
    until(lambda: ask(port))
    known(site, 2)
    until(lambda: site.count("http_server_request_duration_seconds_count") > 0)

    def counted() -> float:
        return site.count("http_server_request_duration_seconds_count")

    assert site.act("/runtime/pause", minutes="10")["said"].startswith("All 2 processes")
    before = counted()
    for _ in range(5):
        assert ask(port)
    assert site.act("/runtime/pause", do="resume")["said"].startswith("All 2 processes")
    assert ask(port)
    until(lambda: counted() > before)
    time.sleep(1.5)
    assert counted() <= before + 2  # and not the five


# -- levels of loggers -----------------------------------------------------------------------------


def test_a_level_is_of_all_though_only_others_have_the_logger(site: Processes) -> None:
    collector = site.serve()
    _, one = site.site()
    stopped, two = site.site()
    known(site, 3)
    until(lambda: "shop.orders" in site.look("/logs"))
    assert "no logger" in site.act("/logs/level", logger="no.such", level="DEBUG")["error"]
    told = site.act("/logs/level", logger="shop.orders", level="DEBUG", minutes="10")
    assert told["said"].startswith("All 3 processes: shop.orders logs DEBUG for 10")
    for port in (one, two):
        assert ask(port, "/held") == "paused False levels [10, 0]"
    _, three = site.site()
    holds(three, "paused False levels [10, 0]")
    # One that is stopped hears of the last of several when it goes on, and the first ends with it.
    suspend(stopped)
    for level in ("INFO", "ERROR"):
        site.act("/logs/level", logger="shop.orders", level=level, minutes="0.3")
    holds(one, "paused False levels [40, 0]")
    stopped.send_signal(signal.SIGCONT)
    for port in (one, two, three):
        holds(port, AS_EVER)
    assert collector.poll() is None


# -- the state itself ------------------------------------------------------------------------------


def held() -> Held:
    return Monitor(Bus()).held


def test_the_latest_state_wins_however_it_comes() -> None:
    one, other = held(), held()
    first = one.pause(60)
    second = one.pause(0)
    assert second.at > first.at
    other.take(second)
    other.take(first)  # late
    assert not other.paused
    assert read(other.told()) == second
    other.pause(60)
    assert one.take(read(other.told())) and one.paused
    for each in (one, other):
        each.end()
        assert not each.paused and each.told() == []


def test_a_clock_that_is_set_holds_nothing_for_ever() -> None:
    one = held()
    now = time.time()
    one.take(State(now, now + 86400.0, (("x.y", "DEBUG", now + 86400.0),)))
    assert not one.paused and not one.state.levels
    one.take(State(now + 86400.0, now - 5.0))
    assert not one.paused
    assert one.pause(30).at > now + 86400.0 and one.paused
    one.end()


@pytest.mark.parametrize(
    "wrong",
    [
        [1.0],
        {"at": 1},
        "state",
        [1.0, float("nan"), []],
        [1.0, 0.0, [["x", "LOUD", 2.0]]],
        [1.0, 0.0, [["x" * 500, "DEBUG", 2.0]]],
        [1.0, 0.0, [["x", "DEBUG"]]],
        [1.0, 0.0, [["x", "DEBUG", 2.0]] * (MOST + 1)],
        [1.0, 0.0, 7],
    ],
)
def test_nonsense_is_no_state(wrong: Any) -> None:
    with pytest.raises(ValueError):
        read(wrong)


def test_so_many_loggers_and_no_more() -> None:
    one = held()
    for number in range(MOST):
        one.level(f"tests.held.{number}", "DEBUG", 60)
    with pytest.raises(ValueError, match="already"):
        one.level("tests.held.more", "DEBUG", 60)
    one.level("tests.held.0", "INFO", 60)  # one of them may change
    one.end()


def test_a_child_goes_on_and_ends_by_itself() -> None:
    one = held()
    one.pause(0.5)
    child = os.fork()
    if not child:
        one.forked()
        deadline = time.monotonic() + 20
        while one.paused and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(int(one.paused))
    assert os.waitpid(child, 0)[1] == 0
    one.end()
