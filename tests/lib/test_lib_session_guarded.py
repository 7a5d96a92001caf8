"""Whatever lies in a session in memory: who reads waits for nobody but for what could be changed unseen, and that once."""

from __future__ import annotations

import array
import io
import random
import socket
import threading

import pytest
from guarded_pages import DEEDS, Other, Shop, Thing, big, unknown, waits
from session_checks import logged
from session_kit import Slow, back

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions

pytestmark = pytest.mark.usefixtures("program", "nothing_is_known")


UNTOUCHED = {
    "own": Thing,
    "big": big,
    "own in a list": lambda: [1, {"a": Thing()}],
    "array": lambda: array.array("b", b"abc"),
    "bytes": lambda: io.BytesIO(b"abc"),
    "lock": threading.Lock,
    "generator": lambda: (n for n in ""),
}


# ------------------------------------------------------------------------------ nobody waits


@pytest.mark.parametrize("what", UNTOUCHED)
@pytest.mark.parametrize("deed", ["look", "in", "keys", "iter"])
def test_what_a_page_does_not_touch_does_not_concern_it(shop, what, deed):
    headers = shop.start(k=UNTOUCHED[what](), plain=[1])
    with Slow(shop, "/hold", headers):
        key = "plain" if deed == "look" else "k"
        assert not waits(shop, headers, deed, key)


@pytest.mark.parametrize(
    "make", [threading.Lock, socket.socket, lambda: (n for n in range(9)), lambda: {"a": [open]}]
)
@pytest.mark.parametrize("deed", ["look", "items", "values", "setdefault"])
def test_handles_are_there_for_all_who_ask_safely(shop, make, deed):
    value = make()
    headers = shop.start(k=value, also={"in": [value]})
    with Slow(shop, "/hold", headers):
        assert not waits(shop, headers, deed)
    getattr(value, "close", int)()


def test_handles_are_there_for_pages_that_are_known(shop):
    headers = shop.start(
        k=threading.Lock(), plain=[1], own=[threading.Lock(), {"a": iter.__call__}]
    )
    for _ in range(2):
        assert unknown(shop, headers, "look", "plain")[1] == "False"
    with Slow(shop, "/hold", headers):
        assert not waits(shop, headers, "look")


def test_a_page_that_was_begun_anew_has_learned_from_it(shop, monkeypatch):
    """It took the lock for an object, when what it had read was not so any more; it does not wait the next time."""
    reader = Reader(shop, back(shop("/count")))

    def deed(session, key):
        before = session["n"]
        runs.append(before)
        if len(runs) == 1:
            reader.entered.set()
            assert reader.go.wait(20)
        return str(before + session[key].n)

    runs = []
    headers = reader.headers = shop.start(k=Thing(n=10), plain=[])
    monkeypatch.setattr(reader, "deed", deed)
    with reader:
        assert shop("/change", headers=headers).status == 200
        assert reader.answer() == "111 True"
        assert runs == [0, 1]
        assert unknown(shop, headers, "reader") == ("111", "False")


def test_streams_do_not_take_the_lock_to_see_who_it_was(serve, conf):
    class Streaming(Shop):
        @expose
        def stream(self, deed):
            yield DEEDS[deed](owner.session, "k")
            yield f" {owner.session.locked}"

        stream._cp_config = {"response.stream": True}

    site = serve(Streaming(), conf)
    site.app.root.kept = {"k": Thing()}
    headers = back(site("/start"))
    assert site("/stream", "deed=n", headers=headers).text == "0 True"
    sessionreads._doubted.update(sessionreads._reads_only)
    assert site("/stream", "deed=n", headers=headers).text == "0 False"


def test_who_asks_for_a_change_has_handles_alone_until_it_is_known(shop):
    headers = shop.start(k=(n for n in range(9)), plain=[1])
    post = {"method": "POST", "body": b""}
    assert unknown(shop, headers, "look", "plain", **post)[1] == "True"
    assert unknown(shop, headers, "look", "plain", **post)[1] == "False"
    assert unknown(shop, headers, "look", **post)[1] == "True"
    assert unknown(shop, headers, "look", **post)[1] == "False"


KNOWN = {
    "own": (Thing, "n"),
    "own in a dict": (lambda: {"a": [Thing()]}, "look"),
    "own with a lock": (lambda: Thing(lock=threading.Lock()), "n"),
    "array": (lambda: array.array("b", b"abc"), "len"),
    "bytes": (lambda: io.BytesIO(b"abc"), "look"),
    "random": (random.Random, "look"),
    "big": (big, "len"),
    "bigger": (lambda: [[1] * 10] * 100_000, "len"),
}


@pytest.mark.parametrize("what", KNOWN)
def test_a_page_waits_once_for_what_it_could_change(shop, what):
    make, deed = KNOWN[what]
    headers = shop.start(k=make())
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, deed)
    for _ in range(3):
        shop.app.root.go.clear()
        shop.app.root.entered.clear()
        with Slow(shop, "/hold_and_change" if what == "own" else "/hold", headers):
            assert not waits(shop, headers, deed)
    # Of another client as well.
    assert unknown(shop, shop.start(k=make()), deed)[1] == "False"


def test_what_is_too_much_together_is_waited_for_though_each_is_not(shop):
    headers = shop.start(k=big(15_000), other=big(15_000))
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, "len", "other")
    shop.app.root.go.clear()
    shop.app.root.entered.clear()
    with Slow(shop, "/hold", headers):
        assert not waits(shop, headers, "len", "k")
        assert not waits(shop, headers, "len", "other")


def test_what_who_has_the_lock_changes_while_a_page_reads_is_not_its_doing(shop):
    headers = shop.start(k=Thing())
    assert unknown(shop, headers, "n")[1] == "True"
    thing = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]["k"]
    with Slow(shop, "/hold", headers):
        with Reader(shop, headers) as reader:
            thing.n += 1  # as the other one would
            assert reader.answer() == "1 False"
        assert not waits(shop, headers, "n")
    assert all(reads or page[0] is Shop.hold for page, reads in sessionreads._reads_only.items())


def test_it_is_asked_for_each_key_and_class(shop):
    headers = shop.start(k=Thing(), other=Thing(), plain=[])
    for _ in range(2):
        assert unknown(shop, headers, "look", "plain")[1] == "False"
    for key in ("k", "other"):
        assert [unknown(shop, headers, "n", key)[1] for _ in range(2)] == ["True", "False"]
    headers = shop.start(k=Other(), other=Thing())
    assert [unknown(shop, headers, "n", "k")[1] for _ in range(2)] == ["True", "False"]
    assert unknown(shop, headers, "n", "other")[1] == "False"


def test_what_others_change_meanwhile_is_not_held_against_a_page(shop):
    """It is not known who did it, so it is looked at again when nobody has the lock; and nobody waits for it."""
    headers = shop.start(k=Thing())
    assert unknown(shop, headers, "n")[1] == "True"
    page = shop.app.root
    reader = Reader(shop, headers)
    with logged() as lines, reader:
        with Slow(shop, "/hold_and_change", headers):
            reader.go_on()
            assert reader.answer() == "1 False"
            assert not waits(shop, headers, "n")
    assert not any("SESSION" in line for line in lines)
    assert list(sessionreads._doubted) != []
    page.go.clear()
    assert unknown(shop, headers, "n") == ("1", "True")  # nobody has it: one looks
    assert not sessionreads._doubted
    assert unknown(shop, headers, "n") == ("1", "False")


class Reader:
    """A request of `/unknown` that has an object in hand for as long as one likes."""

    def __init__(self, site, headers, write=False):
        self.site, self.headers = site, headers
        self.go, self.entered, self.found = threading.Event(), threading.Event(), []
        self.write = write

    def deed(self, session, key):
        thing = session[key]
        self.entered.set()
        assert self.go.wait(20)
        if self.write:
            thing.n += 1
        return str(thing.n)

    def __enter__(self):
        DEEDS["reader"] = self.deed

        def ask_():
            return self.found.append(unknown(self.site, self.headers, "reader"))

        self.thread = threading.Thread(target=ask_)
        self.thread.start()
        assert self.entered.wait(10)
        return self

    def go_on(self):
        self.go.set()

    def answer(self):
        self.go.set()
        self.thread.join(20)
        return " ".join(self.found[0])

    def __exit__(self, *_):
        self.answer()
        del DEEDS["reader"]


def test_who_begins_to_write_is_found_though_others_change_it_too(shop):
    headers = shop.start(k=Thing())
    assert unknown(shop, headers, "n")[1] == "True"
    with Reader(shop, headers, write=True) as reader:
        with Slow(shop, "/hold_and_change", headers):
            assert reader.answer() == "2 False"
    with Reader(shop, headers, write=True) as reader:
        assert reader.answer() == "3 True"  # nobody had it: one looks
    assert False in sessionreads._reads_only.values()
    assert unknown(shop, headers, "n") == ("3", "True")
