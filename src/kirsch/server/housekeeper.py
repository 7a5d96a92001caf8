"""Housekeeping: the watchdog of quick handlers, and the growth of the pool; asleep when all is quiet.

It owns no connection. All it may do to one is disarm it, together with taking the baton.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from .counters import BATON_TAKES
from .deadlines import NEVER
from .exchange import Exchange
from .link import RUNNING
from .poller import MUTE

if TYPE_CHECKING:
    from .group import Group

TICK = 0.002  # seconds between looks while requests are served
OVERDUE = 0.004  # a quick handler that is out longer is not quick
QUIET = 8  # looks without news before going to sleep
NAP = 1.0  # without a GIL a wake-up could slip between looking and lying down


class Housekeeper:
    """One thread a server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.groups: list[Group] = []
        self.asleep = False  # read by the holder before each quick handler
        self.ended = False
        self.signal = threading.Lock()  # released to wake
        self.signal.acquire()
        self.waking = threading.Lock()  # one wake-up at a time
        self.seen: dict[int, float] = {}  # group number -> start of the last quick handler seen
        self.orphans: dict[int, float] = {}  # group number -> since when nobody polls
        self.counts: list[int] = []
        self.thread = threading.Thread(target=self.run, name="kirsch-housekeeper", daemon=True)

    def wake(self) -> None:
        """From any thread: there may be something to watch."""
        with self.waking:
            if self.asleep:
                self.asleep = False
                self.signal.release()

    def end(self) -> None:
        """From the stopping thread."""
        self.ended = True
        self.wake()

    def run(self) -> None:
        self.counts = self.server.counters_.shard()
        quiet = 0
        while not self.ended:
            news = False
            try:
                for number, group in enumerate(self.groups):
                    news |= self.look(number, group)
            except Exception as error:
                self.server.log_error("internal error in housekeeping", error)
            if news:
                quiet = 0
            else:
                quiet += 1
            if quiet < QUIET:
                time.sleep(TICK)
            elif not self.ended:
                # Woken by nobody, it looks once whether a wake-up has slipped by, and lies down again.
                quiet = 0 if self.sleep() else QUIET - 1
        self.server.counters_.retire(self.counts)

    def sleep(self) -> bool:
        """Lie down until woken, and for a nap at most; whether anything is going on."""
        self.asleep = True
        news = self.any_news()
        if not news:
            self.signal.acquire(timeout=NAP)
        with self.waking:
            if self.asleep:
                self.asleep = False
            else:
                news = True
                self.signal.acquire(blocking=False)  # a wake-up that came in between
        return news

    def any_news(self) -> bool:
        """Whether something came in between the last look and lying down."""
        for number, group in enumerate(self.groups):
            leader = group.leader
            if not group.baton.held or (
                leader is not None and leader.since != self.seen.get(number)
            ):
                return True
        return False

    def look(self, number: int, group: Group) -> bool:
        """One look at one group; True when something is going on."""
        now = time.monotonic()
        if not group.baton.held:
            since = self.orphans.setdefault(number, now)
            if now - since >= TICK:
                self.relieve(group)
            return True
        self.orphans.pop(number, None)
        leader = group.leader
        if leader is None:
            return False
        since = leader.since
        if leader.token:
            if now - since > OVERDUE:
                self.take_baton(group, leader)
            return True
        if since != self.seen.get(number):
            self.seen[number] = since
            return True
        return False

    def take_baton(self, group: Group, leader: Any) -> None:
        """The quick handler of `leader` is not: somebody else shall poll."""
        with group.steal:
            try:
                item = leader.token.pop()
            except IndexError:
                return  # it came back in this moment
            conn = item
            if type(item) is Exchange:
                conn = item.connection
                leader.stake = item
            conn.state = RUNNING
            group.wheel.set(conn, NEVER)
            conn.interest(MUTE)
            group.flush(self, conn)
        self.counts[BATON_TAKES] += 1
        group.baton.pass_on()

    def relieve(self, group: Group) -> None:
        """Nobody has polled for a tick: every worker is busy."""
        pool = group.pool
        if not pool.add(group) and not any(
            worker.leads and worker.group is group for worker in list(pool.workers)
        ):
            pool.add(group, leads=True)
