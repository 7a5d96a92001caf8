"""Functions that are called again and again in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cherrypy.process.plugins.base import SimplePlugin

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("BackgroundTask", "Monitor", "PerpetualTimer")


class _Watched:
    """Calls a function and tells the bus of failures without repeating itself.

    One failing call must not end the thread (an expiry that never runs again leaks for ever),
    and one that fails each time must not flood the log: the first of a row is logged with its
    traceback, the rest are counted and the recovery is reported.
    """

    def __init__(self, bus: Bus, kind: str, function: Callable[..., object]) -> None:
        self.bus, self.kind, self.function = bus, kind, function
        self.failures = 0

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            self.function(*args, **kwargs)
        except Exception:
            self.failures += 1
            if self.failures == 1:
                self.bus.log(
                    f"Error in {self.kind} thread function {self.function!r}.",
                    level=40,
                    traceback=True,
                )
        else:
            if self.failures:
                self.bus.log(f"{self.function!r} works again after {self.failures} failures.")
            self.failures = 0


class PerpetualTimer(threading.Timer):
    """A :class:`threading.Timer` that fires every ``interval`` seconds until cancelled.

    With ``bus`` given, failures are logged there and the timer goes on.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.bus: Bus | None = kwargs.pop("bus", None)
        super().__init__(*args, **kwargs)

    def run(self) -> None:
        call: Callable[..., object] = self.function
        if self.bus is not None:
            call = _Watched(self.bus, "perpetual timer", call)
        while not self.finished.wait(self.interval):
            call(*self.args, **self.kwargs)


class BackgroundTask(threading.Thread):
    """A daemon thread that calls ``function`` every ``interval`` seconds until cancelled.

    With ``bus`` given, failures are logged there and the task goes on; without, the first one
    ends the thread.
    """

    def __init__(
        self,
        interval: float,
        function: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        bus: Bus | None = None,
    ) -> None:
        super().__init__()
        self.interval = interval
        self.function = function
        self.args = args
        self.kwargs = kwargs or {}
        self.running = False
        self.bus = bus
        self.daemon = True
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Call the function no more; a call that is under way finishes."""
        self.running = False
        self._cancelled.set()

    def run(self) -> None:
        call = self.function
        if self.bus is not None:
            call = _Watched(self.bus, "background task", call)
        self.running = True
        while not self._cancelled.wait(self.interval):
            if not self.running:
                return
            call(*self.args, **self.kwargs)


class Monitor(SimplePlugin):
    """Runs ``callback`` every ``frequency`` seconds (0 or less: never) while the bus runs."""

    callback: Callable[[], object]
    frequency: float = 60
    thread: BackgroundTask | None = None

    def __init__(
        self,
        bus: Bus,
        callback: Callable[[], object],
        frequency: float = 60,
        name: str | None = None,
    ) -> None:
        super().__init__(bus)
        self.callback = callback
        self.frequency = frequency
        self.thread = None
        self.name = name

    def _title(self) -> str:
        return self.name or type(self).__name__

    def start(self) -> None:
        """Start the thread."""
        if self.frequency <= 0:
            return
        title = self._title()
        if self.thread is not None:
            self.bus.log(f"Monitor thread {title!r} already started.")
            return
        self.thread = BackgroundTask(self.frequency, self.callback, bus=self.bus)
        self.thread.name = title
        self.thread.start()
        self.bus.log(f"Started monitor thread {title!r}.")

    start.priority = 70  # type: ignore[attr-defined] # read by Bus.subscribe

    def stop(self) -> None:
        """End the thread."""
        thread = self.thread
        if thread is None:
            self.bus.log(f"No thread running for {self._title()}.")
            return
        self.thread = None
        thread.cancel()
        if thread is threading.current_thread():
            return
        if not thread.daemon:
            self.bus.log(f"Joining {thread.name!r}")
            thread.join(5)
        self.bus.log(f"Stopped thread {thread.name!r}.")

    def graceful(self) -> None:
        """End the thread and start another."""
        self.stop()
        self.start()


Monitor.callback = None  # type: ignore[assignment] # Historical: readable on the class.
