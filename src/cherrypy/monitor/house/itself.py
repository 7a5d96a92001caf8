"""The monitor itself: how many series there are, and what its own work costs."""

from __future__ import annotations

import time
from collections import Counter
from operator import itemgetter
from typing import Any

from ..metrics import METRICS, Labels, Metric
from ..shards import living
from ..table import itself as i
from .house import House


def begin(house: House) -> None:
    """Watch it."""
    monitor = house.monitor
    house.sample(i.MONITOR_SERIES, lambda: series(monitor))
    house.sample(
        i.MONITOR_SNAPSHOTS_LOST,
        lambda: {(name,): float(lost) for name, lost in list(monitor.site.lost.items())},
    )
    monitor.beats.append(Recording())
    for owner, name, part in (
        (monitor.taker, "take", "sample"),
        (monitor.site, "merged", "merge"),
    ):
        timed(house, owner, name, part)


class Recording:
    """Counts what recording requests has cost: what it takes of one, by the number of them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.seen = 0.0

    def __call__(self, merged: Any) -> None:
        if not self.seconds:
            from ..cost import recorder_seconds

            self.seconds = recorder_seconds()
        requests = sum(block.duration.count for shard in living() for block in blocks_of(shard))
        if requests > self.seen:
            i.MONITOR_CPU_TIME.add((requests - self.seen) * self.seconds, ("record",))
            self.seen = requests


def blocks_of(shard: Any) -> list[Any]:
    """What the recorder has counted in a shard."""
    return list(shard.blocks.copy().values())


def timed(house: House, owner: Any, name: str, part: str) -> None:
    """Count the processor time of a method of one object."""

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return plain(*args, **kwargs)
        finally:
            i.MONITOR_CPU_TIME.add(time.thread_time() - began, (part,))

    plain = house.patches.replace(owner, name, call)


def series(monitor: Any) -> dict[Labels, float]:
    """How many series each metric had in the last snapshot."""
    counts: Counter[Metric] = Counter()
    for snapshot in monitor.site.workers():
        for kind in (snapshot.counts, snapshot.gauges, snapshot.spreads):
            counts.update(map(itemgetter(0), kind))
    found: dict[Labels, float] = {(metric.name,): float(one) for metric, one in counts.items()}
    for metric in METRICS.values():
        if metric not in counts and metric.on and metric.series:
            found[metric.name,] = 0.0
    return found
