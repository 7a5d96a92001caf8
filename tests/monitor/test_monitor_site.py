"""The site: what processes have counted stays, and is counted once, however they end."""

from __future__ import annotations

import time

import pytest

from cherrypy.monitor import site as module
from cherrypy.monitor import table
from cherrypy.monitor.histograms import Spread
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
