"""The history: what the site has done until now, in seconds, minutes, hours and days.

Law: only the monitor's thread adds and writes; whoever asks never waits for a file being written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import ceil, floor, inf
from typing import Any

from ..metrics import Metric
from ..settings import SETTINGS
from ..snapshots import Snapshot
from .frames import Frame, Names, Packed, between, pack
from .levels import ALONE, BESIDE, RING, SECOND, Level, resolutions, trim
from .marks import KINDS, LONGEST, MOST, Mark
from .query import POINTS, Gathering, Part, Row, Seen, Series, check_stat, metric_of, steps


class History:
    """Keeps what is added, and answers what it has been.

    retention
        How long each resolution is kept, as in the setting `store.retention`.
    store
        Where it is kept besides in memory: a `store.Store`, or None.
    broken
        Told of what cannot be read: `broken(what, error)`.
    """

    def __init__(
        self, retention: Mapping[str, Any] | None = None, store: Any = None, broken: Any = None
    ) -> None:
        # Guards: a count is in one open frame or in a row, not in both.
        self._lock = threading.RLock()
        self.names = Names()
        self.store = store
        self.broken = broken or (lambda what, error: None)
        if retention is None:
            retention = SETTINGS["store.retention"].default
        self.levels = [
            Level(step, kept, _alone(step)) for step, kept in resolutions(retention or {})
        ]
        self._last: Snapshot | None = None
        self._marks: deque[Mark] = deque(maxlen=MOST)
        self._fresh: list[Mark] = []
        if store is not None:
            store.load(self)

    # -- adding: the monitor's thread --------------------------------------------------------------

    def add(self, snapshot: Snapshot) -> None:
        """Take the site's cumulative numbers of now. The first are what the others are compared with."""
        before, self._last = self._last, snapshot
        if before is not None:
            self.take(between(before, snapshot))

    def rest(self) -> None:
        """Compare the next snapshot with nothing: what was counted meanwhile is of no second."""
        self._last = None

    def take(self, frame: Frame) -> None:
        """Take what has been counted within a second or so."""
        beside = self._filed()
        with self._lock:
            for level in self.levels[1:]:
                level.most = BESIDE if beside else _alone(level.step)
            first = self.levels[0]
            # The finest first: what it held goes into the next one before that is closed.
            for place, level in enumerate(self.levels[1:], 1):
                if level.open is not None and level.open.at != level.tick(frame.at):
                    self._close(place)
            self._keep(first, _second(first, frame.at), frame)
            self._pour(1, frame)
            trim(self.levels)
        if self.store is not None:
            self.store.write(self)

    def _pour(self, place: int, frame: Frame) -> None:
        """Add a frame to the open one of a level, if there is such a level."""
        if place < len(self.levels):
            level = self.levels[place]
            if level.open is None:
                level.open = Frame(level.tick(frame.at))
            level.open.add(frame)

    def _close(self, place: int) -> None:
        level = self.levels[place]
        frame, level.open = level.open, None
        if frame is not None:
            self._keep(level, int(frame.at), frame)
            self._pour(place + 1, frame)

    def _keep(self, level: Level, tick: int, frame: Frame) -> None:
        """Put a frame where its level keeps them; with what is there, if time comes twice."""
        data = level.rows.get(tick)
        if data is None and self.store is not None:
            data = self.store.row(
                level.step, tick
            )  # asks the file only if the time has been before
        if data is not None:
            try:
                known = Packed(data).frame(self.names)
            except ValueError as error:
                self.broken("history", error)
            else:
                known.add(frame)
                frame = known
        level.put(tick, pack(frame, self.names, 1 if level.step < 60 else 6))

    def close(self) -> None:
        """Close all frames, and the file."""
        with self._lock:
            for place in range(1, len(self.levels)):
                self._close(place)
        if self.store is not None:
            self.store.write(self, last=True)
            self.store.close()

    def renumber(self, read: Callable[[], object]) -> None:
        """Have `read` give the names of a file, and give what is in memory those numbers."""
        with self._lock:
            old, kept = self.names, [list(level.rows.items()) for level in self.levels]
            self.names = Names()
            try:
                read()
            except BaseException:
                self.names = old
                raise
            for level, rows in zip(self.levels, kept, strict=True):
                for tick, data in rows:
                    try:
                        frame = Packed(data).frame(old)
                    except ValueError:
                        level.drop(tick)
                    else:
                        level.put(tick, pack(frame, self.names))

    # -- asking: any thread ------------------------------------------------------------------------

    def latest(self) -> Snapshot | None:
        """The last snapshot that was added."""
        return self._last

    @property
    def resolutions(self) -> list[tuple[float, float]]:
        """The steps that there are, the finest first, and for how long each is kept: seconds."""
        filed = self._filed()
        return [
            (level.step, level.kept if filed else min(level.kept, level.step * _alone(level.step)))
            for level in self.levels
        ]

    def now(self) -> float:
        """When that was."""
        return self._last.at if self._last is not None else time.time()

    def span(self) -> tuple[float, float]:
        """The times of the first and the last that is known; the same twice if nothing is."""
        now = self.now()
        with self._lock:
            first = [level.open.at for level in self.levels if level.open is not None]
            first += [tick for level in self.levels for tick in level.rows]
        if self.store is not None:
            first += self.store.first()
        return min([*first, now]), now

    def query(
        self,
        metric: str,
        start: float,
        end: float,
        step: float | None = None,
        *,
        by: tuple[str, ...] = (),
        where: dict[str, str] | None = None,
        stat: str = "rate",
    ) -> Series:
        """Return what a metric has been, step by step.

        start, end
            In seconds since the epoch.
        step
            Seconds; by itself as short as 300 steps allow. It is longer where nothing so fine is kept.
            `math.inf`: all of it is one step.
        by
            Labels of which each value has a row of its own.
        where
            Labels that must have a value.
        stat
            Of counters 'rate' (a second) or 'delta'; of gauges 'value', 'max' or 'min'; of histograms
            'rate', 'delta', 'sum' (a second), 'mean', 'p50', 'p90', 'p95', 'p99', 'p999', 'max' or
            'buckets' (a dict: the least value of a bucket, and how many it holds).

        Raises ValueError for a name that there is not, and for times that make no sense.
        """
        found = metric_of(metric)
        if found.derived:
            from .. import derived

            wanted = derived.Wanted(self, start, end, step, by, where or {})
            return derived.query(found, wanted, stat)
        check_stat(found, stat)
        return self.figures(self.gather(found, start, end, step, by=by, where=where), by, stat)

    @staticmethod
    def figures(
        gathered: tuple[Gathering, list[float], float, list[Seen | None]],
        by: tuple[str, ...],
        stat: str,
    ) -> Series:
        """Return what `gather` has found, as one of its figures: `query` in two steps."""
        gathering, times, step, seen = gathered
        check_stat(gathering.metric, stat)
        series = Series(times, step)
        rows: dict[Row, None] = {} if by else {(): None}
        for one in seen:
            rows.update(dict.fromkeys(gathering.rows(one)))
        for row in sorted(rows):
            series.rows[row] = [gathering.figure(one, row, stat) for one in seen]
        return series

    def gather(
        self,
        metric: Metric,
        start: float,
        end: float,
        step: float | None = None,
        *,
        by: tuple[str, ...] = (),
        where: dict[str, str] | None = None,
    ) -> tuple[Gathering, list[float], float, list[Seen | None]]:
        """Return what has been seen of a metric in each step; None where nothing at all is known."""
        gathering = Gathering(metric, self.names, by, where or {})
        whole = step == inf
        times, step = steps(start, end, step)
        if whole:
            level, first = self._finest(start, end), 0.0
            if level.step > step:  # nothing so short is kept: the frame that it is in
                times, step = [float(level.tick(start))], level.step
        else:
            level, step = self._level(step, start)
            times, step = steps(start, end, step)
            first = times[0]
        seen: list[Seen | None] = [None] * len(times)
        for part in self._parts(level, times[0], times[-1] + step):
            place = 0 if whole else floor((part.at - first) / step)
            one = seen[place]
            if one is None:
                one = seen[place] = Seen()
            try:
                gathering.take(part, one)
            except ValueError as error:
                self.broken("history", error)
        return gathering, times, step, seen

    def effort(
        self,
        metric: Metric,
        start: float,
        end: float,
        step: float | None = None,
        *,
        by: tuple[str, ...] = (),
        where: dict[str, str] | None = None,
    ) -> tuple[float, int, float]:
        """Return how many frames a query reads, how many series of each, and how many steps there are.

        Raises ValueError as `query` does.
        """
        series = len(Gathering(metric, self.names, by, where or {}).wanted)
        _, step = steps(start, end, step)
        level, step = self._level(step, start)
        first, last = self.span()
        known = max(0.0, min(end, last) - max(start, first))
        return known / level.step, series, (end - start) / step

    def _there(self, oldest: float) -> list[Level]:
        """The levels that are kept for so long, the finest first; the last one always is."""
        ago = self.now() - oldest
        there = zip(self.levels, self.resolutions, strict=True)
        return [level for level, (_, kept) in there if ago <= kept] or self.levels[-1:]

    def _filed(self) -> bool:
        """Whether there is a file."""
        return self.store is not None and self.store.opened

    def _level(self, step: float, start: float) -> tuple[Level, float]:
        """The coarsest level that has what is asked for; with a longer step if there is none."""
        there = self._there(start + max(step, 10.0))
        fitting = [level for level in there if level.step <= step and step % level.step == 0.0]
        if fitting:
            return fitting[-1], step
        level = there[0]
        return level, ceil(step / level.step) * level.step

    def _finest(self, start: float, end: float) -> Level:
        """The finest level that has what is asked for, and not too much of it."""
        there = self._there(start + 10.0)
        few = [level for level in there if (end - start) / level.step <= POINTS]
        return few[0] if few else there[-1]

    def _parts(self, level: Level, start: float, end: float) -> Iterator[Part]:
        """All frames of a level from `start` to `end`, and what is still in the open ones."""
        # The file first: what is closed meanwhile is in memory, too.
        filed = []
        if self.store is not None and level.step > SECOND:
            filed = self.store.rows(level.step, start, end)
        with self._lock:
            rows = {tick: data for tick, data in level.rows.items() if start <= tick < end}
            opened = [
                Part(finer.open.at, _copy(finer.open))
                for finer in self.levels[1 : self.levels.index(level) + 1]
                if finer.open is not None and start <= finer.open.at < end
            ]
        for tick, data in filed:
            if tick not in rows:
                yield Part(tick, packed=data)
        for tick, data in rows.items():
            yield Part(tick, packed=data)
        yield from opened

    # -- marks -------------------------------------------------------------------------------------

    def mark(self, kind: str, text: str, at: float | None = None) -> None:
        """Note that something has happened, now or `at`. Any thread may.

        Raises ValueError for a kind that there is not: 'restart', 'deploy', 'config', 'alert'.
        """
        if kind not in KINDS:
            raise ValueError(f"A mark is one of {', '.join(KINDS)}, not {kind!r}.")
        mark = Mark(time.time() if at is None else at, kind, text[:LONGEST])
        with self._lock:
            self._marks.append(mark)
            if self.store is not None and len(self._fresh) < MOST:
                self._fresh.append(mark)

    def remember(self, marks: list[Mark]) -> None:
        """Know of marks that a file has kept."""
        with self._lock:
            known = [mark for mark in self._marks if mark not in marks]
            self._marks.clear()
            self._marks.extend([*marks, *known])

    def fresh_marks(self) -> list[Mark]:
        """Marks that no file has yet."""
        with self._lock:
            return list(self._fresh)

    def written_marks(self, number: int) -> None:
        """The first so many of them have been written."""
        with self._lock:
            del self._fresh[:number]

    def marks(self, start: float, end: float) -> list[Mark]:
        """What has happened from `start` to `end`, the first first."""
        with self._lock:
            marks = list(self._marks)
        return sorted(mark for mark in marks if start <= mark.at < end)


def _alone(step: float) -> int:
    """How many frames of a level are in memory where there is no file."""
    return int(RING) if step == SECOND else ALONE.get(step, 720)


def _second(level: Level, at: float) -> int:
    """The second of a frame: the next one, if beats that come about each second missed one or hit
    one twice by a hair."""
    tick = level.tick(at)
    last = next(reversed(level.rows), None)
    if last is not None:
        if tick == last + 2 and at - tick < 0.3:
            return tick - 1
        if tick == last and at - tick > 0.7:
            return tick + 1
    return tick


def _copy(frame: Frame) -> Frame:
    """What an open frame holds now. Its histograms grow in the monitor's thread: copied, too."""
    copy = Frame(frame.at)
    copy.add(frame)
    return copy
