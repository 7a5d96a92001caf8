"""Shards: what each thread has counted. Law: one writer each, so no count is lost and none waits."""

from __future__ import annotations

import os
import threading
import time
from _thread import get_ident
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
    statements
        What is asked of databases, in the instruments' own form.
    """

    __slots__ = (
        "blocks",
        "calls",
        "counts",
        "hot",
        "lock",
        "lost",
        "spreads",
        "statements",
        "trace",
    )

    def __init__(self) -> None:
        self.counts: dict[Key, float] = {}
        self.spreads: dict[Key, Spread] = {}
        self.blocks: dict[Any, Any] = {}
        self.hot: dict[Any, Any] = {}  # the recorder's short way to its blocks
        self.statements: dict[Any, Any] = {}  # values have `add`
        self.calls: dict[Any, Any] = {}  # the instruments' short way to what they count
        self.lock = threading.Lock()  # guards: what the recorder has pending is counted once
        self.lost: dict[str, int] = {}  # measurements that found no series of their own, by metric
        self.trace = Trace()

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


#: The shard of each thread, by its identity. A thread that gets the identity of a dead one goes on
#: with its shard: there still is one writer.
shards: dict[int, Shard] = {}

_lock = threading.Lock()  # guards: a thread has one shard


def begin() -> Shard:
    """Make the shard of this thread."""
    with _lock:
        ident = get_ident()
        shard = shards.get(ident)
        if shard is None:
            shard = shards[ident] = Shard()
        return shard


class _Own:
    """What is this thread's: `own.shard`, and `own.trace` of it."""

    __slots__ = ()

    @property
    def shard(self) -> Shard:
        """The shard that this thread counts in."""
        return shards.get(get_ident()) or begin()

    @property
    def trace(self) -> Trace:
        """What this thread is doing for a request."""
        return (shards.get(get_ident()) or begin()).trace


own = _Own()

#: Add blocks of the recorder; the room that knows their form is told of by `blocks_by`.
_adders: list[Callable[[dict[Any, Any], dict[Any, Any]], object]] = []


def blocks_by(adder: Callable[[dict[Any, Any], dict[Any, Any]], object]) -> Any:
    """Say how blocks are added: `adder(mine, theirs)` (decorator)."""
    _adders[:] = [adder]
    return adder


#: When this process began to count.
born = time.time()


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


def _add_statements(mine: dict[Any, Any], theirs: dict[Any, Any]) -> None:
    for key, value in theirs.copy().items():
        found = mine.get(key)
        if found is None:
            mine[key] = value.copy()
        else:
            found.add(value)


def statements() -> dict[Any, Any]:
    """What all threads of this process have asked of databases."""
    whole: dict[Any, Any] = {}
    for shard in list(shards.values()):
        _add_statements(whole, shard.statements)
    return whole


def total() -> Shard:
    """What all threads of this process have counted."""
    whole = Shard()
    for shard in list(shards.values()):
        add(whole, shard)
    return whole


def traces() -> list[tuple[int, Trace]]:
    """The threads that have served or counted something: their identities and traces."""
    return [(ident, shard.trace) for ident, shard in list(shards.items())]


def living() -> list[Shard]:
    """All shards there are."""
    return list(shards.values())


def blocks() -> list[tuple[int, list[Any]]]:
    """Who has counted requests: identities of threads, and their blocks."""
    return [(ident, list(shard.blocks.copy().values())) for ident, shard in list(shards.items())]


def reset() -> None:
    """Begin anew: what was counted is forgotten."""
    global born
    for shard in list(shards.values()):
        shard.counts = {}
        shard.spreads = {}
        shard.blocks = {}
        shard.hot = {}
        shard.statements = {}
        shard.calls = {}
        shard.lost = {}
    born = time.time()


def _forked() -> None:
    """A child begins with nothing: its parent tells of what was before."""
    global _lock
    _lock = threading.Lock()
    mine = shards.get(get_ident())
    shards.clear()
    if mine is not None:
        mine.lock = threading.Lock()
        mine.trace.forget()
        shards[get_ident()] = mine
    reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
