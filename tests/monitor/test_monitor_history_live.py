"""The history of a running engine: what its threads count is in it a moment later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.process.wspbus import Bus

RESPONSES = METRICS["cherrypy.responses"]


@pytest.fixture
def monitor() -> Iterator[Any]:
    bus = Bus()
    monitor = Monitor(bus)
    monitor.subscribe()
    bus.start()
    yield monitor
    bus.stop()
    bus.exit()


def test_what_is_counted_is_in_the_history(monitor: Any) -> None:
    began = time.time() - 2
    RESPONSES.add(20, ("2xx",))
    deadline = time.monotonic() + 10
    count = 0.0
    while count < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
        found = monitor.history.query(RESPONSES.name, began, time.time() + 1, 1.0, stat="delta")
        count = sum(value for value in found.rows[()] if value)
    assert count == 20
    assert monitor.history.latest().counts[RESPONSES, ("2xx",)] >= 20


def test_start_and_settings_are_marked(monitor: Any) -> None:
    monitor.level = 2
    marks = monitor.history.marks(time.time() - 60, time.time() + 1)
    assert [(mark.kind, mark.text) for mark in marks] == [
        ("restart", "started"),
        ("config", "monitor.level was changed"),
    ]


def test_what_was_counted_before_it_began_is_no_peak() -> None:
    RESPONSES.on = True
    RESPONSES.add(1_000_000, ("2xx",))
    bus = Bus()
    monitor = Monitor(bus)
    monitor.subscribe()
    bus.start()
    try:
        monitor.beat()
        found = monitor.history.query(
            RESPONSES.name, time.time() - 10, time.time() + 1, 1.0, stat="delta"
        )
        assert sum(value for value in found.rows[()] if value) < 1000
    finally:
        bus.stop()
        bus.exit()
