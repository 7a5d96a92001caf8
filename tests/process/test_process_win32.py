"""The Windows module, with a stand-in kernel32 that calls back through ctypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time

import pytest
from bus_kit import LoggedBus, until

from cherrypy.process import win32, wspbus


class Kernel32:
    """Keeps what SetConsoleCtrlHandler is given, as Windows does, and calls it from a thread."""

    def __init__(self, answer=1):
        self.answer = answer
        self.routines = []

    def SetConsoleCtrlHandler(self, routine, add):
        assert isinstance(routine, ctypes._CFuncPtr)
        if not self.answer:
            return 0
        if add:
            self.routines.append(routine)
        else:
            self.routines.remove(routine)
        return 1

    def event(self, number):
        settled = []

        def call():
            # The latest handler is asked first; the first that returns true ends the round.
            for routine in reversed(list(self.routines)):
                settled.append(routine(number))
                if settled[-1]:
                    break

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(10)
        return settled


@pytest.fixture
def bus():
    made = LoggedBus()
    yield made
    if made.state is not made.states.EXITING:
        made.exit()


def test_the_handler_lives_with_the_bus(bus):
    kernel = Kernel32()
    handler = win32.ConsoleCtrlHandler(bus, kernel)
    handler.subscribe()
    bus.start()
    assert handler.is_set is True
    assert len(kernel.routines) == 1
    handler.start()
    assert len(kernel.routines) == 1
    bus.stop()
    assert kernel.routines == []
    handler.stop()
    assert [text for text in bus.texts if "onsole" in text] == [
        "Set handler for console events.",
        "Handler for console events already set.",
        "Removed handler for console events.",
        "Handler for console events already off.",
    ]


@pytest.mark.parametrize("event", [0, 1, 2, 5, 6])
def test_ending_events_have_the_bus_down_when_they_return(bus, event):
    kernel = Kernel32()
    win32.ConsoleCtrlHandler(bus, kernel).subscribe()
    bus.start()
    assert kernel.event(event) == [1]
    assert bus.state is bus.states.EXITING
    assert f"Console event {event}: shutting down bus" in bus.texts
    assert bus.texts[-1] == "Bus EXITED"
    assert kernel.routines == []


def test_an_event_waits_for_an_exit_that_has_begun_elsewhere(bus):
    """Windows ends the process as soon as the handler of a close event returns."""
    kernel = Kernel32()
    win32.ConsoleCtrlHandler(bus, kernel).subscribe()
    inside, go = threading.Event(), threading.Event()

    def slow():
        inside.set()
        go.wait(10)

    bus.subscribe("stop", slow, 20)  # as servers, before the handler itself is taken off
    bus.start()
    leaving = threading.Thread(target=bus.exit)
    leaving.start()
    assert inside.wait(5)
    settled = []
    event = threading.Thread(target=lambda: settled.extend(kernel.event(win32.CTRL_CLOSE_EVENT)))
    event.start()
    until(lambda: "Console event 2: shutting down bus" in bus.texts)
    event.join(0.1)
    assert event.is_alive()
    assert settled == []
    go.set()
    event.join(5)
    leaving.join(5)
    assert settled == [1]
    assert bus.texts[-1] == "Bus EXITED"


def test_a_failing_listener_does_not_lose_the_event(bus):
    kernel = Kernel32()
    win32.ConsoleCtrlHandler(bus, kernel).subscribe()
    bus.subscribe("stop", lambda: 1 / 0)
    bus.start()
    assert kernel.event(win32.CTRL_SHUTDOWN_EVENT) == [1]
    assert bus.state is bus.states.EXITING


def test_an_event_wakes_who_waits_for_the_bus_at_once(bus):
    kernel = Kernel32()
    win32.ConsoleCtrlHandler(bus, kernel).subscribe()
    bus.start()
    woken = []

    def wait():
        bus.wait(bus.states.EXITING, interval=60)
        woken.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: bus._waiters)
    began = time.monotonic()
    kernel.event(win32.CTRL_C_EVENT)
    waiter.join(5)
    assert woken[0] - began < 2


def test_the_constants_are_those_of_wincon_h():
    events = {name: value for name, value in vars(win32).items() if name.endswith("_EVENT")}
    assert events == {
        "CTRL_C_EVENT": 0,
        "CTRL_BREAK_EVENT": 1,
        "CTRL_CLOSE_EVENT": 2,
        "CTRL_LOGOFF_EVENT": 5,
        "CTRL_SHUTDOWN_EVENT": 6,
    }


@pytest.mark.parametrize("event", [3, 4, 7])
def test_other_events_are_left_to_others(bus, event):
    kernel = Kernel32()
    win32.ConsoleCtrlHandler(bus, kernel).subscribe()
    bus.start()
    assert kernel.event(event) == [0]
    assert bus.state is bus.states.STARTED
    bus.exit()


def test_refusals_are_logged(bus):
    handler = win32.ConsoleCtrlHandler(bus, Kernel32(answer=0))
    handler.start()
    assert handler.is_set is False
    handler.is_set = True
    handler.stop()
    assert handler.is_set is False
    assert bus.lines == [
        (40, "Could not SetConsoleCtrlHandler (error 0)"),
        (40, "Could not remove SetConsoleCtrlHandler (error 0)"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there it works")
def test_elsewhere_it_says_so(bus):
    win32.ConsoleCtrlHandler(bus).start()
    assert bus.lines == [(30, "Console events exist on Windows only.")]


def test_the_bus_has_an_event_for_each_state():
    bus = win32.Win32Bus()
    states = bus.states
    assert bus._get_state_event(states.STOPPED).is_set()
    bus.start()
    assert bus.state is states.STARTED
    assert bus._get_state_event(states.STARTED).is_set()
    assert not bus._get_state_event(states.STOPPED).is_set()
    waiter = threading.Thread(target=bus.wait, args=(states.EXITING, 30))
    waiter.start()
    bus.exit()
    waiter.join(5)
    assert not waiter.is_alive()
    assert bus._get_state_event(states.EXITING).wait(0)


def test_control_codes():
    assert win32.control_codes == {"graceful": 138}
    assert win32.control_codes.key_for(138) == "graceful"
    with pytest.raises(ValueError, match="The given object could not be found: 1"):
        win32.control_codes.key_for(1)


@pytest.fixture
def controller(tmp_path, monkeypatch):
    """A stand-in ``sc`` on the PATH, which notes its arguments."""
    notes = tmp_path / "notes"
    script = tmp_path / "sc"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {notes}\n'
        '[ "$2" = missing ] && { echo "FAILED 1060: no such service"; exit 36; }\n'
        '[ "$1" = query ] && echo "STATE : 1 STOPPED"\nexit 0\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return notes


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_signal_child(controller):
    win32.signal_child("Web", "stop")
    win32.signal_child("Web", "graceful")
    win32.signal_child("Web", "restart")
    assert controller.read_text().splitlines() == [
        "stop Web",
        "control Web 138",
        "stop Web",
        "query Web",
        "start Web",
    ]
    with pytest.raises(RuntimeError, match="FAILED 1060"):
        win32.signal_child("missing", "stop")
    with pytest.raises(KeyError):
        win32.signal_child("Web", "unheard")


def test_the_service_runs_the_process_bus(monkeypatch):
    own = LoggedBus()
    monkeypatch.setattr(wspbus, "bus", own)
    service = win32.PyWebService()
    reports = []
    service.ReportServiceStatus = reports.append
    own.subscribe("main", service.SvcStop)
    graceful = []
    own.subscribe("graceful", lambda: graceful.append(1))
    own.subscribe("start", lambda: service.SvcOther(138))
    service.SvcDoRun()
    assert own.state is own.states.EXITING
    assert reports == [3]
    assert graceful == [1]
    assert win32.PyWebService._svc_name_ == "Python Web Service"


def test_importing_needs_no_pywin32_and_starts_nothing():
    code = (
        "import sys, threading; from cherrypy.process import win32;"
        "print(threading.active_count(), [m for m in sys.modules if m.startswith('win32')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.startswith("1 []"), done.stderr
