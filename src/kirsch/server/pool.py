"""The pool: how many workers there are, between `min` and `max`, and who comes and goes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from .workers import Worker

if TYPE_CHECKING:
    from .group import Group

STUCK = 64  # workers that are replaced while their handlers do not return; more in bigger pools


class Pool:
    """All workers of a server, between `min` and `max`."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.groups: list[Group] = []
        self.lock = threading.Lock()  # guards: `workers`, `stuck`, `leaders` and `surplus`
        self.workers: list[Worker] = []
        self.stuck: list[Worker] = []  # whose answers were given by others, and who are not back
        self.leaders = 0  # of them, the overflow leaders
        self.ended = False
        self.patience = 5.0  # seconds without work after which a surplus worker leaves
        self.surplus = 0  # workers asked to leave by shrink()
        self.numbers = 0
        self.complained = -60.0  # when the system last had no thread to give

    @property
    def min(self) -> int:
        return int(self.server.settings.threads)

    @property
    def max(self) -> int:
        return int(self.server.settings.pool_max)

    @property
    def fewest(self) -> int:
        """Workers there always are: the minimum, and one to poll in each group."""
        return max(self.min, len(self.groups))

    @property
    def size(self) -> int:
        """Workers alive (an overflow leader is none)."""
        return len(self.workers) - self.leaders

    @property
    def _threads(self) -> list[threading.Thread]:
        """The threads of the workers, for programs that count them under this name."""
        return [worker.thread for worker in list(self.workers) if not worker.leads]

    @property
    def idle(self) -> int:
        """Workers without a handler to run."""
        return sum(group.baton.idle() for group in self.groups)

    @property
    def qsize(self) -> int:
        """Complete requests, and other errands, that wait for a worker."""
        return sum(len(group.queue) + len(group.errands) for group in self.groups)

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def add(self, group: Group, leads: bool = False) -> bool:
        """Start one more worker; False when the pool is full or has ended."""
        with self.lock:
            if self.ended or (not leads and self.size >= self.max):
                return False
            worker = Worker(group, leads)
            self.workers.append(worker)
            self.leaders += leads
        try:
            worker.thread.start()
        except RuntimeError as error:  # the system has no thread to give
            with self.lock:
                self._remove(worker)
            self.server.counters_.retire(worker.counts)
            now = time.monotonic()
            if now - self.complained > 10:  # housekeeping asks again every few milliseconds
                self.complained = now
                self.server.log_error("cannot start a worker", error)
            return False
        return True

    def _remove(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.leaders -= worker.leads
        elif worker in self.stuck:
            self.stuck.remove(worker)

    def stray(self, worker: Worker) -> bool:
        """A worker's handler does not come back: count on it no more; False when too many do so.

        From any thread, while the worker cannot come back. The caller adds another in its place.
        """
        with self.lock:
            if self.ended or worker not in self.workers:
                return False
            if len(self.stuck) >= max(self.max, STUCK):
                return False
            self._remove(worker)
            self.stuck.append(worker)
            worker.strayed = True
            return True

    def rejoin(self, worker: Worker) -> bool:
        """A worker that had strayed is back; False when it is not needed any more."""
        with self.lock:
            worker.lost = worker.strayed = False
            if worker not in self.stuck:
                return True
            if self.ended or self.size >= self.fewest:
                return False  # `left` takes it off the list
            self.stuck.remove(worker)
            self.workers.append(worker)
            return True

    def grow(self, amount: int) -> int:
        """Add up to `amount` workers now; how many were."""
        groups = self.groups
        return sum(self.add(groups[i % len(groups)]) for i in range(amount)) if groups else 0

    def shrink(self, amount: int) -> None:
        """Ask `amount` workers to leave when they are idle, not below the minimum."""
        with self.lock:
            spare = max(0, self.size - self.fewest)
            self.surplus = min(spare, self.surplus + amount)

    def may_leave(self, worker: Worker) -> bool:
        """Whether an idle surplus worker may go; decided once, so that the minimum stays."""
        with self.lock:
            if self.ended or self.size > self.fewest:
                self._remove(worker)
                return True
        return False

    def must_leave(self, worker: Worker) -> bool:
        """Whether shrink() asked for one to go."""
        if not self.surplus or worker.leads:
            return False
        with self.lock:
            # The last of a group would only be replaced.
            if self.surplus and any(
                w.group is worker.group for w in self.workers if w is not worker
            ):
                self.surplus -= 1
                self._remove(worker)
                return True
        return False

    def left(self, worker: Worker) -> None:
        """A worker's thread is about to end (called from it)."""
        with self.lock:
            self._remove(worker)
            group = worker.group
            last = group.left_behind and all(w.group is not group for w in self.workers)
        server = self.server
        if last:
            group.dispose(worker.counts)
        if worker.announced and server.settings.thread_stopped is not None:
            try:
                server.settings.thread_stopped(worker.thread)
            except Exception as error:
                server.log_error("error in thread_stopped", error)
        server.counters_.retire(worker.counts)
