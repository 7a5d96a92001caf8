"""Whatever lies in a session in memory, and however a page comes to it: nothing of what it does there is lost."""

from __future__ import annotations

import io
import random
import threading
import time

import pytest
from guarded_pages import DEEDS, WRITE, Shop, Thing, unknown, waits
from security_kit import served
from session_kit import Slow, ask, back, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions

pytestmark = pytest.mark.usefixtures("program", "nothing_is_known")


def in_threads(count, work):
    failed = []
    start = threading.Barrier(count)

    def run(number):
        try:
            start.wait(20)
            work(number)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed[0]


class Slowly(Thing):
    """Whoever counts in it without the lock loses something."""

    @property
    def n(self):
        return self.__dict__.get("count", 0)

    @n.setter
    def n(self, value):
        time.sleep(0)
        self.__dict__["count"] = value


@pytest.mark.parametrize("known", [False, True])
def test_no_count_in_an_object_is_lost(shop, known):
    headers = shop.start(k=Slowly(), plain=[1])
    if known:  # to read, but it has never had the object
        for _ in range(2):
            unknown(shop, headers, "look", "plain")
    in_threads(32, lambda number: unknown(shop, headers, "raise"))
    assert unknown(shop, headers, "n")[0] == "32"


@pytest.mark.parametrize("size", [10, 30_000])
def test_what_grows_in_place_is_found_out(shop, size):
    headers = shop.start(k=[0] * size)
    in_threads(8, lambda number: unknown(shop, headers, "grow"))
    assert unknown(shop, headers, "len")[0] == str(size + 8)
    assert False in sessionreads._reads_only.values()


def test_a_list_deep_inside_something_large_is_found_out(shop):
    deep = list(range(100_000))
    headers = shop.start(k=[{"x": (list(range(50_000)), deep)}, list(range(50_000))])
    assert unknown(shop, headers, "grow_deep")[1] == "True"
    assert len(deep) == 100_001
    assert list(sessionreads._reads_only.values()) == [False]


@pytest.mark.parametrize("deed", ["read_byte", "next"])
def test_what_shows_nothing_is_found_to_have_changed(shop, deed):
    value = io.BytesIO(b"abcdef") if deed == "read_byte" else iter(range(6))
    headers = shop.start(k=value)
    in_threads(4, lambda number: unknown(shop, headers, deed))
    assert sessionreads._reads_only and not any(sessionreads._reads_only.values())
    wanted = "b'e'" if deed == "read_byte" else "4"
    assert unknown(shop, headers, deed) == (wanted, "True")


@pytest.mark.parametrize(
    ("deed", "left"),
    [
        *(("pop", None), ("del", None), ("clear", None), ("update", 7), ("setdefault", 0)),
        *(("items", 0), ("values", 0)),
    ],
)
def test_ways_to_an_object(shop, deed, left):
    headers = shop.start(k=Thing(), plain=[1])
    with Slow(shop, "/hold", headers):
        assert waits(shop, headers, deed)
    writes = left != 0
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert (data["k"].n if "k" in data else None) == left
    assert unknown(shop, shop.start(k=Thing(), plain=[1]), deed)[1] == str(writes)


@pytest.mark.parametrize("deed", ["away", "away_raise", "fail"])
def test_who_redirects_or_fails_teaches_nothing_and_loses_nothing(shop, deed):
    headers = shop.start(k=Slowly())
    in_threads(8, lambda number: shop("/unknown", f"deed={deed}", headers=headers))
    wanted = 0 if deed == "away" else 8
    assert unknown(shop, headers, "n")[0] == str(wanted)
    assert sessions.RamSession.locks == {}


@pytest.mark.parametrize("first", ["look", "len"])
@pytest.mark.parametrize("deed", ["raise", "n", "count", "grow_plain", "items"])
def test_who_has_looked_at_what_was_changed_begins_anew(shop, first, deed, monkeypatch):
    """At the moment when it takes hold of an object, or sets something: not when it is too late."""
    monkeypatch.setitem(DEEDS, "grow_plain", lambda session, key: session["plain"].append("ours"))
    headers = shop.start(k=Thing(), plain=["first"])
    root = shop.app.root
    with Slow(shop, "/pause_then", {**headers, **WRITE}, f"first={first}&deed={deed}") as slow:
        assert shop("/change", headers=headers).status == 200
        assert slow.end().status == 200
    assert root.runs == 2
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert data["n"] == 1 + (deed == "count")
    assert data["k"].n == 100 + (deed == "raise")
    assert data["plain"] == ["first", "theirs", *["ours"] * (deed == "grow_plain")]
    assert data["seen"] == (1, "['first', 'theirs']" if first == "look" else "2")


def test_what_changes_while_one_waits_to_write_is_no_longer_what_one_has_read(shop, monkeypatch):
    """A page that is known to read has the list itself; who has the lock makes it grow, and it sets what is wrong."""
    grow = threading.Event()
    monkeypatch.setitem(DEEDS, "len_to", lambda session, key: set_length(session))
    monkeypatch.setitem(DEEDS, "hold_and_grow", lambda session, key: hold(session))

    def set_length(session):
        length = len(session["plain"])
        session["length"] = length

    def hold(session):
        session["held"] = True
        shop.app.root.entered.set()
        assert grow.wait(20)
        session["plain"].append("theirs")

    headers = shop.start(plain=[])
    for _ in range(2):
        unknown(shop, headers, "len", "plain")
    shop.app.root.grow_later = page_of("hold_and_grow")
    with Slow(shop, "/grow_later", headers, "deed=hold_and_grow&key=k"):
        writer = threading.Thread(target=lambda: unknown(shop, headers, "len_to"))
        writer.start()
        locks = sessions.RamSession.locks
        until(lambda: any(lock.waiters for lock in list(locks.values())))
        grow.set()
        writer.join(20)
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert (data["plain"], data["length"]) == (["theirs"], 1)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("then", ["acquire_lock", "load"])
def test_what_was_changed_in_place_before_something_else_is_found_out(
    shop, monkeypatch, known, then
):
    def deed(session, key):
        cart = session["plain"]
        if then == "load" and known:
            session.load()
            cart.append("late")  # it is the same list
        else:
            cart.append("late")
            getattr(session, then)()

    monkeypatch.setitem(DEEDS, "deed", deed)
    headers = shop.start(plain=[])
    for _ in range(2 * known):
        unknown(shop, headers, "len", "plain")
    unknown(shop, headers, "deed")
    assert False in sessionreads._reads_only.values()
    assert unknown(shop, headers, "look", "plain")[0] == "['late']"


def test_what_was_changed_before_the_lock_was_given_back_is_this_page_s_doing(shop, monkeypatch):
    entered, go = threading.Event(), threading.Event()

    def early(session, key):
        session[key].n += 1
        session.release_lock()
        entered.set()
        assert go.wait(20)
        return "x"

    monkeypatch.setitem(DEEDS, "early", early)
    headers = shop.start(k=Thing(), plain=[])
    thread = threading.Thread(target=lambda: unknown(shop, headers, "early"))
    thread.start()
    assert entered.wait(10)
    assert shop("/change", headers=headers).status == 200
    go.set()
    thread.join(20)
    assert [
        page for page, reads in sessionreads._reads_only.items() if page[0] is Shop.unknown
    ] != []
    assert not any(sessionreads._reads_only.values())
    assert not sessionreads._doubted


def test_who_has_looked_at_nothing_that_was_changed_goes_on(shop):
    headers = shop.start(k=Thing(), plain=["first"])
    with Slow(shop, "/pause_then", {**headers, **WRITE}, "first=look&deed=raise") as slow:
        assert ask(shop, "/put", headers, "key=other&value=kept") == ("put", True)
        assert slow.end().text == "None True"
    assert shop.app.root.runs == 1
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert (data["k"].n, data["other"], data["seen"]) == (1, "kept", (0, "['first']"))


def test_what_is_there_twice_stays_one(shop):
    """A list that is under a key, and in an object under another."""

    def both(session, key):
        roles = session["roles"]
        roles.append("seen")
        session["k"].n += 1

    DEEDS["both"] = both
    DEEDS["roles"] = lambda session, key: session["roles"].append("only")
    roles = ["admin"]
    headers = shop.start(roles=roles, k=Thing(roles=roles))
    for deed in ("roles", "both"):
        sessionreads._reads_only.clear()
        assert unknown(shop, headers, deed)[1] == "True"
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert data["roles"] is data["k"].roles
    assert data["roles"] == ["admin", "only", "seen"]
    assert data["k"].n == 1


def test_a_body_that_is_sent_piece_by_piece_takes_hold_of_an_object(serve, conf):
    class Streaming(Shop):
        @expose
        def stream(self):
            def body():
                yield b"begun "
                owner.session["k"].n += 1
                yield b"ended"

            return DEEDS["more 1"](owner.session, "n") or body()

        stream._cp_config = {"response.stream": True}

    site = serve(Streaming(), conf)
    site.app.root.kept = {"k": Slowly()}
    headers = back(site("/start"))
    in_threads(8, lambda number: site("/stream", headers=headers))
    assert unknown(site, headers, "n")[0] == "8"
    assert sessions.RamSession.locks == {}


def in_the_middle(session, key, what):
    session[key].n += 1
    getattr(session, what)()
    session[key].n += 1


@pytest.mark.parametrize("what", ["load", "regenerate", "acquire_lock", "release_lock", "delete"])
def test_in_the_middle(shop, what):
    DEEDS["middle"] = lambda session, key: in_the_middle(session, key, what)
    thing = Thing()
    headers = shop.start(k=thing, plain=[1])
    unknown(shop, headers, "middle")
    assert thing.n == 2
    assert False in sessionreads._reads_only.values()
    assert sessions.RamSession.locks == {}


def test_a_coroutine_loads_where_it_may_wait(conf):
    import asyncio

    class Waiting(Shop):
        @expose
        async def later(self):
            await asyncio.to_thread(owner.session.load)
            return DEEDS["n"](owner.session, "k")

    root = Waiting()
    root.kept = {"k": Thing(n=5)}
    with served(root, {"/": conf}) as get:
        cookie = get("/start").cookies
        answers = []
        holder = threading.Thread(target=lambda: get("/hold", cookie=cookie))
        holder.start()
        assert root.entered.wait(10)
        later = threading.Thread(target=lambda: answers.append(get("/later", cookie=cookie)))
        later.start()
        locks = sessions.RamSession.locks
        try:
            until(lambda: answers or any(lock.waiters for lock in list(locks.values())))
            assert not answers
        finally:
            root.go.set()
            holder.join(20)
            later.join(20)
        assert (answers[0].status, answers[0].text) == (200, "5")


# ------------------------------------------------------------------------------ everything at once


def page_of(deed):
    """A page of its own for something that can be done."""

    def page(deed, key):
        DEEDS[deed](owner.session, key)
        return "done"

    page.exposed = True
    return page


def test_readers_and_writers_of_everything_at_once(shop):
    """For two seconds: counters are never lost, views are never torn, and all locks are given back."""
    big_one = [0] * 25_000
    headers = shop.start(
        k=Slowly(), plain=[], big=big_one, lock=threading.Lock(), byte=io.BytesIO(b""), both=[0, 0]
    )
    done = {"raise": 0, "grow": 0, "append": 0, "n": 0, "write": 0}
    guard = threading.Lock()

    def torn(session, key):
        one, other = session["both"]
        assert one == other
        session["lock"].acquire(False) and session["lock"].release()

    def both(session, key):
        one, other = session["both"]
        session["both"] = [one + 1, other + 1]

    def append(session, key):
        session["plain"].append(len(session["plain"]))

    def write(session, key):
        session["byte"].write(b"x")

    def sums(session, key):
        for value in session.values():
            str(value)

    more = {"torn": torn, "both": both, "append": append, "write": write, "sums": sums}
    DEEDS.update(dict(more.items()))
    deeds = [
        *(("raise", "k"), ("grow", "big"), ("append", ""), ("write", ""), ("both", "")),
        *(("n", "k"), ("len", "big"), ("torn", ""), ("keys", ""), ("look", "lock"), ("sums", "")),
    ]
    for deed, _ in deeds:
        setattr(shop.app.root, f"page_{deed}", page_of(deed))
    ends = time.monotonic() + 2

    def client(number):
        dice = random.Random(number)
        while time.monotonic() < ends:
            deed, key = dice.choice(deeds)
            # Pages that do always the same, and one that reads, or sets something.
            mixed = deed not in ("raise", "grow", "append", "write") and dice.random() < 0.2
            page = "/unknown" if mixed else f"/page_{deed}"
            answer = shop(page, f"deed={deed}&key={key}", headers=headers)
            assert answer.status == 200, answer.text
            with guard:
                done[deed] = done.get(deed, 0) + 1
            if dice.random() < 0.02:
                sessionreads._reads_only.clear()

    in_threads(8, client)
    data = sessions.RamSession.cache[headers["Cookie"].partition("=")[2]][0]
    assert data["k"].n == done["raise"]
    assert len(data["big"]) == 25_000 + done["grow"]
    assert data["plain"] == list(range(done["append"]))
    assert len(data["byte"].getvalue()) == done["write"]
    assert data["both"] == [done.get("both", 0)] * 2
    assert sessions.RamSession.locks == {}
    assert sum(done.values()) > 50
