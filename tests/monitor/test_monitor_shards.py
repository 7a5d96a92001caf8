"""Shards and metrics: no count is lost, and no peer can make them grow."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cherrypy.monitor import metrics, shards, table
from cherrypy.monitor.metrics import METRICS, OVERFLOW, Metric
from cherrypy.monitor.snapshots import Snapshot, Taker, unpack

assert table.__all__


@pytest.fixture
def metric() -> Iterator[Metric]:
    made = metrics.counter("test.counted", "{thing}", "kind", help="Things.", most=10)
    made.on = True
    yield made
    made.on = False
    del METRICS["test.counted"]


@pytest.fixture
def spread() -> Iterator[Metric]:
    made = metrics.histogram("test.took", "s", "kind", help="Times.", most=10)
    made.on = True
    yield made
    made.on = False
    del METRICS["test.took"]


def counted(metric: Metric) -> dict[tuple[str, ...], float]:
    return {k: v for (m, k), v in shards.total().counts.items() if m is metric}


def test_eight_threads_lose_nothing(metric: Metric, spread: Metric) -> None:
    def count(number: int) -> None:
        for _ in range(100_000):
            metric.add(1, ("all",))
        for _ in range(10_000):
            spread.observe(0.5, (str(number % 2),))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    seen = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(counted(metric).get(("all",), 0))  # reading disturbs nobody
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert counted(metric) == {("all",): 800_000}
    found = {k: v.count for (m, k), v in shards.total().spreads.items() if m is spread}
    assert found == {("0",): 40_000, ("1",): 40_000}


def test_series_are_limited(metric: Metric) -> None:
    before = shards.total().lost.get(metric.name, 0)
    for number in range(100_000):
        metric.add(1, (f"random {number}",))
    found = counted(metric)
    assert len(found) == 11
    assert found[(OVERFLOW,)] == 99_990
    assert shards.total().lost[metric.name] - before == 99_990


def test_what_is_off_counts_nothing(metric: Metric) -> None:
    metric.on = False
    metric.add(1, ("a",))
    assert counted(metric) == {}


def test_levels_and_patterns() -> None:
    was = {name: metric.on for name, metric in METRICS.items()}
    try:
        metrics.select(1, ["*"], ["cherrypy.tool.*", "process.disk.*"])
        assert METRICS["cherrypy.requests"].on
        assert not METRICS["cherrypy.tool.duration"].on
        assert not METRICS["cherrypy.request.cpu.time"].on
        metrics.select(2, ["*"], [])
        assert METRICS["cherrypy.request.cpu.time"].on
        metrics.select(1, ["cherrypy.request.cpu.time"], [])
        assert METRICS["cherrypy.request.cpu.time"].on  # named whole: whatever its level
        assert not METRICS["cherrypy.requests"].on
    finally:
        for name, metric in METRICS.items():
            metric.on = was.get(name, False)


def test_more_than_150_by_default() -> None:
    assert sum(metric.level <= 1 for metric in METRICS.values()) > 150


def test_a_snapshot_is_read_as_it_was_written(metric: Metric, spread: Metric) -> None:
    metric.add(3, ("a",))
    spread.observe(0.25, ("b",))
    taken = Taker("me").take()
    read = unpack(taken.pack())
    assert (read.worker, read.number, read.born) == ("me", 0, taken.born)
    assert read.counts[metric, ("a",)] == 3
    assert read.spreads[spread, ("b",)].buckets == taken.spreads[spread, ("b",)].buckets


@pytest.mark.parametrize(
    "rubbish", [b"", b"x" * 100, Snapshot().pack()[:-4], b"\x78\x9c\x03\x00\x00\x00\x00\x01"]
)
def test_what_is_no_snapshot_is_said_to_be_none(rubbish: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(rubbish)


def test_a_snapshot_does_not_unpack_to_more_than_it_may() -> None:
    import zlib

    with pytest.raises(ValueError):
        unpack(zlib.compress(b'{"worker": "' + b"x" * (80 << 20)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on systems that fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_begins_with_nothing(metric: Metric) -> None:
    metric.add(5, ("a",))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            metric.add(1, ("b",))
            os.write(writing, repr(counted(metric)).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "{('b',): 1}"
    assert counted(metric) == {("a",): 5}


def test_what_several_metrics_are_made_of_is_looked_at_once_for_each_snapshot() -> None:
    looks: list[int] = []
    taker = Taker("me")

    def look() -> int:
        looks.append(1)
        if len(looks) == 2:
            raise ValueError("not now")
        return len(looks)

    seen = taker.once(look)
    heard: list[Any] = []

    def source() -> dict[str, int]:
        return {"seen": seen()}

    taker.details = {"one": source, "other": source}
    taker.broken = lambda name, error: heard.append((name, str(error)))
    assert taker.take().details == {"one": {"seen": 1}, "other": {"seen": 1}}
    # Who has failed to look has seen nothing: whoever asks next looks again.
    assert taker.take().details == {"other": {"seen": 3}}
    assert heard == [("one", "not now")]
    taker.begin_anew()  # a forked child
    assert taker.take().details == {"one": {"seen": 4}, "other": {"seen": 4}}
