"""The house: what the monitor puts on the framework, the servers and the process, and takes off."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

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

T = TypeVar("T")

Source = Callable[[], dict[Labels, float]]


class Option:
    """What is put on as long as one of some metrics is recorded.

    metrics
        Those.
    put
        Called with this to put it on: by its `patches`, `recorder`, `wrap` and `ending`.
    """

    def __init__(
        self, house: House, metrics: tuple[Metric, ...], put: Callable[[Option], object]
    ) -> None:
        self.house = house
        self.recorder = house.recorder
        self.metrics = metrics
        self.put = put
        self.patches = Patches()
        self.gateways: list[Callable[[Any], Any]] = []
        self._ends: list[Callable[[], object]] = []
        self.on = False

    def follow(self) -> None:
        """Be on or off, as the metrics are."""
        wanted = any(metric.on for metric in self.metrics)
        if wanted and not self.on:
            self.on = True
            self.put(self)
        elif self.on and not wanted and self.patches.uppermost():
            # Else somebody has put something around it: it stays, and finds nothing to count.
            self.end()

    def wrap(self, wrapper: Callable[[Any], Any]) -> None:
        """Have something go round the servers' gateways."""
        self.gateways.append(wrapper)
        self.house.monitor.gateways.append(wrapper)

    def ending(self, call: Callable[[], object]) -> None:
        """Call something when it is taken off."""
        self._ends.append(call)

    def end(self) -> None:
        """Take it off."""
        self.on = False
        self.patches.end()
        while self._ends:
            self._ends.pop()()
        while self.gateways:
            self.house.monitor.gateways.remove(self.gateways.pop())


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
        self._options: list[Option] = []
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

    def once(self, look: Callable[[], T]) -> Callable[[], T]:
        """Have something looked at once for each snapshot, for all metrics that are made of it."""
        return self.monitor.taker.once(look)  # type: ignore[no-any-return]  # the plugin is no type here

    def option(self, metrics: tuple[Metric, ...], put: Callable[[Option], object]) -> None:
        """Have something put on while one of some metrics is recorded, and taken off else."""
        option = Option(self, metrics, put)
        self._options.append(option)
        option.follow()

    def chosen(self) -> None:
        """Other metrics are recorded from now on."""
        gateways = list(self.monitor.gateways)
        for option in self._options:
            try:
                option.follow()
            except Exception as error:
                self.monitor.broken("house", error)
        if gateways != self.monitor.gateways:
            self.monitor.rewatch()

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
        for option in reversed(self._options):
            self._ends.append(option.end)
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
