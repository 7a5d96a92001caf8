"""Histograms: right within 3.2 %, exact at the bounds of the export, the same however they are added up."""

from __future__ import annotations

import math
import random

import pytest

from cherrypy.monitor.histograms import COUNTED, SCALES, Scale, Spread, bucket, floor_of

SCALE = {"seconds": SCALES["s"], "bytes": SCALES["By"], "counts": COUNTED}


def values(scale: Scale, many: int = 20000) -> list[float]:
    """Some of all sizes, and those that lie on a bound, just above it and just below."""
    dice = random.Random(7)
    middle = scale.bounds[len(scale.bounds) // 2]
    found = [dice.lognormvariate(math.log(middle), 2.0) for _ in range(many)]
    for bound in scale.bounds:
        found += [bound, math.nextafter(bound, 0.0), math.nextafter(bound, math.inf)] * 5
    return [*found, 0.0, 0.0]


def test_buckets_follow_each_other_without_a_gap() -> None:
    for number in range(1, 4000):
        low = floor_of(number)
        assert bucket(low) == number or low < 1e-30
        assert bucket(math.nextafter(low, 0.0)) == number - 1 or low <= 1e-30
        assert floor_of(number + 1) <= low * (1 + 1 / 16)


@pytest.mark.parametrize("name", SCALE)
def test_bounds_are_exact(name: str) -> None:
    scale = SCALE[name]
    seen = values(scale)
    spread = Spread(scale)
    for value in seen:
        spread.observe(value)
    assert spread.cumulative() == [sum(value <= bound for value in seen) for bound in scale.bounds]
    assert spread.count == len(seen)
    assert spread.total == pytest.approx(sum(seen))
    assert spread.most == max(seen)
    for bound in scale.bounds:
        assert spread.up_to(bound) == sum(value <= bound for value in seen)


@pytest.mark.parametrize("name", SCALE)
def test_many_at_once_are_the_same(name: str) -> None:
    scale = SCALE[name]
    seen = values(scale)
    one, all_ = Spread(scale), Spread(scale)
    for value in seen:
        one.observe(value)
    for at in range(0, len(seen), 1000):
        all_.observe_all(seen[at : at + 1000])
    assert one.buckets == all_.buckets and one.most == all_.most
    assert all_.total == pytest.approx(one.total)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("shape", ["lognormal", "bimodal"])
def test_quantiles_are_right_within_32_thousandths(share: float, shape: str) -> None:
    dice = random.Random(11)
    if shape == "lognormal":
        seen = [dice.lognormvariate(-5, 1.5) for _ in range(50000)]
    else:
        seen = [dice.gauss(*dice.choice([(0.002, 0.0001), (0.9, 0.05)])) for _ in range(50000)]
    parts = [Spread(SCALES["s"]) for _ in range(8)]
    for at, value in enumerate(seen):
        parts[at % 8].observe(value)
    whole = Spread(SCALES["s"])
    for part in parts:
        whole.add(part)
    exact = sorted(seen)[max(0, math.ceil(share * len(seen)) - 1)]
    assert whole.quantile(share) == pytest.approx(exact, rel=0.032)
    assert whole.quantile(1.0) == max(seen)


@pytest.mark.parametrize(
    "seen",
    [
        [0.0] * 9,
        [12] * 9,
        [65536, 1, 65536, 1, 0],  # equal but for what is sixteen octaves away
        [1.5e-5, 1.6e-5, 3e-5] * 9,
        [-1e-9, 0.0, 1e-320, 5e-31, 0.02],
        [-1.0, -1.0, -3.0],
        [0.005, math.nextafter(0.005, 1.0), 0.0051, 0.5, 1e-6],
        [math.nextafter(0.25, 1.0)] * 3,
        [7.0],
    ],
)
def test_many_at_once_of_all_kinds(seen: list[float]) -> None:
    for scale in (SCALES["s"], SCALES["By"]):
        one, all_ = Spread(scale), Spread(scale)
        for value in seen + seen:
            one.observe(value if value > 1e-30 else min(value, 0.0))
        all_.observe_all(seen)
        all_.observe_all(seen)
        assert one.buckets == all_.buckets and one.most == all_.most
        assert all_.total == pytest.approx(one.total)


def test_what_came_since() -> None:
    spread = Spread(SCALES["s"])
    spread.observe_all([0.1, 0.2, 5.0])
    before = spread.copy()
    spread.observe_all([0.3, 0.3])
    news = spread.since(before)
    assert (news.count, news.total) == (2, pytest.approx(0.6))
    assert 0.3 <= news.most < 0.32  # the greatest of all is older
    assert spread.since(None).count == 5
    assert Spread(SCALES["s"]).quantile(0.5) == 0.0
