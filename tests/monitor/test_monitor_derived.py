"""Derived metrics: what they come to for counts that are known."""

from __future__ import annotations

from math import inf

import pytest
from history_kit import START, Clockwork

from cherrypy.monitor import derived
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS, Metric, select

REQUESTS = METRICS["cherrypy.requests"]
DURATION = METRICS["http.server.request.duration"]
APDEX = METRICS["cherrypy.apdex.requests"]
THREADS = METRICS["cherrypy.server.threads"]
CACHE = METRICS["cherrypy.cache.requests"]
ACCEPTED = METRICS["cherrypy.server.connections.accepted"]
OF_CONNECTION = METRICS["cherrypy.server.connection.requests"]
RECORDS = METRICS["cherrypy.log.records"]

DAY = 86400.0


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork(History())


def request(clockwork: Clockwork, route: str, status: str, took: float = 0.1) -> None:
    failed = status if status[0] == "5" else ""
    clockwork.observe(DURATION, took, "GET", route, status, "http", "1.1", failed, "")


def ask(clockwork: Clockwork, name: str, **more: object) -> dict[tuple[str, ...], list[object]]:
    query = clockwork.history.query
    return query(name, START, clockwork.at, inf, stat="value", **more).rows  # type: ignore[arg-type]  # by, where


def test_throughput_is_requests_a_minute(clockwork: Clockwork) -> None:
    clockwork.count(REQUESTS, 20, "")
    clockwork.count(REQUESTS, 10, "/blog")
    clockwork.push(10.0)
    assert ask(clockwork, "cherrypy.request.throughput") == {(): [180.0]}
    assert ask(clockwork, "cherrypy.request.throughput", by=("app",)) == {
        ("",): [120.0],
        ("/blog",): [60.0],
    }


def test_ratios_of_errors(clockwork: Clockwork) -> None:
    for route, status in (("/", "200"), ("/", "302"), ("/", "404"), ("/a", "503"), ("/a", "200")):
        request(clockwork, route, status)
    clockwork.push()
    assert ask(clockwork, "cherrypy.request.error.ratio") == {(): [40.0]}
    assert ask(clockwork, "cherrypy.request.server_error.ratio") == {(): [20.0]}
    by = ask(clockwork, "cherrypy.request.server_error.ratio", by=("http.route",))
    assert by == {("/",): [0.0], ("/a",): [50.0]}
    of_one = ask(clockwork, "cherrypy.request.error.ratio", where={"http.route": "/a"})
    assert of_one == {(): [50.0]}


def test_a_ratio_of_nothing_is_unknown(clockwork: Clockwork) -> None:
    clockwork.push()
    for name in ("error.ratio", "server_error.ratio", "duration.quantile"):
        assert ask(clockwork, f"cherrypy.request.{name}") == {(): [None]}, name
    assert ask(clockwork, "cherrypy.apdex") == {(): [None]}
    assert ask(clockwork, "cherrypy.server.keepalive.ratio") == {(): [None]}


def test_quantiles_by_their_label(clockwork: Clockwork) -> None:
    for hundredth in range(1, 101):
        request(clockwork, "/", "200", hundredth / 100)
    clockwork.push()
    name = "cherrypy.request.duration.quantile"
    rows = ask(clockwork, name, by=("quantile",))
    assert sorted(rows) == [("0.5",), ("0.9",), ("0.95",), ("0.99",), ("0.999",), ("1",)]
    for quantile, wanted in (("0.5", 0.5), ("0.95", 0.95), ("1", 1.0)):
        assert rows[quantile,] == [pytest.approx(wanted, rel=0.032)]
    assert ask(clockwork, name, where={"quantile": "0.5"})[()] == rows["0.5",]
    assert ask(clockwork, name)[()] == rows["0.95",]


def test_apdex(clockwork: Clockwork) -> None:
    for group, count in (("satisfied", 6), ("tolerating", 2), ("frustrated", 2)):
        clockwork.count(APDEX, count, "", "/", group)
    clockwork.push()
    assert ask(clockwork, "cherrypy.apdex") == {(): [0.7]}


def test_utilization_is_the_share_of_busy_threads(clockwork: Clockwork) -> None:
    for busy in (2.0, 4.0):
        for worker in ("7", "8"):
            clockwork.gauge(THREADS, busy if worker == "7" else 0.0, "busy", worker)
            clockwork.gauge(THREADS, 10.0 - busy if worker == "7" else 10.0, "idle", worker)
        clockwork.push()
    name = "cherrypy.server.capacity.utilization"
    assert ask(clockwork, name) == {(): [15.0]}
    assert ask(clockwork, name, by=("worker",)) == {("7",): [30.0], ("8",): [0.0]}


def test_hits_of_the_cache(clockwork: Clockwork) -> None:
    for result, count in (("hit", 3), ("miss", 1), ("bypass", 100)):
        clockwork.count(CACHE, count, result)
    clockwork.push()
    assert ask(clockwork, "cherrypy.cache.hit.ratio") == {(): [75.0]}


def test_connections_that_are_kept_alive(clockwork: Clockwork) -> None:
    for _ in range(10):
        request(clockwork, "/", "200")
    clockwork.count(ACCEPTED, 2, "main")
    clockwork.observe(OF_CONNECTION, 5, "main")
    clockwork.push()
    name = "cherrypy.server.keepalive.ratio"
    assert ask(clockwork, name) == {(): [80.0]}
    assert ask(clockwork, name, by=("listener",)) == {("main",): [80.0]}


def log(clockwork: Clockwork, minutes: int, errors: int, infos: int = 60) -> None:
    for _ in range(minutes):
        clockwork.count(RECORDS, errors, "error")
        clockwork.count(RECORDS, infos, "info")
        clockwork.push(60.0)


def test_the_log_grows_against_yesterday_and_last_week() -> None:
    clockwork = Clockwork(History())
    log(clockwork, 30, 2)  # a week ago
    clockwork.at = START + 6 * DAY
    clockwork.push(60.0)
    log(clockwork, 30, 4)  # yesterday
    clockwork.at = START + 7 * DAY
    clockwork.push(60.0)
    log(clockwork, 29, 30)
    found = clockwork.history.query(
        "cherrypy.log.increase", clockwork.at - 600, clockwork.at, inf, by=("level",), stat="value"
    )
    assert found.rows["error",] == [pytest.approx(10.0)]
    assert found.rows["info",] == [pytest.approx(1.0)]
    assert set(found.rows) == {("error",), ("info",)}
    whole = clockwork.history.query(
        "cherrypy.log.increase", clockwork.at - 600, clockwork.at, inf, stat="value"
    )
    assert whole.rows[()] == [pytest.approx(90 / 63)]


def test_the_log_grows_against_silence_and_against_nothing_known() -> None:
    clockwork = Clockwork(History())
    log(clockwork, 30, 0)
    name = "cherrypy.log.increase"

    def increase() -> dict[tuple[str, ...], list[object]]:
        now = clockwork.at
        query = clockwork.history.query
        return query(name, now - 600, now, inf, by=("level",), stat="value").rows

    assert increase()["info",] == [None]
    clockwork.at = START + DAY
    clockwork.push(60.0)
    log(clockwork, 29, 5)
    assert increase()["error",] == [50.0]


def everything() -> list[Metric]:
    return [metric for metric in METRICS.values() if metric.derived]


def test_all_derived_metrics_can_be_asked_for(clockwork: Clockwork) -> None:
    clockwork.push()
    for metric in everything():
        ask(clockwork, metric.name)
        ask(clockwork, metric.name, by=metric.labels)
        with pytest.raises(ValueError, match="has no label"):
            ask(clockwork, metric.name, by=("nonsense",))
        with pytest.raises(ValueError, match="ask for one of"):
            clockwork.history.query(metric.name, START, START + 1, stat="rate")


def test_present_values_for_exports(clockwork: Clockwork) -> None:
    select(1, ["*"], [])
    for status in ("200", "200", "200", "500"):
        request(clockwork, "/", status)
    clockwork.count(REQUESTS, 4, "")
    clockwork.push(2.0)
    present = derived.gauges(clockwork.history)
    names = {(metric.name, labels): value for (metric, labels), value in present.items()}
    assert names["cherrypy.request.server_error.ratio", ("", "/")] == 25.0
    assert names["cherrypy.request.throughput", ("",)] == 120.0
    assert names["cherrypy.request.duration.quantile", ("0.5", "", "/")] == pytest.approx(
        0.1, rel=0.032
    )
    for _ in range(70):
        clockwork.push()
    present = derived.gauges(clockwork.history)
    assert ("cherrypy.request.server_error.ratio", ("", "/")) not in {
        (metric.name, labels) for metric, labels in present
    }
