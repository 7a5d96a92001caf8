"""The Windows service, with a stand-in advapi32 that does what the service control manager does."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time

import pytest
from bus_kit import LoggedBus, until

from cherrypy.process import winservice
from cherrypy.process.winservice import Service, Status, TableEntry


class Manager:
    """Calls the service's routines from threads of its own, and writes down what it is told."""

    def __init__(self, refuse=0):
        self.refuse = refuse
        self.reports = []
        self.handler = None
        self.ended = threading.Event()

    def StartServiceCtrlDispatcherW(self, table):
        entries = ctypes.cast(table, ctypes.POINTER(TableEntry))
        assert entries[1].name is None
        assert not entries[1].main
        if self.refuse:
            return 0
        self.name = entries[0].name
        thread = threading.Thread(target=entries[0].main, args=(0, None))
        thread.start()
        assert self.ended.wait(20)
        thread.join(10)
        return 1

    def RegisterServiceCtrlHandlerExW(self, name, routine, context):
        assert name == self.name
        assert isinstance(routine, winservice.HandlerEx)
        self.handler = routine
        return 4711

    def SetServiceStatus(self, handle, status):
        assert handle == 4711
        now = ctypes.cast(status, ctypes.POINTER(Status)).contents
        self.reports.append({name: getattr(now, name) for name, _ in Status._fields_})
        if now.state == winservice.STOPPED:
            self.ended.set()
        return 1

    def control(self, code):
        """As `sc control`: from a thread that must not be kept waiting."""
        began = time.monotonic()
        answer = self.handler(code, 0, None, None)
        assert time.monotonic() - began < 1.5
        return answer

    @property
    def states(self):
        return [report["state"] for report in self.reports]


@pytest.fixture
def bus():
    made = LoggedBus()
    yield made
    if made.state is not made.states.EXITING:
        made.exit()


class Running:
    """A service that runs, in a thread for what is the main thread of its process."""

    def __init__(self, bus):
        self.manager = Manager()
        self.service = Service("Web", bus, self.manager)
        self.thread = threading.Thread(target=self.service.run)

    def __enter__(self):
        self.thread.start()
        until(lambda: winservice.RUNNING in self.manager.states)
        return self.manager

    def __exit__(self, *exc):
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("code", [1, 5, 15])
def test_a_service_starts_runs_and_stops(bus, code):
    ticks = []
    bus.subscribe("main", lambda: ticks.append(1))
    with Running(bus) as manager:
        assert bus.state is bus.states.STARTED
        until(lambda: len(ticks) > 2)
        assert manager.control(code) == 0
    assert bus.state is bus.states.EXITING
    first, *_, last = manager.reports
    assert first == {
        "kind": 0x10,
        "state": 2,
        "accepted": 0,
        "exit_code": 0,
        "own_code": 0,
        "check_point": 1,
        "hint": 30_000,
    }
    assert manager.states == [2, 4, 3, 1]
    running = manager.reports[1]
    assert (running["accepted"], running["check_point"], running["hint"]) == (0x105, 0, 0)
    assert (last["exit_code"], last["accepted"]) == (0, 0)


def test_the_manager_is_never_kept_waiting(bus):
    """It is told, again and again, that a slow stop goes on."""
    bus.subscribe("stop", lambda: time.sleep(2.3))
    with Running(bus) as manager:
        manager.control(winservice.CONTROL_STOP)
        assert manager.control(winservice.CONTROL_INTERROGATE) == 0
    pending = [report["check_point"] for report in manager.reports if report["state"] == 3]
    assert len(pending) >= 4
    assert pending == sorted(set(pending))
    assert manager.states[-1] == 1


def test_codes_of_our_own_are_published(bus):
    graceful = []
    bus.subscribe("graceful", lambda: graceful.append(threading.current_thread().name))
    with Running(bus) as manager:
        assert manager.control(138) == 0
        until(lambda: graceful)
        assert manager.control(200) == winservice.ERROR_CALL_NOT_IMPLEMENTED == 120
        assert manager.control(4) == 0
        manager.control(1)
    assert graceful == ["Web control"]


def test_a_failing_code_does_not_end_the_service(bus):
    bus.subscribe("graceful", lambda: 1 / 0)
    with Running(bus) as manager:
        manager.control(138)
        until(lambda: "The service Web goes on." in bus.texts)
        assert manager.states[-1] == winservice.RUNNING
        manager.control(1)


def test_a_start_that_fails_is_told_as_a_failure(bus):
    bus.subscribe("start", lambda: 1 / 0)
    manager = Manager()
    Service("Web", bus, manager).run()
    assert manager.states == [2, 1]
    assert (manager.reports[-1]["exit_code"], manager.reports[-1]["own_code"]) == (1066, 1)
    assert any("The service Web has failed." in text for text in bus.texts)


def test_a_restart_is_left_to_the_recovery_of_the_service(bus):
    with Running(bus) as manager:
        bus.restart()
    assert manager.reports[-1]["exit_code"] == 1066


def test_by_hand_it_runs_in_the_foreground(bus, monkeypatch):
    service = Service("Web", bus, Manager(refuse=1))
    monkeypatch.setattr(service, "_error", lambda: 1063)
    bus.subscribe("main", bus.exit)
    service.run()
    assert bus.state is bus.states.EXITING
    assert "Web was not started as a service: running in the foreground." in bus.texts
    monkeypatch.setattr(service, "_error", lambda: 5)
    with pytest.raises(OSError, match="could not be run"):
        service.run()


@pytest.mark.skipif(sys.platform == "win32", reason="there it works")
def test_elsewhere_it_says_so(bus):
    with pytest.raises(OSError, match="Services exist on Windows only"):
        Service("Web", bus).run()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_installing_and_removing(tmp_path, monkeypatch):
    notes, script = tmp_path / "notes", tmp_path / "sc"
    script.write_text(
        f'#!/bin/sh\nfor a; do printf "<%s>" "$a"; done >> {notes}; echo >> {notes}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    winservice.install("Web", "C:\\a b\\python.exe", "site.py", display_name="Our site")
    winservice.remove("Web")
    monkeypatch.setattr(sys, "argv", ["site.py"])
    winservice.install("Web", start="demand")
    lines = notes.read_text().splitlines()
    assert lines[:2] == [
        '<create><Web><binPath=><"C:\\a b\\python.exe" site.py><start=><auto>'
        "<DisplayName=><Our site>",
        "<delete><Web>",
    ]
    assert lines[2].endswith("site.py><start=><demand>")


def test_importing_starts_nothing():
    code = (
        "import sys, threading; from cherrypy.process import winservice;"
        "print(threading.active_count(), [m for m in sys.modules if m.startswith('win32')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.startswith("1 []"), done.stderr
