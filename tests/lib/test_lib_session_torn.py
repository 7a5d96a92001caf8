"""A request that goes without the lock, and fails because another one changes what it has in hand, is begun anew."""

from __future__ import annotations

import random
import threading
import time

import pytest
from guarded_pages import DEEDS, Shop, Thing, unknown
from security_kit import served
from session_checks import logged
from session_kit import Slow, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions

pytestmark = pytest.mark.usefixtures("program", "nothing_is_known")


@pytest.fixture
def conf(conf):
    """Nobody is patient."""
    return {**conf, "tools.sessions.patience": 0}


class Growing(Shop):
    """One page makes a dict grow, while another one goes through it."""

    def __init__(self):
        super().__init__()
        self.grow, self.grown = threading.Event(), threading.Event()

    @expose
    def hold_and_grow(self):
        owner.session["held"] = True
        rows = owner.session["k"].rows
        self.entered.set()
        assert self.grow.wait(20)
        rows[len(rows)] = 1
        self.grown.set()
        assert self.go.wait(20)
        return "x"

    def add_up(self, error=None):
        total = 0
        for row in owner.session["k"].rows.values():
            if not self.grown.is_set():
                self.runs += 1
                self.grow.set()
                assert self.grown.wait(20)
                self.go.set()
                # A coroutine would not wait for the lock.
                until(lambda: not sessions.RamSession.locks)
                if error is not None:
                    raise error
            total += row
        return f"{total} {owner.session.locked}"

    @expose
    def plain(self):
        return DEEDS["more 1"](owner.session, "k") or self.add_up()

    @expose
    async def coroutine(self):
        return DEEDS["more 1"](owner.session, "k") or self.add_up()

    @expose
    def changed_back(self):
        """When it has failed, what it had in hand looks as it did before."""
        try:
            return DEEDS["more 1"](owner.session, "k") or self.add_up()
        except RuntimeError:
            if self.runs == 1:
                owner.session["k"].rows.pop(3)
            raise

    @expose
    def other_error(self):
        return DEEDS["more 1"](owner.session, "k") or self.add_up(LookupError())


def rows():
    return Thing(rows=dict.fromkeys(range(3), 1))


@pytest.mark.parametrize("page", ["/plain", "/coroutine", "/other_error", "/changed_back"])
def test_who_fails_as_another_one_has_changed_what_he_reads_begins_anew(conf, page):
    root = Growing()
    root.kept = {"k": rows()}
    with logged() as lines, served(root, {"/": conf}) as get:
        cookie = get("/start").cookies
        holder = threading.Thread(target=lambda: get("/hold_and_grow", cookie=cookie))
        holder.start()
        try:
            assert root.entered.wait(10)
            answer = get(page, cookie=cookie)
        finally:
            root.go.set()
            root.grow.set()
            holder.join(20)
        assert (answer.status, answer.text) == (200, f"{3 if page == '/changed_back' else 4} True")
        assert root.runs == 1
    assert not any("Traceback" in line for line in lines)
    until(lambda: sessions.RamSession.locks == {})


def test_who_fails_though_nothing_has_changed_fails_once(shop, monkeypatch):
    runs = []

    def deed(session, key):
        runs.append(session[key].n)
        raise ValueError

    monkeypatch.setitem(DEEDS, "deed", deed)
    headers = shop.start(k=Thing())
    with Slow(shop, "/hold", headers):
        assert shop("/unknown", "deed=deed", headers=headers).status == 500
    assert runs == [0]


def test_who_asks_for_a_change_and_fails_fails_once(shop, monkeypatch):
    runs = []

    def deed(session, key):
        thing = session[key]
        runs.append(thing.n)
        thread = threading.Thread(target=lambda: shop("/change", headers=headers))
        thread.start()
        thread.join(20)
        raise ValueError

    headers = shop.start(k=Thing(), plain=[])
    for _ in range(2):  # its page is known to leave it
        unknown(shop, headers, "n", method="POST", body=b"")
    monkeypatch.setitem(DEEDS, "deed", deed)
    answer = shop("/unknown", "deed=deed", headers=headers, method="POST", body=b"")
    assert (answer.status, runs) == (500, [0])


def test_readers_never_fail_whatever_others_change(shop, monkeypatch):
    """For two seconds."""

    def fill(session, key):
        session["held"] = random.random()
        rows = session[key].rows
        for _ in range(5):
            rows[random.random()] = 1
            time.sleep(0)

    def drain(session, key):
        session["held"] = random.random()
        session[key].rows.clear()

    def add_up(session, key):
        return sum(time.sleep(0) or 1 for _ in session[key].rows)

    def add_more(session, key):
        return session["other"].n + add_up(session, key)

    deeds = {"fill": fill, "drain": drain, "add_up": add_up, "add_more": add_more}
    for name, deed in deeds.items():
        monkeypatch.setitem(DEEDS, name, deed)
        monkeypatch.setattr(Shop, name, page_of(name), raising=False)
    headers = shop.start(k=rows(), other=Thing())
    ends, answers, guard = time.monotonic() + 2, [], threading.Lock()

    def client(number):
        dice = random.Random(number)
        names = ["fill", "fill", "drain"] if number % 2 else ["add_up", "add_more"]
        while time.monotonic() < ends:
            answer = shop(f"/{dice.choice(names)}", headers=headers)
            with guard:
                answers.append(answer.status)
            if number == 0 and dice.random() < 0.05:  # nothing is known of those who read
                for page, reads in list(sessionreads._reads_only.items()):
                    if reads:
                        sessionreads._reads_only.pop(page, None)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(answers) == {200}
    assert sessions.RamSession.locks == {}


def page_of(deed):
    @expose
    def page(self):
        return f"{DEEDS[deed](owner.session, 'k')}"

    return page


class Storm(Shop):
    """Does a few things, one after the other, that nobody can foresee."""

    @expose
    def storm(self, seed):
        dice = random.Random(seed)
        for _ in range(5):
            self.do_one(dice)
        return "done"

    @expose
    def stream(self, seed):
        dice = random.Random(seed)

        def body():
            for _ in range(5):
                self.do_one(dice)
                yield "x"

        return DEEDS["more 1"](owner.session, "n") or body()

    stream._cp_config = {"response.stream": True}

    @staticmethod
    def do_one(dice):
        session, key = owner.session, dice.choice("ab")
        deeds = [
            lambda: getattr(session.get(key), "n", 0),
            # Whoever has given the lock back goes through what others change.
            lambda: list(map(str, list(session.values()))),
            lambda: setattr(session.get(key) or Thing(), "n", 1),
            lambda: session.__setitem__(key, Thing()),
            lambda: session.pop(key, None),
            lambda: session.get("plain", []).append(1),
            lambda: time.sleep(dice.random() * 0.003),
        ]
        names = ["load", "release_lock", "acquire_lock", "save"]
        if dice.random() < 0.01:
            names = ["regenerate", "delete"]
        dice.choice([*deeds, *deeds, getattr(session, dice.choice(names))])()


def test_whatever_pages_do_at_once_nothing_fails_and_all_locks_are_given_back(serve, conf):
    """For two seconds."""
    site = serve(Storm(), conf)
    site.app.root.kept = {"a": Thing(), "b": Thing(), "plain": []}
    cookies = [{"Cookie": site("/start").cookie} for _ in range(2)]
    ends, answers, guard = time.monotonic() + 2, [], threading.Lock()

    def client(number):
        dice = random.Random(number)
        while time.monotonic() < ends:
            which = dice.randrange(2)
            method, body = dice.choice([("GET", None), ("GET", None), ("POST", b"")])
            page, query = dice.choice(["/storm", "/stream"]), f"seed={dice.random()}"
            answer = site(page, query, headers=cookies[which], method=method, body=body)
            with guard:
                answers.append((answer.status, answer.text))
            if answer.cookie != cookies[which]["Cookie"]:
                cookies[which] = {"Cookie": site("/start").cookie}

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(answers) == {(200, "done"), (200, "xxxxx")}
    assert sessions.RamSession.locks == {}
