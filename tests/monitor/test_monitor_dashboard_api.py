"""The dashboard's API and pages, over a history whose content is known."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from dashboard_kit import Open, Past, known, loaded, opened, served, until

from cherrypy.monitor.dashboard.boards import BOARDS
from cherrypy.monitor.dashboard.data import RANGES
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.process.wspbus import Bus


@pytest.fixture(scope="module")
def past() -> Iterator[Open]:
    with known() as one:
        yield one


def test_series(past: Open) -> None:
    now = time.time()
    path = f"/api/series?metric=cherrypy.requests&from={now - 7200}&to={now - 600}&step=600"
    found = past.ask(path).json
    assert found["unit"] == "{request}" and found["stat"] == "rate"
    assert len(found["times"]) in (11, 12)
    rates = [value for value in found["rows"][0]["values"] if value is not None]
    assert rates and all(value == pytest.approx(68 / 60, rel=0.01) for value in rates)
    path = path.replace("cherrypy.requests", "http.server.request.duration")
    found = past.ask(path + "&stat=p50&by=http.route&where.http.response.status_code=200").json
    assert [row["labels"] for row in found["rows"]] == [["/"], ["/report/{year}"]]
    assert found["rows"][1]["values"][3] == pytest.approx(1.5, rel=0.04)


def test_series_as_csv(past: Open) -> None:
    now = time.time()
    path = f"/api/series?metric=cherrypy.responses&by=class&from={now - 3600}&to={now}&step=600"
    answer = past.ask(path + "&format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="cherrypy.responses.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["time", "2xx", "5xx"]
    assert len(rows) in (7, 8)
    assert float(rows[3][1]) == pytest.approx(62 / 60, rel=0.02)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 404, "/api/metrics"),
        ("metric=nothing", 404, "/api/metrics"),
        ("metric=cherrypy.requests&stat=p95", 400, "rate, delta"),
        ("metric=cherrypy.requests&by=rout", 400, "label"),
        ("metric=cherrypy.requests&where.x=1", 400, "label"),
        ("metric=cherrypy.requests&from=9&to=3", 400, "before"),
        ("metric=cherrypy.requests&from=yesterday", 400, "number"),
        ("metric=cherrypy.requests&from=nan", 400, "number"),
        ("metric=cherrypy.requests&from=0&to=1e9&step=1", 400, "3000 steps"),
        ("metric=cherrypy.requests&step=-1", 400, "number"),
        ("metric=cherrypy.requests&from=%FF", 400, "UTF-8"),
    ],
)
def test_series_that_cannot_be(past: Open, query: str, status: int, words: str) -> None:
    answer = past.ask(f"/api/series?{query}")
    assert answer.status == status
    assert words in answer.json["error"]


def test_metrics_are_listed(past: Open) -> None:
    found = {one["name"]: one for one in past.ask("/api/metrics").json}
    assert set(found) == set(METRICS)
    one = found["http.server.request.duration"]
    assert one["kind"] == "histogram" and one["unit"] == "s" and "http.route" in one["labels"]


def test_routes(past: Open) -> None:
    found = past.ask("/api/routes?range=1h").json
    assert [one["route"] for one in found] == ["/report/{year}", "/", "/broken"]
    report, front, broken = found
    assert broken["failures"] == 100 and front["errors"] == 0
    assert report["requests"] == pytest.approx(120, abs=4)
    assert report["rate"] == pytest.approx(2 / 60, rel=0.03)
    assert report["p95"] == pytest.approx(1.5, rel=0.04)
    assert report["share"] == pytest.approx(100 * 3 / 3.36, rel=0.02)
    assert report["layers"]["db"] == pytest.approx(report["total"] / 4, rel=0.02)
    # Of a day only three hours are known: it is by these that a rate is worked out.
    day = {one["route"]: one for one in past.ask("/api/routes?range=24h").json}
    assert day["/"]["requests"] == pytest.approx(60 * 180, rel=0.02)
    assert day["/"]["rate"] == pytest.approx(1.0, rel=0.1)
    by_name = past.ask("/api/routes?range=1h&sort=route").json
    assert [one["route"] for one in by_name] == ["/report/{year}", "/broken", "/"]
    assert past.ask("/api/routes?sort=nothing").status == 400


def test_transactions_are_sorted_by_links(past: Open) -> None:
    for query, first in (("sort=requests", "/"), ("sort=p95", "/report/{year}")):
        page = past.ask(f"/transactions?range=1h&{query}").text
        rows = page.partition("<tbody>")[2].replace("<wbr>", "")
        assert rows.index(f">{first}</a>") == rows.index("</a>") - len(first) - 1
        assert 'aria-sort="descending"' in page
    rising = past.ask("/transactions?range=1h&sort=p95&order=rising").text.replace("<wbr>", "")
    assert 'aria-sort="ascending"' in rising
    assert rising.index(">/</a>") < rising.index(">/report/{year}</a>")


def board(past: Open, name: str, more: str = "") -> dict[str, Any]:
    found = past.ask(f"/api/board?board={name}&range=1h{more}").json
    return {chart["name"]: chart for chart in found["charts"]}


def rows_of(chart: dict[str, Any]) -> dict[str, list[Any]]:
    return {row["label"]: row["values"] for row in chart["rows"]}


def test_a_board(past: Open) -> None:
    charts = board(past, "overview")
    assert {"throughput", "latency", "status", "errors", "apdex", "logs", "layers"} == set(charts)
    assert charts["status"]["kind"] == "stack"
    count = len(charts["throughput"]["times"])
    assert all(len(row["values"]) == count for one in charts.values() for row in one["rows"])
    errors = [value for value in rows_of(charts["errors"])["5xx"] if value is not None]
    assert errors and all(value == pytest.approx(100 * 6 / 68, rel=0.01) for value in errors)
    apdex = [value for value in rows_of(charts["apdex"])["Apdex"] if value is not None]
    assert apdex[0] == pytest.approx(67 / 68, rel=0.01)
    logs = rows_of(charts["logs"])
    assert list(logs) == ["warning", "info"]  # the gravest at the bottom
    assert max(value for value in logs["info"] if value is not None) == pytest.approx(30, rel=0.4)


def test_a_board_of_a_route(past: Open) -> None:
    charts = board(past, "route", "&route=" + quote("/broken"))
    assert list(rows_of(charts["status"])) == ["500"]
    assert max(value or 0 for value in rows_of(charts["errors"])["5xx"]) == 100
    fine = board(past, "route", "&route=/")["errors"]
    assert {value for value in rows_of(fine)["5xx"] if value is not None} == {0.0}
    db = [value for value in rows_of(charts["layers"])["db"] if value is not None]
    assert db[0] == pytest.approx(0.005, rel=0.05)
    assert past.ask("/api/board?board=nothing").status == 404


def test_overlays_of_the_day_before() -> None:
    with opened() as one:
        one.monitor.beats.clear()
        history = History()
        now = time.time()
        filling = Past(history)
        for day in (1, 0):
            for minute in range(120, -1, -1):
                filling.minute(now - 86400 * day - 60 * minute)
        one.monitor.history = history
        found = one.ask("/api/chart?board=overview&chart=throughput&range=1h").json
        rows = {row["label"]: row for row in found["rows"]}
        assert set(rows) == {"requests", "24 h ago"}
        assert rows["24 h ago"]["ghost"]
        known = [value for value in rows["24 h ago"]["values"] if value is not None]
        assert len(known) > 100
        assert sum(known) / len(known) == pytest.approx(68 / 60, rel=0.1)


def test_a_chart_as_csv(past: Open) -> None:
    answer = past.ask("/api/chart?board=overview&chart=latency&range=1h&format=csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["time", "p50", "p95", "p99"]
    assert len(rows) == 1 + 3600 // RANGES["1h"][1]


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("page", [one for one in BOARDS if BOARDS[one].ranged])
def test_every_page_has_every_range(past: Open, page: str, name: str) -> None:
    answer = past.ask(f"/{page}?range={name}")
    assert answer.status == 200
    assert f'range={name}" aria-current="true"' in answer.text.replace("&amp;", "&")


@pytest.mark.parametrize("page", BOARDS)
def test_a_page_without_anything_says_so(page: str) -> None:
    """A monitor that has just begun: no broken chart, and words that help."""
    with opened() as one:
        one.monitor.history = None
        answer = one.ask(f"/{page}")
        assert answer.status == 200
        assert "<figure" not in answer.text
        assert 'class="empty"' in answer.text


def test_a_metric_without_data_is_no_chart(past: Open) -> None:
    page = past.ask("/server?range=1h").text
    assert "<figure" not in page or "TLS handshakes" in page
    overview = past.ask("/?range=1h").text
    assert overview.count("<figure") == 7


def test_a_heat_map(past: Open) -> None:
    page = past.ask(f"/route?range=1h&route={quote('/report/{year}')}").text
    assert 'class="drawing heat-map"' in page
    told = re.findall(r"of about ([\d.]+)\u202fs<", page)
    assert told and all(1.3 < float(one) < 1.7 for one in told)


def test_marks_are_told(past: Open) -> None:
    past.monitor.history.mark("deploy", "version 2 <b>", time.time() - 600)
    found = past.ask("/api/chart?board=overview&chart=throughput&range=1h").json["marks"]
    assert {"kind": "deploy", "text": "version 2 <b>"}.items() <= found[-1].items()


def test_values_that_stand_for_longer_steps() -> None:
    """Of yesterday only minutes are known: in steps of twenty seconds there are no holes."""
    with opened() as one:
        one.monitor.beats.clear()
        history = History()
        now = time.time()
        filling = Past(history)
        for minute in range(60 * 9, -1, -1):
            filling.minute(now - 60 * minute)
        one.monitor.history = history
        found = one.ask("/api/chart?board=overview&chart=throughput&range=6h").json
        values = found["rows"][0]["values"]
        assert values.count(None) <= 3


# -- the stream ------------------------------------------------------------------------------------


def events(port: int, count: int) -> list[dict[str, Any]]:
    with socket.create_connection(("127.0.0.1", port), timeout=15) as one:
        one.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        seen = b""
        while seen.count(b"event: now") < count or not seen.rstrip(b"\r\n").endswith(b"}"):
            piece = one.recv(65536)
            assert piece, seen
            seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    lines = [line for line in body.splitlines() if line.startswith(b"data: ")]
    return [json.loads(line[6:]) for line in lines]


def test_figures_come_each_second() -> None:
    with opened() as one:
        came = events(one.port, 3)
        gaps = [two["at"] - first["at"] for first, two in itertools.pairwise(came[1:])]
        assert all(0.2 < gap < 6 for gap in gaps)


def test_the_dashboard_ends_with_those_who_listen() -> None:
    with opened() as one:
        stream = socket.create_connection(("127.0.0.1", one.port), timeout=15)
        stream.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n".replace(b" a", b" localhost"))
        stream.close()
        stream = socket.create_connection(("127.0.0.1", one.port), timeout=15)
        stream.sendall(
            b"GET /live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        assert stream.recv(100)
        began = time.monotonic()
        one.monitor.stop()
        assert time.monotonic() - began < 5
        stream.close()


# -- a site ----------------------------------------------------------------------------------------


def test_a_site_under_load() -> None:
    with served() as site:
        site.counts()
        with loaded(site):
            now = until(
                lambda: (lambda it: it if it.get("rate") else None)(site.look("/api/now").json)
            )
            assert now["workers"] == 1 and now["p50"] > 0
            until(lambda: len(site.look("/api/routes").json) >= 6)
        routes = {one["route"]: one for one in site.look("/api/routes").json}
        assert routes["/broken"]["failures"] == 100
        assert routes["/report"]["p50"] >= 0.15
        assert routes["/item/{number}"]["errors"] == 0


def test_a_pause() -> None:
    """Nothing is recorded for a while; what comes afterwards is."""
    with served() as site:
        site.counts()

        def count() -> float:
            return sum(one["requests"] for one in site.look("/api/routes").json)

        def act(form: str) -> dict[str, Any]:
            page = site.look("/runtime").text
            token = page.partition('name="kirsch-token" content="')[2].partition('"')[0]
            headers = {"X-Kirsch-Token": token, "Accept": "application/json"}
            answer = site.look("/runtime/pause", "POST", form, headers=headers)
            assert answer.status == 200
            return dict(answer.json)

        for _ in range(3):
            site.ask("/")
        until(lambda: count() == 3)
        assert "not recorded for 10" in act("minutes=10")["said"]
        assert "Record again" in site.look("/runtime").text
        for _ in range(5):
            assert site.ask("/").status == 200
        assert act("do=resume")["said"] == "Requests are recorded."
        for _ in range(2):
            site.ask("/")
        until(lambda: count() == 5)


def test_a_pause_has_an_end() -> None:
    held = Monitor(Bus()).held
    held.pause(0.05)
    assert held.paused
    until(lambda: not held.paused)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/series?metric=cherrypy.requests&format=xml", 400, "json or csv"),
        ("/api/chart?board=server&chart=threads&format=xml", 400, "json or csv"),
        ("/api/board?board=nothing", 404, "board must be one of overview, route, explore"),
        ("/api/chart?board=server&chart=nothing", 404, "chart must be one of connections"),
        ("/api/chart?board=live&chart=x", 404, "that board has no charts"),
        ("/api/series?metric=cherrypy.requests&from=0&to=1e11", 400, "less than 1e+11 seconds"),
    ],
)
def test_what_cannot_be_asked_for_is_answered_with_what_can(
    past: Open, path: str, status: int, words: str
) -> None:
    answer = past.ask(path)
    assert answer.status == status and words in answer.json["error"]


def test_who_goes_to_where_a_login_was_sent_to_finds_the_pages(past: Open) -> None:
    answer = past.ask("/login", headers={"Accept": "text/html"})
    assert (answer.status, answer.headers["Location"]) == (303, "/")
