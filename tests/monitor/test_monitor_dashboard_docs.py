"""The pages about the monitor and its dashboard: their samples run, their tables are those of the code.

And the table of the charts asks for metrics, labels and figures that there are.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cherrypy.monitor.dashboard.boards import BOARDS, ROUTE
from cherrypy.monitor.dashboard.charts import Chart
from cherrypy.monitor.dashboard.front import DOORS
from cherrypy.monitor.dashboard.guard import tokens_of
from cherrypy.monitor.dashboard.questions import Heard
from cherrypy.monitor.dashboard.rooms import ACTIONS
from cherrypy.monitor.history.query import check, check_stat, metric_of
from docs_kit import check_program, page, programs

TOP = Path(__file__).resolve().parent.parent.parent
PICTURES = TOP / "docs" / "pictures"


@pytest.mark.parametrize("source", programs("monitoring", "monitoring/dashboard"))
def test_samples(source: str) -> None:
    check_program(source, silent=True)


def test_every_board_has_a_row() -> None:
    table = page("monitoring/dashboard").partition("| page | shows |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert [row for row in rows if row != "---"] == [board.title for board in BOARDS.values()]


def test_every_path_of_the_api_has_a_row() -> None:
    table = page("monitoring/dashboard").partition("| path | gives |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(/[^`?]*)[?`]", table))
    wanted = {path for path in DOORS if path.startswith(("/api", "/-/"))}
    assert wanted <= named
    assert named <= set(DOORS)


def test_the_actions_are_named() -> None:
    text = page("monitoring/dashboard")
    words = {
        "begin": "profile",
        "stack": "stack",
        "level": "level",
        "collect": "collection",
        "pause": "pause",
        "choose": "what is recorded",
    }
    assert {path.rpartition("/")[2] for path in ACTIONS} == set(words)
    line = text.partition("* Actions (")[2].partition(")")[0]
    assert all(word in line for word in words.values())


def test_tokens_of_the_samples_are_taken() -> None:
    found = re.findall(r'"((?:token|view):[^"]+)"', page("monitoring/dashboard"))
    assert len(found) >= 3 and len(tokens_of(found)) == len(found)


def test_pictures_are_small() -> None:
    pages = "".join(
        page(name) for name in ("monitoring", "monitoring/dashboard", "monitoring/processes")
    )
    named = set(re.findall(r"pictures/([\w-]+\.png)", pages))
    assert named == {path.name for path in PICTURES.glob("dashboard*.png")}
    for name in named:
        assert (PICTURES / name).stat().st_size <= 150_000, name


def test_the_script_of_the_pages_is_short() -> None:
    static = TOP / "src" / "cherrypy" / "monitor" / "dashboard" / "static"
    ours = [path for path in static.glob("*.js") if path.name != "uplot.js"]
    assert sum(len(path.read_text("utf-8").splitlines()) for path in ours) < 1000
    assert "MIT License" in (static / "uplot-license.txt").read_text("utf-8")


CHARTS = [
    pytest.param(chart, id=f"{board.name or 'overview'}-{chart.name}")
    for board in (*BOARDS.values(), ROUTE)
    for chart in board.charts
]


@pytest.mark.parametrize("chart", CHARTS)
def test_charts_ask_for_what_there_is(chart: Chart) -> None:
    """A metric, label or figure by a name that there is not would be an empty chart for ever."""
    span = Heard()
    chart.source(span)
    assert span.asked
    for metric, stat, by, where in span.asked:
        found = metric_of(metric)
        check(found, (*by, *where))
        check_stat(found, stat)
