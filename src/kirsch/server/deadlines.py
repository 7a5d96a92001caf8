"""A coarse, lazy timer wheel: one entry a connection, looked at again only when it comes due.

The owner of a connection moves ``conn.deadline`` later with a plain store. The entry found in a
due bucket is compared with it then, and put back when the deadline has moved on.
"""

from __future__ import annotations

import heapq
import threading
from typing import Protocol

NEVER = float("inf")
GRAIN = 0.125  # seconds a bucket spans: half of it is the mean lateness of a timeout


def patience(left: float, waited: float, count: int, timeout: float, rate: int) -> float:
    """Seconds that a peer may still keep us waiting, after it took `waited` to move `count` bytes.

    It begins with `timeout` seconds and earns more with bytes, at `rate` bytes a second, but
    never saves up more than `timeout`: half a gigabyte at once is no licence to stop for weeks.
    """
    return min(timeout, left - waited + count / rate)


class Timed(Protocol):
    """What the wheel needs of a connection."""

    deadline: float
    due: int | None


class Wheel:
    """Buckets of connections by the tick they come due, and a heap of the ticks in use."""

    __slots__ = ("buckets", "lock", "ticks")

    def __init__(self) -> None:
        # Guards: an entry is in the bucket its ``due`` names, and every bucket's tick is in the heap.
        self.lock = threading.Lock()
        self.buckets: dict[int, set[Timed]] = {}
        self.ticks: list[int] = []

    def set(self, conn: Timed, deadline: float) -> None:
        """Give `conn` a deadline (monotonic seconds, or NEVER) that may be sooner than its last."""
        with self.lock:
            conn.deadline = deadline
            if deadline != NEVER:
                due = conn.due
                tick = int(deadline / GRAIN) + 1
                if due is None or tick < due:
                    if due is not None:
                        self._take(conn, due)
                    self._put(conn, tick)

    def drop(self, conn: Timed) -> None:
        """Forget a connection that is closed."""
        with self.lock:
            if conn.due is not None:
                self._take(conn, conn.due)
                conn.due = None

    def next(self) -> float:
        """When the first bucket comes due (NEVER when there is none)."""
        ticks = self.ticks
        try:
            return ticks[0] * GRAIN
        except IndexError:
            return NEVER

    def expired(self, now: float) -> list[Timed]:
        """Take out and return the connections whose deadline has passed."""
        late: list[Timed] = []
        with self.lock:
            ticks = self.ticks
            while ticks and ticks[0] * GRAIN <= now:
                tick = heapq.heappop(ticks)
                for conn in self.buckets.pop(tick, ()):
                    deadline = conn.deadline
                    if deadline <= now:
                        conn.due = None
                        late.append(conn)
                    elif deadline == NEVER:
                        conn.due = None
                    else:
                        self._put(conn, max(int(deadline / GRAIN), tick) + 1)
        return late

    def _put(self, conn: Timed, tick: int) -> None:
        bucket = self.buckets.get(tick)
        if bucket is None:
            bucket = self.buckets[tick] = set()
            heapq.heappush(self.ticks, tick)
        bucket.add(conn)
        conn.due = tick

    def _take(self, conn: Timed, tick: int) -> None:
        bucket = self.buckets.get(tick)
        if bucket is not None:
            bucket.discard(conn)  # the bucket stays, so that its tick in the heap is not doubled

    def __len__(self) -> int:
        with self.lock:
            return sum(map(len, self.buckets.values()))
