"""The site: what all its processes have counted, as one.

Law: no count ever falls. What a process has counted stays when it has ended: its last snapshot goes
into the base of the retired.

A process may have counted for hours when this one first hears of it, or may count again what was
switched off for a while. That belongs to the totals, and is of no second that has been seen here: its
`before`, which `merged(seen=True)` leaves out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import Any

from . import shards
from .books.estate import Estate, left_by
from .histograms import Spread
from .lives import add, follow
from .metrics import OVERFLOW, Labels, Metric
from .snapshots import Numbers, Snapshot, Spreads

#: Seconds without a snapshot after which a process counts as ended.
SILENCE = 5.0

#: Ended processes that are kept apart, in case one was only silent.
MOST_GONE = 100

#: Those that collected before may have known so many more, which are waited for so long.
MOST_AWAITED, AWAITED = 1100, 60.0

#: Series of one metric that the sum of those that have been gone for long may have, in terms of
#: those that one process may have: programs change, and with them what they count.
GENERATIONS = 4

#: Of so many of them what their books held is kept apart as well.
MOST_TOLD = 10

#: The name that all ended processes have in series by worker: any number of them may come and go.
ENDED = "ended"


class Site:
    """Takes the snapshots of processes and adds them up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards: each process is in one of the next three
        self._latest: dict[str, Snapshot] = {}
        self._gone: dict[tuple[str, float], Snapshot] = {}  # they might come back
        self._counts: Numbers = {}  # of those that have been gone for long
        self._spreads: Spreads = {}
        self._before = Snapshot()  # and what they had counted before they were heard of
        self._series: Counter[Metric] = Counter()  # how many series those are
        self._awaited = 0.0  # until then those that are restored may come back
        self._base = Snapshot()  # the same as `state` tells it, until it changes
        #: Since when is counted what has been taken over from who collected before.
        self.since = inf
        self._seen: dict[str, float] = {}
        self._estate = Estate()  # what the books of those held
        #: Snapshots that never came, by worker.
        self.lost: dict[str, int] = {}
        #: Processes that have ended without saying so.
        self.died = 0

    def take(self, snapshot: Snapshot) -> None:
        """Take a snapshot; one older than what is known is ignored."""
        name = snapshot.worker
        with self._lock:
            known = before = self._latest.get(name)
            gone = self._gone.pop((name, snapshot.born), None)
            if gone is not None and before is None:
                known = before = self._latest[name] = gone  # it was only silent
                self._seen[name] = time.monotonic()
            if before is not None:
                if before.born != snapshot.born:
                    self._retire(before)
                    known = None
                elif snapshot.number <= before.number:
                    return
                elif snapshot.number > before.number + 1:
                    gap = snapshot.number - before.number - 1
                    self.lost[name] = self.lost.get(name, 0) + gap
            follow(known, snapshot)
            self._latest[name] = snapshot
            self._seen[name] = time.monotonic()

    def leave(self, worker: str, died: bool = False) -> None:
        """A process has ended; its counts stay."""
        with self._lock:
            snapshot = self._latest.pop(worker, None)
            self._seen.pop(worker, None)
            if snapshot is not None:
                self.died += died
                self._retire(snapshot)

    def rest(self, worker: str) -> None:
        """Hear of no other process from now on: another one collects. They might come back."""
        with self._lock:
            for name in [one for one in self._latest if one != worker]:
                self._seen.pop(name, None)
                self._retire(self._latest.pop(name))

    def sweep(self) -> None:
        """Retire processes of which nothing has been heard."""
        now = time.monotonic()
        for name, seen in list(self._seen.items()):
            if now - seen > SILENCE:
                self.leave(name, died=True)

    def workers(self) -> list[Snapshot]:
        """The latest snapshot of each process that lives."""
        with self._lock:
            return list(self._latest.values())

    def merged(self, seen: bool = False) -> Snapshot:
        """Return all as one snapshot.

        Series of metrics whose `merge` is 'each' have the worker's name as a last label; what ended
        ones have counted is one series.

        seen
            Without what had been counted before it was heard of here: for who asks what has happened
            since the last look. Series by worker keep their names then, and none is of several
            lives: what one had counted until it ended has not happened when it did.
        """
        with self._lock:
            whole = Snapshot("site", 0.0, time.time())
            whole.counts = dict(self._counts)
            whole.spreads = {key: spread.copy() for key, spread in self._spreads.items()}
            less = Snapshot()
            _add(less.counts, less.spreads, self._before)
            if seen:
                _forget_workers(whole)
            for snapshot, name in self._named(seen):
                _add(whole.counts, whole.spreads, snapshot, name)
                if snapshot.kept is not None:
                    _add(whole.counts, whole.spreads, snapshot.kept, name)
                if snapshot.before is not None:
                    _add(less.counts, less.spreads, snapshot.before, name)
            if seen:
                _take_off(whole, less)
            for snapshot in self._latest.values():
                _add_gauges(whole.gauges, snapshot)
            whole.details = {
                snapshot.worker: snapshot.details for snapshot in self._latest.values()
            }
        return whole

    def _named(self, seen: bool) -> Iterator[tuple[Snapshot, str | None]]:
        """Those that are kept apart, and what each is called in series by worker; None: in none."""
        last = {name: born for name, born in self._gone if name not in self._latest}
        for snapshot in self._gone.values():
            if not seen:
                yield snapshot, ENDED
            else:
                name = snapshot.worker
                yield snapshot, name if last.get(name) == snapshot.born else None
        for snapshot in self._latest.values():
            yield snapshot, snapshot.worker

    def left(self, book: str) -> list[dict[str, Any]]:
        """Return what processes that are gone have left in their books: 'errors' or 'slow'.

        Each entry has the worker's name, marked as gone.
        """
        with self._lock:
            found = self._estate.book(book)
            for snapshot in self._gone.values():
                entries = snapshot.details.get(book, ())
                found += [{**entry, "worker": snapshot.worker} for entry in entries]
        return [{**entry, "worker": f"{entry['worker']} (gone)"} for entry in found]

    def _retire(self, snapshot: Snapshot) -> None:
        if snapshot.kept is not None:
            snapshot.counts, snapshot.spreads = dict(snapshot.counts), dict(snapshot.spreads)
            add(snapshot, snapshot.kept)
            snapshot.kept = None
        snapshot.gauges = {}
        snapshot.details = left_by(snapshot.details)
        self._gone[snapshot.worker, snapshot.born] = snapshot
        told = [one for one in self._gone.values() if one.details]
        if time.monotonic() < self._awaited:
            told = []  # some of these will come back
        for one in told[:-MOST_TOLD]:
            self._estate.add(one.worker, one.details)
            one.details = {}
            one.packed = b""
            self._base = Snapshot()
        snapshot.packed = b""
        self._forget()

    def _forget(self) -> None:
        """Add those that have been gone for longest to the sum of all."""
        most = MOST_AWAITED if time.monotonic() < self._awaited else MOST_GONE
        while len(self._gone) > most:
            oldest = self._gone.pop(next(iter(self._gone)))
            if oldest.details:
                self._estate.add(oldest.worker, oldest.details)
            mine, before = Snapshot(), Snapshot()
            _add(mine.counts, mine.spreads, oldest, ENDED)
            if oldest.before is not None:
                _add(before.counts, before.spreads, oldest.before, ENDED)
            self._sum_up(mine, before)

    def _sum_up(self, mine: Snapshot, before: Snapshot) -> None:
        """Add what was counted, of which some was not seen here."""
        names: dict[tuple[Metric, Labels], tuple[Metric, Labels]] = {}
        for known, fresh in ((self._counts, mine.counts), (self._spreads, mine.spreads)):
            for key in fresh:
                metric, labels = key
                if key not in known:
                    if self._series[metric] >= GENERATIONS * metric.most:
                        names[key] = (metric, (OVERFLOW,) * len(labels))
                    else:
                        self._series[metric] += 1
        for numbers, spreads, one in (
            (self._counts, self._spreads, mine),
            (self._before.counts, self._before.spreads, before),
        ):
            renamed = Snapshot()
            for key, value in one.counts.items():
                name = names.get(key, key)
                renamed.counts[name] = renamed.counts.get(name, 0) + value
            for key, spread in one.spreads.items():
                renamed.spreads.setdefault(names.get(key, key), Spread(spread.scale)).add(spread)
            _add(numbers, spreads, renamed)
        self._base = Snapshot()

    # -- for who collects next ---------------------------------------------------------------------

    def state(self) -> tuple[float, list[Snapshot]]:
        """Return since when is counted, and all that has been: a sum without a name, and processes."""
        with self._lock:
            if not self._base.at:
                self._base = Snapshot("", 0.0, time.time())
                self._base.counts = dict(self._counts)
                self._base.spreads = {key: one.copy() for key, one in self._spreads.items()}
                self._base.details = {name: self._estate.book(name) for name in ("errors", "slow")}
            whole = [self._base, *self._gone.values()]
            for snapshot in self._latest.values():
                if snapshot.kept is None:
                    whole.append(snapshot)
                    continue
                copy = Snapshot(snapshot.worker, snapshot.born, snapshot.at, snapshot.number)
                copy.selection, copy.details = snapshot.selection, snapshot.details
                add(copy, snapshot)
                add(copy, snapshot.kept)
                whole.append(copy)
        return min(self.since, shards.born), whole

    def restore(self, snapshots: list[Snapshot], since: float) -> None:
        """Add what `state` has told another process, or an earlier life of this one.

        Those that still live will come back, and go on. None of it has been seen here. What was known
        here of processes that are gone is in it, if this one has collected before.
        """
        with self._lock:
            self._counts, self._spreads, self._series = {}, {}, Counter()
            self._before, self._base, self._estate = Snapshot(), Snapshot(), Estate()
            self._gone.clear()
            self.since = min(self.since, since)
            self._awaited = time.monotonic() + AWAITED
            for snapshot in snapshots:
                key = (snapshot.worker, snapshot.born)
                latest = self._latest.get(snapshot.worker)
                if not snapshot.worker:
                    self._sum_up(snapshot, snapshot)
                    self._estate.take(left_by(snapshot.details))
                elif key not in self._gone and (latest is None or latest.born != snapshot.born):
                    snapshot.gauges = {}
                    snapshot.details = left_by(snapshot.details)
                    snapshot.before = Snapshot()
                    add(snapshot.before, snapshot)
                    self._gone[key] = snapshot
            self._forget()


def _take_off(whole: Snapshot, less: Snapshot) -> None:
    for key, value in less.counts.items():
        if key in whole.counts:
            whole.counts[key] -= value
    for key, spread in less.spreads.items():
        if key in whole.spreads:
            whole.spreads[key] = whole.spreads[key].since(spread)


def _forget_workers(whole: Snapshot) -> None:
    """Leave out the series by worker."""
    whole.counts = {key: one for key, one in whole.counts.items() if key[0].merge != "each"}
    whole.spreads = {key: one for key, one in whole.spreads.items() if key[0].merge != "each"}


def _add(counts: Numbers, spreads: Spreads, snapshot: Snapshot, worker: str | None = "") -> None:
    """Add a snapshot; with "" its series by worker have a name already, with None they are left out."""
    for key, value in snapshot.counts.items():
        if worker != "" and key[0].merge == "each":
            if worker is None:
                continue
            key = _of_worker(key, worker)
        counts[key] = counts.get(key, 0) + value
    for key, spread in snapshot.spreads.items():
        if worker != "" and key[0].merge == "each":
            if worker is None:
                continue
            key = _of_worker(key, worker)
        known = spreads.get(key)
        if known is None:
            spreads[key] = spread.copy()
        else:
            known.add(spread)


def _of_worker(key: tuple[Metric, Labels], worker: str) -> tuple[Metric, Labels]:
    metric, labels = key
    return metric, (*labels, worker)


def _add_gauges(gauges: Numbers, snapshot: Snapshot) -> None:
    for key, value in snapshot.gauges.items():
        merge = key[0].merge
        if merge == "each":
            key = _of_worker(key, snapshot.worker)
        known = gauges.get(key)
        if known is None or merge == "last":
            gauges[key] = value
        elif merge == "max":
            gauges[key] = max(known, value)
        elif merge == "min":
            gauges[key] = min(known, value)
        else:
            gauges[key] = known + value
