"""In a session in memory: who may only read goes on without the lock, when it is not to be had soon."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import io
import itertools
import random
import threading
import time
import types

import pytest
from guarded_pages import DEEDS, Shop, Thing, away, big, unknown, waited_for, waits
from security_kit import served
from session_checks import Asked, logged
from session_kit import Slow, back, until

from cherrypy.framework.dispatch import Dispatcher
from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions

pytestmark = pytest.mark.usefixtures("program", "nothing_is_known")


@pytest.fixture
def conf(conf):
    """As it comes."""
    del conf["tools.sessions.patience"]
    return conf


class Fickle(io.BytesIO):
    """It never looks the same twice."""

    numbers = itertools.count()

    def __reduce_ex__(self, protocol):
        return Fickle, (next(self.numbers),)


def missing(session, key):
    assert session[key].n == 0
    raise HTTPError(404)


@pytest.fixture(autouse=True)
def more_deeds(monkeypatch):
    monkeypatch.setitem(DEEDS, "missing", missing)
    monkeypatch.setitem(DEEDS, "away", away)


def patient(site, seconds):
    site.app.merge({"/": {"tools.sessions.patience": seconds}})


READS = {
    "own": (Thing, "n", 200),
    "own in a dict": (lambda: {"a": [Thing()]}, "look", 200),
    "bytes": (lambda: io.BytesIO(b"abc"), "look", 200),
    "random": (random.Random, "look", 200),
    "big": (big, "len", 200),
    "never the same": (Fickle, "look", 200),
    "always sent away": (Thing, "away", 303),
    "always missing": (Thing, "missing", 404),
}


@pytest.mark.parametrize("what", READS)
def test_no_read_waits_until_another_request_has_ended(shop, what):
    make, deed, status = READS[what]
    headers = shop.start(k=make())
    with Slow(shop, "/hold", headers) as slow:
        # Not even its first time; and after that there is no patience any more.
        began = time.monotonic()
        assert shop("/unknown", f"deed={deed}", headers=headers).status == status
        assert time.monotonic() - began >= 0.1
        patient(shop, 20)
        asked = Asked(shop, "/unknown", headers, f"deed={deed}")
        until(lambda: asked.answer or waited_for())
        assert asked.answer is not None
        assert slow.answer is None
    assert asked.answer.status == status


ANY = [(0, False), (datetime.timedelta(0), False), (datetime.timedelta(0, 20), True), (None, True)]


@pytest.mark.parametrize(("patience", "waiting"), ANY)
def test_how_patient_they_are_may_be_said(shop, patience, waiting):
    patient(shop, patience)
    headers = shop.start(k=Thing(), other=Thing())
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, "n") is waiting


def test_who_is_given_the_lock_soon_has_it(shop):
    patient(shop, 20)
    headers = shop.start(k=Thing())
    with Slow(shop, "/hold_and_change", headers):
        asked = Asked(shop, "/unknown", headers, "deed=n")
        until(waited_for)
    asked.thread.join(20)
    assert asked.answer.text == "1 True"
    assert unknown(shop, headers, "n") == ("1", "False")


class Making(Shop):
    """Each time that a page is looked for it is another function."""

    def __getattr__(self, name):
        if not name.startswith("made"):
            raise AttributeError(name)

        def made(deed):
            return f"{DEEDS[deed](owner.session, 'k')} {owner.session.locked}"

        made.exposed = True
        return made


def test_each_time_another_function_is_no_reason_to_wait_again(serve, conf):
    site = serve(Making(), conf)
    site.app.root.kept = {"k": Thing()}
    headers = back(site("/start"))
    with Slow(site, "/hold", headers):
        assert site("/made1", "deed=n", headers=headers).text == "0 False"
        patient(site, 20)
        for number in range(3):
            asked = Asked(site, f"/made{number}", headers, "deed=n")
            until(lambda asked=asked: asked.answer or waited_for())
            assert asked.answer.text == "0 False"


def test_once_in_a_request_is_enough(shop, monkeypatch):
    patient(shop, 1)
    headers = shop.start(**{f"k{number}": Thing() for number in range(9)})
    monkeypatch.setitem(
        DEEDS, "sum", lambda session, key: sum(session[f"k{number}"].n for number in range(9))
    )
    with Slow(shop, "/hold", headers):
        began = time.monotonic()
        assert unknown(shop, headers, "sum") == ("0", "False")
        assert 1 <= time.monotonic() - began < 5


def test_who_asks_for_a_change_waits(shop):
    patient(shop, 0)
    headers = shop.start(k=Thing())
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, "n", method="POST", body=b"")
    assert unknown(shop, headers, "n", method="POST", body=b"")[1] == "False"


def test_who_asks_for_a_change_waits_though_he_has_only_read_until_now(shop):
    patient(shop, 0)
    headers = shop.start(k=Thing())
    for _ in range(2):
        locked = unknown(shop, headers, "look", "n", method="POST", body=b"")[1]
    assert locked == "False"
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, "raise", method="POST", body=b"")


def test_a_coroutine_goes_on_at_once(conf):
    """That is no reason not to be patient where it may be."""

    class Waiting(Shop):
        @expose
        async def later(self, deed, load=False):
            if load:
                await asyncio.to_thread(owner.session.load)
            return f"{DEEDS[deed](owner.session, 'k')} {owner.session.locked}"

    root = Waiting()
    root.kept = {"k": Thing(n=5)}
    with served(root, {"/": {**conf, "tools.sessions.patience": 20}}) as get:
        cookie = get("/start").cookies
        holder = threading.Thread(target=lambda: get("/hold", cookie=cookie))
        answers = []
        loader = threading.Thread(
            target=lambda: answers.append(get("/later?deed=n&load=1", cookie=cookie))
        )
        holder.start()
        try:
            assert root.entered.wait(10)
            answer = get("/later?deed=n", cookie=cookie)
            assert (answer.status, answer.text) == (200, "5 False")
            assert holder.is_alive()
            loader.start()
            until(lambda: answers or waited_for())
            assert not answers
        finally:
            root.go.set()
            holder.join(20)
            loader.join(20)
        assert answers[0].text == "5 True"


# ------------------------------------------------------------------------------ nothing is silent


def test_what_two_may_have_changed_is_in_the_log_once(shop):
    headers = shop.start(k=Thing())
    with logged() as lines, Slow(shop, "/hold_and_change", headers):
        for _ in range(3):
            assert unknown(shop, headers, "raise")[1] == "False"
    told = [line for line in lines if "deed=raise" in line]
    assert len(told) == 1
    assert "'k'" in told[0]
    assert "tools.sessions.locking = 'implicit'" in told[0]
    assert not any(page[0] is Shop.unknown for page in sessionreads._reads_only)
    # As soon as nobody has the lock, one looks who it was; and from then on the page takes it.
    assert unknown(shop, headers, "raise") == ("None", "True")
    known = {page[0]: reads for page, reads in sessionreads._reads_only.items()}
    assert known[Shop.unknown] is False
    shop.app.root.go.clear()
    shop.app.root.entered.clear()
    headers = shop.start(k=Thing())
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, "raise")


def read_once_more(session, key):
    assert session[key].n is not None
    session.load()
    session[key].n += 1


CHANGES = {
    "never the same": (lambda: Thing(fickle=Fickle()), DEEDS["raise"]),
    "too large": (
        lambda: Thing(rows=[[] for _ in range(30_000)]),
        lambda session, key: session[key].rows[-1].append(1),
    ),
    "read once more": (Thing, read_once_more),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_may_have_been_lost_is_in_the_log(shop, monkeypatch, what):
    make, deed = CHANGES[what]
    monkeypatch.setitem(DEEDS, "deed", deed)
    headers = shop.start(k=make())
    with logged() as lines, Slow(shop, "/hold", headers):
        for _ in range(2):
            assert unknown(shop, headers, "deed")[1] == "False"
    assert len([line for line in lines if "SESSION" in line and "'k'" in line]) == 1


def test_what_is_not_changed_is_not_in_the_log(shop):
    headers = shop.start(k=Thing(), other=Thing())
    with logged() as lines, Slow(shop, "/hold_and_change", headers):
        assert unknown(shop, headers, "n") == ("1", "False")
    assert [line for line in lines if "SESSION" in line] == []


def test_who_is_found_to_write_while_he_waits_waits_on(shop):
    patient(shop, 0.5)
    headers, others = shop.start(k=Thing()), shop.start(k=Thing())
    with Slow(shop, "/hold", headers):
        asked = Asked(shop, "/unknown", headers, "deed=raise")
        until(waited_for)
        assert unknown(shop, others, "raise") == ("None", "True")
        began = time.monotonic()
        until(lambda: asked.answer or time.monotonic() - began > 1)
        assert asked.answer is None
    asked.thread.join(20)
    assert asked.answer.text == "None True"


def test_what_was_read_without_the_lock_and_then_set_is_begun_anew(serve, conf, monkeypatch):
    """As it is with all that a page has looked at: it sets what it would have set had it come later."""
    runs = []

    class Counting(Shop):
        @expose
        def count_slowly(self):
            owner.session["n"] += 1
            self.entered.set()
            assert self.go.wait(20)
            owner.session["n"] += 1

    def add_up(session, key):
        runs.append(session["n"] + session[key].n)
        if len(runs) == 1:
            site.app.root.go.set()
            until(lambda: not sessions.RamSession.locks)
        session["sum"] = runs[-1]

    monkeypatch.setitem(DEEDS, "add_up", add_up)
    site = serve(Counting(), conf)
    site.app.root.kept = {"k": Thing(n=10)}
    headers = back(site("/start"))
    with Slow(site, "/count_slowly", headers):
        assert unknown(site, headers, "add_up") == ("None", "True")
    assert runs == [11, 12]
    assert sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]["sum"] == 12


@dataclasses.dataclass
class Cached:
    """What it is called by is no function."""

    name: str

    @functools.lru_cache(maxsize=0)  # noqa: B019 - nothing is kept
    def __call__(self):
        return self.name

    def __hash__(self):
        return 1


PAGES = {
    "cached call": lambda: Cached("x"),
    "compiled method": lambda: types.MethodType(max, "x"),
    "partial of a partial": lambda: functools.partial(functools.partial(str, "x")),
    "cached": lambda: functools.lru_cache(maxsize=0)(lambda: "x"),
    "compiled": lambda: "X".lower,
    "compiled operator": lambda: "x".__str__,
}


@pytest.mark.parametrize("what", PAGES)
def test_a_page_that_is_no_function_of_python_is_known_as_others(serve, conf, what):
    """One that was compiled, for example. What uses the session here is a hook."""
    made, seen = PAGES[what](), []
    find = Dispatcher()

    def dispatch(path):
        find(path)
        if path == "/compiled":
            serving.request.handler = made

    def look():
        if serving.request.path_info == "/compiled":
            seen.append((DEEDS["look"](owner.session, "n"), owner.session.locked))

    class Compiled(Shop):
        @expose
        def compiled(self):
            raise AssertionError("the other one was meant")

    site = serve(Compiled(), {**conf, "request.dispatch": dispatch, "hooks.before_handler": look})
    headers = back(site("/count"))
    with Slow(site, "/hold", headers):
        for _ in range(2):
            assert site("/compiled", headers=headers).text == "x"
    assert seen == [("1", False)] * 2
    assert [page for page, reads in sessionreads._reads_only.items() if reads] != []


@pytest.mark.parametrize("deed", ["count", "n"])
def test_pages_that_are_made_for_each_request_are_not_remembered_for_ever(
    serve, conf, deed, monkeypatch
):
    monkeypatch.setattr(sessionreads, "LIMIT", 20)

    site = serve(Making(), conf)
    site.app.root.kept = {"k": Thing()}
    headers = back(site("/start"))
    for number in range(50):
        assert site(f"/made{number}", f"deed={deed}", headers=headers).status == 200
    assert 0 < len(sessionreads._reads_only) <= 20
