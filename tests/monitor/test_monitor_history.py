"""The history: what is added comes back as rates, gauges and percentiles, step by step."""

from __future__ import annotations

import random
from math import inf

import pytest
from history_kit import START, Clockwork

from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.snapshots import Snapshot

RESPONSES = METRICS["cherrypy.responses"]
SENT = METRICS["cherrypy.server.io.sent"]
ACTIVE = METRICS["cherrypy.server.connections.active"]
MEMORY = METRICS["process.memory.usage"]
DURATION = METRICS["http.server.request.duration"]
WAIT = METRICS["cherrypy.session.lock.wait"]


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork(History())


def test_counters_come_back_as_rates_and_deltas(clockwork: Clockwork) -> None:
    for number in (5, 0, 7):
        clockwork.count(RESPONSES, number, "2xx")
        clockwork.push()
    ask = clockwork.history.query
    found = ask("cherrypy.responses", START, START + 3, 1.0)
    assert found.times == [START, START + 1, START + 2]
    assert found.rows == {(): [5.0, 0.0, 7.0]}
    assert ask("cherrypy.responses", START, START + 3, 1.0, stat="delta").rows[()] == [5, 0, 7]
    whole = ask("cherrypy.responses", START, START + 3, inf, by=("class",))
    assert whole.rows == {("2xx",): [4.0]}


def test_nothing_is_none_and_no_requests_are_zero(clockwork: Clockwork) -> None:
    clockwork.push()
    clockwork.count(RESPONSES, 1, "2xx")
    clockwork.push()
    found = clockwork.history.query("cherrypy.responses", START - 1, START + 3, 1.0)
    assert found.rows[()] == [None, 0.0, 1.0, None]
    latency = clockwork.history.query("cherrypy.session.lock.wait", START, START + 2, 1, stat="p95")
    assert latency.rows[()] == [None, None]


def test_rows_by_labels_and_only_those_that_are_asked_for(clockwork: Clockwork) -> None:
    clockwork.count(RESPONSES, 3, "2xx")
    clockwork.count(RESPONSES, 1, "5xx")
    clockwork.push()
    ask = clockwork.history.query
    found = ask("cherrypy.responses", START, START + 1, 1, by=("class",), stat="delta")
    assert found.rows == {("2xx",): [3.0], ("5xx",): [1.0]}
    found = ask("cherrypy.responses", START, START + 1, 1, where={"class": "5xx"}, stat="delta")
    assert found.rows == {(): [1.0]}


def test_gauges_keep_their_mean_and_extremes(clockwork: Clockwork) -> None:
    for value in [2.0, 8.0] * 10:
        clockwork.gauge(ACTIVE, value, "main")
        clockwork.push()
    ask = clockwork.history.query
    for stat, wanted in (("value", 5.0), ("max", 8.0), ("min", 2.0)):
        found = ask(ACTIVE.name, START, START + 20, 10.0, stat=stat)
        assert found.rows[()] == [wanted, wanted], stat


def test_gauges_of_workers_add_up_where_they_are_things(clockwork: Clockwork) -> None:
    uptime = METRICS["process.uptime"]
    for worker, value in (("1", 10.0), ("2", 30.0)):
        clockwork.gauge(MEMORY, value, worker)
        clockwork.gauge(uptime, value, worker)
    clockwork.push()
    ask = clockwork.history.query
    assert ask(MEMORY.name, START, START + 1, 1, stat="value").rows[()] == [40.0]
    assert ask(uptime.name, START, START + 1, 1, stat="value").rows[()] == [30.0]
    by = ask(MEMORY.name, START, START + 1, 1, stat="value", by=("worker",)).rows
    assert by == {("1",): [10.0], ("2",): [30.0]}


def test_histograms_give_all_their_figures(clockwork: Clockwork) -> None:
    for value in (0.010, 0.020, 0.030, 0.4):
        clockwork.observe(WAIT, value, "ram")
    clockwork.push(2.0)

    def ask(stat: str) -> object:
        return clockwork.history.query(WAIT.name, START, START + 2, 2.0, stat=stat).rows[()][0]

    assert ask("rate") == 2.0
    assert ask("delta") == 4.0
    assert ask("sum") == pytest.approx(0.23)
    assert ask("mean") == pytest.approx(0.115)
    assert ask("max") == 0.4
    assert ask("p50") == pytest.approx(0.020, rel=0.032)
    buckets = ask("buckets")
    assert isinstance(buckets, dict)
    assert sum(buckets.values()) == 4
    assert all(low <= 0.4 for low in buckets)


def test_what_was_counted_before_the_first_snapshot_is_nobodys_rate() -> None:
    history = History()
    first = Snapshot("site", 0.0, START)
    first.counts[RESPONSES, ("2xx",)] = 1e6
    history.add(first)
    second = Snapshot("site", 0.0, START + 1)
    second.counts[RESPONSES, ("2xx",)] = 1e6 + 1
    history.add(second)
    assert history.query(RESPONSES.name, START, START + 1, 1, stat="delta").rows[()] == [1.0]


def test_a_count_that_falls_has_begun_anew(clockwork: Clockwork) -> None:
    clockwork.count(RESPONSES, 1000, "2xx")
    for _ in range(100):
        clockwork.observe(WAIT, 0.1, "ram")
    clockwork.push()
    clockwork.whole.counts.clear()
    clockwork.whole.spreads.clear()
    clockwork.count(RESPONSES, 3, "2xx")
    clockwork.observe(WAIT, 0.1, "ram")
    clockwork.push()
    ask = clockwork.history.query
    assert ask(RESPONSES.name, START, START + 2, 1, stat="delta").rows[()] == [1000.0, 3.0]
    assert ask(WAIT.name, START, START + 2, 1, stat="delta").rows[()] == [100.0, 1.0]
    assert ask(WAIT.name, START, START + 2, 1, stat="sum").rows[()] == pytest.approx([10.0, 0.1])


def _exact(values: list[float], share: float) -> float:
    values = sorted(values)
    place = share * len(values)
    return values[min(len(values) - 1, max(0, -(-int(place * 1e9) // 10**9) - 1))]


@pytest.mark.parametrize("shape", ["log-normal", "bimodal"])
def test_percentiles_of_hours_are_real(shape: str) -> None:
    """Of all requests of two workers in three hours, from frames of an hour."""
    chance = random.Random(7)
    clockwork = Clockwork(History())
    values: list[float] = []
    for second in range(0, 3 * 3600, 30):
        for worker in ("GET", "POST"):
            # The hours are unlike each other: a mean of their percentiles would be far off.
            middle = -4.0 + second / 3600
            for _ in range(20):
                if shape == "log-normal":
                    value = chance.lognormvariate(middle, 1.0)
                else:
                    value = chance.gauss(*((0.02, 0.002) if chance.random() < 0.9 else (2.0, 0.2)))
                value = max(value, 1e-6)
                values.append(value)
                clockwork.observe(DURATION, value, worker, "/", "200", "http", "1.1", "", "")
        clockwork.push(30.0)
    ask = clockwork.history.query
    whole = (START, START + 3 * 3600)
    for stat, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        found = ask(DURATION.name, *whole, inf, stat=stat).rows[()]
        assert found == [pytest.approx(_exact(values, share), rel=0.032)], stat
    assert ask(DURATION.name, *whole, inf, stat="max").rows[()] == [max(values)]
    assert ask(DURATION.name, *whole, inf, stat="delta").rows[()] == [len(values)]


def test_every_resolution_tells_the_same_count(clockwork: Clockwork) -> None:
    """Whatever step is asked for, what was counted is all there, once: open frames, too."""
    chance = random.Random(1)
    total = 0
    for _ in range(290):
        number = chance.randrange(10)
        total += number
        clockwork.count(RESPONSES, number, "2xx")
        clockwork.push()
    for step in (1.0, 5.0, 10.0, 20.0, 60.0, 600.0, 3600.0, 86400.0, inf):
        found = clockwork.history.query(
            RESPONSES.name, START, clockwork.at, step, stat="delta"
        ).rows[()]
        assert sum(count for count in found if count is not None) == total, step


def test_steps_are_as_fine_as_300_points_allow(clockwork: Clockwork) -> None:
    clockwork.push()
    for length, step in ((200, 1.0), (600, 2.0), (3600, 20.0), (86400, 300.0), (7 * 86400, 3600.0)):
        found = clockwork.history.query(RESPONSES.name, START + 300 - length, START + 300)
        assert found.step == step
        assert len(found.times) <= 301
        assert all(at % step == 0 for at in found.times)


def test_where_nothing_fine_is_kept_the_step_is_longer(clockwork: Clockwork) -> None:
    clockwork.push()
    found = clockwork.history.query(RESPONSES.name, START - 7 * 86400, START - 7 * 86400 + 600, 1.0)
    assert found.step == 600.0


def test_memory_is_bounded(clockwork: Clockwork) -> None:
    for _ in range(3 * 86400 // 60):
        clockwork.count(RESPONSES, 1, "2xx")
        clockwork.push(60.0)
    levels = clockwork.history.levels
    assert [len(level.rows) for level in levels] == [300, 360, 1500, 431, 71]
    first, last = clockwork.history.span()
    assert first == START
    assert last == clockwork.at


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cherrypy.respones", 0, 1), "Did you mean 'cherrypy.responses'?"),
        (("cherrypy.responses", 1, 1), "the end must be after the start"),
        (("cherrypy.responses", float("nan"), 1), "the end must be after the start"),
        (("cherrypy.responses", 0, 1, 0), "the least is 1 s"),
        (("cherrypy.responses", 0, 1e6, 1), "are more than 5000"),
    ],
)
def test_what_cannot_be_asked_is_said(
    clockwork: Clockwork, arguments: tuple[object, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z0-9]") as caught:
        clockwork.history.query(*arguments)  # type: ignore[arg-type]  # that is the point
    assert words in str(caught.value)


def test_labels_and_figures_that_there_are_not_are_said(clockwork: Clockwork) -> None:
    ask = clockwork.history.query
    with pytest.raises(ValueError, match="Did you mean 'class'"):
        ask("cherrypy.responses", 0, 1, by=("clas",))
    with pytest.raises(ValueError, match="ask for one of rate, delta, not 'p95'"):
        ask("cherrypy.responses", 0, 1, stat="p95")


def test_marks(clockwork: Clockwork) -> None:
    history = clockwork.history
    history.mark("deploy", "2.0", at=START + 5)
    history.mark("restart", "x" * 1000, at=START + 1)
    marks = history.marks(START, START + 10)
    assert [(mark.kind, mark.at) for mark in marks] == [
        ("restart", START + 1),
        ("deploy", START + 5),
    ]
    assert len(marks[0].text) == 200
    assert history.marks(START, START + 5) == marks[:1]
    with pytest.raises(ValueError, match="not 'party'"):
        history.mark("party", "")


@pytest.mark.parametrize(
    ("retention", "words"),
    [
        ({"10s": "6 hours"}, "['10s']: '6 hours' is no length of time. Write a number and one of"),
        ({"0s": "6h"}, "['0s']: '0s' is no length of time."),
        ({"10s": "6h", "15s": "1d"}, "steps of 15 s are no multiple of 10 s."),
        ({"1s": "6h"}, "steps of 1 s are no multiple of 1 s."),
    ],
)
def test_a_retention_that_makes_no_sense_is_said(retention: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match="no ") as caught:
        History(retention)
    assert f"monitor.store.retention{words}" in str(caught.value).replace(
        "retention: ", "retention"
    )
