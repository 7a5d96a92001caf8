"""Frames: what has been counted within a stretch of time, and how one is packed into bytes.

Law: frames add up. One of an hour is the sum of its seconds, its histograms too, so that a
percentile of an hour is that of all its requests and no mean of means.
"""

from __future__ import annotations

import struct
import sys
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from ..histograms import Spread
from ..metrics import METRICS, Labels, Metric
from ..snapshots import Snapshot

Key = tuple[Metric, Labels]

#: What a gauge has been within a frame: the sum of its values, how many, the least, the greatest.
Cell = tuple[float, float, float, float]

#: Series that are known by a number at the same time; the longest unseen are forgotten first.
MOST_NAMES = 50_000

#: Seconds between two snapshots that are believed; more is a clock that was set.
LONGEST = 3600.0

_HEAD = struct.Struct("<BddIIII")  # version, at, seconds, counts, gauges, spreads, buckets
_VERSION = 1
_SWAP = sys.byteorder != "little"


class Frame:
    """What has been counted from `at` on, in `seconds` of it that are known.

    counts
        By how much counters have grown.
    gauges
        What gauges have been: a `Cell` each.
    spreads
        What histograms have got.
    """

    __slots__ = ("at", "counts", "gauges", "seconds", "spreads")

    def __init__(self, at: float, seconds: float = 0.0) -> None:
        self.at = at
        self.seconds = seconds
        self.counts: dict[Key, float] = {}
        self.gauges: dict[Key, Cell] = {}
        self.spreads: dict[Key, Spread] = {}

    def add(self, other: Frame) -> None:
        """Add what has been counted in another stretch of time."""
        self.seconds += other.seconds
        counts = self.counts
        for key, count in other.counts.items():
            counts[key] = counts.get(key, 0.0) + count
        gauges = self.gauges
        for key, cell in other.gauges.items():
            gauges[key] = together(gauges.get(key), cell)
        spreads = self.spreads
        for key, spread in other.spreads.items():
            mine = spreads.get(key)
            if mine is None:
                spreads[key] = spread.copy()
            else:
                mine.add(spread)


def together(known: Cell | None, cell: Cell) -> Cell:
    """What a gauge has been in two stretches of time."""
    if known is None:
        return cell
    return (
        known[0] + cell[0],
        known[1] + cell[1],
        min(known[2], cell[2]),
        max(known[3], cell[3]),
    )


def between(before: Snapshot, now: Snapshot) -> Frame:
    """Return what has been counted between two snapshots.

    A count that has fallen is that of a new life, and has grown from nothing. Where the clock was
    set meanwhile, a second is believed to have passed.
    """
    passed = now.at - before.at
    if not 0.0 < passed <= LONGEST:
        passed = 1.0
    frame = Frame(now.at - passed, passed)
    known = before.counts
    for key, count in now.counts.items():
        grown = count - known.get(key, 0.0)
        if grown < 0.0:
            grown = count
        if grown:
            frame.counts[key] = grown
    for key, value in now.gauges.items():
        frame.gauges[key] = (value, 1.0, value, value)
    for key, spread in now.spreads.items():
        more = _grown(before.spreads.get(key), spread)
        if more is not None:
            frame.spreads[key] = more
    return frame


def _grown(before: Spread | None, now: Spread) -> Spread | None:
    if before is None:
        return now.copy() if now.buckets else None
    if now.buckets == before.buckets:
        return None
    known = before.buckets
    if any(now.buckets.get(number, 0) < count for number, count in known.items()):
        return now.copy()
    return now.since(before)


class Names:
    """Numbers of series: a number is given once, and never to another series."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards: a number belongs to one series
        self._ids: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._by_metric: dict[Metric, dict[int, Labels]] = {}
        self._seen: dict[int, int] = {}
        self._next = 1
        self._round = 0
        #: Numbers that no file knows yet.
        self.fresh: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def id(self, key: Key) -> int:
        """The number of a series, a new one if it has none."""
        number = self._ids.get(key)
        if number is None:
            with self._lock:
                number = self._next
                self._next += 1
                self._put(number, key)
                self.fresh[number] = key
        self._seen[number] = self._round
        return number

    def learn(self, number: int, key: Key) -> None:
        """Take a number from a file."""
        with self._lock:
            self._next = max(self._next, number + 1)
            if key not in self._ids:
                self._put(number, key)

    def all_fresh(self) -> None:
        """No file knows any of them."""
        self.fresh = dict(self._keys)

    def above(self, number: int) -> None:
        """Give no number up to this one."""
        with self._lock:
            self._next = max(self._next, number + 1)

    def _put(self, number: int, key: Key) -> None:
        self._ids[key] = number
        self._keys[number] = key
        self._by_metric.setdefault(key[0], {})[number] = key[1]
        self._seen[number] = self._round

    def key(self, number: int) -> Key | None:
        """The series of a number."""
        return self._keys.get(number)

    def of(self, metric: Metric) -> dict[int, Labels]:
        """All series of a metric: their labels by number."""
        with self._lock:
            return dict(self._by_metric.get(metric, ()))

    def trim(self, most: int = MOST_NAMES) -> list[int]:
        """Forget the series that were longest unseen, if there are too many. Returns their numbers."""
        self._round += 1
        if len(self._ids) <= most:
            return []
        with self._lock:
            oldest = sorted(self._seen, key=self._seen.__getitem__)[
                : len(self._ids) - most * 9 // 10
            ]
            for number in oldest:
                key = self._keys.pop(number)
                del self._ids[key], self._seen[number]
                del self._by_metric[key[0]][number]
                self.fresh.pop(number, None)
        return oldest


def pack(frame: Frame, names: Names, level: int = 1) -> bytes:
    """Return bytes that `Packed` reads. `level` is zlib's."""
    ids, counts, spreads = names.id, frame.counts, frame.spreads
    cells = frame.gauges.values()
    numbers, tallies, sizes = array("h"), array("Q"), array("H")
    for spread in spreads.values():
        numbers.extend(spread.buckets)
        tallies.extend(spread.buckets.values())
        sizes.append(len(spread.buckets))
    columns: list[array[Any]] = [
        array("I", map(ids, counts)),
        array("d", counts.values()),
        array("I", map(ids, frame.gauges)),
        *(array("d", [cell[part] for cell in cells]) for part in range(4)),
        array("I", map(ids, spreads)),
        array("d", [spread.total for spread in spreads.values()]),
        array("d", [spread.most for spread in spreads.values()]),
        sizes,
        numbers,
        tallies,
    ]
    head = _HEAD.pack(
        _VERSION,
        frame.at,
        frame.seconds,
        len(counts),
        len(frame.gauges),
        len(spreads),
        len(numbers),
    )
    return zlib.compress(b"".join((head, *map(_bytes, columns))), level)


def _bytes(column: array[Any]) -> bytes:
    if _SWAP:
        column.byteswap()
    return column.tobytes()


class Packed:
    """A frame as it was packed: what is asked for is read, and no more.

    Raises ValueError for bytes that `pack` has not made.
    """

    __slots__ = ("_columns", "at", "seconds")

    def __init__(self, data: bytes) -> None:
        try:
            plain = zlib.decompress(data)
            version, self.at, self.seconds, counts, gauges, spreads, buckets = _HEAD.unpack_from(
                plain
            )
        except (zlib.error, struct.error) as error:
            raise ValueError(f"not a frame: {error}") from error
        if version != _VERSION:
            raise ValueError(f"a frame of version {version}")
        sizes = [("I", counts), ("d", counts), ("I", gauges), *[("d", gauges)] * 4]
        sizes += [("I", spreads), ("d", spreads), ("d", spreads), ("H", spreads)]
        sizes += [("h", buckets), ("Q", buckets)]
        place = _HEAD.size
        self._columns: list[array[Any]] = []
        for kind, size in sizes:
            column = array(kind)
            length = size * column.itemsize
            column.frombytes(plain[place : place + length])
            if len(column) != size:
                raise ValueError("a frame that ends early")
            if _SWAP:
                column.byteswap()
            self._columns.append(column)
            place += length

    def counts(self, wanted: Iterable[int]) -> Iterator[tuple[int, float]]:
        """By how much those counters have grown that are in `wanted`."""
        ids, values = self._columns[0], self._columns[1]
        for place in _places(ids, wanted):
            yield ids[place], values[place]

    def gauges(self, wanted: Iterable[int]) -> Iterator[tuple[int, Cell]]:
        """What those gauges have been that are in `wanted`."""
        ids, sums, times, least, most = self._columns[2:7]
        for place in _places(ids, wanted):
            yield ids[place], (sums[place], times[place], least[place], most[place])

    def spreads(self, wanted: Iterable[int]) -> Iterator[tuple[int, float, float, dict[int, int]]]:
        """What those histograms have got that are in `wanted`: total, most, buckets."""
        ids, totals, mosts, sizes, numbers, tallies = self._columns[7:]
        ends: list[int] | None = None
        for place in _places(ids, wanted):
            if ends is None:
                ends = list(accumulate(sizes))
            end = ends[place]
            part = slice(end - sizes[place], end)
            buckets = dict(zip(numbers[part], tallies[part], strict=True))
            yield ids[place], totals[place], mosts[place], buckets

    def frame(self, names: Names) -> Frame:
        """The whole frame, but for series whose names are forgotten."""
        frame = Frame(self.at, self.seconds)
        columns = self._columns
        for number, count in self.counts(columns[0]):
            if key := names.key(number):
                frame.counts[key] = count
        for number, cell in self.gauges(columns[2]):
            if key := names.key(number):
                frame.gauges[key] = cell
        for number, total, most, buckets in self.spreads(columns[7]):
            if key := names.key(number):
                frame.spreads[key] = Spread(key[0].scale, total, most, buckets)
        return frame


def _places(ids: array[Any], wanted: Iterable[int]) -> Iterator[int]:
    if wanted is ids:
        return iter(range(len(ids)))
    return (place for place, number in enumerate(ids) if number in wanted)


def key_of(name: str, labels: Iterable[Any]) -> Key | None:
    """The series of a metric's name, None if there is no such metric any more."""
    metric = METRICS.get(name)
    return None if metric is None else (metric, tuple(labels))
