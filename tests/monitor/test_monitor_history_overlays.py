"""Overlays: the same hour a day and a week ago, by a synthetic clock, from memory and from a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from history_kit import START, Clockwork

from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.store import Store
from cherrypy.monitor.metrics import METRICS

RESPONSES = METRICS["cherrypy.responses"]
DURATION = METRICS["http.server.request.duration"]
HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0


def load(at: float) -> int:
    """Requests a minute: more each day, and of each hour's own number."""
    day, hour = int((at - START) // DAY), int((at - START) % DAY // HOUR)
    return 100 * (day + 1) + hour


@pytest.fixture(scope="module", params=["memory", "file", "reopened"])
def clockwork(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clockwork]:
    """A site that has run for a week and two hours."""
    path = tmp_path_factory.mktemp("overlays") / "monitor.sqlite3"
    history = History(store=None if request.param == "memory" else Store(path))
    clockwork = Clockwork(history)
    while clockwork.at < START + WEEK + 2 * HOUR:
        number = load(clockwork.at)
        clockwork.count(RESPONSES, number, "2xx")
        for _ in range(4):
            clockwork.observe(DURATION, number / 1000, "GET", "/", "200", "http", "1.1", "", "")
        clockwork.push(60.0)
    if request.param == "reopened":
        history.close()
        history = History(store=Store(path))
        clockwork = Clockwork(history, clockwork.at)
    yield clockwork
    history.close()


@pytest.mark.parametrize("ago", [0.0, DAY, WEEK])
@pytest.mark.parametrize("length", [HOUR, 2 * HOUR])
def test_the_same_stretch_some_time_ago(clockwork: Clockwork, ago: float, length: float) -> None:
    end = START + WEEK + 2 * HOUR - ago
    found = clockwork.history.query("cherrypy.responses", end - length, end, 600.0)
    assert found.step == 600.0
    assert found.times == [end - length + 600.0 * place for place in range(int(length / 600))]
    assert found.rows[()] == [pytest.approx(load(at) / 60) for at in found.times]
    p95 = clockwork.history.query(DURATION.name, end - length, end, 600.0, stat="p95")
    assert p95.rows[()] == [pytest.approx(load(at) / 1000, rel=0.032) for at in p95.times]


def test_fine_steps_of_last_week_are_as_fine_as_is_kept(clockwork: Clockwork) -> None:
    """Five minutes of now in seconds, and the same five of last week in what there is of them."""
    end = START + WEEK + 2 * HOUR
    found = clockwork.history.query("cherrypy.responses", end - WEEK - 300, end - WEEK, 1.0)
    assert found.step == (60.0 if clockwork.history.store is not None else 600.0)
    known = [value for value in found.rows[()] if value is not None]
    assert known == [pytest.approx(load(at) / 60) for at in found.times]


def test_what_is_older_than_all_is_unknown(clockwork: Clockwork) -> None:
    found = clockwork.history.query("cherrypy.responses", START - HOUR, START, 600.0)
    assert found.rows[()] == [None] * 6
