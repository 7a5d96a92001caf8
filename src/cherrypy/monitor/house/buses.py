"""The bus and what hangs on it: states, listeners, plugins, work in the background, restarts."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from ...framework.site import site
from ...process.plugins.autoreload import Autoreloader
from ...process.plugins.base import SimplePlugin
from ...process.plugins.monitor import BackgroundTask, PerpetualTimer
from ...process.wspbus import Bus
from ..metrics import Labels
from ..table import bus as b
from .house import House, Option
from .process import Process

Values = dict[Labels, float]

STATES = ("STOPPED", "STARTING", "STARTED", "STOPPING", "EXITING")

#: How a process that replaces itself hands on the number of times, and when: the process id tells it
#: from what a program's own children inherit.
HANDED_ON = "CHERRYPY_RESTARTS_WATCHED"


class Restarts:
    """How often the autoreloader has replaced the process."""

    def __init__(self) -> None:
        self.count, self.at = 0, 0.0
        pid, _, rest = os.environ.get(HANDED_ON, "").partition(":")
        count, _, at = rest.partition(":")
        if pid == str(os.getpid()) and count.isdecimal():
            self.count = int(count)
            try:
                self.at = float(at)
            except ValueError:
                self.at = 0.0

    def again(self) -> None:
        """The process is about to be replaced."""
        self.count += 1
        os.environ[HANDED_ON] = f"{os.getpid()}:{self.count}:{time.time()}"


class Startup:
    """How long it took until the bus had started."""

    def __init__(self, restarts: Restarts) -> None:
        self.restarts = restarts
        self.took: float | None = None

    def started(self) -> None:
        """The bus has started (once counts)."""
        if self.took is None:
            began = self.restarts.at or Process().started()
            self.took = max(0.0, time.time() - began)

    def value(self) -> Values:
        """The seconds, once they are known."""
        return {} if self.took is None else {(): self.took}


def begin(house: House) -> None:
    """Watch the bus of the site."""
    bus = house.monitor.bus
    restarts = Restarts()
    startup = Startup(restarts)
    states(house, bus, startup)
    listeners(house, bus)
    tasks(house)
    reloads(house, restarts)
    house.sample(b.PLUGIN_STATE, lambda: plugins(bus))
    house.sample(b.AUTORELOAD_RESTARTS, lambda: {(): float(restarts.count)})
    house.sample(b.APPS_MOUNTED, lambda: {(): float(len(site.tree.apps))})
    house.sample(b.APP_STARTUP_DURATION, startup.value)


def name_of(state: Any) -> str:
    """The name of a state of the bus."""
    return str(getattr(state, "name", None) or state).rpartition(".")[2]


def states(house: House, bus: Any, startup: Startup) -> None:
    """The states that the bus goes through."""
    known: Any = Bus.state

    def change(self: Any, value: Any) -> None:
        known.__set__(self, value)
        if self is bus:
            b.BUS_TRANSITIONS.add(1, (name_of(value),))
            if name_of(value) == "STARTED":
                startup.started()

    house.patches.put(Bus, "state", property(known.fget, change, doc=known.__doc__))
    house.sample(
        b.BUS_STATE, lambda: {(state,): float(name_of(bus.state) == state) for state in STATES}
    )


def listeners(house: House, bus: Any) -> None:
    """Listeners that fail, and at level 2 what they take."""

    def note(self: Any, failures: Any, channel: str, listener: Any) -> None:
        if self is bus:
            b.BUS_LISTENER_ERRORS.add(1, (channel,))
        plain(self, failures, channel, listener)

    plain = house.patches.replace(Bus, "_note_failure", note)
    house.option((b.BUS_PUBLISH_DURATION,), lambda on: publications(on, bus))


def publications(on: Option, bus: Any) -> None:
    """The time of all listeners of a channel."""

    def publish(self: Any, channel: str, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return call(self, channel, *args, **kwargs)
        finally:
            if self is bus and self.listeners.get(channel):
                b.BUS_PUBLISH_DURATION.observe(time.monotonic() - began, (channel,))

    call = on.patches.replace(Bus, "publish", publish)


def plugins(bus: Any) -> Values:
    """The plugins that listen, and whether what they run does run."""
    found: Values = {}
    for channel in ("start", "stop", "exit", "graceful", "main", "log"):
        for listener in list(bus.listeners.get(channel, ())):
            plugin = getattr(listener, "__self__", None)
            if isinstance(plugin, SimplePlugin):
                name = str(getattr(plugin, "name", None) or type(plugin).__name__)
                found[name, _state_of(plugin)] = 1.0
    return found


def _state_of(plugin: Any) -> str:
    """Whether a plugin listens, runs, or should run and has ended."""
    thread = getattr(plugin, "thread", None)
    if thread is None:
        return "subscribed"
    return "running" if thread.is_alive() else "failed"


# -- in the background --------------------------------------------------------------------------------


def tasks(house: House) -> None:
    """Functions that are called again and again."""

    def watched(task: Any) -> None:
        function = task.function
        if not hasattr(function, "_monitored"):
            task.function = Task(function, task)
        run = plain[BackgroundTask if isinstance(task, BackgroundTask) else PerpetualTimer]
        run(task)

    def watched_timer(task: Any) -> None:
        watched(task)

    plain: dict[Any, Any] = {}
    plain[BackgroundTask] = house.patches.replace(BackgroundTask, "run", watched)
    plain[PerpetualTimer] = house.patches.replace(PerpetualTimer, "run", watched_timer)


class Task:
    """A function that is called again and again: each call is counted and timed."""

    _monitored = True

    def __init__(self, function: Any, task: Any) -> None:
        self.function = function
        self.task = task

    def __repr__(self) -> str:
        return repr(self.function)  # in the log, as ever

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        result = "error"
        try:
            value = self.function(*args, **kwargs)
            result = "ok"
            return value
        finally:
            name = self.name
            b.MONITOR_TASK_RUNS.add(1, (name, result))
            b.MONITOR_TASK_DURATION.observe(time.monotonic() - began, (name,))

    @property
    def name(self) -> str:
        """The name of the thread, if somebody has given it one; that of the function else."""
        thread = str(self.task.name)
        if not thread.startswith("Thread-"):
            return thread
        return str(getattr(self.function, "__qualname__", type(self.function).__name__))


def reloads(house: House, restarts: Restarts) -> None:
    """The autoreloader restarts the bus when files have changed."""

    def restart(bus: Any) -> None:
        # Before: the main thread replaces the process as soon as the bus is exiting.
        function = getattr(threading.current_thread(), "function", None)
        if isinstance(function, Task):
            function = function.function
        if isinstance(getattr(function, "__self__", None), Autoreloader):
            restarts.again()

    house.before(Bus, "restart", restart)
