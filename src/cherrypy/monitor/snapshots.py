"""Snapshots: what one process has counted until now, whole, so that a lost one costs nothing.

Law: numbers in a snapshot of a process never fall from one to the next, but those of gauges.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from . import metrics, shards
from .counted import count_blocks
from .histograms import Spread
from .metrics import GAUGE, METRICS, Labels, Metric
from .table import itself

#: Bytes that a snapshot may have, unpacked: what is bigger is not believed.
MOST_BYTES = 64 * 1024 * 1024

T = TypeVar("T")

Numbers = dict[tuple[Metric, Labels], float]
Spreads = dict[tuple[Metric, Labels], Spread]


class Snapshot:
    """Numbers of one moment.

    worker
        Who counted: a name that no other process of the site has at the same time.
    born
        When it began to count, in seconds since the epoch: another life has another one.
    at
        When this was taken.
    number
        How many the process had taken before.
    counts, gauges, spreads
        Values by metric and labels.
    details
        What is no number: errors, slow requests, requests in flight.
    selection
        Which choice of metrics these are: another one may have some that were counted before.
    before, kept
        What of it had been counted unseen, and what it leaves out: see `lives`.
    packed
        What `pack` has returned, or b"".
    """

    __slots__ = (
        "at",
        "before",
        "born",
        "counts",
        "details",
        "gauges",
        "kept",
        "number",
        "packed",
        "selection",
        "spreads",
        "worker",
    )

    def __init__(self, worker: str = "", born: float = 0.0, at: float = 0.0, number: int = 0):
        self.worker = worker
        self.born = born
        self.at = at
        self.number = number
        self.counts: Numbers = {}
        self.gauges: Numbers = {}
        self.spreads: Spreads = {}
        self.details: dict[str, Any] = {}
        self.selection = 0
        self.before: Snapshot | None = None
        self.kept: Snapshot | None = None
        self.packed = b""

    def pack(self) -> bytes:
        """Return bytes that `unpack` reads."""
        body = {
            "worker": self.worker,
            "born": self.born,
            "at": self.at,
            "number": self.number,
            "selection": self.selection,
            "counts": [[m.name, k, v] for (m, k), v in self.counts.items()],
            "gauges": [[m.name, k, v] for (m, k), v in self.gauges.items()],
            "spreads": [
                [m.name, k, s.total, s.most, list(s.buckets.items())]
                for (m, k), s in self.spreads.items()
            ],
            "details": self.details,
        }
        return zlib.compress(json.dumps(body, separators=(",", ":"), default=str).encode(), 1)


def unpack(data: bytes) -> Snapshot:
    """Read a snapshot. Raises ValueError for what is none, or is too big."""
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data, MOST_BYTES)
        if reader.unconsumed_tail:
            raise ValueError(f"a snapshot of more than {MOST_BYTES} bytes")
        if not reader.eof:
            raise ValueError("a snapshot that is cut short")
        body = json.loads(text, parse_constant=_no_number)
        snapshot = Snapshot(
            str(body["worker"]), float(body["born"]), float(body["at"]), int(body["number"])
        )
        snapshot.selection = int(body.get("selection", 0))
        for name, labels, value in body["counts"]:
            if name in METRICS:
                snapshot.counts[METRICS[name], tuple(labels)] = float(value)
        for name, labels, value in body["gauges"]:
            if name in METRICS:
                snapshot.gauges[METRICS[name], tuple(labels)] = float(value)
        for name, labels, total, most, buckets in body["spreads"]:
            if name in METRICS:
                metric = METRICS[name]
                snapshot.spreads[metric, tuple(labels)] = Spread(
                    metric.scale, float(total), float(most), {int(b): int(c) for b, c in buckets}
                )
        snapshot.details = dict(body["details"])
    except (zlib.error, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a snapshot: {error!r}") from error
    return snapshot


def _no_number(name: str) -> float:
    raise ValueError(f"a snapshot with {name}, which would spoil every sum")


class Taker:
    """Takes the snapshots of this process.

    worker
        Its name; the process id unless told otherwise.
    broken
        Told of a source that failed, with the metric: after three failures it is asked no more.
    """

    def __init__(self, worker: str = "", broken: Any = None) -> None:
        self.worker = worker or str(os.getpid())
        self._pid = os.getpid()
        self.broken = broken
        self.number = 0
        self.failures: dict[Metric, int] = {}
        #: What is asked for `details`, by name.
        self.details: dict[str, Any] = {}
        self._taking: object = None  # another one for each snapshot

    def begin(self) -> None:
        """Begin in this process, which may be a fork of the one that has made this: a daemon."""
        if self._pid != os.getpid():
            self.begin_anew()

    def begin_anew(self) -> None:
        """Be another process, with a name of its own: the child of a fork."""
        self.worker = str(os.getpid())
        self._pid = os.getpid()
        self.number = 0

    def once(self, look: Callable[[], T]) -> Callable[[], T]:
        """Return what looks once for each snapshot, however many metrics are made of what it finds.

        What `look` raises is raised to each who asks.
        """
        seen: list[Any] = [self, None]  # when it looked, and what it has found

        def looked() -> T:
            now = self._taking
            if seen[0] is not now:
                seen[:] = [now, look()]
            found: T = seen[1]
            return found

        return looked

    def take(self) -> Snapshot:
        """Add up what all threads have counted, and ask what is to be asked."""
        self._taking = object()
        whole = shards.total()
        selection = metrics.selection
        snapshot = Snapshot(self.worker, shards.born, time.time(), self.number)
        self.number += 1
        count_blocks(whole.blocks, whole)
        snapshot.counts = whole.counts
        snapshot.spreads = whole.spreads
        for name, lost in whole.lost.items():
            snapshot.counts[itself.MONITOR_OVERFLOW, (name,)] = lost
        for metric in list(METRICS.values()):
            if metric.on and metric.source is not None and self.failures.get(metric, 0) < 3:
                self.ask(metric, snapshot)
        for name, source in self.details.items():
            try:
                snapshot.details[name] = source()
            except Exception as error:
                self.tell(name, error)
        # One that was taken while the choice was changed is of neither: the next one tells.
        snapshot.selection = selection if selection == metrics.selection else -1
        return snapshot

    def ask(self, metric: Metric, snapshot: Snapshot) -> None:
        """Have a metric's source give its values."""
        assert metric.source is not None
        into = snapshot.gauges if metric.kind == GAUGE else snapshot.counts
        try:
            for labels, value in metric.source().items():
                into[metric, metric.admit(labels)] = value
        except Exception as error:
            self.failures[metric] = self.failures.get(metric, 0) + 1
            self.tell(metric.name, error)

    def tell(self, name: str, error: Exception) -> None:
        """Say that something could not be asked."""
        if self.broken is not None:
            self.broken(name, error)
