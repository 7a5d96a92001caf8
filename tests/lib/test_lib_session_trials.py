"""Pages of which nothing can be known wait for nobody when they read; and who has read what was changed begins anew."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import session_kit
from security_kit import served
from session_kit import KINDS, Pages, Slow, ask, back

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions
from cherrypy.lib.reading import verdicts

pytestmark = pytest.mark.usefixtures("program")

WRITE = {"X-Write": "1"}


@pytest.fixture(autouse=True)
def nothing_can_be_known(monkeypatch):
    """Nothing is learned yet, and no code shows anything."""
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    monkeypatch.setattr(verdicts, "verdict", lambda *_: None)


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def conf(kind, tmp_path):
    return session_kit.configuration(session_kit.store(kind, tmp_path))


class Shop(Pages):
    """Counts how often its pages run."""

    def __init__(self):
        super().__init__()
        self.runs = 0

    def pause(self):
        """Wait, the first time."""
        self.runs += 1
        if serving.request.headers.get("X-Write") and self.runs == 1:
            self.entered.set()
            assert self.go.wait(20)

    @expose
    def raise_n(self, by="1"):
        n = owner.session.get("n", 0)
        self.pause()
        owner.session["n"] = n + int(by)
        return f"{owner.session['n']} {owner.session.locked}"

    @expose
    def add(self):
        cart = owner.session["list"]
        self.pause()
        cart.append("added")
        return str(len(cart))

    @expose
    def nested(self):
        owner.session["stock"]["plums"] += 1
        return "x"

    @expose
    def start(self):
        owner.session["stock"] = {"plums": 0}
        owner.session["list"] = []
        return "x"

    @expose
    def blind(self):
        owner.session.get("other")
        self.pause()
        owner.session["n"] = 100
        return "x"

    @expose
    def careless(self):
        """Catch whatever comes."""
        n = owner.session["n"]
        self.pause()
        try:
            owner.session["n"] = n + 1
        except BaseException:
            return "caught"
        return str(owner.session["n"])

    @expose
    def in_hand(self):
        found = owner.session["list"]
        self.pause()
        owner.session["more"] = "set"
        found.append("late")
        return "x"

    @expose
    async def later(self):
        n = owner.session["n"]
        self.pause()
        owner.session["n"] = n + 1
        return f"{owner.session['n']}"

    @expose
    def stream(self):
        n = owner.session["n"]
        self.pause()

        def body():
            yield b"begun "
            owner.session["n"] = n + 1
            yield b"ended"

        return body()

    stream._cp_config = {"response.stream": True}


# ----------------------------------------------------------------------------- who only reads


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_cannot_be_known_waits_for_nobody_the_first_time(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/hold", headers):
        assert ask(site, "/look", headers) == ("1 False", True)
        assert ask(site, "/look", headers) == ("1 False", True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_methods_that_are_safe(serve, conf, method):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/hold", headers):
        assert ask(site, "/look", headers, method=method)[1]


def test_who_asks_for_a_change_takes_the_lock(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    assert ask(site, "/look", headers, method="POST", body=b"")[0] == "1 True"
    assert (
        ask(site, "/look", headers, method="POST", body=b"")[0] == "1 False"
    )  # it is known to read
    # Nor may one be repeated that has a body.
    assert ask(site, "/look", headers, "key=held", method="GET", body=b"x")[0] == "None True"


def test_pages_that_are_objects_of_a_class_and_partials(serve, conf):
    class Callable:
        exposed = True

        def __call__(self):
            return f"{owner.session.get('n')} {owner.session.locked}"

    def look(key):
        return f"{owner.session.get(key)} {owner.session.locked}"

    class More(Shop):
        one = Callable()
        other = functools.partial(look, "n")
        other.exposed = True
        other = staticmethod(other)  # else Python 3.13 warns that it will be a method one day

    site = serve(More(), conf)
    headers = back(site("/count"))
    with Slow(site, "/hold", headers):
        for path in ("/one", "/other"):
            assert ask(site, path, headers) == ("1 False", True)


def test_objects_of_the_program_are_not_copied(serve, conf):
    """Whoever is given one in another page is given the same; so the lock it is."""

    class Thing:
        pass

    class Keeping(Shop):
        things: list = []

        @expose
        def keep(self):
            owner.session["thing"] = Thing()
            return "kept"

        @expose
        def remember(self):
            self.things.append(owner.session["thing"])
            return str(owner.session.locked)

    site = serve(Keeping(), conf)
    headers = back(site("/keep"))
    assert ask(site, "/remember", headers)[0] == "True"
    assert ask(site, "/remember", headers)[0] == "False"  # known by now
    one, other = site.app.root.things
    assert one is other


# ------------------------------------------------------------------------- who writes after all


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_read_what_was_changed_begins_anew(serve, conf, caplog):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/raise_n", {**headers, **WRITE}, "by=10") as slow:
        assert ask(site, "/count", headers) == ("2", True)
        answer = slow.end()
    assert answer.text == "12 True"
    assert answer.status == 200
    assert site.app.root.runs == 2
    assert "The later one stands" not in caplog.text
    assert ask(site, "/look", headers)[0] == "12 False"


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_read_something_else_goes_on(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/raise_n", {**headers, **WRITE}) as slow:
        assert ask(site, "/put", headers, "key=other&value=kept") == ("put", True)
        assert slow.end().text == "2 True"
    assert site.app.root.runs == 1
    assert ask(site, "/look", headers, "key=other")[0].startswith("'kept'")


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_not_read_what_he_sets_goes_on(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/blind", {**headers, **WRITE}):
        assert ask(site, "/count", headers) == ("2", True)
    assert site.app.root.runs == 1
    assert ask(site, "/look", headers)[0] == "100 False"


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_that_grows_is_found_out_at_the_end(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/start"))
    with Slow(site, "/add", {**headers, **WRITE}) as slow:
        site("/grow", headers=headers)
        assert slow.end().text == "2"
    assert site.app.root.runs == 2
    assert ask(site, "/look", headers, "key=list")[0] == "[1, 'added'] False"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_hand_stays_of_the_session(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/start"))
    with Slow(site, "/in_hand", {**headers, **WRITE}):
        ask(site, "/put", headers, "key=other&value=kept")
    assert site.app.root.runs == 1
    for key, value in (("list", ["late"]), ("more", "set"), ("other", "kept")):
        assert ask(site, "/look", headers, f"key={key}")[0] == f"{value!r} False"


def test_the_method_and_what_was_asked_are_the_same(serve, conf):
    site = serve(Shop(), conf, name="/shop")
    headers = back(site("/count", SCRIPT_NAME="/shop"))
    with Slow(
        site, "/raise_n", {**headers, **WRITE}, "by=%31%30", method="HEAD", SCRIPT_NAME="/shop"
    ) as slow:
        site("/count", headers=headers, SCRIPT_NAME="/shop")
        answer = slow.end()
    assert (answer.status, answer["Content-Length"], answer.body) == (200, "7", b"")
    assert site("/look", headers=headers, SCRIPT_NAME="/shop").text == "12 False"


def test_a_page_that_catches_everything_begins_anew_all_the_same(serve, conf):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/careless", {**headers, **WRITE}) as slow:
        site("/count", headers=headers)
        assert slow.end().text == "3"
    assert site.app.root.runs == 2


def test_what_has_begun_to_be_sent_is_not_begun_anew(serve, conf, caplog):
    site = serve(Shop(), conf)
    headers = back(site("/count"))
    with Slow(site, "/stream", {**headers, **WRITE}) as slow:
        site("/count", headers=headers)
        assert slow.end().text == "begun ended"
    assert site.app.root.runs == 1
    assert "The later one stands" in caplog.text


def test_over_sockets_and_in_coroutines(conf):
    root = Shop()
    with served(root, {"/": conf}) as get:
        cookie = get("/count").cookies
        for path, wanted in (("/raise_n?by=5", "7 True"), ("/later", "9")):
            root.runs = 0
            root.entered.clear()
            root.go.clear()
            with ThreadPoolExecutor(1) as pool:
                slow = pool.submit(get, path, cookie=cookie, **WRITE)
                assert root.entered.wait(10)
                get("/count", cookie=cookie)
                root.go.set()
                answer = slow.result(20)
            assert (answer.status, answer.text) == (200, wanted)
            assert root.runs == 2


# ------------------------------------------------------------------------------ nothing is lost


@pytest.mark.parametrize("path", ["/raise_n", "/nested"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_count_is_lost_whoever_comes_first(serve, conf, path):
    site = serve(Shop(), conf)
    headers = back(site("/start"))
    start = threading.Barrier(8)
    failed = []

    def ask_often():
        start.wait(10)
        for _ in range(5):
            answer = site(path, headers=headers)
            if answer.status != 200:
                failed.append(answer)

    for round_ in range(1, 4):
        sessionreads._reads_only.clear()  # as in a process that has just begun
        threads = [threading.Thread(target=ask_often) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        key = "n" if path == "/raise_n" else "stock"
        wanted = str(40 * round_) if path == "/raise_n" else f"{{'plums': {40 * round_}}}"
        assert site("/look", f"key={key}", headers=headers).text.rpartition(" ")[0] == wanted
        start.reset()


def test_one_thread_cleans_up_though_many_come_first(serve, conf, monkeypatch):
    started = []
    own = sessions.RamSession._start_cleaning

    def start(session, cls):
        started.append(cls)
        time.sleep(0.05)  # others come meanwhile
        own(session, cls)

    monkeypatch.setattr(sessions.RamSession, "_start_cleaning", start)
    site = serve(Shop(), conf)
    together = threading.Barrier(8)

    def first():
        together.wait(10)
        site("/count")

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert started == [sessions.RamSession]
    janitor = sessions.RamSession.clean_thread.callback.__self__
    assert (janitor._reading, janitor._own, janitor._data, janitor.id) == (None, None, {}, None)
