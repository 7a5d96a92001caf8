"""The page of all metrics, and that of one of them: whatever is asked of it is answered, or refused in words."""

from __future__ import annotations

import csv
import html
import io
import re
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from dashboard_kit import Open, Past, known, opened

from cherrypy.monitor.dashboard import data, drawings
from cherrypy.monitor.dashboard.boards import BOARDS, ROUTE
from cherrypy.monitor.dashboard.charts import Chart, Drawn, Row
from cherrypy.monitor.dashboard.data import Span, Wanted
from cherrypy.monitor.dashboard.explore import MOST_VALUES
from cherrypy.monitor.dashboard.questions import WORDS, questions, stats_of
from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.history.frames import Frame, pack
from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.query import STEPS, labels_of
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.monitor.table import GROUPS

DURATION = "http.server.request.duration"


@pytest.fixture(scope="module")
def past() -> Iterator[Open]:
    with known() as one:
        yield one


def asked(**params: str) -> str:
    """The address of what is asked; `by_x` is `by.x`, and `where_x` likewise."""
    named = {re.sub("^(by|where)_", r"\1.", name): value for name, value in params.items()}
    return "/explore?" + urlencode(named)


def board(past: Open, **params: str) -> dict[str, Any]:
    """The one chart of an answer, as the script gets it."""
    answer = past.ask(asked(**params).replace("/explore?", "/api/board?board=explore&"))
    assert answer.status == 200, answer.text
    charts = answer.json["charts"]
    assert len(charts) <= 1
    return dict(charts[0]) if charts else {}


def rows_of(chart: dict[str, Any]) -> dict[str, list[float]]:
    return {
        row["label"]: [value for value in row["values"] if value is not None]
        for row in chart["rows"]
    }


# -- all of them -----------------------------------------------------------------------------------


def test_every_metric_is_listed_under_its_heading(past: Open) -> None:
    text = past.ask("/explore").text
    links = re.findall(r'href="/explore\?metric=([\w.]+)"', text)
    assert sorted(links) == sorted(METRICS)
    assert [html.unescape(one) for one in re.findall(r"<h2>([^<]+)</h2>", text)] == [
        heading for _, heading in GROUPS
    ]
    assert f"{len(METRICS)} of {len(METRICS)} metrics" in text
    # What is not recorded says so, and what is, how many series it has.
    line = text.partition("metric=cherrypy.session.size")[2].partition("</tr>")[0]
    assert ">off<" in line and "monitor.level = 2" in line
    line = text.partition("metric=cherrypy.responses&quot;")[2].partition("</tr>")[0]
    line = line or text.partition('metric=cherrypy.responses"')[2].partition("</tr>")[0]
    assert '<td class="number">2</td>' in line


@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        ("APDEX", "cherrypy.apdex", "cherrypy.requests"),
        ("lock session", "cherrypy.session.lock.wait", "cherrypy.session.size"),
        ("db.system.name histogram", "db.client.operation.duration", "cherrypy.db.calls"),
    ],
)
def test_a_search(past: Open, words: str, there: str, not_there: str) -> None:
    text = past.ask("/explore?q=" + quote(words)).text
    rows = re.findall(r'<tr( hidden)?><th scope="row"><a href="/explore\?metric=([\w.]+)"', text)
    shown = [name for hidden, name in rows if not hidden]
    assert there in shown and not_there not in shown
    assert f"{len(shown)} of {len(METRICS)} metrics" in text
    assert '<div id="none" hidden>' in text


def test_a_search_that_finds_nothing(past: Open) -> None:
    text = past.ask("/explore?q=" + quote('"><script>alert(1)</script>')).text
    assert "<script>alert" not in text
    assert '<div id="none">' in text and f"0 of {len(METRICS)} metrics" in text


# -- one of them -----------------------------------------------------------------------------------


def test_a_chart_and_all_its_values(past: Open) -> None:
    text = past.ask(asked(metric=DURATION, stat="p50", by="http.route", range="1h")).text
    assert text.count("<figure") == 1
    figures = text.partition('data-key="values"')[2]
    heads = re.findall(r'<th scope="col" class="number">([^<]+)</th>', figures)
    assert heads == ["/report/{year}", "/broken", "/"]
    assert len(re.findall(r"<tr><th scope=\"row\"><time", figures)) > 50
    assert len(re.findall(r"1\.\d+\u202fs", figures)) > 50
    assert f'<option value="p50" selected>{WORDS["p50"]}</option>' in text
    assert 'name="by.http.route" value="1" checked' in text
    assert 'name="by.app" value="1">' in text
    values = re.findall(r'<select name="where\.http\.route">(.*?)</select>', text)[0]
    assert re.findall(r'value="([^"]*)"', values) == ["*", "/", "/broken", "/report/{year}"]


def test_a_question_by_the_api(past: Open) -> None:
    rates = rows_of(board(past, metric="cherrypy.responses", by="class", range="1h"))
    assert rates["2xx"][5] == pytest.approx(62 / 60, rel=0.01)
    assert rates["5xx"][5] == pytest.approx(6 / 60, rel=0.01)
    only = {"where_http.route": "/broken", "stat": "mean", "range": "1h"}
    means = rows_of(board(past, metric=DURATION, **only))
    assert list(means) == ["mean"]
    assert means["mean"][0] == pytest.approx(0.02, rel=0.05)
    # A value may be empty: that is another condition than none.
    assert rows_of(board(past, metric="cherrypy.requests", where_app="", range="1h"))
    other = rows_of(board(past, metric="cherrypy.requests", where_app="/other", range="1h"))
    assert not any(other["per second"])


def test_csv_is_that_of_the_api(past: Open) -> None:
    text = past.ask(asked(metric="cherrypy.responses", stat="delta", by="class", range="1h")).text
    found = re.search(r'href="(/api/series\?[^"]+format=csv)"', text)
    assert found
    rows = list(csv.reader(io.StringIO(past.ask(html.unescape(found[1])).text)))
    assert rows[0] == ["time", "2xx", "5xx"]
    assert sum(float(row[1] or 0) for row in rows[1:]) == pytest.approx(62 * 60, rel=0.05)


def test_what_a_form_sends_becomes_an_address_to_pass_on(past: Open) -> None:
    sent = {
        "metric": DURATION,
        "stat": "p99",
        "by_http.route": "1",
        "by_app": "1",
        "where_app": "*",
        "where_http.route": "*",
        "where_http.request.method": "GET",
        "before": "1",
        "range": "1h",
    }
    answer = past.ask(asked(**sent))
    assert answer.status == 303
    said = urlsplit(answer.headers["Location"])
    assert said.path == "/explore"
    assert parse_qsl(said.query) == [
        ("metric", DURATION),
        ("stat", "p99"),
        ("by", "http.route,app"),
        ("where.http.request.method", "GET"),
        ("before", "1"),
        ("range", "1h"),
    ]
    assert past.ask(answer.headers["Location"]).status == 200


def test_the_days_before() -> None:
    with opened() as one:
        one.monitor.beats.clear()
        history = History()
        now = time.time()
        filling = Past(history)
        for day in (7, 1, 0):
            for minute in range(90, -1, -1):
                filling.minute(now - 86400 * day - 60 * minute)
        one.monitor.history = history
        found = rows_of(board(one, metric="cherrypy.requests", before="1", range="1h"))
        assert list(found) == ["per second", "24 h ago", "7 d ago"]
        by = {"by": "http.route", "stat": "p95", "before": "1", "range": "1h"}
        found = rows_of(board(one, metric=DURATION, **by))
        first = next(iter(found))
        assert {f"{first}, 24 h ago", f"{first}, 7 d ago"} < set(found)
        assert found[f"{first}, 24 h ago"][5] == pytest.approx(1.5, rel=0.05)


def test_between_two_moments(past: Open) -> None:
    now = int(time.time())
    ends = {"from": str(now - 5400), "to": str(now - 1800)}
    chart = board(past, metric="cherrypy.requests", **ends)
    assert chart["step"] <= 60
    assert now - 5460 <= chart["times"][0] <= now - 5400
    assert now - 1860 <= chart["times"][-1] < now - 1740
    text = past.ask(asked(metric="cherrypy.requests", **ends)).text
    assert 'data-refresh="0.0"' in text  # it does not change any more
    # The links to earlier and later lead on, and those of ranges back to what is now.
    for words in ("← Earlier", "Later →", "Closer"):
        to = re.search(rf'href="([^"]+)">{words}<', text)
        assert to and past.ask(html.unescape(to[1])).status == 200
    assert not re.search(r'from=[^"]*"[^>]*>1 h<', text)


def test_a_heat_map_of_all_values(past: Open) -> None:
    text = past.ask(asked(metric=DURATION, stat="buckets", range="1h")).text
    assert 'class="drawing heat-map"' in text and "<figure" not in text
    told = {float(one) for one in re.findall(r"of about ([\d.]+)\u202fms<", text)}
    assert any(3 < one < 5 for one in told) and any(16 < one < 24 for one in told)
    refused = past.ask(f"/api/series?metric={DURATION}&stat=buckets&format=csv")
    assert refused.status == 400 and "JSON" in refused.json["error"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("metric=nothing", 404, "no metric"),
        ("metric=cherrypy.request", 404, "Did you mean"),
        ("metric=cherrypy.requests&stat=p95", 400, "rate, delta"),
        ("metric=cherrypy.requests&by=rout", 400, "no label"),
        ("metric=cherrypy.requests&by.rout=1", 400, "no label"),
        ("metric=cherrypy.requests&where.x=1", 400, "no label"),
        ("metric=cherrypy.requests&range=1y", 400, "range"),
        ("metric=cherrypy.requests&from=9&to=3", 400, "before"),
        ("metric=cherrypy.requests&from=1&to=1e11", 400, "20 years"),
        ("metric=cherrypy.requests&from=yesterday", 400, "number"),
        ("metric=cherrypy.requests&from=nan", 400, "number"),
        ("metric=cherrypy.requests&to=1e300", 400, "number"),
        ("metric=" + "x" * 3000, 404, "no metric"),
    ],
)
@pytest.mark.parametrize("path", ["/explore?", "/api/board?board=explore&"])
def test_what_cannot_be_asked(past: Open, path: str, query: str, status: int, words: str) -> None:
    answer = past.ask(path + query)
    assert answer.status == status
    assert words in answer.text


@pytest.mark.parametrize(
    "ends", [("1", "600000000"), ("99999999000", "99999999999"), ("", "3601"), ("", "11")]
)
def test_far_away_there_is_nothing(past: Open, ends: tuple[str, str]) -> None:
    """However long ago, or in the future: an answer at once, of few steps."""
    params = {name: end for name, end in zip(("from", "to"), ends, strict=True) if end}
    answer = past.ask(asked(metric="cherrypy.requests", **params))
    assert answer.status == 200
    assert len(answer.body) < 100_000


def test_each_metric_answers(past: Open) -> None:
    for metric in METRICS.values():
        for stat in stats_of(metric):
            answer = past.ask(
                "/api/board?board=explore&range=15m&"
                + urlencode(
                    {"metric": metric.name, "stat": stat, "by": ",".join(labels_of(metric))}
                )
            )
            wanted = 400 if stat == "buckets" else 200
            assert answer.status == wanted, (metric, stat, answer.text)
        answer = past.ask(asked(metric=metric.name, before="1"))
        assert answer.status == 200, metric


def test_every_chart_leads_here(past: Open) -> None:
    for one in (*BOARDS.values(), ROUTE):
        about = {"http.route": "/broken"} if one is ROUTE else {}
        for chart in one.charts:
            found = questions(chart, about)
            assert found, (one.name, chart.name)
            for question in found:
                answer = past.ask(question.address("/explore", ("range", "1h")))
                assert answer.status == 200, question
                if about and "http.route" in question.metric.labels:
                    assert ("http.route", "/broken") in question.where
    text = past.ask("/?range=1h").text
    assert text.count('class="explore"') == text.count("<figure")
    link = "/explore?metric=cherrypy.responses&amp;stat=rate&amp;by=class&amp;range=1h"
    assert f'href="{link}" class="explore"' in text
    first = past.ask("/route?route=/broken&range=1h").text.partition('class="explore"')[0]
    assert "where.http.route=%2Fbroken" in first.rpartition("href=")[2]


def test_marks_stand_in_words_too(past: Open) -> None:
    past.monitor.history.mark("config", "level <2>", time.time() - 900)
    for path in (asked(metric="cherrypy.requests", range="1h"), "/errors?range=1h"):
        text = past.ask(path).text
        assert "<title>config: level &lt;2&gt;</title>" in text
        assert "</time> config: level &lt;2&gt;</li>" in text
    found = past.ask("/api/marks?range=1h").json
    assert {"kind": "config", "text": "level <2>"}.items() <= found[-1].items()


def test_a_metric_that_is_off_says_so(past: Open) -> None:
    text = past.ask(asked(metric="cherrypy.session.size")).text
    assert "This metric is off." in text and "monitor.level = 2" in text


def test_a_value_without_neighbours_is_seen(past: Open) -> None:
    """A line has at least two points, and an area a width; one value alone is drawn as well."""
    span = Span.between(past.monitor.dashboard.front.data, 0, 200)
    values = [None] * len(span.times)
    values[5] = 1.0
    for kind in ("lines", "stack"):
        chart = Chart("one", "One", "", lambda span: [], kind=kind)
        drawing = drawings.chart(Drawn(chart, span, [Row("one", values)], []))
        found = re.search(r'<path d="M([\d.]+) ([\d.]+)(h[^"]+)" class="(line|area)', drawing)
        assert found, kind


def test_too_much_at_once_is_refused(past: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    path = f"/api/series?metric={DURATION}&by=http.route&from={now - 3600}&to={now}&step=10"
    paths = (path, asked(metric=DURATION, by="http.route", range="1h"))
    monkeypatch.setattr(data, "MOST_CELLS", 3 * 180 - 1)
    for one in paths:
        answer = past.ask(one)
        assert answer.status == 400 and "fewer labels" in answer.text, one
    assert past.ask(path.replace("step=10", "step=30")).status == 200
    monkeypatch.undo()
    # Two are answered at once; who comes meanwhile waits, but not for ever.
    monkeypatch.setattr(data, "PATIENCE", 0.05)
    known = past.monitor.dashboard.front.data
    wanted = Wanted(METRICS[DURATION], now - 60, now, 60.0)
    with known.turn(wanted), known.turn(wanted):
        for one in paths:
            answer = past.ask(one)
            assert answer.status == 503 and answer.headers["Retry-After"] == "10", one
        assert past.ask("/?range=1h").status == 200
    assert [past.ask(one).status for one in paths] == [200, 200]


def test_a_refusal_is_a_page_for_people(past: Open) -> None:
    answer = past.ask("/explore?metric=no", headers={"Accept": "text/html"})
    assert answer.status == 404
    assert "<h1>404 Not Found</h1>" in answer.text and ">Overview</a>" in answer.text
    assert "/static/style.css" in answer.text and 'name="viewport"' in answer.text


def test_many_series_are_not_too_many() -> None:
    """Ten thousand values of a label: a short page, and no end of words."""
    with opened() as one:
        one.monitor.beats.clear()
        history = History()
        filling = Past(history)
        now = time.time()
        filling.minute(now - 120)
        for number in range(10_000):
            name = f"<b>{number}</b>" if number == 9_999 else f"/{number:05}"
            filling.count("cherrypy.request.slow", 1 + (number == 9_999), name)
        filling.minute(now - 60)
        one.monitor.history = history
        path = asked(metric="cherrypy.request.slow", by="http.route", stat="delta", range="5m")
        answer = one.ask(path)
        assert answer.status == 200
        assert answer.text.count("<option") < MOST_VALUES + 20
        assert len(answer.body) < 200_000
        assert "the greatest of 10\u202f000 series" in answer.text
        assert "<b>" not in answer.text and "&lt;b&gt;9999" in answer.text
        chart = board(one, metric="cherrypy.request.slow", by="http.route", stat="delta")
        assert len(chart["rows"]) == 9 and chart["rows"][-1]["label"] == "others"
        found = one.ask("/api/series?metric=cherrypy.request.slow&by=http.route&step=60").json
        assert len(found["rows"]) == 1000 and found["left_out"] == 9000
        # In seconds that would be more than anybody reads.
        refused = one.ask("/api/series?metric=cherrypy.request.slow&by=http.route&step=2")
        assert refused.status == 400


def test_what_takes_too_long_is_refused_with_what_to_ask(
    past: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time()) // 3600 * 3600
    words = f"/api/series?metric={DURATION}&by=http.route&from={now - 7200}&to={now}"
    monkeypatch.setattr(data, "MOST_WORK", 600)  # two hours of minutes are 120 frames of 3 series
    refused = past.ask(words + "&step=10")
    assert refused.status == 400
    found = re.search(r"ask for a step of (\d+) s, ", refused.json["error"])
    assert found and "where.LABEL=" in refused.json["error"]
    assert past.ask(f"{words}&step={found[1]}").status == 200
    smaller = [step for step in STEPS if step < int(found[1])]
    assert past.ask(f"{words}&step={smaller[-1]}").status == 400
    # One that reads less: of one route, for less time, or numbers instead of histograms.
    assert past.ask(words + "&step=20&where.http.route=/").status == 200
    assert past.ask(words.replace(str(now - 7200), str(now - 600)) + "&step=10").status == 200
    number = words.replace(DURATION, "cherrypy.requests").replace("&by=http.route", "")
    assert past.ask(number + "&step=10").status == 200
    monkeypatch.setattr(data, "MOST_WORK", 1)
    refused = past.ask(words + "&step=10")
    assert refused.status == 400 and "for less time" in refused.json["error"]
    assert "a step of" not in refused.json["error"]


def test_what_a_query_reads_is_known_before(past: Open) -> None:
    history, metric = past.monitor.history, METRICS[DURATION]
    now = history.now()
    frames, series, steps = history.effort(metric, now - 3600, now, 60.0, by=("http.route",))
    read = list(history._parts(history.levels[2], now - 3600, now))
    assert abs(frames - len(read)) <= 3
    assert series == len(history.names.of(metric)) and steps == 60
    assert history.effort(metric, now - 1e6, now, 600.0)[0] <= 181 * 6  # no more than there is
    with pytest.raises(ValueError, match="no label"):
        history.effort(metric, now - 60, now, where={"nobody": "x"})


def long_past(one: Open, routes: int, frames: int) -> float:
    """Fill the history with minutes of many routes; return when the last of them was."""
    history, metric = History({"1m": "8d", "10m": "60d"}), METRICS[DURATION]
    level = history.levels[1]
    level.most = frames
    now = time.time() // 3600 * 3600
    spread = Spread(metric.scale, 1.0, 0.5, {200 + bucket: 3 for bucket in range(20)})
    for minute in range(frames, 0, -1):
        frame = Frame(now - 60.0 * minute, 60.0)
        for route in range(routes):
            frame.spreads[metric, ("GET", f"/r{route}", "200", "http", "1.1", "", "")] = spread
        level.put(int(frame.at), pack(frame, history.names))
    one.monitor.beats.clear()
    last = Snapshot("site", 0.0, now)
    last.details = {"7": {}}
    history.add(last)
    one.monitor.history = history
    return now


def test_others_are_answered_while_somebody_asks_for_much() -> None:
    """Who asks for more than some seconds' work is refused at once; and what is allowed is no wall."""
    with opened() as one:
        now = long_past(one, 200, 1000)
        words = f"/api/series?metric={DURATION}&by=http.route&to={now:.0f}"
        began = time.monotonic()
        refused = one.ask(f"{words}&from={now - 60_000:.0f}&step=60")
        assert refused.status == 400 and time.monotonic() - began < 5
        heavy = f"{words}&from={now - 18_000:.0f}&step=60"
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(one.ask(heavy).status)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        meanwhile: list[float] = []
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            assert one.ask("/api/now").status == 200
            meanwhile.append(time.monotonic() - began)
        assert len(found) == 8 and set(found) == {200, 503}
        assert len(meanwhile) > 3 and sorted(meanwhile)[len(meanwhile) // 2] < 1.0
