"""What a session in memory holds is seen to stay as it is, or not; and readers have a view of their own."""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime
import functools
import http.cookiejar
import io
import itertools
import os
import pickle
import queue
import random
import re
import socket
import sqlite3
import threading
import tracemalloc
import types
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
import session_kit
from session_kit import Pages, ask, back, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads
from cherrypy.lib.reading import verdicts
from cherrypy.lib.sessioncopies import Copied
from cherrypy.lib.sessionlooks import NODES, Glance, whole
from cherrypy.lib.sessionvalues import is_handle

pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    # Nor is anything by its code.
    monkeypatch.setattr(verdicts, "verdict", lambda *_: verdicts.WRITES)


@pytest.fixture
def conf(tmp_path):
    return session_kit.configuration(session_kit.store("ram", tmp_path))


class Thing:
    def __init__(self, **more):
        self.__dict__.update(more)

    def __eq__(self, other):
        raise AssertionError("somebody has compared")

    __hash__ = None


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a=None):
        self.a = a


class Both(Slotted):
    pass


class SubBytesIO(io.BytesIO):
    pass


HIDDEN = bytearray(b"abc")


class Buffered(io.BytesIO):
    """Reduced as an array of NumPy is: of protocol 5 to a buffer that is no copy."""

    def __reduce_ex__(self, protocol):
        return Buffered, (pickle.PickleBuffer(HIDDEN) if protocol >= 5 else bytes(HIDDEN),)


class SubList(list):
    pass


class SubDict(dict):
    pass


class SubStr(str):
    pass


class Refusing(list):
    """It cannot be pickled, and is none the less one of the program."""

    def __reduce_ex__(self, protocol):
        raise TypeError


class OwnSocket(socket.socket):
    """A handle, but one of the program, which may keep things in it."""

    n = 1


@dataclasses.dataclass(slots=True, weakref_slot=True)
class Record:
    a: list


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1], lambda it: it.append(2)),
        ([1], lambda it: it.__setitem__(0, 2)),
        ({"a": [1]}, lambda it: it["a"].clear()),
        ({"a": 1}, lambda it: it.update(a=2)),
        ({1, 2}, lambda it: it.add(3)),
        (([],), lambda it: it[0].append(1)),
        (bytearray(b"a"), lambda it: it.extend(b"b")),
        (Thing(a=1), lambda it: setattr(it, "a", 2)),
        (Thing(a=[]), lambda it: it.a.append(1)),
        (Thing(), lambda it: setattr(it, "b", 1)),
        (Slotted(1), lambda it: setattr(it, "a", 2)),
        (Slotted(), lambda it: setattr(it, "b", 1)),
        (Slotted([]), lambda it: it.a.append(1)),
        (Both(), lambda it: setattr(it, "a", 2)),
        (Both(), lambda it: setattr(it, "c", 1)),
        (Record([]), lambda it: it.a.append(1)),
    ],
)
@pytest.mark.parametrize("look", [whole, lambda value: Glance(value).look], ids=["whole", "glance"])
def test_changes_in_values_are_seen(look, value, change):
    value = copy.deepcopy(value)
    before = look(value)
    assert before is not None
    assert look(value) == before
    change(value)
    assert look(value) != before


@pytest.mark.parametrize("look", [whole, lambda value: Glance(value).look], ids=["whole", "glance"])
@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: array.array("b", b"abc"), lambda it: it.append(1)),
        (lambda: array.array("b", b"abc"), lambda it: it.__setitem__(1, 7)),
        (lambda: io.BytesIO(b"abc"), lambda it: it.write(b"x")),
        (lambda: io.BytesIO(b"abc"), lambda it: it.read(1)),
        (lambda: io.StringIO("abc"), lambda it: it.write("x")),
        (random.Random, lambda it: it.random()),
        (Buffered, lambda it: HIDDEN.__setitem__(0, HIDDEN[0] + 1)),
        (lambda: iter([1, 2]), next),
        (lambda: SubBytesIO(b"abc"), lambda it: it.write(b"x")),
        (lambda: SubBytesIO(b"abc"), lambda it: setattr(it, "n", 1)),
        (lambda: SubList([1]), lambda it: it.append(2)),
        (lambda: SubList([1]), lambda it: setattr(it, "n", 2)),
        (lambda: SubDict(a=[1]), lambda it: it["a"].append(1)),
        (lambda: SubStr("a"), lambda it: setattr(it, "n", 2)),
        (lambda: collections.ChainMap({}), lambda it: it.update(a=1)),
        (lambda: functools.partial(print, []), lambda it: it.args[0].append(1)),
        (lambda: Thing(a=1).__init__, lambda it: setattr(it.__self__, "a", 2)),
        (lambda: types.SimpleNamespace(a=threading.Lock(), n=1), lambda it: setattr(it, "n", 2)),
        (lambda: Thing(a=threading.Lock(), n=1), lambda it: setattr(it, "n", 2)),
        (lambda: Thing(a=threading.Lock()), lambda it: setattr(it, "a", threading.Lock())),
        (OwnSocket, lambda it: setattr(it, "n", 2)),
        (lambda: Refusing([1]), lambda it: it.append(2)),
    ],
)
def test_changes_in_what_does_not_show_them_are_seen(look, make, change):
    value = make()
    before = look({"a": [value]})
    assert before is not None
    assert look({"a": [value]}) == before
    change(value)
    assert look({"a": [value]}) != before
    getattr(value, "close", int)()


@pytest.mark.parametrize(
    ("size", "where"),
    [(100_000, lambda deep: [{"x": (1, deep)}]), (10, lambda deep: [list(range(100_000)), deep])],
)
def test_a_list_that_grows_is_seen_however_large_it_is(size, where):
    deep = list(range(size))
    value = where(deep)
    before, glance = whole(value), Glance(value)
    assert not glance.plain
    deep.append(1)
    assert whole(value) != before
    # At a glance what is near is seen to the end, and of the rest how long it is.
    assert Glance(value).look != glance.look


def test_a_glance_is_short():
    for value in ([1] * 3_000_000, [[1] * 100] * 300_000, list(map(str, range(1_000_000)))):
        glance = Glance(value)
        assert glance.seen <= NODES
        assert len(glance.look) <= 4 * NODES


def test_what_is_compared_takes_little_memory():
    value = list(range(1_000_000))
    tracemalloc.start()
    try:
        whole(value)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("error", [ValueError, RuntimeError, TypeError, RecursionError])
def test_what_a_class_does_fails_no_look(error):
    class Bad(io.BytesIO):
        def __reduce_ex__(self, protocol):
            raise error

        def __sizeof__(self):
            raise error

    value = Bad(b"x")
    for _ in range(2):
        glance = Glance([value])
        assert not glance.plain
        whole([value])
        assert list(Copied({"k": [value]}).guarded) == ["k"]


class Meta(type):
    def __getattribute__(cls, name):
        if name in ("__dict__", "__mro__", "__module__", "__reduce_ex__", "__name__"):
            raise LookupError(name)
        return type.__getattribute__(cls, name)


class Strange(metaclass=Meta):
    pass


class NoDict:
    @property
    def __dict__(self):
        raise LookupError

    @property
    def __class__(self):
        raise LookupError


class NoAttributes:
    def __getattribute__(self, name):
        raise SystemError(name)


class NoModule:
    pass


NoModule.__module__ = []


class NoList(list):
    def __iter__(self):
        raise SystemError

    __len__ = __hash__ = __iter__


@pytest.mark.parametrize("number", range(5))
def test_no_class_is_so_strange_that_a_request_fails_by_it(number):
    value = [Strange, NoDict, NoAttributes, NoModule, NoList][number]()
    for data in ({"k": value}, {"k": [value, {"a": value}]}):
        whole(data)
        assert not Glance(data).plain
        copied = Copied(data)
        assert list(copied.guarded) == ["k"]
        assert copied.differing(data) == []


def test_what_never_looks_the_same_teaches_nothing(serve, conf):
    numbers = itertools.count()

    class Fickle(io.BytesIO):
        def __reduce_ex__(self, protocol):
            return Fickle, (next(numbers),)

    class Fickles(Pages):
        @expose
        def keep(self):
            owner.session["value"] = Fickle()
            return "kept"

    site = serve(Fickles(), conf)
    headers = back(site("/keep"))
    for _ in range(2):
        assert site("/look", "key=value", headers=headers).text.endswith(" True")
    assert sessionreads._reads_only == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((Decimal("1.1"), Decimal("1.2")), (UUID(int=1), UUID(int=2)), (range(3), range(4))),
        *((re.compile("a"), re.compile("b")), (datetime.date(2000, 1, 1), datetime.date.max)),
        *((print, len), (Thing, Slotted), (os, io), (lambda: 1, lambda: 1), (1j, 2j)),
    ],
)
def test_what_cannot_change_is_told_apart(one, other):
    for look in (whole, lambda value: Glance(value).look):
        assert look([one]) == look([one]) != look([other])


def test_what_changes_while_one_looks_is_not_known(monkeypatch):
    class Restless(io.BytesIO):
        tries = 0

        def __reduce_ex__(self, protocol):
            self.tries += 1
            raise RuntimeError("changed size during iteration")

    value = Restless()
    assert Glance(value).look is None
    assert value.tries == 3
    assert whole(value) is None


@pytest.mark.parametrize("depth", [100, 100_000])
def test_what_is_deep_is_seen(depth):
    deepest = value = []
    for _ in range(depth):
        value = [value]
    before = whole(value)
    assert before is not None
    deepest.append(1)
    assert whole(value) != before
    while value:  # else it is taken apart by recursion
        value = value.pop() if type(value[-1]) is list else None


def test_a_circle_comes_to_an_end():
    circle: list = []
    circle.append(circle)
    for look in (whole, lambda value: Glance(value).look):
        before = look(circle)
        assert look(circle) == before
        circle.append(1)
        assert look(circle) != before
        circle.pop()


@pytest.mark.parametrize(
    "make",
    [
        *(threading.Lock, threading.RLock, socket.socket, lambda: (n for n in "")),
        *(Path(os.devnull).open, Path(__file__).open, lambda: memoryview(b"")),
        *(lambda: sqlite3.connect(":memory:"), queue.Queue, threading.Thread, {}.keys),
        *(http.cookiejar.CookieJar, itertools.count, lambda: itertools.chain([1])),
    ],
)
def test_handles(make):
    value = make()
    assert is_handle(value, type(value))
    glance = Glance([value])
    assert (glance.plain, glance.handles) == (True, True)
    getattr(value, "close", int)()


@pytest.mark.parametrize(
    "value",
    [
        *(Thing(a=threading.Lock()), types.SimpleNamespace(a=threading.Lock()), Refusing()),
        *(array.array("b"), io.BytesIO(), [], {}, 1, "a", print, Thing, Slotted()),
        *(collections.ChainMap(), collections.UserDict(a=threading.Lock()), OwnSocket()),
    ],
)
def test_what_is_none(value):
    assert not is_handle(value, type(value))


@pytest.mark.parametrize(
    "value",
    [
        *(threading.Lock(), Slotted(threading.Lock()), array.array("b"), iter([1]), [1] * 30_000),
        *(Thing(a=threading.Lock()), (n for n in ""), io.BytesIO(b"x"), SubDict(a=1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_in_a_session_is_read_without_the_lock_once_that_is_known(serve, conf, value):
    class Opaque(Pages):
        @expose
        def keep(self):
            owner.session["value"] = value
            return "kept"

    site = serve(Opaque(), conf)
    headers, others = back(site("/keep")), back(site("/count"))
    # Its code says that it writes: under the lock, then, until it is known.
    assert ask(site, "/look", headers)[0] == "None True"
    assert ask(site, "/look", headers)[0] == "None False"
    assert ask(site, "/look", others)[0] == "1 False"
    held = [site("/look", "key=value", headers=headers).text.rsplit(" ", 1)[1] for _ in range(3)]
    assert held == ["True", "False", "False"]


def test_readers_are_safe_from_a_dict_that_changes_its_size(serve, conf):
    """Whoever iterates a session has a view of its own while another fills it."""

    class Filling(Pages):
        @expose
        def fill(self):
            for n in range(3000):
                owner.session[f"k{n % 150}"] = n
                if n % 150 == 149:
                    owner.session.clear()
            return "full"

        @expose
        def walk(self):
            for _ in range(50):
                sum(1 for _ in owner.session.items())
            return "x"

    site = serve(Filling(), conf)
    headers = back(site("/count"))
    site("/walk", headers=headers)
    filling = threading.Thread(target=lambda: [site("/fill", headers=headers) for _ in range(5)])
    filling.start()
    try:
        until(lambda: ask(site, "/walk", headers)[0] == "x" and not filling.is_alive())
    finally:
        filling.join(20)
