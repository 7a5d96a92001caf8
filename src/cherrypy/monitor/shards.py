"""Shards: what each thread has counted. Law: one writer each, so no count is lost and none waits.

A shard outlives its thread only as numbers, in the shard of the dead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from .histograms import Spread
from .traces import Trace

Key = tuple[Any, tuple[Any, ...]]  # a metric, and the values of its labels


class Shard:
    """What one thread has counted since the process began.

    counts, spreads
        By metric and labels.
    blocks
        Requests, in the recorder's own form.
    """

    __slots__ = (
        "__weakref__",
        "blocks",
        "counts",
        "hot",
        "ident",
        "lock",
        "lost",
        "spreads",
        "trace",
    )

    def __init__(self) -> None:
        self.counts: dict[Key, float] = {}
        self.spreads: dict[Key, Spread] = {}
        self.blocks: dict[Any, Any] = {}
        self.hot: dict[Any, Any] = {}  # the recorder's short way to its blocks
        self.lock = threading.Lock()  # guards: what the recorder has pending is counted once
        self.lost: dict[str, int] = {}  # measurements that found no series of their own, by metric
        self.trace = Trace()
        self.ident = threading.get_ident()

    def spread(self, metric: Any, labels: tuple[Any, ...]) -> Spread:
        """The histogram of a series."""
        key = (metric, labels)
        found = self.spreads.get(key)
        if found is None:
            found = self.spreads[key] = Spread(metric.scale)
        return found

    def overflowed(self, name: str) -> None:
        """Count a measurement of a metric that has as many series as it may."""
        self.lost[name] = self.lost.get(name, 0) + 1


class _Own(threading.local):
    """The shard and the trace of this thread."""

    shard: Shard
    trace: Trace

    def __init__(self) -> None:
        self.shard, self.trace = _enter()
        # Gone with the thread's locals: then its numbers move on.
        self.farewell = _Farewell(self.shard)


class _Farewell:
    """Tells that a thread has ended."""

    __slots__ = ("shard",)

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def __del__(self) -> None:
        if _left is not None:  # the interpreter ends
            _left.append(self.shard)  # no lock here: this may run anywhere


_lock = threading.RLock()  # guards: _shards and _dead, never a count
_shards: list[Shard] = []
_left: list[Shard] = []
_dead = Shard()

#: Add blocks of the recorder; the room that knows their form is told of by `blocks_by`.
_adders: list[Callable[[dict[Any, Any], dict[Any, Any]], object]] = []


def blocks_by(adder: Callable[[dict[Any, Any], dict[Any, Any]], object]) -> Any:
    """Say how blocks are added: `adder(mine, theirs)` (decorator)."""
    _adders[:] = [adder]
    return adder


#: When this process began to count.
born = time.time()


def _enter() -> tuple[Shard, Trace]:
    shard = Shard()
    with _lock:
        _shards.append(shard)
    return shard, shard.trace


def _bury() -> None:
    """Move the numbers of threads that have ended (under the lock)."""
    while _left:
        shard = _left.pop()
        if shard in _shards:
            _shards.remove(shard)
            add(_dead, shard)


def add(mine: Shard, theirs: Shard) -> None:
    """Add one shard to another. Copies are taken in one step: their thread may be writing."""
    for key, count in theirs.counts.copy().items():
        mine.counts[key] = mine.counts.get(key, 0) + count
    for (metric, labels), spread in theirs.spreads.copy().items():
        mine.spread(metric, labels).add(spread)
    for name, count in theirs.lost.copy().items():
        mine.lost[name] = mine.lost.get(name, 0) + count
    for adder in _adders:
        adder(mine.blocks, theirs.blocks.copy())


def total() -> Shard:
    """What all threads of this process have counted."""
    whole = Shard()
    with _lock:
        _bury()
        add(whole, _dead)
        for shard in _shards:
            add(whole, shard)
    return whole


def traces() -> list[tuple[int, Trace]]:
    """The threads that have served or counted something: their identities and traces."""
    with _lock:
        _bury()
        return [(shard.ident, shard.trace) for shard in _shards]


def reset() -> None:
    """Begin anew: what was counted is forgotten."""
    global born
    with _lock:
        _left.clear()
        for shard in (*_shards, _dead):
            shard.counts = {}
            shard.spreads = {}
            shard.blocks = {}
            shard.hot = {}
            shard.lost = {}
        born = time.time()


def _forked() -> None:
    """A child begins with nothing: its parent tells of what was before."""
    global _lock, _dead
    _lock = threading.RLock()
    mine = own.shard
    mine.lock = threading.Lock()
    _shards[:] = [mine]
    _left.clear()
    _dead = Shard()
    mine.trace.forget()
    reset()


own = _Own()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
