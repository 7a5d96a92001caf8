"""The part of the monitor that joins the processes of a site."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from ..settings import SITE
from .collector import Collector
from .handover import Handed, Refused, give
from .role import claim, join
from .sender import Sender
from .totals import Totals

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds within which processes that have lost their collector look for another.
PAUSE = 0.5


class Processes:
    """This process among the others.

    role
        A Collector, a Sender, or None as long as neither can be.
    """

    def __init__(self, monitor: Monitor, path: str) -> None:
        self.monitor = monitor
        self.path = path
        #: Why a process that is to do nothing but collect cannot do it.
        self.refusal = ""
        self.role: Collector | Sender | None = None
        handed: Handed | None = None
        if monitor.only_collects:
            try:
                self.role, handed = claim(monitor, path)
            except Refused as error:
                self.refusal = str(error)
        else:
            self.role = join(monitor, path)
        self._again = 0.0
        #: What is kept for who collects next, where there is a file of the history.
        self.totals: Totals | None = None
        self._lead(handed)

    @property
    def collects(self) -> bool:
        """Whether this process is the one that shows all the others."""
        return isinstance(self.role, Collector)

    def _lead(self, handed: Handed | None = None) -> None:
        """If this process collects: go on where the last one ended, and tell others what the site was told.

        handed
            What the last one has told of itself; otherwise its files are asked.
        """
        if isinstance(self.role, Collector):
            store = self.monitor.settings["store.path"]
            self.totals = Totals(self.monitor, store) if store else None
            if self.totals is not None:
                self.totals.load()
            if handed is not None:
                self.monitor.site.restore(handed.snapshots, handed.since)
                try:
                    self.monitor.order(handed.settings)
                except ValueError as error:  # of another version
                    self.monitor.broken("hand-over", error)
            self.role.order(self.monitor.settings.entries(SITE))

    def changed(self, name: str) -> None:
        """A setting of those that say what is recorded has changed."""
        if isinstance(self.role, Collector):
            self.role.order({name: self.monitor.settings[name]})

    def beat(self) -> None:
        """Send, or find a new role when the old one is over (the monitor's own thread)."""
        role = self.role
        if isinstance(role, Sender) and not role.beat():
            role.abandon()
            self.role = None
            self._again = time.monotonic() + random.uniform(0.0, PAUSE)
        if isinstance(role, Collector) and role.claimant is not None:
            self._give(role)
        if self.totals is not None:
            self.totals.beat()
        if self.role is None and time.monotonic() >= self._again:
            self.role = join(self.monitor, self.path)
            if isinstance(self.role, Collector):
                self.monitor.bus.log("Monitor: this process collects from now on.")
                self._lead()
                self.monitor.collect()
            elif self.role is not None:
                self.role.beat()

    def _give(self, role: Collector) -> None:
        if give(self.monitor, role, self.totals):
            self.role = self.totals = None
            self._again = 0.0

    def end(self) -> None:
        """Leave."""
        if self.totals is not None:
            self.totals.write()
        if self.role is not None:
            self.role.end()

    def abandon(self) -> None:
        """In a forked child: forget the role of the parent."""
        if self.role is not None:
            self.role.abandon()
        self.role = self.totals = None
        self._again = 0.0
