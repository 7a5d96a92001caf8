"""The benchmark harness: wrk's report is read right, and a goal is never called reached without a figure."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from house import TOP

WRK = """\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   682.10us    1.20ms  40.01ms   97.12%
    Req/Sec    71.20k     3.10k   75.00k    80.00%
  Latency Distribution
     50%  651.00us
     75%    0.90ms
     90%    1.20ms
     99%    2.50s
  143000 requests in 2.00s, 20.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  71500.12
Transfer/sec:     10.00MB
"""


@pytest.fixture
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(TOP))
    try:
        from benchmarks import load, report

        yield load, report
    finally:
        sys.path.remove(str(TOP))


def test_wrk_is_understood(modules: tuple[ModuleType, ModuleType]) -> None:
    result = modules[0].parse(WRK)
    assert result.rate == 71500.12
    assert result.p50 == pytest.approx(0.651)
    assert result.p99 == 2500
    assert result.errors == 15


def test_a_report_without_latency(modules: tuple[ModuleType, ModuleType]) -> None:
    result = modules[0].parse("Requests/sec: 10.0\n")
    assert (result.rate, result.errors) == (10.0, 0)
    assert math.isnan(result.p50)


def turns(*rates: float) -> list[dict[str, float]]:
    return [{"rate": rate, "p50": 1.0, "p99": 4.0, "errors": 0} for rate in rates]


def results(**contenders: list[dict[str, float]]) -> dict[str, object]:
    return {
        "date": "2026-01-01",
        "machine": {"processor": "p", "cores": 2, "kernel": "6", "python": "3", "load_before": 0},
        "options": {"rounds": 3, "seconds": 4.0},
        "workloads": {"hello": contenders},
        "costs": {},
        "absent": {"falcon+granian": "it did not listen"},
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (turns(50, 41, 10), turns(2, 2, 2), True),  # the median, not the mean or the best
        (turns(39, 39, 900), turns(2, 2, 2), False),
        (None, turns(2), None),
        (turns(40), None, None),
    ],
)
def test_goals(
    modules: tuple[ModuleType, ModuleType],
    ours: list[dict[str, float]] | None,
    theirs: list[dict[str, float]] | None,
    verdict: bool | None,
) -> None:
    report = modules[1]
    measured = {name: row for name, row in (("kirsch", ours), ("cherrypy", theirs)) if row}
    run = results(**measured)
    verdicts = {goal: reached for _, goal, _, reached in report.goals(run)}
    assert verdicts["≥ 20 × cherrypy"] is verdict
    assert verdicts["≥ 1 × falcon+granian"] is None
    page = report.markdown(run)
    assert "| hello | ≥ 1 × falcon+granian |  | not measured |" in page
    assert "falcon+granian: it did not listen" in page


def test_websockets_have_their_goals_and_their_table(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    report = modules[1]
    run = results()
    run["websocket"] = {
        "kirsch": [
            {"echo_125": 11.0, "echo_16k": 50.0, "idle": 2.5},
            {"echo_125": 14.0, "echo_16k": 41.0},
            {"echo_125": 11.5, "echo_16k": 39.0},
        ],
        "ws4py": [{"echo_125": 50.0}],
    }
    verdicts = {what: reached for what, _, _, reached in report.goals(run)}
    assert verdicts["WebSocket: echo of 125 B"] is True  # the median of three
    assert verdicts["WebSocket: echo of 16 KiB"] is False
    assert verdicts["WebSocket: idle connection (of 1,000)"] is True
    assert verdicts["WebSocket: 2 of 22 do not read: longest gap"] is None
    page = report.markdown(run)
    assert "| WebSocket: echo of 16 KiB | ≤ 40 µs | 41.0 µs | not reached |" in page
    assert "| | **kirsch** | ws4py |" in page
    assert "| echo of 16 KiB, µs | 41.0 | – |" in page
    assert "WebSocket" not in report.markdown(results())


@pytest.mark.parametrize("message", ["x" * 125, b"y" * 126, "", b"z" * 16384])
def test_the_client_of_websockets_speaks_their_language(
    modules: tuple[ModuleType, ModuleType], message: str | bytes
) -> None:
    from benchmarks.websocket import frame_size, masked

    from kirsch.wire.websocket.protocol import Protocol

    core = Protocol()
    assert core.feed(masked(message)) == [message]
    answer = core.text(message) if isinstance(message, str) else core.binary(message)
    assert len(answer) == frame_size(len(message))


def test_a_section_that_was_measured_later_says_so(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    report = modules[1]
    kept = results(kirsch=turns(10), cherrypy=turns(2))
    kept["websocket"] = {"kirsch": [{"echo_125": 99.0}]}
    later = results(kirsch=turns(90), cherrypy=turns(2))
    later["date"], later["costs"] = "2026-02-02", {"memory": {"kirsch": 2**24}}
    page = report.markdown(report.merged(kept, later))
    assert "Made by `scripts/bench` on 2026-01-01." in page
    assert page.count("Measured by itself on 2026-02-02: load 0 before") == 2
    assert "| **kirsch** | 90 |" in page and "| **kirsch** | 10 |" not in page
    assert "| kirsch | 16.0 |" in page
    assert "| echo of 125 B, µs | 99.0 |" in page
    assert "by itself" not in report.markdown(kept)
