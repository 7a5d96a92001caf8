"""What a session in memory holds is seen to stay as it is, or not; and readers have a view of their own."""

from __future__ import annotations

import array
import dataclasses
import threading

import pytest
import session_kit
from session_kit import Pages, ask, back, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads
from cherrypy.lib.reading import verdicts

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
def test_changes_in_values_are_seen(value, change):
    data = {"key": value}
    before = sessionreads.fingerprint(data)
    assert before is not None
    assert sessionreads.fingerprint(data) == before
    change(value)
    assert sessionreads.fingerprint(data) != before


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        Slotted(threading.Lock()),
        array.array("b"),
        iter([1]),
        [1] * 30_000,
        Thing(a=threading.Lock()),
        (n for n in ""),
    ],
)
def test_what_cannot_be_seen_is_read_under_the_lock(serve, conf, value):
    assert sessionreads.fingerprint({"key": value}) is None

    class Opaque(Pages):
        @expose
        def keep(self):
            owner.session["value"] = value
            return "kept"

    site = serve(Opaque(), conf)
    headers, others = back(site("/keep")), back(site("/count"))
    for _ in range(2):
        assert ask(site, "/look", headers)[0] == "None True"
    # Of others the page reads freely.
    assert [ask(site, "/look", others)[0] for _ in range(2)] == ["1 True", "1 False"]
    assert ask(site, "/look", headers)[0] == "None True"


def test_a_circle_comes_to_an_end():
    circle: list = []
    circle.append(circle)
    assert sessionreads.fingerprint({"key": circle}) is None


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
