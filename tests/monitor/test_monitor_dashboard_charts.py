"""Charts: which lines they have, what these are called, and where they begin and end."""

from __future__ import annotations

from dashboard_kit import monitor_with
from history_kit import Clockwork

from cherrypy.monitor.dashboard.boards import ERRORS
from cherrypy.monitor.dashboard.charts import Chart, Row, within_lives
from cherrypy.monitor.dashboard.data import Data, Span
from cherrypy.monitor.dashboard.subjects import RUNTIME
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS

EXCEPTIONS, PROCESSOR = METRICS["cherrypy.exceptions"], METRICS["process.cpu.time"]
UPTIME = METRICS["process.uptime"]


def a_past() -> tuple[Clockwork, Data]:
    monitor = monitor_with()
    monitor.history = History()
    return Clockwork(monitor.history), Data(monitor)


def rows_of(name: str, charts: tuple[Chart, ...], clock: Clockwork, data: Data) -> dict[str, Row]:
    chart = next(chart for chart in charts if chart.name == name)
    return {row.label: row for row in chart.source(Span(data, "5m", clock.at))}


def test_exceptions_of_one_name_and_different_modules_are_told_apart() -> None:
    clock, data = a_past()
    for kind, number in (
        ("sqlite3.OperationalError", 3),
        ("sqlalchemy.exc.OperationalError", 2),
        ("shop.SoldOut", 1),
    ):
        clock.count(EXCEPTIONS, number, kind, "/", "false")
    for _ in range(20):
        clock.push()
    found = rows_of("types", ERRORS, clock, data)
    assert list(found) == ["sqlite3.OperationalError", "sqlalchemy.exc.OperationalError", "SoldOut"]


def test_the_line_of_a_process_is_as_long_as_its_life() -> None:
    clock, data = a_past()
    for second in range(150):
        clock.whole.gauges.clear()
        clock.gauge(UPTIME, float(second), "1")
        # Processes that have nothing to do use nothing that a clock of hundredths would tell.
        clock.count(PROCESSOR, 0.5 if second % 30 == 29 else 0.0, "user", "1")
        if 50 <= second < 100:
            clock.gauge(UPTIME, float(second), "2")
            clock.count(PROCESSOR, 0.0 if second < 80 else 0.25, "user", "2")
        clock.push()
    found = rows_of("cpu", RUNTIME, clock, data)
    known = {
        label: [place for place, value in enumerate(row.values) if value is not None]
        for label, row in found.items()
    }
    first, second = known["1"], known["2"]
    step = Span(data, "5m", clock.at).step
    assert abs(len(first) * step - 150) <= 2 * step
    assert abs(len(second) * step - 50) <= 2 * step
    assert abs((second[0] - first[0]) * step - 50) <= step
    values = [value for value in found["2"].values if value is not None]
    assert values[0] == 0.0 and max(values) > 20.0  # idle is not absent


def test_lines_stay_where_nothing_says_when_a_process_lived() -> None:
    clock, data = a_past()
    span = Span(data, "5m", clock.at)
    row = Row("1", [1.0] * len(span.times))
    assert within_lives(lambda span: [row])(span) == [row]
