"""Copies of sessions in memory, as pages of which nothing is known are given them."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from cherrypy.lib.sessioncopies import DEPTH, Copied
from cherrypy.lib.sessionreads import NODES


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def turning():
    """A list that is in a tuple that is in it."""
    one = []
    one.append((one, 1))
    return one


PLAIN = [
    {"a": [1, (2, [3])], "b": {"c": {1, 2}}},
    OrderedDict(b=1, a=[2]),
    Counter("abca"),
    defaultdict(list, x=[1]),
    deque([1, [2]], maxlen=3),
    bytearray(b"x"),
    frozenset([1, (2, 3), frozenset([4])]),
    {(1, "a"), (2, "b"), ("c", (3.0, None))},
    [Decimal("1.10"), Decimal("sNaN"), UUID(int=7), Fraction(1, 3)],
    {Decimal("1.1"), UUID(int=7)},
    math.nan,
    [math.nan, -0.0, True, 1, 1.0],
    {1: "int", "1": "str", None: "none"},
    nested(DEPTH - 1),
    turning(),
    [1] * (NODES - 1),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: f"{type(value).__name__} {value!r:.20}")
def test_what_is_plain_is_copied_and_looks_the_same(value):
    copied = Copied.of({"k": value})
    assert copied is not None
    assert type(copied.data["k"]) is type(value)
    assert copied.differing({"k": value}) == []
    assert copied.differing(copied.data) == []
    assert getattr(copied.data["k"], "maxlen", 1) == getattr(value, "maxlen", 1)
    assert getattr(copied.data["k"], "default_factory", 1) is getattr(value, "default_factory", 1)


@pytest.mark.parametrize("seed", range(50))
def test_sets_look_the_same_in_whatever_order_they_are_read(seed):
    value = set()
    for number in range(5):
        value.add(number * 8 * seed)
        value.add(("x", number * 8 * seed))
    for number in range(2):
        value.discard(number * 8 * seed)
    copied = Copied.of({"k": value})
    assert copied.differing({"k": value}) == []
    value.add("one more")
    assert copied.differing({"k": value}) == ["k"]


class Sub(dict):
    pass


@pytest.mark.parametrize(
    "value",
    [object(), Sub(), [Sub()], {1, object()}, nested(DEPTH + 1), [1] * (NODES + 1), iter(())],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_or_too_much_is_not_copied(value):
    assert Copied.of({"a": 1, "k": value}) is None


def test_the_limit_is_one_for_all_of_a_session():
    assert Copied.of({n: [1] * (NODES // 10) for n in range(10)}) is not None
    assert Copied.of({n: [1] * (NODES // 10) for n in range(11)}) is None


def test_what_is_there_twice_is_there_twice_in_the_copy():
    shared = [1]
    data = {"a": shared, "b": {"c": shared}, "d": (shared,)}
    made = Copied.of(data).data
    assert made["a"] is made["b"]["c"] is made["d"][0]
    assert made["a"] is not shared


def test_only_what_was_looked_at_takes_the_place_of_what_is_there():
    progress, cart = {"done": 1}, []
    data = {"progress": progress, "cart": cart}
    copied = Copied.of(data)
    copied.data["new"], copied.data["newer"] = 1, 2
    changed = copied.differing(copied.data)
    copied.bring_into(data, [], changed, {"cart"})
    assert data["progress"] is progress  # a thread of the program may be counting in it
    assert data["cart"] is copied.data["cart"]
    assert list(data) == ["progress", "cart", "new", "newer"]


def test_what_is_there_under_two_keys_stays_one():
    shared = [1]
    data = {"a": shared, "b": shared}
    copied = Copied.of(data)
    copied.bring_into(data, [], [], {"a"})
    assert data["a"] is data["b"] is copied.data["a"]


def test_what_only_others_have_changed_stays():
    data = {"a": [1], "b": [2], "c": [3]}
    copied = Copied.of(data)
    data["a"], data["b"] = [9], [9]
    copied.data["b"].append(2)
    foreign, changed = copied.differing(data), copied.differing(copied.data)
    assert (sorted(foreign), changed) == (["a", "b"], ["b"])
    copied.bring_into(data, foreign, changed, {"a", "b"})
    assert data == {"a": [9], "b": [2, 2], "c": [3]}
