"""Windows: console events, a bus to wait on, and services. Importable on every system.

Law: nothing here needs pywin32 but the historical `PyWebService` (`winservice` does without), and
nothing runs at import.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any

from cherrypy.process import wspbus
from cherrypy.process.plugins.base import SimplePlugin

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("ConsoleCtrlHandler", "PyWebService", "Win32Bus", "control_codes", "signal_child")

# wincon.h; 3 and 4 are reserved.
CTRL_C_EVENT = 0
CTRL_BREAK_EVENT = 1
CTRL_CLOSE_EVENT = 2
CTRL_LOGOFF_EVENT = 5
CTRL_SHUTDOWN_EVENT = 6
_ENDING = (
    CTRL_C_EVENT,
    CTRL_BREAK_EVENT,
    CTRL_CLOSE_EVENT,
    CTRL_LOGOFF_EVENT,
    CTRL_SHUTDOWN_EVENT,
)


class ConsoleCtrlHandler(SimplePlugin):
    """Exits the bus on Ctrl-C, Ctrl-Break, and when the console, session or system ends.

    ``kernel32`` is the library that has ``SetConsoleCtrlHandler``; None finds the system's.
    """

    def __init__(self, bus: Bus, kernel32: Any = None) -> None:
        self.is_set = False
        self.kernel32 = kernel32
        super().__init__(bus)
        # BOOL HandlerRoutine(DWORD). Kept, as Windows holds a bare pointer to it.
        prototype = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
        self._routine = prototype(ctypes.c_int, ctypes.c_uint)(self.handle)

    def _api(self) -> Any:
        if self.kernel32 is None:
            loader = getattr(ctypes, "WinDLL", None)
            if loader is not None:
                self.kernel32 = loader("kernel32", use_last_error=True)
        return self.kernel32

    @staticmethod
    def _error() -> int:
        get = getattr(ctypes, "get_last_error", None)
        return int(get()) if get is not None else 0

    def start(self) -> None:
        """Have Windows call :meth:`handle`."""
        if self.is_set:
            self.bus.log("Handler for console events already set.", level=20)
            return
        api = self._api()
        if api is None:
            self.bus.log("Console events exist on Windows only.", level=30)
        elif api.SetConsoleCtrlHandler(self._routine, 1):
            self.is_set = True
            self.bus.log("Set handler for console events.", level=20)
        else:
            self.bus.log(f"Could not SetConsoleCtrlHandler (error {self._error()!r})", level=40)

    def stop(self) -> None:
        """Have Windows call it no more."""
        if not self.is_set:
            self.bus.log("Handler for console events already off.", level=20)
            return
        if self._api().SetConsoleCtrlHandler(self._routine, 0):
            self.bus.log("Removed handler for console events.", level=20)
        else:
            self.bus.log(
                f"Could not remove SetConsoleCtrlHandler (error {self._error()!r})", level=40
            )
        self.is_set = False

    def handle(self, event: int) -> int:
        """Handle a console event; return 1 when it is settled, 0 to let others look.

        Windows calls this in a thread of its own, and after a close, logoff or shutdown event it
        ends the process when this returns: the bus has to be down by then.
        """
        if event not in _ENDING:
            return 0
        self.bus.log(f"Console event {event}: shutting down bus")
        try:
            self.stop()
        except ValueError:
            pass
        try:
            self.bus.exit()
            # Another thread may have begun, and be among the listeners still.
            while not self.bus._pause(1.0, self.bus._has_left):
                pass
        except BaseException:
            # Raised into Windows it would be lost, and the event with it.
            self.bus.log("Error on the way out", level=40, traceback=True)
        return 1


class Win32Bus(wspbus.Bus):
    """A bus with an event for each state, set while the bus is in it."""

    def __init__(self) -> None:
        self.events: dict[Any, threading.Event] = {}
        super().__init__()

    def _get_state_event(self, state: Any) -> threading.Event:
        return self.events.setdefault(state, threading.Event())

    @property
    def state(self) -> Any:
        """The present state."""
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        for state, event in list(self.events.items()):
            if state is not value:
                event.clear()
        wspbus.Bus.state.fset(self, value)  # type: ignore[attr-defined] # a property's setter
        self._get_state_event(value).set()


class _ControlCodes(dict[str, int]):
    """Service control codes by the channel that they are published on."""

    def key_for(self, obj: object) -> str:
        """Return the name of a code; ValueError when there is none."""
        for key, value in self.items():
            if value == obj:
                return key
        raise ValueError(f"The given object could not be found: {obj!r}")


#: 128 to 255 are free for a service's own use (winsvc.h).
control_codes = _ControlCodes({"graceful": 138})


def signal_child(service: str, command: str) -> None:
    """Tell a Windows service to ``stop``, ``restart`` or do one of ``control_codes``.

    KeyError for another command, RuntimeError with the system's own words when it refuses.
    """
    if command == "stop":
        _sc("stop", service)
    elif command == "restart":
        _sc("stop", service)
        _await_stopped(service)
        _sc("start", service)
    else:
        _sc("control", service, str(control_codes[command]))


def _sc(*args: str) -> str:
    """Run the service controller's command line, which every Windows has."""
    import subprocess

    done = subprocess.run(["sc", *args], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip() or f"sc {args[0]} failed")
    return done.stdout


def _await_stopped(service: str, seconds: float = 30.0) -> None:
    import time

    deadline = time.monotonic() + seconds
    while "STOPPED" not in _sc("query", service):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The service {service} did not stop within {seconds:g} s.")
        time.sleep(0.1)


def _service_framework() -> type:
    if sys.platform == "win32":
        try:
            from win32serviceutil import ServiceFramework
        except ImportError:
            return object
        found: type = ServiceFramework
        return found
    return object


_Framework: Any = _service_framework()


class PyWebService(_Framework):  # type: ignore[misc] # the base is pywin32's, where it exists
    """A Windows service around the process's bus; needs pywin32 to be installed as one."""

    _svc_name_ = "Python Web Service"
    _svc_display_name_ = "Python Web Service"
    _svc_deps_ = None  # sequence of service names on which this depends
    _exe_name_ = "pywebsvc"
    _exe_args_ = None  # Default to no arguments
    _svc_description_ = "Python Web Service"

    def SvcDoRun(self) -> None:
        """Run the bus until it exits."""
        wspbus.bus.start()
        wspbus.bus.block()

    def SvcStop(self) -> None:
        """Report that stopping has begun, and exit the bus."""
        report = getattr(self, "ReportServiceStatus", None)
        if report is not None:
            report(3)  # SERVICE_STOP_PENDING
        wspbus.bus.exit()

    def SvcOther(self, control: int) -> None:
        """Publish a control code of our own on its channel."""
        wspbus.bus.publish(control_codes.key_for(control))
