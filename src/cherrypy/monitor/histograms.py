"""Log-linear histograms: 16 buckets an octave, so any quantile is right within 3.2 %, and sums of
histograms are as exact as their parts.

A bucket that a bound of the exported histograms falls into is kept in two parts, so that those are
exact, too: what lies above the bound has the negative number of the bucket.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import frexp, inf, ldexp
from struct import pack

#: Bounds of exported histograms, by unit. Seconds: OpenTelemetry's advice for
#: `http.server.request.duration`.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
BYTES = tuple(float(1 << shift) for shift in range(6, 33, 2))
COUNTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10000.0)

NOTHING = 2.0**-100  # what is less is nothing

# The upper two bytes of a `double` of C are the number of its bucket and this. Those of the least value
# that is something; and what is less than nothing has this bit.
BIAS = 896 << 4
LEAST = BIAS + 432
SIGN = 1 << 15

_LITTLE = sys.byteorder == "little"
_HIGH, _LOW = (7, 6) if _LITTLE else (0, 1)


def bucket(value: float) -> int:
    """The number of the bucket that holds a value; what is nothing, or less, has the number 0.

    The exponent and the first four bits of the fraction, as in the upper bits of a `float` of C.
    """
    if value < NOTHING:
        return 0
    fraction, exponent = frexp(value)
    return ((exponent + 126) << 4) + int(fraction * 32) - 16


def uppers(values: Sequence[float], lows: bytes) -> tuple[dict[int, int], bytes]:
    """Count how many of the values have which upper two bytes. Only C looks at each value.

    lows
        The lower of those bytes that are expected.

    Returns the counts, and the lower bytes to expect the next time.
    """
    data = pack(f"{len(values)}d", *values)
    high, low = data[_HIGH::8], data[_LOW::8]
    news = low.translate(None, lows)
    while news:
        lows += news[:1]
        news = news.translate(None, news[:1])
    found = zip(lows, map(low.count, lows), strict=True)
    above = high[0]
    if high == high[:1] * len(high):
        return {above << 8 | one: count for one, count in found if count}, lows
    # Mostly the values lie within sixteen octaves; then the lower of the two tells them apart.
    counts: dict[int, int] = {}
    table = bytearray(256)
    for one, count in found:
        if count:
            above = table[one] = high[low.index(one)]
            counts[above << 8 | one] = count
    if low.translate(table) != high:
        counts = Counter(memoryview(data).cast("H")[3 if _LITTLE else 0 :: 4])
    return counts, lows


def floor_of(number: int) -> float:
    """The least value in a bucket."""
    number = abs(number)
    return ldexp((16 + (number & 15)) / 32, (number >> 4) - 126) if number else 0.0


class Scale:
    """Where the exported histograms of a unit are divided.

    bounds
        Inclusive upper bounds.
    split
        Bucket -> the bound in it: what is above that is counted apart.
    """

    __slots__ = ("bounds", "split")

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.split = {bucket(bound): bound for bound in self.bounds}


SCALES = {"s": Scale(SECONDS), "By": Scale(BYTES)}
COUNTED = Scale(COUNTS)


class Spread:
    """The distribution of what one thread, process or site has measured.

    scale
        Of its unit.
    """

    __slots__ = ("buckets", "lows", "most", "scale", "total")

    def __init__(
        self,
        scale: Scale,
        total: float = 0.0,
        most: float = 0.0,
        buckets: Mapping[int, int] | None = None,
    ) -> None:
        self.scale = scale
        self.total = total
        self.most = most
        self.buckets: dict[int, int] = dict(buckets) if buckets else {}
        self.lows = b""  # what `observe_all` has seen before, for `uppers`

    def observe(self, value: float) -> None:
        """Add a value. Law: one thread alone writes."""
        self.total += value
        if value > self.most:
            self.most = value
        if value > 0.0:  # `bucket`, without a call
            fraction, exponent = frexp(value)
            number = ((exponent + 126) << 4) + int(fraction * 32) - 16
        else:
            number = 0
        bound = self.scale.split.get(number)
        if bound is not None and value > bound:
            number = -number
        try:
            self.buckets[number] += 1
        except KeyError:
            self.buckets[number] = 1

    def observe_all(self, values: Sequence[float]) -> None:
        """Add many values at once, at a fraction of the price. There is at least one."""
        first, many = values[0], len(values)
        if first == values[-1] and values.count(first) == many:
            self.total += first * many
            counts = {bucket(first) + BIAS: many}
        else:
            self.total += sum(values)
            counts, self.lows = uppers(values, self.lows)
        last = max(counts)
        if last >= SIGN or floor_of(last - BIAS + 1) > self.most:
            most = max(values)
            if most > self.most:
                self.most = most
        buckets, split = self.buckets, self.scale.split
        for upper, count in counts.items():
            number = upper - BIAS if LEAST <= upper < SIGN else 0
            if number in split:
                count = self._above(number, values, count)
                if not count:
                    continue
            try:
                buckets[number] += count
            except KeyError:
                buckets[number] = count

    def _above(self, number: int, values: Sequence[float], count: int) -> int:
        """Count those of a bucket that are above its bound; return how many of `count` are not."""
        bound, end = self.scale.split[number], floor_of(number + 1)
        above = sum([bound < value < end for value in values])
        if above:
            self.buckets[-number] = self.buckets.get(-number, 0) + above
        return count - above

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.buckets.copy().values())

    def copy(self) -> Spread:
        """Return another like this; the buckets as they are in one moment."""
        return Spread(self.scale, self.total, self.most, self.buckets.copy())

    def add(self, other: Spread) -> None:
        """Add what another one holds."""
        self.total += other.total
        if other.most > self.most:
            self.most = other.most
        mine = self.buckets
        for number, count in other.buckets.copy().items():
            mine[number] = mine.get(number, 0) + count

    def since(self, before: Spread | None) -> Spread:
        """Return what has been added to this since it was `before`; `most` then is a bound of it."""
        if before is None:
            return self.copy()
        known = before.buckets
        grown = {
            number: count - known.get(number, 0)
            for number, count in self.buckets.items()
            if count > known.get(number, 0)
        }
        most = self.most
        if most <= before.most:  # the greatest is older: the top of the highest bucket that grew
            most = min(most, max((self._top(number) for number in grown), default=0.0))
        return Spread(self.scale, max(0.0, self.total - before.total), most, grown)

    def quantile(self, share: float) -> float:
        """Return the value below which `share` (0 to 1) of all lie, within 3.2 %; 0.0 of none."""
        if share >= 1.0:
            return self.most
        buckets = sorted(self._joined().items())
        rank = share * sum(count for _, count in buckets)
        seen = 0
        for number, count in buckets:
            seen += count
            if seen >= rank and seen:
                return min((floor_of(number) + floor_of(number + 1)) / 2, self.most)
        return self.most

    def cumulative(self) -> list[int]:
        """Return how many values are at most each of the scale's bounds."""
        bounds, split = self.scale.bounds, self.scale.split
        within = [0] * (len(bounds) + 1)
        for number, count in self.buckets.items():
            if number < 0:  # above the bound in its bucket
                within[bisect_right(bounds, split[-number])] += count
            else:
                within[bisect_left(bounds, split.get(number, floor_of(number)))] += count
        total = 0
        counts = []
        for count in within[:-1]:
            total += count
            counts.append(total)
        return counts

    def up_to(self, value: float) -> int:
        """Return how many values are at most about `value`: exact at a bound of the export."""
        last = bucket(value)
        split = self.scale.split.get(last, inf)
        return sum(
            count
            for number, count in self.buckets.items()
            if abs(number) < last or number == last or (number == -last and value > split)
        )

    def _joined(self) -> dict[int, int]:
        joined: dict[int, int] = {}
        for number, count in self.buckets.copy().items():
            number = abs(number)
            joined[number] = joined.get(number, 0) + count
        return joined

    def _top(self, number: int) -> float:
        return floor_of(abs(number) + 1)
