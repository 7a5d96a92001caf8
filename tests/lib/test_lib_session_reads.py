"""Pages that only read their sessions wait for nobody, and no update is lost for it: with the settings as they come."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import session_kit
from security_kit import served
from session_kit import KINDS, SHARED, SOON, Pages, Slow, ask, back

import cherrypy
from cherrypy.framework.errors import HTTPRedirect
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessionreads, sessions
from cherrypy.lib.reading import verdicts

pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch, request):
    """Pages are learned by what they do, but where a test is of what their code shows."""
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    if not request.node.name.startswith(
        ("test_a_simple_page", "test_a_tool_of", "test_over_sockets")
    ):
        monkeypatch.setattr(verdicts, "verdict", lambda *_: verdicts.WRITES)
    verdicts._known.clear()
    verdicts._judged.clear()


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def store(kind, tmp_path):
    return session_kit.store(kind, tmp_path)


@pytest.fixture
def conf(store):
    return session_kit.configuration(store)


# ------------------------------------------------------------------------------ no waiting


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_page_answers_while_another_has_the_lock(serve, conf):
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    assert ask(site, "/look", headers)[0] == "1 True"  # it is not known: under the lock
    with Slow(site, "/hold", headers):
        time.sleep(0.1)
        assert ask(site, "/look", headers) == ("1 False", True)
    assert ask(site, "/look", headers, "key=held")[0] == "True True"  # it is given something


@pytest.mark.parametrize("kind", KINDS)
def test_readers_do_not_wait_for_a_slow_reader(serve, conf):
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    site.app.root.go.set()
    ask(site, "/slow", headers)
    ask(site, "/look", headers)
    site.app.root.go.clear()
    site.app.root.entered.clear()
    with Slow(site, "/slow", headers) as slow:
        assert ask(site, "/look", headers) == ("1 False", True)
        assert ask(site, "/count", headers) == ("2", True)  # nor does who writes
        assert slow.end().body == b"1"
    assert ask(site, "/look", headers)[0] == "2 False"  # and the reader took nothing back


@pytest.mark.parametrize("kind", KINDS)
def test_reading_leaves_nothing_and_extends_the_session(serve, conf, store):
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    before = store.kept()
    for _ in range(3):
        assert site("/look", headers=headers).status == 200
    assert store.kept() == before
    if not store.settings:
        id = headers["Cookie"].partition("=")[2]
        data, ends = sessions.RamSession.cache[id]
        site("/look", headers=headers)
        assert sessions.RamSession.cache[id][0] is data
        assert sessions.RamSession.cache[id][1] > ends


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_was_removed_is_not_brought_back_by_a_reader(serve, conf, store):
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    site.app.root.go.set()
    ask(site, "/slow", headers)
    site.app.root.go.clear()
    site.app.root.entered.clear()
    with Slow(site, "/slow", headers) as slow:
        assert site("/delete", headers=headers).status == 200
        assert slow.end().body == b"1"
    assert store.kept() == []


class Simple(Pages):
    """Pages whose code says what they do."""

    @expose
    def glance(self):
        return f"{cherrypy.session.get('n')} {cherrypy.session.locked}"

    @expose
    def add(self):
        cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
        return str(cherrypy.session["n"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_simple_page_waits_for_nobody_the_first_time(serve, conf):
    site = serve(Simple(), conf)
    headers = back(site("/add"))
    with Slow(site, "/hold", headers):
        assert ask(site, "/glance", headers) == ("1 False", True)
    assert sessionreads._reads_only


def test_a_tool_of_a_simple_page_is_not_judged_by_its_code(serve, conf):
    """What the page's code shows says nothing of hooks: those of a page that is not known lock."""

    def count():
        session = cherrypy.session
        session["hits"] = session.get("hits", 0) + 1

    from cherrypy.framework.tools import Tool, default_toolbox

    default_toolbox.hits = Tool("before_handler", count)
    try:
        site = serve(Simple(), {**conf, "tools.hits.on": True})
        headers = back(site("/add"))
        threads = [
            threading.Thread(target=lambda: [site("/glance", headers=headers) for _ in range(20)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert ask(site, "/look", headers, "key=hits")[0] == "162 True"
    finally:
        del default_toolbox.hits


@pytest.mark.parametrize("kind", KINDS)
def test_over_sockets(conf):
    """A page holds the session for two seconds, and one of the same client answers meanwhile."""

    class Root:
        @cherrypy.expose
        def slow(self):
            cherrypy.session["slow"] = True
            time.sleep(2)
            return "slow"

        @cherrypy.expose
        def read(self):
            return str(cherrypy.session.get("n"))

        @cherrypy.expose
        def helped(self):
            return help_to_read()

        @cherrypy.expose
        def count(self):
            cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
            return str(cherrypy.session["n"])

    def help_to_read():
        return str(cherrypy.session.get("n"))

    with served(Root(), {"/": conf}) as get:
        cookie = get("/count").cookies
        assert get("/helped", cookie=cookie).text == "1"
        answers = []
        slow = threading.Thread(target=lambda: answers.append(get("/slow", cookie=cookie).text))
        slow.start()
        try:
            time.sleep(0.5)
            began = time.monotonic()
            for path in ("/read", "/helped") * 5:
                assert get(path, cookie=cookie).text == "1"
                assert time.monotonic() - began < SOON
                began = time.monotonic()
            assert answers == []
        finally:
            slow.join(20)
        # And who writes has waited for it.
        assert answers == ["slow"]
        threads = [
            threading.Thread(target=lambda: [get("/count", cookie=cookie) for _ in range(10)])
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert get("/count", cookie=cookie).text == "52"


# ----------------------------------------------------------------------- no update is lost


@pytest.mark.parametrize("kind", KINDS)
def test_no_update_of_threads_is_lost(serve, conf, store):
    site = serve(Pages(), conf)
    headers = back(site("/count"))

    def client():
        for _ in range(20):
            assert site("/look", headers=headers).status == 200
            assert site("/count", headers=headers).status == 200

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert site("/count", headers=headers).body == b"162"
    assert len(store.kept()) == 1


WORKER = """
import sys, threading
import cherrypy
settings, cookie, threads, rounds = eval(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
class Root:
    @cherrypy.expose
    def count(self):
        cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
        return ""
    @cherrypy.expose
    def look(self):
        return str(cherrypy.session.get("n"))
app = cherrypy.Application(Root(), "", {"/": {**settings, "tools.sessions.clean_freq": 0}})
failed = []
def ask(path):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_PROTOCOL": "HTTP/1.1",
               "HTTP_HOST": "h", "HTTP_COOKIE": cookie, "wsgi.url_scheme": "http"}
    answer = app(environ, lambda status, fields, exc=None: status[:3] == "200" or failed.append(status))
    list(answer)
    getattr(answer, "close", lambda: None)()
def work():
    for _ in range(rounds):
        ask("/look")
        ask("/count")
workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(failed)
sys.exit(bool(failed))
"""


@pytest.mark.parametrize("kind", SHARED)
def test_no_update_of_processes_is_lost(serve, conf):
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    command = [sys.executable, "-c", WORKER, repr(conf), headers["Cookie"], "4", "6"]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(50) for worker in workers] == [0] * 3
    assert site("/count", headers=headers).body == b"74"


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_changes_what_is_in_a_value_is_none_that_reads(serve, conf):
    site = serve(Pages(), conf)
    headers = back(site("/start_list"))

    def client():
        for _ in range(10):
            assert site("/grow", headers=headers).status == 200

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert site("/grow", headers=headers).body == b"61"
    assert list(sessionreads._reads_only.values()) == [False]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_writes_after_all_is_merged_and_said(serve, conf, caplog):
    """With a method that is not safe; what a safe one asks for is done once more."""
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    post = {"method": "POST", "body": b""}
    assert ask(site, "/sometimes", headers, **post)[0] == "1 True"
    assert ask(site, "/sometimes", headers, **post)[0] == "1 False"
    with Slow(site, "/sometimes", {**headers, "X-Write": "1"}, **post) as slow:
        assert ask(site, "/count", headers) == ("2", True)
        assert ask(site, "/put", headers, "key=other&value=kept") == ("put", True)
        assert slow.end().body == b"2 True"
    (line,) = [one for one in caplog.messages if "The later one stands" in one]
    assert "/sometimes" in line
    assert "'n'." in line
    assert "'other'" not in line  # which only one has set
    assert headers["Cookie"].partition("=")[2] not in line
    assert ask(site, "/look", headers, "key=other")[0].startswith("'kept'")
    # From now on it writes: the next one waits, and counts on.
    site.app.root.go.set()
    assert ask(site, "/sometimes", headers, **post)[0] == "2 True"
    assert ask(site, "/sometimes", {**headers, "X-Write": "1"}, **post)[0] == "3 True"
    assert ask(site, "/sometimes", headers, **post)[0] == "3 True"


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_that_a_reader_changes_after_all_is_merged(serve, conf, caplog):
    class Late(Pages):
        @expose
        def late(self):
            found = owner.session["list"]
            if serving.request.headers.get("X-Write"):
                self.entered.set()
                assert self.go.wait(20)
                found.append("late")
            return "x"

    site = serve(Late(), conf)
    headers = back(site("/start_list"))
    ask(site, "/late", headers)
    with Slow(site, "/late", {**headers, "X-Write": "1"}):
        ask(site, "/put", headers, "key=other&value=kept")
    assert ask(site, "/look", headers, "key=list")[0].startswith("['late']")
    assert ask(site, "/look", headers, "key=other")[0].startswith("'kept'")
    assert "The later one stands" not in caplog.text
    assert ask(site, "/late", headers)[0] == "x"
    assert False in sessionreads._reads_only.values()


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_reader_has_in_hand_stays_of_the_session_when_it_takes_the_lock(
    serve, conf, others, caplog
):
    class Late(Pages):
        @expose
        def late(self):
            found = owner.session["list"]
            if serving.request.headers.get("X-Write"):
                self.entered.set()
                assert self.go.wait(20)
                owner.session["more"] = "set"
                found.append("late")
            return "x"

    site = serve(Late(), conf)
    headers = back(site("/start_list"))
    ask(site, "/late", headers)
    with Slow(site, "/late", {**headers, "X-Write": "1"}):
        if others:
            ask(site, "/put", headers, "key=other&value=kept")
    assert ask(site, "/look", headers, "key=list")[0].startswith("['late']")
    assert ask(site, "/look", headers, "key=more")[0].startswith("'set'")
    if others:
        assert ask(site, "/look", headers, "key=other")[0].startswith("'kept'")
    assert "The later one stands" not in caplog.text


# -------------------------------------------------------------------- what makes a reader


def known(site, path, headers, **more):
    """What is known of a page after a request."""
    before = dict(sessionreads._reads_only)
    site(path, headers=headers, **more)
    after = sessionreads._reads_only
    return [after[page] for page in after if after[page] is not before.get(page)]


def test_what_teaches_that_a_page_reads(serve, conf):
    class Teaching(Pages):
        @expose
        def away(self):
            owner.session.get("n")
            raise HTTPRedirect("/")

        @expose
        def fail(self):
            owner.session.get("n")
            raise ValueError

        @expose
        def flash(self):
            return str(owner.session.pop("flash", None))

        @expose
        def again(self):
            owner.session["n"] = 1
            return "the same"

        @expose
        def default_value(self):
            return str(owner.session.setdefault("n", 5))

        @expose
        def renew(self):
            owner.session.regenerate()
            return "x"

        @expose
        def empty(self):
            owner.session.clear()
            return "x"

    site = serve(Teaching(), conf)
    assert known(site, "/look", {}) == []  # a new session tells nothing
    headers = back(site("/count"))
    assert known(site, "/away", headers) == []
    assert known(site, "/fail", headers) == []
    assert known(site, "/nothing", headers) == []
    assert known(site, "/flash", headers) == [True]  # there is nothing to remove
    assert known(site, "/again", headers) == [True]
    assert known(site, "/default_value", headers) == [True]
    assert known(site, "/look", headers) == [True]
    assert known(site, "/look", headers, method="POST", body=b"") == [
        True
    ]  # another page for all one knows
    assert known(site, "/count", headers) == [False]
    site("/put", "key=flash&value=x", headers=headers)
    assert known(site, "/flash", headers) == [False]
    assert known(site, "/empty", headers) == [False]
    headers = back(site("/count"))
    assert known(site, "/renew", headers) == [False]


def test_what_is_remembered_has_a_limit(serve, conf, monkeypatch):
    monkeypatch.setattr(sessionreads, "LIMIT", 2)
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert site("/look", headers=headers, method=method, body=b"").status == 200
        assert len(sessionreads._reads_only) <= 2


def test_what_is_said_in_the_configuration_holds(serve, conf):
    conf["tools.sessions.locking"] = "implicit"
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    for _ in range(3):
        assert ask(site, "/look", headers)[0] == "1 True"
    conf["tools.sessions.locking"] = "adaptive"
    site = serve(Pages(), conf)
    assert [ask(site, "/look", headers)[0] for _ in range(2)] == ["1 True", "1 False"]


def test_a_lock_by_hand_and_given_back_by_hand(serve, conf):
    class ByHand(Pages):
        @expose
        def by_hand(self):
            session = owner.session
            if not serving.request.headers.get("X-Write"):
                return str(session.get("n"))
            before = session.get("n"), session.locked
            session.acquire_lock()
            session["n"] += 1
            during = session.locked
            session.release_lock()
            return repr((*before, during, session.locked))

        @expose
        def given_back(self):
            session = owner.session
            session.get("n")
            if serving.request.headers.get("X-Write"):
                session.release_lock()
                session["n"] = "unlocked"
            return repr(session.locked)

    site = serve(ByHand(), conf)
    headers = back(site("/count"))
    for path in ("/by_hand", "/given_back"):
        site(path, headers=headers)
    writing = {**headers, "X-Write": "1"}
    assert site("/by_hand", headers=writing).text == "(1, False, True, False)"
    assert ask(site, "/look", headers)[0] == "2 True"
    assert site("/given_back", headers=writing).text == "False"
    assert ask(site, "/look", headers)[0] == "'unlocked' False"
    assert sessions.RamSession.locks == {}


def test_a_method_put_in_place_of_ours_is_asked_each_time(serve, conf, monkeypatch):
    taken = []

    def acquire(self):
        taken.append(1)
        own(self)

    own = sessions.RamSession.acquire_lock
    monkeypatch.setattr(sessions.RamSession, "acquire_lock", acquire)
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    for _ in range(3):
        assert ask(site, "/look", headers)[0] == "1 True"
    assert len(taken) == 4


def test_who_waits_too_long_to_write_is_told(serve, conf):
    conf["tools.sessions.lock_timeout"] = 0.1
    site = serve(Pages(), conf)
    headers = back(site("/count"))
    site.app.root.go.set()
    ask(site, "/sometimes", headers)
    site.app.root.go.clear()
    with Slow(site, "/hold", headers):
        answers = []
        other = threading.Thread(
            target=lambda: answers.append(site("/sometimes", headers={**headers, "X-Write": "1"}))
        )
        release = site.app.root.go
        site.app.root.go = threading.Event()
        site.app.root.go.set()
        other.start()
        other.join(20)
        site.app.root.go = release
    assert answers[0].status == 503
    assert ask(site, "/look", headers)[0] == "1 True"
