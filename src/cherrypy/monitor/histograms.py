"""Log-linear histograms: 16 buckets an octave, so any quantile is right within 3.2 %, and sums of
histograms are as exact as their parts.

A bucket that a bound of the exported histograms falls into is kept in two parts, so that those are
exact, too: what lies above the bound has the negative number of the bucket.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import frexp, inf, ldexp

#: Bounds of exported histograms, by unit. Seconds: OpenTelemetry's advice for
#: `http.server.request.duration`.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
BYTES = tuple(float(1 << shift) for shift in range(6, 33, 2))
COUNTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10000.0)

NOTHING = 1e-30


def bucket(value: float) -> int:
    """The number of the bucket that holds a value; what is nothing, or less, has the number 0.

    The exponent and the first four bits of the fraction, as in the upper bits of a `float` of C.
    """
    if value < NOTHING:
        return 0
    fraction, exponent = frexp(value)
    return ((exponent + 126) << 4) + int(fraction * 32) - 16


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

    __slots__ = ("buckets", "most", "scale", "total")

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
        """Add many values at once, at a tenth of the price: sorted, each bucket is one step."""
        values = sorted(values)
        self.total += sum(values)
        if values[-1] > self.most:
            self.most = values[-1]
        buckets, split = self.buckets, self.scale.split
        at, end = 0, len(values)
        while at < end:
            number = bucket(values[at])
            bound = split.get(number)
            if bound is not None and values[at] <= bound:
                after = bisect_right(values, bound, at)
            else:
                after = bisect_left(values, floor_of(number + 1) if number else NOTHING, at)
                if bound is not None:
                    number = -number
            buckets[number] = buckets.get(number, 0) + after - at
            at = after

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
