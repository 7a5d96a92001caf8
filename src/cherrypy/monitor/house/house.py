"""The house: what the monitor puts on the framework, the servers and the process, and takes off."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..metrics import Labels, Metric
from ..patches import Patches

#: What is observed, in this order: modules of this package, each with `begin(house)`.
ROOMS = (
    "answers",
    "timings",
    "servers",
    "connections",
    "sessions",
    "caches",
    "toolwork",
    "sockets",
    "streams",
    "process",
    "interpreter",
    "buses",
    "itself",
)

Source = Callable[[], dict[Labels, float]]


class House:
    """What has been put on, until `end`.

    monitor
        The plugin: its recorder, settings and list of servers.
    patches
        What stands in the place of other rooms' functions.
    """

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.recorder = monitor.recorder
        self.patches = Patches()
        self._sources: list[tuple[Metric, Source]] = []
        self._ends: list[Callable[[], object]] = []
        self._forks: list[Callable[[], object]] = []
        for room in ROOMS:
            try:
                import_module(f"{__package__}.{room}").begin(self)
            except Exception as error:
                monitor.broken(f"house.{room}", error)

    def sample(self, metric: Metric, source: Source) -> None:
        """Have a metric's values given by `source` until the end."""
        metric.sample(source)
        self._sources.append((metric, source))

    def ending(self, call: Callable[[], object]) -> None:
        """Call something at the end."""
        self._ends.append(call)

    def forking(self, call: Callable[[], object]) -> None:
        """Call something in the child of a fork."""
        self._forks.append(call)

    def forked(self) -> None:
        """Be in a forked child: threads are to be started again."""
        for call in self._forks:
            call()

    def after(self, owner: Any, name: str, told: Callable[..., object]) -> None:
        """Have `told(*args)` called after a function of somebody's has returned.

        What it raises is the monitor's own affair.
        """
        broken = self.monitor.broken

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = plain(*args, **kwargs)
            try:
                told(*args)
            except Exception as error:
                broken(f"house.{name}", error)
            return result

        plain = self.patches.replace(owner, name, watched)

    def before(self, owner: Any, name: str, told: Callable[..., object]) -> None:
        """The same, before it is called."""
        broken = self.monitor.broken

        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                told(*args)
            except Exception as error:
                broken(f"house.{name}", error)
            return plain(*args, **kwargs)

        plain = self.patches.replace(owner, name, watched)

    def end(self) -> None:
        """Take everything off."""
        for call in reversed(self._ends):
            try:
                call()
            except Exception as error:
                self.monitor.broken("house.end", error)
        self._ends.clear()
        self.patches.end()
        for metric, source in self._sources:
            if metric.source is source:
                metric.source = None
        self._sources.clear()
