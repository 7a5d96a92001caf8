"""Sessions that requests, processes and machines share: no update is lost, nobody waits in vain, servers come and go."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import session_kit
from session_kit import KINDS, SERVERS, SHARED, until

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions


class Root:
    def __init__(self):
        self.entered = threading.Event()
        self.go = threading.Event()

    @expose
    def count(self):
        session = owner.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @expose
    def get(self, key="n"):
        return repr(owner.session.get(key))

    @expose
    def put(self, key, value):
        owner.session[key] = value
        return "put"

    @expose
    def nothing(self):
        return "nothing"

    @expose
    def delete(self):
        owner.session.delete()
        return "deleted"

    @expose
    def slow(self, key=None):
        """Read, wait, and perhaps write."""
        found = owner.session.get("n")
        self.entered.set()
        assert self.go.wait(20)
        if key:
            owner.session[key] = "slow"
        return repr(found)

    @expose
    def slow_locked(self):
        owner.session.acquire_lock()
        return self.slow("n")


def back(answer):
    return {"Cookie": answer.cookie}


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def store(kind, tmp_path):
    return session_kit.store(kind, tmp_path)


@pytest.fixture
def conf(store):
    return session_kit.configuration(store)


class Slow:
    """A request that runs until it is let go."""

    def __init__(self, site, path, headers, query=""):
        self.root = site.app.root
        self.answer = None

        def ask():
            self.answer = site(path, query, headers=headers)

        self.thread = threading.Thread(target=ask)

    def __enter__(self):
        self.thread.start()
        assert self.root.entered.wait(10)
        return self

    def end(self):
        self.root.go.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.answer

    def __exit__(self, *_):
        self.end()


# ------------------------------------------------------------------------ between processes

WORKER = """
import sys, threading
from cherrypy.lib import sessions
name, settings, id, threads, rounds = sys.argv[1], eval(sys.argv[2]), *sys.argv[3:]
cls = getattr(sessions, name)
failed = []
def work():
    try:
        for _ in range(int(rounds)):
            session = cls(id, lock_timeout=50, clean_freq=0, **settings)
            session.acquire_lock()
            session["n"] = session.get("n", 0) + 1
            session.save()
    except BaseException as exc:
        failed.append(exc)
        raise
workers = [threading.Thread(target=work) for _ in range(int(threads))]
for worker in workers: worker.start()
for worker in workers: worker.join()
sys.exit(bool(failed))
"""


def made(store, **more):
    """A session in a store, without a request."""
    settings = {key: value for key, value in store.settings.items() if key != "storage_type"}
    cls = getattr(sessions, f"{store.settings['storage_type'].title()}Session")
    if not hasattr(store, "path") or cls is not sessions.FileSession:
        return cls, {**settings, **more}
    Path(store.path).mkdir(exist_ok=True)
    return cls, {**settings, **more}


@pytest.mark.parametrize("kind", SHARED)
def test_no_update_of_32_threads_in_4_processes_is_lost(store):
    cls, settings = made(store)
    session = cls(clean_freq=0, **settings)
    session["n"] = 0
    session.save()
    command = [sys.executable, "-c", WORKER, cls.__name__, repr(settings), session.id, "8", "8"]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [worker.wait(50) for worker in workers] == [0] * 4
    assert cls(session.id, clean_freq=0, **settings)["n"] == 4 * 8 * 8
    until(lambda: len(store.kept()) == 1)


HOLDER = """
import sys
from cherrypy.lib import sessions
session = getattr(sessions, sys.argv[1])(sys.argv[3], **eval(sys.argv[2]))
session.acquire_lock()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Return a function that starts a process which holds the lock of a session."""
    started = []

    def start(cls, settings, id):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, cls.__name__, repr(settings), id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("kind", SHARED)
def test_the_log_names_the_process_that_has_the_lock(serve, store, conf, holder, caplog):
    conf["tools.sessions.lock_timeout"] = 0.1
    site = serve(Root(), conf)
    first = site("/count")
    process = holder(*made(store, clean_freq=0), first.cookie.partition("=")[2])
    answer = site("/count", headers=back(first))
    assert answer.status == 503
    assert answer["Retry-After"] == "1"
    assert f"process {process.pid}" in caplog.text
    assert site("/nothing", headers=back(first)).status == 200


@pytest.mark.parametrize("kind", SHARED)
def test_the_lock_of_a_process_that_died_is_free_soon(serve, store, conf, holder, monkeypatch):
    site = serve(Root(), conf)
    first = site("/count")
    cls, settings = made(store, clean_freq=0)
    process = holder(cls, settings, first.cookie.partition("=")[2])
    if kind_of_lease(store):
        # As if its lease were at its end: other tests see that they do end.
        expire_lease(store, first.cookie.partition("=")[2])
    process.kill()
    process.wait(10)
    assert site("/count", headers=back(first)).body == b"2"


def kind_of_lease(store):
    return store.settings["storage_type"] != "file"


def expire_lease(store, id):
    kind = store.settings["storage_type"]
    if kind == "redis":
        with store.client() as client:
            assert client.pttl(f"cherrypy.session:lock:{id}") > 10_000
            client.pexpire(f"cherrypy.session:lock:{id}", 1)
    elif kind == "memcached":
        assert b"TOUCHED" in store.ask(f"touch {id}.lock -1", b"\r\n")
    else:
        assert store.ask("SELECT until FROM cherrypy_sessions_locks")[0][0] > time.time() + 10
        store.ask("UPDATE cherrypy_sessions_locks SET until = 1")


LEASED = ["sqlite", "redis", "memcached", "postgresql"]


@pytest.mark.parametrize("kind", LEASED)
def test_a_lock_is_renewed_as_long_as_it_is_held(store, monkeypatch):
    from cherrypy.lib import sessionleases

    monkeypatch.setattr(sessionleases, "LEASE", 2.0)
    with sessionleases._keeper._changed:
        sessionleases._keeper._changed.notify_all()  # there may be one who waits for longer
    cls, settings = made(store, clean_freq=0)
    session = cls(**settings)
    session.acquire_lock()
    lease = session._between
    other = cls._stores[next(iter(cls._stores))][0]
    ends = time.monotonic() + 4.5
    while time.monotonic() < ends:
        assert not other.take(session.id, "another", 1)
        assert lease.held()
        time.sleep(0.1)
    session.release_lock()
    assert store.kept() == []
    assert until(lambda: other.take(session.id, "another", 1))


@pytest.mark.parametrize("kind", LEASED)
def test_a_lock_whose_answer_got_lost_is_given_back(store, monkeypatch):
    cls, settings = made(store, clean_freq=0)
    session = cls(**settings)
    kept = session._store
    take = kept.take

    def mute(*how):
        assert take(*how)
        raise TimeoutError("no answer")

    monkeypatch.setattr(kept, "take", mute)
    with pytest.raises(HTTPError, match="out of reach"):
        session.acquire_lock()
    assert not session.locked
    monkeypatch.undo()
    until(lambda: store.kept() == [])


@pytest.mark.parametrize("kind", LEASED)
def test_whoever_has_lost_the_lock_does_not_write(serve, store, conf, caplog):
    site = serve(Root(), conf)
    first = site("/count")
    with Slow(site, "/slow", back(first), "key=n") as slow:
        (lease,) = leases()
        lease._store.drop(lease._name, lease.token)  # as a store that forgets
        assert lease._store.take(lease._name, "another", 5)
        assert lease.renew() is False
        answer = slow.end()
    assert answer.status == 503
    assert "has lost the lock" in caplog.text
    lease._store.drop(lease._name, "another")
    assert site("/get", headers=back(first)).body == b"1"


def leases():
    from cherrypy.lib.sessionleases import _keeper

    return list(_keeper._held)


# ------------------------------------------------------------------- without a lock, and late


@pytest.mark.parametrize("kind", KINDS)
def test_reads_do_not_wait_where_locking_is_left_to_the_handler(serve, conf):
    conf["tools.sessions.locking"] = "explicit"
    site = serve(Root(), conf)
    headers = back(site("/count"))
    with Slow(site, "/slow_locked", headers):
        began = time.monotonic()
        assert site("/get", headers=headers).body == b"1"
        assert time.monotonic() - began < 2
    assert site("/get", headers=headers).body == b"'slow'"


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_is_late_takes_nothing_back(serve, conf):
    conf["tools.sessions.locking"] = "explicit"
    site = serve(Root(), conf)
    headers = back(site("/count"))
    with Slow(site, "/slow", headers) as slow:
        assert site("/count", headers=headers).body == b"2"
        assert slow.end().body == b"1"
    assert site("/get", headers=headers).body == b"2"


@pytest.mark.parametrize("kind", KINDS)
def test_writers_of_different_keys_both_count(serve, conf, store):
    conf["tools.sessions.locking"] = "explicit"
    site = serve(Root(), conf)
    headers = back(site("/count"))
    with Slow(site, "/slow", headers, "key=a"):
        site("/put", "key=b&value=quick", headers=headers)
    assert site("/get", "key=a", headers=headers).body == b"'slow'"
    assert site("/get", "key=b", headers=headers).body == b"'quick'"
    assert site("/get", headers=headers).body == b"1"
    assert len(store.kept()) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locking", ["implicit", "explicit"])
def test_a_session_that_was_removed_does_not_come_back(serve, conf, store, locking):
    conf["tools.sessions.locking"] = locking
    site = serve(Root(), conf)
    headers = back(site("/count"))
    with Slow(site, "/slow", headers, "key=a") as slow:
        assert site("/delete", headers=headers).body == b"deleted"
        assert slow.end().status == 200
    assert store.kept() == []
    assert site("/get", headers=headers).body == b"None"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_is_there_when_the_lock_is_given_back(serve, conf):
    class Releasing(Root):
        @expose
        def careful(self):
            session = owner.session
            session.get("n")  # before the lock, and stale by the time there is one
            self.entered.set()
            assert self.go.wait(20)
            session.acquire_lock()
            session["n"] += 1
            session.release_lock()
            found = []
            other = threading.Thread(target=lambda: found.append(site("/get", headers=headers)))
            other.start()
            other.join(10)
            return found[0].body

    conf["tools.sessions.locking"] = "explicit"
    site = serve(Releasing(), conf)
    headers = back(site("/count"))
    with Slow(site, "/careful", headers) as slow:
        assert site("/count", headers=headers).body == b"2"
        assert slow.end().body == b"3"
    assert site("/get", headers=headers).body == b"3"


@pytest.mark.parametrize("kind", SHARED)
def test_reading_alone_makes_a_session_live_longer(serve, conf, kind):
    conf["tools.sessions.locking"] = "explicit"
    # Memcached counts whole seconds.
    seconds = 2 if kind == "memcached" else 1
    conf["tools.sessions.timeout"] = seconds / 60
    site = serve(Root(), conf)
    headers = back(site("/count"))
    ends = time.monotonic() + seconds * 2.2
    while time.monotonic() < ends:
        assert site("/get", headers=headers).body == b"1"
        time.sleep(0.1)


# --------------------------------------------------------------------------- what may go wrong


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


PROGRAM = """
import cherrypy
class Root:
    @cherrypy.expose
    def index(self): return "x"
cherrypy.config.update({"server.socket_port": 0, "engine.autoreload.on": False})
cherrypy.tree.mount(Root(), "", {"/shop": SETTINGS})
cherrypy.engine.start()
print("started")
cherrypy.engine.exit()
"""


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
    program = PROGRAM.replace("SETTINGS", repr({"tools.sessions.on": True, **conf}))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert words in done.stderr


def test_a_store_that_nobody_switched_on_is_not_looked_at(tmp_path):
    conf = {
        "tools.sessions.on": False,
        "tools.sessions.storage_type": "redis",
        "tools.sessions.url": "unix:///n",
    }
    program = PROGRAM.replace("SETTINGS", repr(conf))
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
