"""The site: what processes have counted stays, and is counted once, however they end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cherrypy.monitor import site as module
from cherrypy.monitor import table
from cherrypy.monitor.books.estate import MOST_ERRORS, MOST_SLOW
from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.history.frames import between
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.site import Site
from cherrypy.monitor.snapshots import Snapshot

assert table
REQUESTS = METRICS["cherrypy.requests"]
WAIT = METRICS["cherrypy.session.lock.wait"]


def snapshot(worker: str, number: int, requests: int, born: float = 1.0) -> Snapshot:
    made = Snapshot(worker, born, time.time(), number)
    made.counts[REQUESTS, ("",)] = requests
    spread = made.spreads[WAIT, ("ram",)] = Spread(WAIT.scale)
    for _ in range(requests):
        spread.observe(0.25)
    return made


def totals(site: Site) -> tuple[float, int, float]:
    merged = site.merged()
    spread = merged.spreads[WAIT, ("ram",)]
    return merged.counts[REQUESTS, ("",)], spread.count, spread.total


def silence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", -1.0)
    site.sweep()
    monkeypatch.undo()


def test_who_was_silent_and_goes_on_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process was suspended for a minute: SIGSTOP and SIGCONT, or a laptop that slept."""
    site = Site()
    site.take(snapshot("1", 0, 1000))
    silence(site, monkeypatch)
    assert (site.died, site.workers()) == (1, [])
    assert totals(site) == (1000, 1000, 250.0)
    site.take(snapshot("1", 1, 1010))
    assert totals(site) == (1010, 1010, 252.5)
    silence(site, monkeypatch)
    assert totals(site) == (1010, 1010, 252.5)
    site.take(snapshot("1", 0, 1000))  # one that was late
    assert totals(site) == (1010, 1010, 252.5)


def test_a_new_life_of_the_same_name_adds_to_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    site.take(snapshot("1", 5, 1000))
    silence(site, monkeypatch)
    site.take(snapshot("1", 0, 7, born=2.0))
    assert totals(site)[0] == 1007
    site.take(snapshot("1", 0, 3, born=3.0))
    assert totals(site)[0] == 1010


def test_of_how_many_it_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    for worker in range(200):
        site.take(snapshot(str(worker), 0, 1))
    silence(site, monkeypatch)
    assert len(site._gone) == module.MOST_GONE
    assert totals(site)[0] == 200


def test_any_number_of_processes_may_come_and_go() -> None:
    site = Site()
    processor = METRICS["process.cpu.time"]
    for number in range(500):
        one = snapshot(str(number), 0, 1, born=float(number))
        one.counts[processor, ("user",)] = 2.0
        site.take(one)
        site.leave(str(number))
    site.take(snapshot("last", 0, 1))
    merged = site.merged()
    assert merged.counts[REQUESTS, ("",)] == 501
    mine = {key: value for (metric, key), value in merged.counts.items() if metric is processor}
    assert mine == {("user", "ended"): 1000.0}


def error(kind: str, last: float, count: int = 1) -> dict[str, Any]:
    return {
        "type": kind,
        "route": "/",
        "code": "500",
        "count": count,
        "first": last - 1,
        "last": last,
        "message": f"{kind} at {last:g}",
        "traceback": "x" * 20_000,
    }


def slow(at: float, duration: float) -> dict[str, Any]:
    return {"route": "/", "method": "GET", "status": "200", "at": at, "duration": duration}


def told(worker: str, number: int, **books: Any) -> Snapshot:
    made = snapshot(worker, number, 1)
    made.details = dict(books)
    return made


def test_what_the_books_of_the_dead_held_is_kept() -> None:
    site = Site()
    site.take(told("1", 0, errors=[error("A", 5.0, 3)], slow=[slow(4.0, 2.5)], inflight=[{}]))
    assert site.left("errors") == []
    site.leave("1", died=True)
    (left,) = site.left("errors")
    assert (left["type"], left["count"], left["worker"]) == ("A", 3, "1 (gone)")
    assert len(left["traceback"]) == 8192
    assert [(one["at"], one["worker"]) for one in site.left("slow")] == [(4.0, "1 (gone)")]
    assert site.left("inflight") == []
    site.take(told("1", 1, errors=[error("A", 6.0, 4)]))  # it was only silent
    assert site.left("errors") == site.left("slow") == []


def test_any_number_of_them_may_leave_anything() -> None:
    site = Site()
    for number in range(300):
        mine = [error(f"E{number}", float(number)), error("Common", float(number), 2)]
        rubbish = [{}, 5, {"count": "x"}, {"count": 1, "first": "?", "last": None}]
        long = [{**slow(1.0, 1.0), "steps": ["x" * 100_000]}]
        one = told(str(number), 0, errors=mine + rubbish, slow=[slow(float(number), 0.5), *long])
        one.born = float(number)
        site.take(one)
        site.leave(str(number))
    errors = site.left("errors")
    common = [one for one in errors if one["type"] == "Common"]
    assert sum(one["count"] for one in common) == 600
    assert len(errors) <= MOST_ERRORS + 2 * module.MOST_TOLD
    assert {"E299", "E250"} <= {one["type"] for one in errors}
    assert "E3" not in {one["type"] for one in errors}
    assert len(site.left("slow")) <= MOST_SLOW + module.MOST_TOLD
    for details in ({"errors": 5, "slow": "x"}, {"errors": None}, {}):
        site.take(told("x", 0, **details))
        site.leave("x")


def seen(site: Site) -> tuple[float, int]:
    """What has been seen being counted here."""
    merged = site.merged(seen=True)
    spread = merged.spreads.get((WAIT, ("ram",)))
    return merged.counts.get((REQUESTS, ("",)), 0), spread.count if spread is not None else 0


def test_what_was_counted_before_it_was_heard_of_is_of_no_second() -> None:
    site = Site()
    site.take(snapshot("young", 2, 10))
    assert seen(site) == (10, 10)
    site.take(snapshot("old", 500, 1000))
    assert totals(site)[:2] == (1010, 1010) and seen(site) == (10, 10)
    site.take(snapshot("old", 501, 1007))
    assert totals(site)[:2] == (1017, 1017) and seen(site) == (17, 17)
    for number in range(module.MOST_GONE + 50):  # and when they have ended, however many
        site.leave("old")
        site.take(snapshot("old", 500, 1000, born=2.0 + number))
        site.take(snapshot("old", 501, 1001, born=2.0 + number))
    site.leave("old")
    ended = module.MOST_GONE + 50
    assert totals(site)[:2] == (1017 + 1001 * ended,) * 2
    assert seen(site) == (17 + ended,) * 2


def test_what_a_process_had_counted_does_not_happen_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its series by worker do not become those of the ended with a leap, nor come back with one."""
    site, processor, last = Site(), METRICS["process.cpu.time"], Snapshot()

    def told(worker: str, number: int, seconds: float, born: float = 1.0) -> None:
        made = snapshot(worker, number, number + 1, born)
        made.counts[processor, ("user",)] = seconds
        site.take(made)

    def grown() -> dict[str, float]:
        nonlocal last
        before, last = last, site.merged(seen=True)
        found = between(before, last).counts
        return {key[1]: value for (metric, key), value in found.items() if metric is processor}

    told("1", 0, 5.0)
    told("2", 0, 70.0)
    assert grown() == {"1": 5.0, "2": 70.0}
    told("1", 1, 6.0)
    site.leave("2", died=True)
    assert grown() == {"1": 1.0}
    told("2", 1, 70.5)  # it was only silent
    assert grown() == {"2": 0.5}
    told("2", 0, 3.0, born=2.0)  # and began anew
    assert grown() == {"2": 3.0}
    for number in range(2 * module.MOST_GONE):
        site.leave("2")
        assert grown() == {}
        told("2", 0, 4.0, born=3.0 + number)
        grown()
    told("2", 1, 9.0, born=2.0 + 2 * module.MOST_GONE)
    assert grown() == {"2": 5.0}
    silence(site, monkeypatch)
    assert grown() == {}
    spent = {
        key: value for (metric, key), value in site.merged().counts.items() if metric is processor
    }
    assert spent == {("user", "ended"): 6.0 + 70.5 + 3.0 + 4.0 * (2 * module.MOST_GONE - 1) + 9.0}


def test_what_is_switched_off_and_on_does_not_fall_and_has_no_peak() -> None:
    site = Site()
    site.take(snapshot("1", 0, 10))
    site.take(snapshot("2", 0, 100))

    def without(worker: str, number: int, selection: int) -> Snapshot:
        made = snapshot(worker, number, 0)
        made.counts.clear()
        made.spreads.clear()
        made.selection = selection
        return made

    site.take(without("1", 1, 1))
    assert totals(site)[:2] == seen(site) == (110, 110)
    site.take(without("2", 1, 1))
    site.take(without("2", 2, 1))
    assert totals(site)[:2] == seen(site) == (110, 110)
    for worker, number, requests in (("1", 2, 14), ("2", 3, 109)):
        again = snapshot(worker, number, requests)
        again.selection = 2
        site.take(again)
    assert totals(site)[:2] == (123, 123) and seen(site) == (110, 110)
    again = snapshot("1", 3, 15)
    again.selection = 2
    site.take(again)
    assert totals(site)[:2] == (124, 124) and seen(site) == (111, 111)
    site.take(without("1", 4, 3))
    site.leave("1")
    assert totals(site)[:2] == (124, 124) and seen(site) == (111, 111)
    late = snapshot("3", 1, 0)  # one with a metric that was off from its start
    late.counts.clear()
    late.spreads.clear()
    site.take(late)
    late = snapshot("3", 2, 50)
    late.selection = 1
    site.take(late)
    assert totals(site)[:2] == (174, 174) and seen(site) == (111, 111)
