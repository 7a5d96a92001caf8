"""Tasks in the background: their rhythm, their failures, their end."""

from __future__ import annotations

import threading
import time

import pytest
from bus_kit import LoggedBus, until

from cherrypy.process.plugins import BackgroundTask, Monitor, PerpetualTimer


@pytest.fixture
def bus():
    made = LoggedBus()
    yield made
    if made.state is not made.states.EXITING:
        made.exit()


def test_a_monitor_lives_with_the_bus(bus):
    calls = []
    monitor = Monitor(bus, lambda: calls.append(threading.current_thread()), 0.02, "watch")
    monitor.subscribe()
    bus.start()
    thread = monitor.thread
    assert isinstance(thread, BackgroundTask)
    assert thread.daemon and thread.name == "watch"
    until(lambda: len(calls) >= 3)
    assert set(calls) == {thread}
    monitor.start()
    assert monitor.thread is thread
    bus.graceful()
    assert monitor.thread is not thread
    thread.join(2)
    assert not thread.is_alive()
    other = monitor.thread
    bus.stop()
    other.join(2)
    assert not other.is_alive()
    assert monitor.thread is None
    assert bus.texts == [
        "Bus STARTING",
        "Started monitor thread 'watch'.",
        "Bus STARTED",
        "Monitor thread 'watch' already started.",
        "Bus graceful",
        "Stopped thread 'watch'.",
        "Started monitor thread 'watch'.",
        "Bus STOPPING",
        "Stopped thread 'watch'.",
        "Bus STOPPED",
    ]


def test_no_frequency_no_thread_and_the_class_names_it(bus):
    monitor = Monitor(bus, lambda: None, 0)
    monitor.start()
    assert monitor.thread is None
    monitor.stop()
    monitor.frequency = 30
    monitor.start()
    assert monitor.thread.name == "Monitor"
    monitor.stop()
    assert bus.texts == [
        "No thread running for Monitor.",
        "Started monitor thread 'Monitor'.",
        "Stopped thread 'Monitor'.",
    ]


def test_start_priority_is_after_the_daemonizer(bus):
    monitor = Monitor(bus, lambda: None)
    monitor.subscribe()
    assert bus._priorities["start", monitor.start] == 70
    monitor.unsubscribe()
    assert bus.listeners["start"] == set()


def test_failures_are_logged_once_in_a_row_and_the_task_goes_on(bus):
    state = {"fail": True, "calls": 0}

    def work():
        state["calls"] += 1
        if state["fail"]:
            raise ValueError("transient")

    task = BackgroundTask(0.01, work, bus=bus)
    task.start()
    until(lambda: state["calls"] >= 4)
    state["fail"] = False
    until(lambda: len(bus.lines) == 2)
    task.cancel()
    task.join(2)
    assert not task.is_alive()
    level, text = bus.lines[0]
    assert level == 40
    assert text.startswith(f"Error in background task thread function {work!r}.\nTraceback")
    assert "ValueError: transient" in text
    assert bus.texts[1].startswith(f"{work!r} works again after ")


def test_without_a_bus_a_failure_ends_the_task(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    task = BackgroundTask(0.01, lambda: 1 / 0)
    task.start()
    task.join(5)
    assert seen == [ZeroDivisionError]


def test_arguments_and_cancelling_at_once():
    calls = []
    task = BackgroundTask(0.01, lambda *a, **k: calls.append((a, k)), (1,), {"x": 2})
    assert task.running is False
    task.start()
    until(lambda: calls)
    assert task.running is True
    assert calls[0] == ((1,), {"x": 2})
    task.cancel()
    task.join(2)

    slow = BackgroundTask(60, calls.clear)
    slow.start()
    began = time.monotonic()
    slow.cancel()
    slow.join(5)
    assert time.monotonic() - began < 1
    early = BackgroundTask(0, calls.clear)
    early.cancel()
    early.start()
    early.join(2)
    assert calls


def test_stopping_a_monitor_from_its_own_thread_does_not_deadlock(bus):
    done = threading.Event()

    def work():
        monitor.stop()
        done.set()

    monitor = Monitor(bus, work, 0.01)
    monitor.start()
    thread = monitor.thread
    assert done.wait(5)
    thread.join(2)
    assert not thread.is_alive()


def test_a_perpetual_timer_repeats_until_cancelled(bus):
    calls = []
    timer = PerpetualTimer(0.01, calls.append, (5,), bus=bus)
    assert timer.daemon is False
    timer.start()
    until(lambda: len(calls) >= 3)
    timer.cancel()
    timer.join(2)
    assert not timer.is_alive()
    assert set(calls) == {5}

    timer = PerpetualTimer(0.01, lambda: 1 / 0, bus=bus)
    timer.start()
    until(lambda: bus.lines)
    timer.cancel()
    timer.join(2)
    assert bus.texts[0].startswith("Error in perpetual timer thread function ")
