"""Copies of sessions in memory, as pages of which nothing is known are given them."""

from __future__ import annotations

import math
import socket
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from cherrypy.lib.sessioncopies import DEPTH, WORK, Copied
from cherrypy.lib.sessionlooks import NODES


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
    copied = Copied({"k": value})
    assert not copied.guarded
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
    copied = Copied({"k": value})
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
def test_what_is_not_plain_or_too_much_is_guarded(value):
    shared = [1]
    data = {"a": shared, "k": value, "b": [shared]}
    copied = Copied(data)
    assert copied.guarded == {"k": value}
    assert copied.data["k"] is value
    assert list(copied.data) == ["a", "k", "b"]
    assert copied.data["a"] is copied.data["b"][0] is not shared
    assert copied.differing(data) == copied.differing(copied.data) == []
    assert copied.differing({**data, "k": Sub()}) == ["k"]
    assert copied.differing({"a": [1], "b": [[1]]}) == ["k"]


def test_what_is_guarded_leaves_no_copies_of_its_parts():
    shared = [1]
    copied = Copied({"k": [shared, object()], "a": [shared, shared]})
    assert list(copied.guarded) == ["k"]
    assert copied.data["a"] == [[1], [1]]
    assert copied.data["a"][0] is copied.data["a"][1] is not shared


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in ""), socket.socket], ids=lambda value: str(type(value))
)
def test_handles_are_shared(value):
    made = value() if isinstance(value, type) else value
    data = {"k": {"lock": made, "n": [1]}}
    copied = Copied(data)
    assert not copied.guarded
    assert copied.data["k"]["lock"] is made
    assert copied.data["k"]["n"] is not data["k"]["n"]
    assert copied.differing(data) == []
    assert copied.differing({"k": {"lock": threading.Lock(), "n": [1]}}) == ["k"]
    getattr(made, "close", int)()


def test_the_limit_is_one_for_all_of_a_session():
    assert not Copied({n: [1] * (NODES // 10) for n in range(10)}).guarded
    copied = Copied({n: [1] * (NODES // 10) for n in range(11)})
    assert list(copied.guarded) == [10]


def test_what_is_too_much_does_not_guard_the_rest():
    big = [[1] * (NODES + 1)] * 5
    copied = Copied({**dict(enumerate(big)), "a": [1]})
    assert list(copied.guarded) == [0, 1, 2, 3, 4]


def test_there_is_an_end_to_trying():
    """Each of these is too much only when nearly all of it has been gone through."""
    deep = [1] * (NODES // 2), [1] * (NODES // 2), [object()]
    copied = Copied({n: [list(part) for part in deep] for n in range(100)})
    assert len(copied.guarded) == 100
    assert copied._copying._work <= WORK + NODES


def test_what_is_there_twice_is_there_twice_in_the_copy():
    shared = [1]
    data = {"a": shared, "b": {"c": shared}, "d": (shared,)}
    made = Copied(data).data
    assert made["a"] is made["b"]["c"] is made["d"][0]
    assert made["a"] is not shared


def test_only_what_was_looked_at_takes_the_place_of_what_is_there():
    progress, cart = {"done": 1}, []
    data = {"progress": progress, "cart": cart}
    copied = Copied(data)
    copied.data["new"], copied.data["newer"] = 1, 2
    changed = copied.differing(copied.data)
    copied.bring_into(data, [], changed, {"cart"})
    assert data["progress"] is progress  # a thread of the program may be counting in it
    assert data["cart"] is copied.data["cart"]
    assert list(data) == ["progress", "cart", "new", "newer"]


def test_what_is_there_under_two_keys_stays_one():
    shared = [1]
    data = {"a": shared, "b": shared}
    copied = Copied(data)
    copied.bring_into(data, [], [], {"a"})
    assert data["a"] is data["b"] is copied.data["a"]


def test_what_only_others_have_changed_stays():
    data = {"a": [1], "b": [2], "c": [3]}
    copied = Copied(data)
    data["a"], data["b"] = [9], [9]
    copied.data["b"].append(2)
    foreign, changed = copied.differing(data), copied.differing(copied.data)
    assert (sorted(foreign), changed) == (["a", "b"], ["b"])
    copied.bring_into(data, foreign, changed, {"a", "b"})
    assert data == {"a": [9], "b": [2, 2], "c": [3]}


class Holder:
    def __init__(self, **more):
        self.__dict__.update(more)


def test_what_holds_something_guarded_is_guarded():
    guarded = [[1], object()]
    copied = Copied({"k": guarded, "a": [guarded], "b": [1]})
    assert list(copied.guarded) == ["k", "a"]


@pytest.mark.parametrize("looked", [{"a"}, {"b"}, set()])
def test_what_is_tied_to_what_is_guarded_is_known(looked):
    shared, other = [1], [2]
    copied = Copied({"a": {"deep": (shared,)}, "b": other, "k": Holder(it=[Holder(it=shared)])})
    assert list(copied.guarded) == ["k"]
    assert copied.is_tied([], [], looked) is ("a" in looked)
    assert not copied.is_tied(["a"], [], looked)


def test_what_is_guarded_stays_what_it_is():
    one, other, third = Holder(), Holder(), Holder()
    data = {"a": one, "b": other, "c": third, "d": [1]}
    copied = Copied(data)
    data["a"] = new = Holder()
    copied.data["b"] = set_ = Holder()
    del copied.data["c"]
    foreign, changed = copied.differing(data), copied.differing(copied.data)
    assert (foreign, changed) == (["a"], ["b", "c"])
    copied.bring_into(data, foreign, changed, {"a", "b", "c", "d"})
    assert data == {"a": new, "b": set_, "d": copied.data["d"]}
