"""The interpreter: garbage collections, how late its threads wake up, how late its event loops are."""

from __future__ import annotations

import gc
import platform
import sys
import threading
import time
from typing import Any

from ..metrics import Labels
from ..table import process as p
from .house import House

Values = dict[Labels, float]

#: Seconds between two looks at how late a thread wakes up.
NAP = 0.1

#: Looks that are counted together.
AT_ONCE = 10

#: Where event loops are made; who uses none is spared asyncio.
LOOPS = "cherrypy.process.loops"


class Collections:
    """Collections of garbage as they happen; a callback of `gc`.

    It runs in whatever thread has set a collection off, perhaps within a lock of somebody's: it takes
    none, and what it has measured is counted by others.
    """

    def __init__(self) -> None:
        self.began = 0.0
        self.pauses: list[tuple[float, str]] = []

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began = time.perf_counter()
        elif self.began and len(self.pauses) < 10_000:
            self.pauses.append((time.perf_counter() - self.began, str(info["generation"])))

    def count(self) -> None:
        """Count what has been measured; one thread calls."""
        pauses = self.pauses
        number = len(pauses)
        for took, generation in pauses[:number]:
            p.GC_PAUSE_DURATION.observe(took, (generation,))
        del pauses[:number]


def statistics(known: list[dict[str, int]], name: str) -> Values:
    """A number that `gc` keeps of each generation."""
    return {(str(index),): float(stats[name]) for index, stats in enumerate(known)}


def tracked(collections: Collections) -> Values:
    """Objects that were made since the last collection of each generation, as `gc` counts them."""
    collections.count()
    return {(str(index),): float(count) for index, count in enumerate(gc.get_count())}


def delay_of(nap: float = NAP) -> float:
    """Sleep, and return by how many seconds that was too long."""
    began = time.monotonic()
    time.sleep(nap)
    return max(0.0, time.monotonic() - began - nap)


class Sleeper:
    """A thread that measures how late it wakes up: for want of the GIL, or of a processor."""

    def __init__(self) -> None:
        self.lag = Lag()
        self.begin()

    def begin(self) -> None:
        """Start the thread: at first, and in a forked child, where it is not."""
        self.over = threading.Event()
        self.late: list[float] = []  # what has been measured, and is yet to be counted
        self.thread = threading.Thread(target=self.run, name="monitor-sleeper", daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Sleep again and again. To wake up is most of what it costs: little is done each time."""
        over, late = self.over.is_set, self.late
        while not over():
            late.append(delay_of())
            if LOOPS in sys.modules:
                self.lag.look()
            if len(late) == AT_ONCE:
                count(late)
        count(late)

    def end(self) -> None:
        """Sleep no more."""
        self.over.set()
        self.thread.join(2.0)


def count(late: list[float]) -> None:
    """Count what has been measured of how late a thread woke up, and forget it."""
    for delay in late:
        p.RUNTIME_WAKEUP_DELAY.observe(delay)
    late.clear()


class Lag:
    """How late the event loop of the process is, where there is one."""

    def __init__(self) -> None:
        self.owing: Any = None  # the loop that has yet to call back

    def look(self) -> None:
        """Ask the loop to call back at once, unless it still owes us that."""
        module = sys.modules.get(LOOPS)
        loop = None if module is None else module.shared._loop
        if loop is None or loop is self.owing:
            return
        self.owing = loop
        try:
            loop.call_soon_threadsafe(self.called, time.monotonic())
        except RuntimeError:  # it has been closed in this moment
            self.owing = None

    def called(self, asked: float) -> None:
        """The loop has come to it."""
        self.owing = None
        p.RUNTIME_LOOP_LAG.observe(time.monotonic() - asked)


def info() -> Values:
    """What runs here."""
    version = getattr(sys.modules["cherrypy"], "__version__", "")
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    facts = (
        platform.python_version(),
        platform.python_implementation(),
        "on" if locked else "off",
        str(version),
        platform.system(),
    )
    return {facts: 1.0}


def begin(house: House) -> None:
    """Watch it."""
    collections = Collections()
    gc.callbacks.append(collections)
    house.ending(lambda: gc.callbacks.remove(collections))
    stats = house.once(gc.get_stats)
    house.sample(p.CPYTHON_GC_COLLECTIONS, lambda: statistics(stats(), "collections"))
    house.sample(p.CPYTHON_GC_COLLECTED_OBJECTS, lambda: statistics(stats(), "collected"))
    house.sample(p.CPYTHON_GC_UNCOLLECTABLE_OBJECTS, lambda: statistics(stats(), "uncollectable"))
    house.sample(p.GC_TRACKED_OBJECTS, lambda: tracked(collections))
    known = info()
    house.sample(p.RUNTIME_INFO, lambda: known)
    sleeper = Sleeper()
    house.ending(sleeper.end)
    house.forking(sleeper.begin)
