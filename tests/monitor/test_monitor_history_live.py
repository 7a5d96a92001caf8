"""The history of a running engine: what its threads count is in it a moment later."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.store import Store
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


def lived(path: Path, said: list[str], **settings: Any) -> list[tuple[str, str]]:
    """The marks that a monitor's life adds to a file."""
    bus = Bus()
    bus.subscribe("log", lambda text, level: said.append(text))
    monitor: Any = Monitor(bus)
    setattr(monitor, "store.path", str(path))
    for name, value in settings.items():
        setattr(monitor, name, value)
    monitor.subscribe()
    began = time.time() - 0.001
    bus.start()
    monitor.beat()
    bus.stop()
    bus.exit()
    return [(mark.kind, mark.text) for mark in monitor.history.marks(began, time.time() + 1)]


def test_versions_are_marked_when_they_are_new(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite3"
    started, said = ("restart", "started"), list[str]()
    assert lived(path, said, app_version="1.0") == [started, ("deploy", "version 1.0")]
    assert lived(path, said, app_version="1.0") == [started]
    assert lived(path, said, app_version="1.1") == [started, ("deploy", "version 1.1 after 1.0")]
    assert lived(path, said) == [started]


def test_a_start_after_a_kill_says_so(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite3"
    program = (
        "import os, sys\n"
        "from cherrypy.monitor.plugin import Monitor\n"
        "from cherrypy.process.wspbus import Bus\n"
        "monitor = Monitor(Bus())\n"
        "setattr(monitor, 'store.path', sys.argv[1])\n"
        "monitor.subscribe(); monitor.bus.start(); monitor.beat(); os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], timeout=30, check=False)
    assert lived(path, []) == [("restart", "started after it was killed")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"store.path": "/nowhere/at/all/monitor.sqlite3"},
            "([Errno 2] No such file or directory: '/nowhere/at/all')",
        ),
        ({"store.retention": {"10s": "6h", "15s": "1d"}}, "steps of 15 s are no multiple of 10 s."),
    ],
)
def test_what_cannot_be_is_said_and_the_rest_goes_on(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    said: list[str] = []
    marks = lived(tmp_path / "monitor.sqlite3", said, **settings)
    assert marks == [("restart", "started")]
    assert [text for text in said if words in text]


def test_a_second_monitor_on_one_file_stays_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite3"
    history = History(store=Store(path))
    said: list[str] = []
    assert lived(path, said) == [("restart", "started")]
    assert any(f"{path} is in use by process {os.getpid()}" in text for text in said)
    history.close()


def test_alerts_are_a_part_and_an_assignment_is_to_the_setting(monitor: Any) -> None:
    assert len(monitor.alerts.rules) == 4
    monitor.alerts = ["mine: process.uptime >= 0", "not mine"]
    assert monitor.settings["alerts"] == ["mine: process.uptime >= 0", "not mine"]
    monitor.beat()
    assert [rule.name for rule in monitor.alerts.rules][-1] == "mine"
    assert len(monitor.alerts.wrong) == 1


def test_memory_outlives_a_stop_of_the_engine() -> None:
    bus = Bus()
    monitor: Any = Monitor(bus)
    monitor.subscribe()
    began = time.time() - 2
    for _ in range(2):
        bus.start()
        RESPONSES.add(10, ("2xx",))
        monitor.beat()
        bus.stop()
        RESPONSES.add(1000, ("2xx",))  # nobody looks
    bus.exit()
    found = monitor.history.query(RESPONSES.name, began, time.time() + 1, inf, stat="delta")
    assert found.rows[()] == [20.0]
    marks = monitor.history.marks(began, time.time() + 1)
    assert [mark.text for mark in marks].count("started") == 2
