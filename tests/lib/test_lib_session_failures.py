"""Stores of sessions that are damaged, away, hung or unusable: a clear answer, one line in the log, and recovery."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import session_checks
import session_kit
from session_kit import SERVERS, SHARED, Root, Slow, back, expire_lease, made, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def store(kind, tmp_path):
    return session_kit.store(kind, tmp_path)


@pytest.fixture
def conf(store):
    return session_kit.configuration(store)


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\x80\x05K\x05."])
def test_a_damaged_record_is_a_new_session(serve, conf, store, damage, caplog):
    site = serve(Root(), conf)
    first = site("/count")
    id = first.cookie.partition("=")[2]
    store.write(id, damage)
    assert site("/count", headers=back(first)).body == b"1"
    assert "damaged" in caplog.text
    assert id not in caplog.text.partition("damaged")[2]
    assert site("/count", headers=back(first)).body == b"2"


@pytest.mark.parametrize("kind", SHARED)
def test_json_reads_no_pickles(serve, conf, store, tmp_path):
    conf["tools.sessions.serializer"] = "json"
    site = serve(Root(), conf)
    first = site("/count")
    assert site("/count", headers=back(first)).body == b"2"
    store.write(
        first.cookie.partition("=")[2], b"cos\nmkdir\n(S'" + str(tmp_path).encode() + b"/x'\ntR."
    )
    assert site("/count", headers=back(first)).body == b"1"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_goes_away_and_comes_back(serve, conf, store, kind, caplog, monkeypatch):
    monkeypatch.setattr("cherrypy.lib.sessionhealth.PAUSE", 0)  # each request tries
    conf["tools.sessions.store_timeout"] = 1
    site = serve(Root(), conf)
    first = site("/count")
    store.stop()
    try:
        for _ in range(3):
            answer = site("/count", headers=back(first))
            assert answer.status == 503
            assert answer["Retry-After"] == "2"
            assert b"out of reach" in answer.body
        # Who has no session yet and uses none is served.
        assert site("/nothing").status == 200
        assert caplog.text.count("does not work") == 1
        assert "works again" not in caplog.text
        assert "Traceback" not in caplog.text
    finally:
        store.start()
    answer = until(lambda: (got := site("/count", headers=back(first))).status == 200 and got)
    # What PostgreSQL has written down is there again.
    assert answer.body == (b"2" if kind == "postgresql" else b"1")
    assert caplog.text.count("works again") == 1
    assert site("/count", headers=back(answer)).status == 200


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_goes_away_before_a_session_is_saved(serve, conf, store, caplog):
    site = serve(Root(), conf)
    headers = back(site("/count"))
    with Slow(site, "/slow", headers, "key=n") as slow:
        store.stop()
        try:
            assert slow.end().status == 503
        finally:
            store.start()
    assert "Traceback" not in caplog.text
    assert store_locks(headers) == {}
    assert until(lambda: site("/count", headers=headers).status == 200)


def store_locks(headers):
    """Whether this process still holds the lock of a client's session."""
    id = headers["Cookie"].partition("=")[2]
    return {name: one for name, one in sessions.FileSession.locks.items() if name == id}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_clean_up_removes_locks_of_the_dead(store, holder):
    cls, settings = made(store, clean_freq=0)
    session = cls(**settings)
    session["n"] = 1
    session.save()
    process = holder(cls, settings, session.id)
    process.kill()
    assert len(store.kept()) == 2
    session.clean_up()
    assert len(store.kept()) == 2
    expire_lease(store, session.id)
    session.clean_up()
    assert store.kept() == [session.id]


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_hangs_costs_one_wait(serve, conf, store):
    conf["tools.sessions.store_timeout"] = 0.5
    site = serve(Root(), conf)
    first = site("/count")
    store.freeze()
    try:
        began = time.monotonic()
        assert site("/count", headers=back(first)).status == 503
        first_wait = time.monotonic() - began
        began = time.monotonic()
        assert site("/count", headers=back(first)).status == 503
        assert time.monotonic() - began < 0.3
        assert first_wait < 5
    finally:
        store.thaw()
    answer = until(lambda: (got := site("/count", headers=back(first))).status == 200 and got)
    assert answer.body == b"2"


def test_a_directory_that_becomes_unusable(serve, tmp_path, caplog):
    store = session_kit.FileStore(tmp_path)
    site = serve(Root(), session_kit.configuration(store))
    first = site("/count")
    path = Path(store.path)
    path.rename(tmp_path / "moved")
    path.write_text("not a directory")
    for _ in range(2):
        assert site("/count").status == 503
    assert caplog.text.count("does not work") == 1
    path.unlink()
    (tmp_path / "moved").rename(path)
    answer = until(lambda: (got := site("/count", headers=back(first))).status == 200 and got)
    assert answer.body == b"2"
    assert caplog.text.count("works again") == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"storage_type": "redis", "url": "unix:///nowhere/s"}, "store of sessions cannot be used"),
        ({"storage_type": "memcached", "servers": ["127.0.0.1:1"]}, "cannot be used"),
        ({"storage_type": "postgresql", "url": "host=/nowhere"}, "cannot be used"),
        ({"storage_type": "sqlite", "storage_path": "/nowhere/at/all"}, "cannot be used"),
        ({"storage_type": "sqlite"}, "set tools.sessions.storage_path"),
        ({"storage_type": "sqlite", "storage_path": "x", "table": "a; b"}, "tools.sessions.table"),
        ({"storage_type": "file", "storage_path": "/proc/x"}, "cannot be written to"),
        ({"storage_type": "redis", "url": "redis:///?decode_responses=True"}, "sessions are bytes"),
        ({"storage_type": "redis", "store_timeout": 0}, "tools.sessions.store_timeout is 0"),
        ({"storage_type": "nope"}, "There is no session storage 'nope'"),
    ],
)
def test_a_store_that_cannot_be_used_ends_the_start(settings, words, tmp_path):
    conf = {f"tools.sessions.{key}": value for key, value in settings.items()}
    conf["tools.sessions.on"] = True
    session_checks.an_unusable_store_ends_the_start(repr(conf), words, tmp_path)


TREE = """
import threading
import cherrypy
from cherrypy import expose, tools

asked = []
NOWHERE = {"tools.sessions.on": True, "tools.sessions.storage_type": "redis", "tools.sessions.url": "unix:///nowhere/s"}

class Trap:
    '''Code of the program, which nobody may run to look for pages.'''
    @property
    def computed(self):
        asked.append("property")
        return Deep()
    def __getattr__(self, name):
        asked.append(name)
        raise AttributeError(name)
    def __dir__(self):
        asked.append("dir")
        return []
    def __eq__(self, other):
        asked.append("eq")
        return NotImplemented
    __hash__ = None

class Deep(Trap):
    @expose
    def index(self): return "x"

class Root(Trap):
    @expose
    def index(self): return "x"

root = Root()
root.a = Deep()
root.a.root = root
root.lock = threading.Lock()
root.many = {n: Deep() for n in range(10)}
config = {"/": {}}
MORE
cherrypy.config.update({"server.socket_port": 0, "engine.autoreload.on": False})
cherrypy.tree.mount(root, "/site", config)
assert not asked, asked
cherrypy.engine.start()
assert not asked, asked
print("started")
cherrypy.engine.exit()
"""


def started(more, folder):
    done = subprocess.run(
        [sys.executable, "-c", TREE.replace("MORE", more)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    if "started" not in done.stdout:
        assert "store of sessions cannot be used" in done.stderr, done.stderr
    return "started" in done.stdout


@pytest.mark.parametrize(
    "more",
    [
        # on a page, an object, a class, far below
        "Deep.index._cp_config = NOWHERE",
        "root.a._cp_config = NOWHERE",
        "Deep._cp_config = NOWHERE",
        "root.a.b = root.a.b = Deep(); root.a.b.c = Deep(); root.a.b.c._cp_config = NOWHERE",
        # a decorator, on a page and on a class
        """
class Late(Deep):
    @expose
    @tools.sessions(storage_type="redis", url="unix:///nowhere/s")
    def late(self): return "x"
root.late = Late()
""",
        "root.late = tools.sessions(storage_type='redis', url='unix:///nowhere/s')(type('Late', (Deep,), {}))()",
        # half of it here, half of it there
        "root.a._cp_config = {'tools.sessions.on': True}; Deep.index._cp_config = dict(list(NOWHERE.items())[1:])",
        "root.a._cp_config = NOWHERE; config['/a'] = {'tools.sessions.timeout': 5}",
        # a resource
        """
class Resource:
    exposed = True
    @tools.sessions(storage_type="redis", url="unix:///nowhere/s")
    def GET(self): return "x"
root.resource = Resource()
config["/"]["request.dispatch"] = cherrypy.dispatch.MethodDispatcher()
""",
        # where routes lead
        """
routes = cherrypy.dispatch.RoutesDispatcher()
Deep._cp_config = NOWHERE
routes.connect("deep", "/deep", Deep(), action="index")
config["/"]["request.dispatch"] = routes
root = None
""",
    ],
)
def test_stores_that_only_pages_name_are_tried_at_the_start(more, tmp_path):
    assert not started(more, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        "",
        # nothing that a request could reach
        "Deep.other = lambda self: 'x'; Deep.other._cp_config = NOWHERE",
        "root._hidden = Deep(); root._hidden._cp_config = NOWHERE",
        "root.many[1]._cp_config = NOWHERE",
        # off after all
        "root.a._cp_config = NOWHERE; config['/a'] = {'tools.sessions.on': False}",
        "root.a._cp_config = {**NOWHERE, 'tools.sessions.on': False}",
        # more than is looked at, and nothing that stops the start
        "root.deep = Deep()\nfor n in range(3000): setattr(root.deep, f'n{n}', Deep())",
    ],
)
def test_what_no_request_reaches_does_not_stop_the_start(more, tmp_path):
    assert started(more, tmp_path)


def test_a_store_that_nobody_switched_on_is_not_looked_at(tmp_path):
    conf = {
        "tools.sessions.on": False,
        "tools.sessions.storage_type": "redis",
        "tools.sessions.url": "unix:///n",
    }
    program = session_checks.PROGRAM.replace("SETTINGS", repr(conf))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stdout == "started\n", done.stderr


@pytest.mark.parametrize("kind", SHARED)
def test_odd_ids_do_not_reach_the_store(store):
    cls, settings = made(store, clean_freq=0)
    asked = []

    class Watched(cls):
        def _asked(self, *args):
            asked.append(args)

    if cls is not sessions.FileSession:
        Watched(**settings)
        kept, _ = next(iter(cls._stores.values()))
        kept.get = asked.append
    for id in ["", "a b", "a\r\nflush_all\r\n", "*", "../x", "a:b", "a" * 201, "ü", "x\0"]:
        session = Watched(id, **settings)
        assert session.missing
        assert session.id != id
    assert asked == []


def test_memcached_says_when_a_session_is_too_large(serve, tmp_path, caplog):
    conf = session_kit.configuration(session_kit.store("memcached", tmp_path))

    class Large(Root):
        @expose
        def large(self):
            owner.session["x"] = "x" * 2_000_000
            return "x"

    site = serve(Large(), conf)
    first = site("/count")
    assert site("/large", headers=back(first)).status == 500
    assert "Memcached refuses a session of 2000" in caplog.text
    # That is no reason to have others wait.
    assert site("/count", headers=back(first)).body == b"2"


def test_memcached_without_its_library():
    code = (
        "import sys; sys.modules['pymemcache'] = None\n"
        "from cherrypy.lib import sessions\n"
        "try: sessions.MemcachedSession.setup()\n"
        "except ImportError: print('said')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "said\n"


def test_a_forked_process_opens_its_own_connections(tmp_path):
    code = f"""
import os
from cherrypy.lib.sessions import SqliteSession
first = SqliteSession(storage_path={str(tmp_path / "s")!r}, clean_freq=0)
first["n"] = 1
first.save()
pid = os.fork()
if pid == 0:
    store = first._store
    parents = list(store._idle)
    again = SqliteSession(first.id, storage_path={str(tmp_path / "s")!r}, clean_freq=0)
    again["n"] += 1
    again.save()
    os._exit(0 if store._idle and not set(map(id, store._idle)) & set(map(id, parents)) else 1)
assert os.waitpid(pid, 0)[1] == 0
print(SqliteSession(first.id, storage_path={str(tmp_path / "s")!r}, clean_freq=0)["n"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "2\n", done.stderr


def test_what_is_in_use_while_the_store_closes_is_closed_after_it(tmp_path):
    store = sessions.SqliteSession(storage_path=str(tmp_path / "s"), clean_freq=0)._store
    (connection,) = store._idle
    connection.create_function("closing", 0, store.close)
    store._run("SELECT closing()")
    assert store._idle == []
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    # Whoever uses it again has it open.
    again = sessions.SqliteSession(storage_path=str(tmp_path / "s"), clean_freq=0)
    again["n"] = 1
    again.save()
    assert again._store is store
    assert len(store._idle) == 1


def test_a_lock_while_another_thread_imports_asyncio(serve, conf, monkeypatch):
    site = serve(Root(), conf)
    first = site("/count")
    monkeypatch.setitem(sys.modules, "asyncio.events", types.ModuleType("asyncio.events"))
    assert site("/count", headers=back(first)).body == b"2"
