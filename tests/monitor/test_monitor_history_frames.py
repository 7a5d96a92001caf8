"""Frames: what is packed comes back, and what was not packed is refused."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from history_kit import START

from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.history.frames import Frame, Names, Packed, between, pack
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.snapshots import Snapshot

SIZES = METRICS["http.server.response.body.size"]
WAIT = METRICS["cherrypy.session.lock.wait"]
CODES = METRICS["cherrypy.responses.code"]
QUEUE = METRICS["cherrypy.server.queue.depth"]


def full() -> Frame:
    chance = random.Random(4)
    frame = Frame(START, 10.0)
    for code in range(100, 160):
        frame.counts[CODES, (str(code),)] = chance.choice([1.0, 2.0**53, 0.25])
    for worker in ("1", "2"):
        frame.gauges[QUEUE, (worker,)] = (chance.random(), 10.0, -1.5, 1e300)
    for name in ("ram", "file", "redis"):
        spread = frame.spreads[WAIT, (name,)] = Spread(WAIT.scale)
        for _ in range(chance.randrange(1, 2000)):
            spread.observe(chance.lognormvariate(0, 20))
    frame.spreads[WAIT, ("ram",)].buckets[1600] = 2**40  # more than fits into less than 8 bytes
    frame.spreads[SIZES, ("GET", "/", "200")] = Spread(SIZES.scale, 0.0, 0.0, {0: 3})
    return frame


def same(one: Frame, other: Frame) -> bool:
    return (
        (one.at, one.seconds, one.counts, one.gauges)
        == (other.at, other.seconds, other.counts, other.gauges)
        and one.spreads.keys() == other.spreads.keys()
        and all(
            (spread.total, spread.most, spread.buckets)
            == (other.spreads[key].total, other.spreads[key].most, other.spreads[key].buckets)
            for key, spread in one.spreads.items()
        )
    )


@pytest.mark.parametrize("level", [1, 6])
def test_what_is_packed_comes_back(level: int) -> None:
    names, frame = Names(), full()
    assert same(Packed(pack(frame, names, level)).frame(names), frame)
    assert same(Packed(pack(Frame(START), names)).frame(names), Frame(START))


def test_of_forgotten_series_nothing_comes_back() -> None:
    names, frame = Names(), full()
    data = pack(frame, names)
    other = Names()
    other.learn(names.id((CODES, ("101",))), (CODES, ("101",)))
    found = Packed(data).frame(other)
    assert found.counts == {(CODES, ("101",)): frame.counts[CODES, ("101",)]}
    assert not found.gauges
    assert not found.spreads


def test_damage_is_found_wherever_it_is() -> None:
    """A wrong byte is never a wrong number."""
    names, frame = Names(), full()
    data = pack(frame, names)
    chance = random.Random(9)
    for _ in range(500):
        broken = bytearray(data)
        place = chance.randrange(21, len(broken))
        broken[place] ^= 1 << chance.randrange(8)
        try:
            found = Packed(bytes(broken)).frame(names)
        except ValueError:
            continue
        assert same(found, frame), place
    for end in (*range(60), len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="frame"):
            Packed(data[:end]).frame(names)
    with pytest.raises(ValueError, match="a frame of version 7"):
        Packed(b"\7" + data[1:])
    with pytest.raises(ValueError, match="other columns"):
        Packed(data[:21][:-4] + b"\x08\0\0\0" + zlib.compress(b"") * 2).frame(names)


def test_frames_add_up_like_their_spreads() -> None:
    """Three hours of two workers, each with its own distribution, and all of it as one."""
    chance = random.Random(2)
    whole = Frame(START)
    exact = Spread(WAIT.scale)
    for hour in range(3):
        for worker in range(2):
            frame = Frame(START + hour, 1.0)
            spread = frame.spreads[WAIT, ("ram",)] = Spread(WAIT.scale)
            for _ in range(500):
                value = chance.lognormvariate(hour - 3, worker + 0.5)
                spread.observe(value)
                exact.observe(value)
            whole.add(frame)
    found = whole.spreads[WAIT, ("ram",)]
    assert found.buckets == exact.buckets
    assert found.most == exact.most
    assert whole.seconds == 6.0


def test_between_two_snapshots_is_what_was_counted_between() -> None:
    chance = random.Random(8)
    before, now = Snapshot("site", at=START), Snapshot("site", at=START + 2.0)
    old, new = Spread(WAIT.scale), Spread(WAIT.scale)
    for place in range(2000):
        value = chance.lognormvariate(0, 2)
        if place < 1500:
            old.observe(value)
        else:
            new.observe(value)
    before.spreads[WAIT, ("ram",)] = old
    both = old.copy()
    both.add(new)
    now.spreads[WAIT, ("ram",)] = both
    before.counts[CODES, ("200",)], now.counts[CODES, ("200",)] = 5.0, 8.0
    now.counts[CODES, ("404",)] = 2.0
    frame = between(before, now)
    assert (frame.at, frame.seconds) == (START, 2.0)
    assert frame.counts == {(CODES, ("200",)): 3.0, (CODES, ("404",)): 2.0}
    found = frame.spreads[WAIT, ("ram",)]
    assert found.buckets == new.buckets
    assert found.total == pytest.approx(new.total)
    assert new.most <= found.most <= new.most * 1.07


def test_names_are_bounded_and_a_number_is_never_given_twice() -> None:
    names = Names()
    given = set()
    for number in range(1000):
        given.add(names.id((CODES, (str(number),))))
        if number % 100 == 99:
            names.id((CODES, ("0",)))  # seen again and again
            names.trim(200)
    assert len(names) <= 300
    assert len(given) == 1000
    assert names.id((CODES, ("0",))) in given
    assert names.id((CODES, ("5",))) not in given


def test_what_a_quiet_second_has_is_packed_with_little_memory() -> None:
    names, frame = Names(), Frame(START, 1.0)
    for worker in range(100):
        frame.gauges[QUEUE, (str(worker),)] = (0.0, 1.0, 0.0, 0.0)
    pack(frame, names)
    tracemalloc.start()
    try:
        data = pack(frame, names)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 150_000, most  # zlib's own choice is 268 kB
    assert same(Packed(data).frame(names), frame)
