"""The plugin of the engine: `engine.monitor` starts and stops all that records and shows."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from kirsch.server.workers import called

from ..framework.site import site as house
from ..hosting.httpserver import HTTPServer
from ..process.plugins.base import SimplePlugin
from ..process.plugins.unix import Daemonizer, DropPrivileges
from . import metrics, table
from .held import Held
from .recorder import Recorder
from .routes import Route
from .settings import AT_START, SETTINGS, SHARED, SITE, Settings
from .site import Site
from .snapshots import Snapshot, Taker
from .sources import Sources
from .watch import Watch

assert table.__all__  # importing it has declared the metrics

#: What is started with the monitor, in this order, and ended in the other: modules of this package.
#: Each has `begin(monitor)`, which returns what ends it, or None.
PARTS: tuple[str, ...] = (
    "instruments",
    "foreign",
    "books",
    "house",
    "history",
    "alerts",
    "exporters.statsd",
    "exporters.otlp",
    "health",
    "dashboard",
)

#: Those of them that only one process of a site has: the one that collects.
COLLECTING = frozenset(
    name
    for name in PARTS
    if name.partition(".")[0] in ("history", "alerts", "exporters", "dashboard")
)

#: Seconds between snapshots.
BEAT = 1.0

_running: weakref.WeakSet[Monitor] = weakref.WeakSet()


class Monitor(SimplePlugin):
    """Records what the process does and keeps it at hand.

    settings
        `settings["store.path"]`; `engine.monitor.on = True` in a configuration.
    recorder, site
        What counts requests, and what all processes have counted.
    beats
        Called each second with the site's merged snapshot, in the monitor's own thread.
    parts
        What has been started, by the name of its module.
    draining
        True: the process is to be sent no more requests; see `health`.
    """

    def __init__(self, bus: Any) -> None:
        super().__init__(bus)
        self.settings = Settings()
        self.site = Site()
        self.recorder = Recorder(self.tune)
        self.recorder.broken = self.broken
        self.taker = Taker(broken=self.broken)
        self.beats: list[Callable[[Snapshot], object]] = []
        #: Called when the servers have started, and are watched.
        self.served: list[Callable[[], object]] = []
        self.parts: dict[str, Any] = {}
        #: What goes round a server's gateway, within what the recorder puts there.
        self.gateways: list[Callable[[Any], Any]] = []
        #: The HTTP servers that have been watched, as kirsch has them.
        self.servers: list[Any] = []
        #: Errors, slow requests, what is in flight: see `books`.
        self.books: Any = None
        #: This process among the others of the site, when `socket` is set.
        self.processes: Any = None
        #: What holds for a while: see `held`.
        self.held = Held(self)
        self.taker.details["held"] = self.held.told
        #: Whether this process does nothing but collect, and takes precedence: see `processes`.
        self.only_collects = False
        self.running = False
        self.subscribed = False
        self.draining = False
        self._failures: dict[str, int] = {}
        self._choosing = threading.RLock()  # guards: what is on is what the settings say last
        # Servers that are watched: each with its own gateway, and ours around it; in a pause its own
        # twice.
        self._watched: list[tuple[Any, Any, Any]] = []
        self._undo: list[Callable[[], object]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.settings.changed.append(self._changed)
        self.sources = Sources(self)

    # -- settings: engine.monitor.<name> -----------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SETTINGS:
            self.settings[name] = value
        else:
            object.__setattr__(self, name, value)

    def tune(self, route: Route) -> None:
        """Give a route its limits."""
        said = route.apdex
        route.limit = self.settings.apdex_of(route.name) if said is None else said
        if not route.tuned:  # once: what has been counted does not go
            route.tuned = True
            ignored = self.settings["routes.ignore"]
            route.left_out = route.left_out or any(fnmatchcase(route.name, one) for one in ignored)
        route.slow = float(self.settings["slow_threshold"])

    def _changed(self, name: str) -> None:
        if not self.running:
            return
        if name in ("level", "metrics.include", "metrics.exclude"):
            self._select()
        elif name in ("apdex", "slow_threshold"):
            self.recorder.retune()
        elif name in AT_START:
            self.bus.log(f"Monitor: the change of monitor.{name} acts from the next start on.", 30)
        if name in SHARED and self.processes is not None:
            self.processes.changed(name)

    def order(self, values: dict[str, Any]) -> None:
        """Have some of the settings that say what is recorded other values, in all of the site.

        They hold until the settings are read again, or the site ends.

        values
            By the names in `settings.SHARED`.

        Raises ValueError for another name, or a value it cannot have.
        """
        for name in values:
            if name not in SHARED:
                raise ValueError(f"monitor.{name} cannot be changed for the whole site.")
        self.settings.add(SITE, values)

    def configure(self, entries: dict[str, Any], file: str | None = None) -> None:
        """Take in entries of the site's configuration; see `sources.Sources.configure`."""
        self.sources.configure(entries, file)

    def _select(self) -> None:
        settings = self.settings
        with self._choosing:
            metrics.select(
                settings["level"],
                list(settings["metrics.include"]),
                list(settings["metrics.exclude"]),
            )
            for part in list(self.parts.values()):
                chosen = getattr(part, "chosen", None)
                if chosen is not None:
                    chosen()

    def subscribe(self) -> None:
        """Be on: `engine.monitor.on = True`."""
        if not self.settings["on"]:
            self.settings["on"] = True
        if self.subscribed:
            return
        self.subscribed = True
        super().subscribe()
        self.bus.subscribe("start", self.start_late)
        self.bus.subscribe("start", self.serve)
        if str(self.bus.state).endswith("STARTED"):
            self.start()
            self.serve()

    def unsubscribe(self) -> None:
        """Be off."""
        if self.settings["on"]:
            self.settings["on"] = False
        self.subscribed = False
        self.stop()
        super().unsubscribe()
        self.bus.unsubscribe("start", self.start_late)
        self.bus.unsubscribe("start", self.serve)

    # -- life: listeners of the bus ----------------------------------------------------------------

    def start(self) -> None:
        """Begin to record, before the servers begin to serve."""
        if self.settings["on"]:
            self.sources.check()
        if self.settings["on"] and self._becomes_another():
            for name in PARTS:  # who has no rights any more may find no modules
                import_module(f"{__package__}.{name}")
            return
        self.start_late()

    def _becomes_another(self) -> bool:
        """Whether the process is to fork into the background, or to give up its rights, when it starts.

        Threads and sockets do not come along into a daemon, and files belong to who has made them.
        """
        listeners = self.bus.listeners.get("start", ()) if self._is_starting() else ()
        return any(
            isinstance(getattr(listener, "__self__", None), (Daemonizer, DropPrivileges))
            for listener in listeners
        )

    def _is_starting(self) -> bool:
        return str(self.bus.state).endswith("STARTING")

    def start_late(self) -> None:
        """Begin to record, if that has not been done: in the process that stays."""
        if self.running or not self.settings["on"]:
            return
        self.running = True
        self.taker.begin()
        self._select()
        watch = Watch(self.recorder)
        self._undo.append(watch.end)
        start = HTTPServer.start

        def watched_start(httpserver: Any) -> None:
            self.watch(httpserver)  # from the first request on
            start(httpserver)

        watch.replace(HTTPServer, "start", watched_start)
        self._stop.clear()
        try:
            self._join()
            for name in PARTS:
                if self.collects or name not in COLLECTING:
                    self._begin(name)
        except BaseException:
            self.stop()
            raise
        _running.add(self)
        self._begin_to_beat()

    def _begin_to_beat(self) -> None:
        self._thread = threading.Thread(target=self._beat, name="monitor", daemon=True)
        self._thread.start()

    def _join(self) -> None:
        """Find out whether this process collects what all have counted."""
        path = self.settings["socket"]
        if path:
            from .processes.part import Processes

            self.processes = Processes(self, path)

    @property
    def collects(self) -> bool:
        """Whether what all processes have counted is kept and shown by this one."""
        return self.processes is None or self.processes.collects

    def collect(self) -> None:
        """Be the one that collects from now on."""
        for name in PARTS:
            if name in COLLECTING and name not in self.parts:
                self._begin(name)
        self.serve()  # a dashboard on the site's own port

    def rest(self) -> None:
        """Be no longer the one that collects."""
        # Pages are shown for as long as can be, and need the history.
        last = ("dashboard", "history")
        for name in sorted(COLLECTING, key=lambda name: name in last and 1 + last.index(name)):
            part = self.parts.pop(name, None)
            if part is not None:
                self._end(name, part)

    def _end(self, name: str, part: Any) -> None:
        try:
            part.end()
        except Exception as error:
            self.broken(name, error)

    def forked(self) -> None:
        """In a child: count for ourselves, and send it to the collector if there is one.

        What only the collector has is the parent's: its threads are not here, and its files and
        sockets are left alone.
        """
        _left_alone.extend(self.parts.pop(name) for name in COLLECTING.intersection(self.parts))
        self.beats[:] = [told for told in self.beats if not _is_collecting(told)]
        self.site = Site()
        self.settings.forked()
        self._choosing = threading.RLock()
        self.taker.begin_anew()
        if self.processes is not None:
            self.processes.abandon()
        else:
            self.processes = _Child()
        self.held.forked()
        for part in self.parts.values():
            again = getattr(part, "forked", None)
            if again is not None:
                again()
        self._stop = threading.Event()
        self._begin_to_beat()

    # Servers start at 75; what others do at the start is recorded.
    start.priority = 20  # type: ignore[attr-defined]  # the bus reads it
    # Rights are given up at 77.
    start_late.priority = 78  # type: ignore[attr-defined]  # the bus reads it

    def _begin(self, name: str) -> None:
        try:
            part = import_module(f"{__package__}.{name}").begin(self)
        except Exception as error:
            if getattr(error, "stops_the_monitor", False):
                raise
            self.broken(name, error)
            return
        if part is not None:
            self.parts[name] = part

    def serve(self) -> None:
        """See the requests of all servers there are, once they have started."""
        if self.running:
            adapters = {house.server, *house.servers.values()}
            # And those that a program has made by itself.
            for listener in list(self.bus.listeners.get("start", ())):
                adapters.add(getattr(listener, "__self__", None))
            for adapter in adapters:
                self.watch(getattr(adapter, "httpserver", None))
            for told in list(self.served):
                told()

    serve.priority = 80  # type: ignore[attr-defined]  # the bus reads it

    def watch(self, httpserver: Any) -> None:
        """See the requests of an HTTP server."""
        kirsch = getattr(httpserver, "kirsch", None)
        if kirsch is None or hasattr(kirsch.gateway, "__wrapped__"):
            return
        plain = kirsch.gateway
        with self._choosing:
            if any(one is kirsch and now is plain for one, _, now in self._watched):
                return  # in a pause
            watched = self._around(plain)
            if watched is not plain:
                _answer_by(kirsch, watched)
            self._watched.append((kirsch, plain, watched))
        if kirsch not in self.servers:
            self.servers.append(kirsch)
        self._undo.append(lambda: _answer_by(kirsch, plain))

    def _around(self, plain: Any) -> Any:
        """What answers as a gateway does, and is counted, but in a pause."""
        if self.held.paused:
            return plain
        inner = plain
        for wrap in self.gateways:
            inner = wrap(inner)
        return self.recorder.watched(inner)

    def rewatch(self) -> None:
        """Have other `gateways` go round those of the servers, from their next requests on; or none."""
        with self._choosing:
            for place, (kirsch, plain, watched) in enumerate(self._watched):
                fresh, outer = self._around(plain), kirsch.gateway
                if outer is watched:
                    _answer_by(kirsch, fresh)
                elif getattr(outer, "__wrapped__", None) is watched and hasattr(outer, "mounted"):
                    outer.__wrapped__ = fresh
                else:
                    continue  # somebody has put another one there
                self._watched[place] = (kirsch, plain, fresh)

    def stop(self) -> None:
        """End it all; what has been counted stays until the process ends."""
        if not self.running:
            return
        self.running = False
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)
        _running.discard(self)
        self.beat()
        if self.processes is not None:
            self.processes.end()
            self.processes = None
        for name in reversed(list(self.parts)):
            self._end(name, self.parts.pop(name))
        self.held.end()
        while self._undo:
            self._undo.pop()()
        self._watched.clear()

    # After the servers (25) have answered.
    stop.priority = 60  # type: ignore[attr-defined]  # the bus reads it

    def graceful(self) -> None:
        """Read the files of settings again; nothing that has been counted is lost."""
        self.sources.reload()

    # -- the beat ----------------------------------------------------------------------------------

    def _beat(self) -> None:
        due = time.monotonic() + BEAT
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + BEAT, time.monotonic() + BEAT / 2)
            self.beat()

    def beat(self) -> None:
        """Take a snapshot, and tell of it."""
        try:
            self.site.take(self.taker.take())
            self.site.sweep()
            merged = self.site.merged(seen=True)
            if self.processes is not None:
                self.processes.beat()
        except Exception as error:
            self.broken("beat", error)
            return
        for told in list(self.beats):
            try:
                told(merged)
            except Exception as error:
                self.broken(getattr(told, "__qualname__", "beat"), error)

    def broken(self, what: Any, error: Exception | None = None) -> None:
        """Say that a part of the monitor has failed: three times, then it is known."""
        if error is None:
            what, error = "recorder", what
        name = str(what)
        times = self._failures[name] = self._failures.get(name, 0) + 1
        if times <= 3:
            more = "" if times < 3 else " It will not be said again."
            self.bus.log(f"The monitor's {name} failed: {error!r}.{more}", 40)


def _is_collecting(told: Any) -> bool:
    name = str(getattr(told, "__module__", "")).removeprefix(f"{__package__}.")
    return any(name == part or name.startswith(part + ".") for part in COLLECTING)


class _Child:
    """A forked process that nobody collects from."""

    collects = False

    def beat(self) -> None:
        """Nobody is told."""

    end = abandon = beat

    def changed(self, name: str) -> None:
        """Nobody is told of that either."""


#: What belongs to the parent of a forked process: never closed here.
_left_alone: list[Any] = []


def _forked() -> None:
    for monitor in list(_running):
        try:
            monitor.forked()
        except Exception as error:
            monitor.broken("fork", error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _answer_by(kirsch: Any, gateway: Any) -> None:
    kirsch.gateway = gateway
    for worker in list(kirsch.pool.workers):
        worker.gateway = called(gateway)


def make(engine: Any) -> Monitor:
    """Return the monitor of an engine, which is off."""
    return Monitor(engine)
