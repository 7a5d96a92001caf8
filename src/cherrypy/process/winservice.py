"""A Windows service around a bus, by the system's own calls: nothing to install. Importable anywhere.

Law: the service control manager hears of every change of state, and never waits for a listener.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from typing import Any

from cherrypy.process import wspbus
from cherrypy.process.win32 import _sc, control_codes

__all__ = ("Service", "install", "remove")

# winsvc.h and winerror.h
SERVICE_WIN32_OWN_PROCESS = 0x10
STOPPED, START_PENDING, STOP_PENDING, RUNNING = 1, 2, 3, 4
CONTROL_STOP, CONTROL_INTERROGATE, CONTROL_SHUTDOWN, CONTROL_PRESHUTDOWN = 1, 4, 5, 15
ACCEPT_STOP, ACCEPT_SHUTDOWN, ACCEPT_PRESHUTDOWN = 1, 4, 0x100
NO_ERROR = 0
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_FAILED_SERVICE_CONTROLLER_CONNECT = 1063
ERROR_SERVICE_SPECIFIC_ERROR = 1066

_ENDING = (CONTROL_STOP, CONTROL_SHUTDOWN, CONTROL_PRESHUTDOWN)

#: Milliseconds that the manager waits for the next report while starting and stopping.
WAIT_HINT = 30_000

_function = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
#: VOID ServiceMain(DWORD argc, LPWSTR *argv)
ServiceMain = _function(None, ctypes.c_uint32, ctypes.c_void_p)
#: DWORD HandlerEx(DWORD control, DWORD event, LPVOID data, LPVOID context)
HandlerEx = _function(
    ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
)


class TableEntry(ctypes.Structure):
    """SERVICE_TABLE_ENTRYW."""

    _fields_ = [("name", ctypes.c_wchar_p), ("main", ServiceMain)]


class Status(ctypes.Structure):
    """SERVICE_STATUS."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("kind", "state", "accepted", "exit_code", "own_code", "check_point", "hint")
    ]


class Service:
    """The life of a bus as a Windows service.

    name
        The name that it was installed under.
    bus
        None for the one of this process, `cherrypy.engine`.
    advapi32
        The library that has the calls; None finds the system's.

    The engine is started and waited for in a thread of Windows: signals stay as they are. A
    restart ends the service with an error, on which its recovery settings may start it again.
    """

    def __init__(self, name: str, bus: Any = None, advapi32: Any = None) -> None:
        self.name = name
        self.bus = wspbus.bus if bus is None else bus
        self.advapi32 = advapi32
        self.status = Status(kind=SERVICE_WIN32_OWN_PROCESS)
        self._handle: Any = None
        self._stopping = False
        self._lock = threading.Lock()  # one report at a time
        # Kept, as Windows holds bare pointers to them.
        self._main_routine = ServiceMain(self._main)
        self._handler_routine = HandlerEx(self._control)

    def _api(self) -> Any:
        if self.advapi32 is None:
            loader = getattr(ctypes, "WinDLL", None)
            if loader is None:
                raise OSError("Services exist on Windows only.")
            api = self.advapi32 = loader("advapi32", use_last_error=True)
            api.RegisterServiceCtrlHandlerExW.restype = ctypes.c_void_p
            api.RegisterServiceCtrlHandlerExW.argtypes = (
                ctypes.c_wchar_p,
                HandlerEx,
                ctypes.c_void_p,
            )
            api.SetServiceStatus.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
            api.StartServiceCtrlDispatcherW.argtypes = (ctypes.c_void_p,)
        return self.advapi32

    @staticmethod
    def _error() -> int:
        get = getattr(ctypes, "get_last_error", None)
        return int(get()) if get is not None else 0

    def run(self) -> None:
        """Be the service until it is stopped; called by the main thread of its process.

        Started by hand instead of the service control manager, the bus runs in the foreground.
        Raises OSError when Windows refuses.
        """
        api = self._api()
        table = (TableEntry * 2)(TableEntry(self.name, self._main_routine), TableEntry())
        if api.StartServiceCtrlDispatcherW(ctypes.byref(table)):
            return
        error = self._error()
        if error != ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
            raise OSError(error, f"The service {self.name} could not be run (error {error}).")
        self.bus.log(f"{self.name} was not started as a service: running in the foreground.")
        self.bus.start()
        self.bus.block()

    def _report(self, state: int, exit_code: int = NO_ERROR) -> None:
        """Tell the manager a state, or that it is still the same one (any thread)."""
        with self._lock:
            status = self.status
            pending = state in (START_PENDING, STOP_PENDING)
            status.check_point = status.check_point + 1 if pending else 0
            status.hint = WAIT_HINT if pending else 0
            status.state = state
            status.accepted = (
                ACCEPT_STOP | ACCEPT_SHUTDOWN | ACCEPT_PRESHUTDOWN if state == RUNNING else 0
            )
            status.own_code = exit_code
            status.exit_code = ERROR_SERVICE_SPECIFIC_ERROR if exit_code else NO_ERROR
            if not self._api().SetServiceStatus(self._handle, ctypes.byref(status)):
                self.bus.log(f"Could not SetServiceStatus (error {self._error()!r})", level=40)

    def _main(self, count: int, arguments: Any) -> None:
        """Run the bus: what Windows calls in a thread of its own."""
        api = self._api()
        self._handle = api.RegisterServiceCtrlHandlerExW(self.name, self._handler_routine, None)
        if not self._handle:
            self.bus.log(f"Could not register the service (error {self._error()!r})", level=40)
            return
        self._report(START_PENDING)
        code = 1
        try:
            self.bus.start()
            self._report(RUNNING)
            self._wait()
            code = int(self.bus.execv)
        except BaseException:
            self.bus.log(f"The service {self.name} has failed.", level=40, traceback=True)
        finally:
            self._report(STOPPED, code)

    def _wait(self) -> None:
        """Wait until the bus has exited, as `block()` does, and show that it is still at it."""
        reported = time.monotonic()
        while not self.bus._pause(0.1, self._over):
            self.bus.publish("main")
            if self._stopping and time.monotonic() - reported >= 1:
                reported = time.monotonic()
                self._report(STOP_PENDING)

    def _over(self) -> bool:
        return self.bus.state is self.bus.states.EXITING and bool(self.bus._has_left())

    def _control(self, control: int, event: int, data: Any, context: Any) -> int:
        """Obey the manager; returns at once, as it waits for nobody."""
        if control in _ENDING:
            self._stopping = True
            self._report(STOP_PENDING)
            self._do(self.bus.exit)
        elif control == CONTROL_INTERROGATE:
            self._report(self.status.state)
        elif control in control_codes.values():
            self._do(self.bus.publish, control_codes.key_for(control))
        else:
            return ERROR_CALL_NOT_IMPLEMENTED
        return NO_ERROR

    def _do(self, call: Any, *args: Any) -> None:
        def run() -> None:
            try:
                call(*args)
            except Exception:  # Of a listener, and logged by the bus.
                self.bus.log(f"The service {self.name} goes on.", level=30)

        threading.Thread(target=run, name=f"{self.name} control", daemon=True).start()


def install(name: str, *command: str, display_name: str = "", start: str = "auto") -> None:
    """Install a service that runs `command`: this Python with this script unless others are given.

    start
        'auto', 'delayed-auto' or 'demand'.

    Raises RuntimeError with the system's own words when it refuses.
    """
    from os.path import abspath
    from subprocess import list2cmdline

    line = list2cmdline(command or (sys.executable, abspath(sys.argv[0])))
    shown = ("DisplayName=", display_name) if display_name else ()
    _sc("create", name, "binPath=", line, "start=", start, *shown)


def remove(name: str) -> None:
    """Remove a service. Raises RuntimeError with the system's own words when it refuses."""
    _sc("delete", name)
