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
from collections.abc import Container, Iterable, Iterator
from itertools import accumulate
from operator import sub
from typing import Any

from ..histograms import Spread, floor_of
from ..metrics import METRICS, Labels, Metric
from ..snapshots import Snapshot

Key = tuple[Metric, Labels]

#: What a gauge has been within a frame: the sum of its values, how many, the least, the greatest.
Cell = tuple[float, float, float, float]

#: Series that are known by a number at the same time; the longest unseen are forgotten first.
MOST_NAMES = 50_000

#: Seconds between two snapshots that are believed; more is a clock that was set.
LONGEST = 3600.0

#: Bytes that are packed with little memory.
SMALL = 8192

_HEAD = struct.Struct("<BddI")  # version, at, seconds, bytes of the scalars
_COLUMN = struct.Struct("<cI")  # kind of array, how many
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
            known = gauges.get(key)
            gauges[key] = cell if known is None else together(known, cell)
        spreads = self.spreads
        for key, spread in other.spreads.items():
            mine = spreads.get(key)
            if mine is None:
                spreads[key] = spread.copy()
            else:
                mine.add(spread)


def together(known: Cell, cell: Cell) -> Cell:
    """What a gauge has been in two stretches of time."""
    total, times, least, most = known
    more, again, low, high = cell
    return (
        total + more,
        times + again,
        min(least, low),
        max(most, high),
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
    """What a histogram has got since it was `before`, None if nothing."""
    if before is None:
        return now.copy() if now.buckets else None
    if now.buckets == before.buckets:
        return None
    known = before.buckets.get
    grown = {
        number: count - known(number, 0)
        for number, count in now.buckets.items()
        if count != known(number)
    }
    if (
        now.total < before.total
        or len(now.buckets) < len(before.buckets)
        or min(grown.values(), default=-1) < 0
    ):
        return now.copy()
    most = now.most
    if most <= before.most:  # the greatest is older: the top of the highest bucket that grew
        most = min(most, floor_of(max(map(abs, grown)) + 1))
    return Spread(now.scale, now.total - before.total, most, grown)


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

    def ids(self, keys: Iterable[Key]) -> list[int]:
        """The numbers of many series."""
        try:
            numbers = [*map(self._ids.__getitem__, keys)]
        except KeyError:
            return [*map(self.id, keys)]
        self._seen.update(dict.fromkeys(numbers, self._round))
        return numbers

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
    """Return bytes that `Packed` reads. `level` is zlib's.

    Scalars and histograms are compressed apart, so that one can be read without the other.
    """
    ids, counts, spreads = names.ids, frame.counts, frame.spreads
    cells = frame.gauges.values()
    numbers: list[int] = []
    tallies: list[int] = []
    sizes: list[int] = []
    for spread in spreads.values():
        order = sorted(spread.buckets)
        numbers += order
        tallies += map(spread.buckets.__getitem__, order)
        sizes.append(len(order))
    scalars: list[array[Any]] = [
        _narrow(_deltas(ids(counts))),
        array("d", counts.values()),
        _narrow(_deltas(ids(frame.gauges))),
        *(array("d", [cell[part] for cell in cells]) for part in range(4)),
    ]
    rest: list[array[Any]] = [
        _narrow(_deltas(ids(spreads))),
        array("d", [spread.total for spread in spreads.values()]),
        array("d", [spread.most for spread in spreads.values()]),
        _narrow(sizes),
        _narrow(_deltas(numbers)),
        _narrow(tallies),
    ]
    parts = [compressed(_joined(columns), level) for columns in (scalars, rest)]
    head = _HEAD.pack(_VERSION, frame.at, frame.seconds, len(parts[0]))
    return head + b"".join(parts)


def compressed(data: bytes, level: int) -> bytes:
    """Return what `zlib.decompress` reads.

    zlib's own choice is to lay out and clear 268 kB each time, which for the few of a quiet second is
    most of the work.
    """
    if len(data) > SMALL:
        return zlib.compress(data, level)
    small = zlib.compressobj(level, zlib.DEFLATED, 13, 6)  # a window of all of it, tables to match
    return small.compress(data) + small.flush()


def _deltas(values: list[int]) -> list[int]:
    """Differences of neighbours: they are small, and much alike."""
    return list(map(sub, values, [0, *values[:-1]]))


def _narrow(values: list[int]) -> array[Any]:
    """An array of the narrowest kind that holds all."""
    least, most = min(values, default=0), max(values, default=0)
    for kind, bits in (("b", 7), ("h", 15), ("i", 31)):
        if -(1 << bits) <= least and most < 1 << bits:
            return array(kind, values)
    return array("q", values)


def _joined(columns: list[array[Any]]) -> bytes:
    joined: list[bytes] = []
    for column in columns:
        if _SWAP:
            column.byteswap()
        joined += (_COLUMN.pack(column.typecode.encode(), len(column)), column.tobytes())
    return b"".join(joined)


def _columns(data: bytes) -> list[array[Any]]:
    """The columns that were joined. Raises ValueError for other bytes."""
    try:
        plain = zlib.decompress(data)
    except zlib.error as error:
        raise ValueError(f"not a frame: {error}") from error
    columns = []
    place = 0
    while place < len(plain):
        try:
            kind, size = _COLUMN.unpack_from(plain, place)
        except struct.error as error:
            raise ValueError(f"not a frame: {error}") from error
        place += _COLUMN.size
        column = array(kind.decode("latin-1"))
        length = size * column.itemsize
        column.frombytes(plain[place : place + length])
        if len(column) != size:
            raise ValueError("a frame that ends early")
        if _SWAP:
            column.byteswap()
        columns.append(column)
        place += length
    return columns


class Packed:
    """A frame as it was packed: what is asked for is read, and no more.

    Raises ValueError for bytes that `pack` has not made, when they are read.
    """

    __slots__ = ("_data", "_scalars", "at", "seconds")

    def __init__(self, data: bytes) -> None:
        try:
            version, self.at, self.seconds, self._scalars = _HEAD.unpack_from(data)
        except struct.error as error:
            raise ValueError(f"not a frame: {error}") from error
        if version != _VERSION:
            raise ValueError(f"a frame of version {version}")
        self._data = data

    def counts(self, wanted: Container[int]) -> Iterator[tuple[int, float]]:
        """By how much those counters have grown that are in `wanted`."""
        ids, values = self._first()[:2]
        for place, number in enumerate(accumulate(ids)):
            if number in wanted:
                yield number, values[place]

    def gauges(self, wanted: Container[int]) -> Iterator[tuple[int, Cell]]:
        """What those gauges have been that are in `wanted`."""
        ids, sums, times, least, most = self._first()[2:]
        for place, number in enumerate(accumulate(ids)):
            if number in wanted:
                yield number, (sums[place], times[place], least[place], most[place])

    def _first(self) -> list[array[Any]]:
        columns = _columns(self._data[_HEAD.size : _HEAD.size + self._scalars])
        if len(columns) != 7:
            raise ValueError("a frame of other columns")
        return columns

    def spreads(self, wanted: Container[int]) -> Iterator[tuple[int, float, float, dict[int, int]]]:
        """What those histograms have got that are in `wanted`: total, most, buckets."""
        columns = _columns(self._data[_HEAD.size + self._scalars :])
        if len(columns) != 6:
            raise ValueError("a frame of other columns")
        ids, totals, mosts, sizes, deltas, tallies = columns
        ends = list(accumulate(sizes))
        numbers: list[int] = []
        for place, number in enumerate(accumulate(ids)):
            if number in wanted:
                numbers = numbers or list(accumulate(deltas))
                end = ends[place]
                part = slice(end - sizes[place], end)
                buckets = dict(zip(numbers[part], tallies[part], strict=True))
                yield number, totals[place], mosts[place], buckets

    def frame(self, names: Names) -> Frame:
        """The whole frame, but for series whose names are forgotten."""
        frame = Frame(self.at, self.seconds)
        for number, count in self.counts(_ALL):
            if key := names.key(number):
                frame.counts[key] = count
        for number, cell in self.gauges(_ALL):
            if key := names.key(number):
                frame.gauges[key] = cell
        for number, total, most, buckets in self.spreads(_ALL):
            if key := names.key(number):
                frame.spreads[key] = Spread(key[0].scale, total, most, buckets)
        return frame


class _All:
    """Holds every number."""

    def __contains__(self, number: object) -> bool:
        return True


_ALL = _All()


def key_of(name: str, labels: Iterable[Any]) -> Key | None:
    """The series of a metric's name, None if there is no such metric any more."""
    metric = METRICS.get(name)
    return None if metric is None else (metric, tuple(labels))
