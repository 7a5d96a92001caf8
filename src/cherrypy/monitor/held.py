"""Held: what holds in a site for a while, and ends by itself: the pause of recording, levels of loggers.

Law: all of it is one state with the moment when it was made, and the latest is that of every process of
the site, however the others heard of it: who joins later, who was stopped, who collects next.
"""

from __future__ import annotations

import threading
import time
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from .loggers import LEVELS, LONGEST_NAME, Levels

if TYPE_CHECKING:
    from .plugin import Monitor

#: Seconds after which everything is what it was before, and loggers that are held at once.
LONGEST, MOST = 3600.0, 50


class State(NamedTuple):
    """What holds.

    at
        When it was made; times are in seconds since the epoch, as all processes have them.
    pause
        Until when nothing is recorded; 0.0 without a pause.
    levels
        Of loggers: the level, and until when.
    """

    at: float = 0.0
    pause: float = 0.0
    levels: tuple[tuple[str, str, float], ...] = ()

    def left(self, now: float) -> State:
        """Return what of it holds still. Who has set the clock holds nothing for longer than an hour."""
        levels = tuple(one for one in self.levels if now < one[2] <= now + LONGEST + 60.0)
        return State(
            self.at, self.pause if now < self.pause <= now + LONGEST + 60.0 else 0.0, levels
        )


def read(value: Any) -> State:
    """Return the state that another process tells; one that was never made for nothing.

    Raises ValueError for what is none.
    """
    if not value:
        return State()
    try:
        at, pause, levels = value
        state = State(
            float(at),
            float(pause),
            tuple((str(name), str(level), float(until)) for name, level, until in levels),
        )
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not what a site holds: {error!r}") from error
    times = [state.at, state.pause, *[until for _, _, until in state.levels]]
    if not all(map(isfinite, times)) or len(state.levels) > MOST:
        raise ValueError("not what a site holds: times that are none, or too many loggers")
    if any(level not in LEVELS or len(name) > LONGEST_NAME for name, level, _ in state.levels):
        raise ValueError("not what a site holds: a logger or a level that cannot be")
    return state


class Held:
    """What holds in this process.

    paused
        Whether nothing is recorded.
    """

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.paused = False
        self.state = State()
        self._levels = Levels()
        self._lock = threading.RLock()  # guards: what is done is what the latest state says
        self._timer: threading.Timer | None = None

    def told(self) -> list[Any]:
        """Return the state as other processes `read` it: with each snapshot, and from the collector."""
        return list(self.state) if self.state.at else []

    def pause(self, seconds: float) -> State:
        """Make a state with a pause of so long; with none for 0."""
        now = time.time()
        with self._lock:
            return self._make(now, now + seconds if seconds else 0.0, self.state.levels)

    def level(self, name: str, level: str, seconds: float) -> State:
        """Make a state with another level of a logger. Raises ValueError for too many of them."""
        now = time.time()
        with self._lock:
            others = tuple(one for one in self.state.left(now).levels if one[0] != name)
            if len(others) >= MOST:
                raise ValueError(f"{MOST} loggers have another level for a while already.")
            return self._make(now, self.state.pause, (*others, (name, level, now + seconds)))

    def _make(self, now: float, pause: float, levels: tuple[tuple[str, str, float], ...]) -> State:
        # Later than any other one, whatever has become of the clock.
        state = State(max(now, self.state.at + 0.001), pause, levels)
        self.take(state)
        return state

    def take(self, state: State) -> bool:
        """Do what a state says, if it is later than what is known; and say whether it is now known."""
        with self._lock:
            if state.at > self.state.at:
                self.state = state
                self._do()
            return self.state.at == state.at

    def _do(self) -> None:
        """Do what holds still, and come again when the next of it ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.time()
        self.state = state = self.state.left(now)
        self._levels.use({name: level for name, level, _ in state.levels})
        if self.paused != bool(state.pause):
            self.paused = bool(state.pause)
            self.monitor.rewatch()
            words = "are not recorded for a while" if self.paused else "are recorded again"
            self.monitor.bus.log(f"Monitor: requests {words}.")
        ends = [until for _, _, until in state.levels] + ([state.pause] if state.pause else [])
        if ends:
            self._timer = threading.Timer(max(0.0, min(ends) - now) + 0.005, self._ended)
            self._timer.daemon = True
            self._timer.start()

    def _ended(self) -> None:
        with self._lock:
            self._do()

    def forked(self) -> None:
        """In a forked child: the parent's timer is not here, nor whoever had the lock."""
        self._lock = threading.RLock()
        self._timer = None
        self._do()

    def end(self) -> None:
        """Have all be as it was, in this process alone."""
        with self._lock:
            self.state = State()
            self._do()
