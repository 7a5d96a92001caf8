"""Sessions: the same laws for every store."""

from __future__ import annotations

import datetime
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import locking, sessions


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
    def slow_count(self):
        n = owner.session.get("n", 0)
        self.entered.set()
        self.go.wait(5)
        owner.session["n"] = n + 1
        return str(n + 1)

    @expose
    def nothing(self):
        return "nothing"

    @expose
    def read(self):
        return repr(owner.session.get("n"))

    @expose
    def load(self):
        owner.session.load()
        return owner.session.id

    @expose
    def about(self):
        session = serving.session
        return repr((session.id, session.originalid, session.missing, session.regenerated))

    @expose
    def regenerate(self):
        before = owner.session.id
        owner.tools.sessions.regenerate()
        return f"{before} {owner.session.id}"

    @expose
    def expire(self):
        sessions.expire()
        return "x"

    @expose
    def delete(self):
        owner.session.delete()
        return "x"

    @expose
    def fail(self):
        owner.session["n"] = 100
        raise ValueError

    @expose
    def stream(self):
        def body():
            owner.session["n"] = 7
            yield b"x"

        return body()

    @expose
    def release(self):
        owner.session.release_lock()
        owner.session["n"] = 3
        return repr(owner.session.locked)

    @expose
    def length(self):
        return str(len(owner.session))


@pytest.fixture(params=["ram", "file", "json"])
def conf(request, tmp_path):
    settings = {"tools.sessions.on": True}
    if request.param != "ram":
        settings["tools.sessions.storage_type"] = "file"
        settings["tools.sessions.storage_path"] = str(tmp_path / "store")
    if request.param == "json":
        settings["tools.sessions.serializer"] = "json"
    return settings


@pytest.fixture
def kept(conf, tmp_path):
    """Return what the store holds, locks and all."""

    def look():
        path = conf.get("tools.sessions.storage_path")
        if path is None:
            return sorted(sessions.RamSession.cache) + sorted(sessions.RamSession.locks)
        return sorted(os.listdir(path)) if os.path.exists(path) else []

    return look


def back(answer):
    return {"Cookie": answer.cookie}


def test_a_counter(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert first.body == b"1"
    assert len(kept()) == 1
    second = site("/count", headers=back(first))
    assert second.body == b"2"
    assert second.cookie == first.cookie
    assert site("/count").body == b"1"
    assert len(kept()) == 2
    assert site("/length", headers=back(first)).body == b"2"


def test_the_cookie(serve, conf):
    cookie = serve(Root(), conf)("/count")["Set-Cookie"]
    parts = cookie.split("; ")
    assert parts[0].startswith("session_id=")
    assert len(parts[0]) == len("session_id=") + 40
    assert [part.partition("=")[0] for part in parts[1:]] == [
        "expires",
        "HttpOnly",
        "Max-Age",
        "Path",
        "SameSite",
    ]
    assert "SameSite=Lax" in parts
    assert "Path=/" in parts
    assert "Max-Age=3600" in parts


@pytest.mark.parametrize(
    ("settings", "present", "absent"),
    [
        ({"secure": True}, ["Secure"], []),
        ({"httponly": False}, [], ["HttpOnly"]),
        ({"samesite": "Strict"}, ["SameSite=Strict"], ["SameSite=Lax"]),
        ({"samesite": "None"}, ["SameSite=None", "Secure"], []),
        ({"samesite": None}, [], ["SameSite"]),
        ({"partitioned": True}, ["Partitioned", "Secure"], []),
        ({"domain": "example.com"}, ["Domain=example.com"], []),
        ({"path": "/p"}, ["Path=/p"], ["Path=/;"]),
        ({"path_header": "X-Path"}, ["Path=/q"], []),
        ({"name": "sid"}, ["sid="], ["session_id"]),
        ({"persistent": False}, [], ["expires", "Max-Age"]),
        ({"timeout": 0.5}, ["Max-Age=30"], []),
    ],
)
def test_settings_of_the_cookie(serve, conf, settings, present, absent):
    conf.update({f"tools.sessions.{name}": value for name, value in settings.items()})
    cookie = serve(Root(), conf)("/count", headers={"X-Path": "/q"})["Set-Cookie"] + ";"
    for part in present:
        assert part in cookie
    for part in absent:
        assert part not in cookie


def test_https_makes_it_secure(serve, conf):
    assert "; Secure" in serve(Root(), conf)("/count", scheme="https")["Set-Cookie"]
    conf["tools.sessions.secure"] = False
    assert "Secure" not in serve(Root(), conf)("/count", scheme="https")["Set-Cookie"]


def test_an_unused_session_leaves_nothing(serve, conf, kept):
    site = serve(Root(), conf)
    for path in ("/nothing", "/read", "/about"):
        assert site(path).status == 200
        assert kept() == []
    # Somebody who calls load() wants it.
    id = site("/load").text
    assert len(kept()) == 1
    assert site("/load", headers={"Cookie": f"session_id={id}"}).text == id


@pytest.mark.parametrize(
    "id", ["nope", "", "a" * 5000, "../../etc/passwd", "..", "x/y", "x.lock", "a%00b", "ü"]
)
def test_unknown_ids_are_never_adopted(serve, conf, kept, id):
    site = serve(Root(), conf)
    answer = site("/count", headers={"Cookie": f"session_id={id}"})
    assert answer.body == b"1"
    assert answer.cookie != f"session_id={id}"
    assert len(kept()) == 1
    new, original, missing, _ = eval(
        site("/about", headers={"Cookie": f"session_id={id}"}).body.decode("utf-8")
    )
    assert new != id
    assert original == id.encode().decode("latin-1") or original == id
    assert missing is True


def test_regenerate(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    answer = site("/regenerate", headers=back(first))
    before, after = answer.text.split()
    assert first.cookie == f"session_id={before}"
    assert answer.cookie == f"session_id={after}"
    assert len(answer.all("Set-Cookie")) == 1
    assert "HttpOnly" in answer["Set-Cookie"]
    assert len(kept()) == 1
    assert site("/count", headers=back(answer)).body == b"2"
    assert site("/count", headers=back(first)).body == b"1"


def test_expire(serve, conf):
    site = serve(Root(), conf)
    answer = site("/expire", headers=back(site("/count")))
    (cookie,) = answer.all("Set-Cookie")
    year = int(cookie.partition("expires=")[2][12:16])
    assert year <= time.gmtime().tm_year - 1 or "GMT" in cookie
    assert "Max-Age" not in cookie


def test_delete(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert site("/delete", headers=back(first)).status == 200
    assert kept() == []
    assert site("/count", headers=back(first)).body == b"1"


def test_errors_save_and_unlock(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert site("/fail", headers=back(first)).status == 500
    assert sessions.RamSession.locks == {}
    assert not any(name.endswith(".lock") for name in kept())
    assert site("/nothing", headers=back(first)).status == 200


def test_streams_are_saved_at_their_end(serve, conf):
    conf["response.stream"] = True
    site = serve(Root(), conf)
    first = site("/stream")
    assert site("/read", headers=back(first)).body == b"7"
    conf["response.stream"] = False
    site = serve(Root(), conf)
    second = site("/stream")
    assert site("/read", headers=back(second)).body == b"7"


def test_release_by_hand(serve, conf):
    site = serve(Root(), conf)
    first = site("/release", headers=back(site("/count")))
    assert first.body == b"False"
    assert site("/read", headers=back(first)).body == b"3"


def run_threads(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_no_update_is_lost(serve, conf, kept):
    site = serve(Root(), conf)
    headers = back(site("/count"))

    def client():
        for _ in range(25):
            assert site("/count", headers=headers).status == 200

    run_threads(*[client] * 8)
    assert site("/count", headers=headers).body == b"202"
    assert len(kept()) == 1


def test_whoever_leaves_the_session_alone_does_not_wait(serve, conf):
    root = Root()
    site = serve(root, conf)
    headers = back(site("/count"))
    slow = threading.Thread(target=lambda: site("/slow_count", headers=headers))
    slow.start()
    try:
        assert root.entered.wait(5)
        started = time.monotonic()
        assert site("/nothing", headers=headers).status == 200
        assert time.monotonic() - started < 2
    finally:
        root.go.set()
        slow.join(10)


def test_waiting_has_a_limit(serve, conf, caplog):
    root = Root()
    conf["tools.sessions.lock_timeout"] = 0.05
    site = serve(root, conf)
    headers = back(site("/count"))
    slow = threading.Thread(target=lambda: site("/slow_count", headers=headers))
    slow.start()
    try:
        assert root.entered.wait(5)
        answer = site("/count", headers=headers)
        assert answer.status == 503
        assert answer["Retry-After"] == "1"
    finally:
        root.go.set()
        slow.join(10)
    assert "slow_count" in caplog.text
    assert headers["Cookie"].partition("=")[2] not in caplog.text.partition("waited")[2]
    assert site("/count", headers=headers).body == b"3"


@pytest.mark.parametrize("locking_mode", ["explicit", "early"])
def test_other_ways_to_lock(serve, conf, locking_mode):
    conf["tools.sessions.locking"] = locking_mode

    class Look(Root):
        @expose
        def look(self):
            before = owner.session.locked
            owner.session.get("n")
            return repr((before, owner.session.locked))

    expected = {"explicit": (False, False), "early": (True, True)}[locking_mode]
    site = serve(Look(), conf)
    assert site("/look").text == repr(expected)
    assert sessions.RamSession.locks == {}
    assert site("/count").body == b"1"


def test_bad_settings(serve, conf):
    conf["tools.sessions.locking"] = "sometimes"
    assert serve(Root(), conf)("/count").status == 500
    conf["tools.sessions.locking"] = "implicit"
    conf["tools.sessions.storage_type"] = "nope"
    assert serve(Root(), conf)("/count").status == 500


def test_sessions_expire_and_are_cleaned_up(serve, conf, kept):
    conf["tools.sessions.timeout"] = 0.3 / 60
    conf["tools.sessions.clean_freq"] = 0
    site = serve(Root(), conf)
    first = site("/count")
    assert kept()
    time.sleep(0.4)
    assert site("/count", headers=back(first)).body == b"1"
    time.sleep(0.4)
    cls = (
        sessions.RamSession
        if conf.get("tools.sessions.storage_path") is None
        else sessions.FileSession
    )
    janitor = cls.__new__(cls)
    janitor.clean_up()
    assert kept() == []


def test_the_cleaner_runs_by_itself(serve, conf, kept):
    conf["tools.sessions.timeout"] = 0.2 / 60
    conf["tools.sessions.clean_freq"] = 0.1 / 60
    serve(Root(), conf)("/count")
    assert kept()
    deadline = time.monotonic() + 10
    while kept():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_attribute_on_the_package(serve, conf):
    site = serve(Root(), conf)
    assert "session" not in owner.__dict__
    headers = back(site("/count"))
    assert "session" in owner.__dict__
    del owner.session
    assert site("/count", headers=headers).body == b"2"


def test_own_storage_classes(serve):
    class RedisSession(sessions.RamSession):
        prepared = None

        @classmethod
        def setup(cls, **kwargs):
            cls.prepared = kwargs

    sessions.RedisSession = RedisSession
    try:
        conf = {
            "tools.sessions.on": True,
            "tools.sessions.storage_type": "redis",
            "tools.sessions.url": "u",
        }
        site = serve(Root(), conf)
        assert site("/count").body == b"1"
        assert RedisSession.prepared == {"url": "u"}
    finally:
        del sessions.RedisSession
    conf = {"tools.sessions.on": True, "tools.sessions.storage_class": RedisSession}
    assert serve(Root(), conf)("/count").body == b"1"


def test_the_id_may_be_put_into_the_request(serve, conf):
    from cherrypy.framework.tools import Tool, default_toolbox

    site = serve(Root(), conf)
    id = site("/count").cookie.partition("=")[2]

    def from_token():
        serving.request.cookie["session_id"] = serving.request.headers["X-Auth-Token"]

    default_toolbox.from_token = Tool("on_start_resource", from_token)
    try:
        site = serve(Root(), {**conf, "tools.from_token.on": True})
        assert site("/count", headers={"X-Auth-Token": id}).body == b"2"
    finally:
        del default_toolbox.from_token


def test_like_a_dict():
    session = sessions.RamSession()
    session["a"] = 1
    session.update({"b": 2})
    assert session.setdefault("c", 3) == 3
    assert sorted(session) == sorted(session.keys()) == ["a", "b", "c"]
    assert dict(session.items()) == {"a": 1, "b": 2, "c": 3}
    assert sorted(session.values()) == [1, 2, 3]
    assert "a" in session
    del session["a"]
    assert "a" not in session
    assert session.pop("b") == 2
    assert session.pop("b", None) is None
    assert session.pop("b") is False
    with pytest.raises(KeyError):
        session["b"]
    session.clear()
    assert not list(session)


def test_ram_locks_survive_a_clean_up():
    go = threading.Event()

    def lock():
        session = sessions.RamSession()
        session.acquire_lock()
        go.wait(5)
        session.release_lock()

    thread = threading.Thread(target=lock)
    thread.start()
    deadline = time.monotonic() + 5
    while not sessions.RamSession.locks and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        sessions.RamSession().clean_up()
        assert len(sessions.RamSession.locks) == 1
    finally:
        go.set()
        thread.join(5)
    assert sessions.RamSession.locks == {}


# -------------------------------------------------------------------------------------- files


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "store"
    return path, {
        "tools.sessions.on": True,
        "tools.sessions.storage_type": "file",
        "tools.sessions.storage_path": str(path),
    }


@pytest.mark.parametrize("damage", [b"", b"rubbish", pickle.dumps(5), pickle.dumps(({}, 5))])
def test_a_damaged_file_is_a_new_session(serve, files, damage, caplog):
    path, conf = files
    site = serve(Root(), conf)
    first = site("/count")
    (file,) = path.iterdir()
    file.write_bytes(damage)
    assert site("/count", headers=back(first)).body == b"1"
    assert "damaged" in caplog.text
    assert str(path) not in caplog.text


def test_files_are_private_and_readable_by_the_real_one(serve, files):
    path, conf = files
    serve(Root(), conf)("/count")
    (file,) = path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o700
    data, expires = pickle.loads(file.read_bytes())
    assert data == {"n": 1}
    assert isinstance(expires, datetime.datetime)
    assert expires.tzinfo is None
    assert 3500 < expires.timestamp() - time.time() < 3700


def test_a_store_that_cannot_be_written_to(serve, files, caplog):
    path, conf = files
    path.write_text("a file in the place of the directory")
    assert serve(Root(), conf)("/count").status == 500
    assert "The directory for sessions cannot be written to" in caplog.text
    with pytest.raises(OSError, match="cannot be written to"):
        sessions.FileSession.setup(storage_path=str(path))
    sessions.FileSession.storage_path = ""
    with pytest.raises(ValueError, match="storage_path"):
        sessions.FileSession.setup()


def test_json_cannot_run_programs(serve, files, tmp_path):
    path, conf = files
    conf["tools.sessions.serializer"] = "json"
    site = serve(Root(), conf)
    first = site("/count")
    (file,) = path.iterdir()

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    file.write_bytes(pickle.dumps((Evil(), None)))
    assert site("/count", headers=back(first)).body == b"1"
    assert not (tmp_path / "pwned").exists()


def test_clean_up_removes_what_a_crash_has_left(files):
    path, _ = files
    path.mkdir()
    for name in ("session-dead.lock", ".session-tmp-1-1", "session-old", "other"):
        (path / name).write_bytes(b"")
        os.utime(path / name, (1e9, 1e9))
    janitor = sessions.FileSession.__new__(sessions.FileSession)
    janitor.storage_path = str(path)
    held = locking.FileLock(str(path / "session-held.lock"))
    assert held.acquire(0)
    os.utime(held.path, (1e9, 1e9))
    janitor.clean_up()
    assert sorted(os.listdir(path)) == ["other", "session-held.lock"]
    held.release()
    assert os.listdir(path) == ["other"]


WORKER = """
import sys, threading
from cherrypy.lib.sessions import FileSession
FileSession.clean_freq = 0
path, id, threads, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def work():
    for _ in range(rounds):
        session = FileSession(id, storage_path=path, lock_timeout=50, _lock_on_access=True)
        session["n"] = session.get("n", 0) + 1
        session.save()
workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""


def test_processes_do_not_lose_updates(files):
    path, _ = files
    path.mkdir()
    session = sessions.FileSession(storage_path=str(path), clean_freq=0)
    session["n"] = 0
    session.save()
    command = [sys.executable, "-c", WORKER, str(path), session.id, "4", "25"]
    workers = [subprocess.Popen(command) for _ in range(3)]
    for worker in workers:
        assert worker.wait(50) == 0
    again = sessions.FileSession(session.id, storage_path=str(path), clean_freq=0)
    assert again["n"] == 300
    assert os.listdir(path) == [f"session-{session.id}"]


# -------------------------------------------------------------------------------------- locks


def test_named_locks_are_fair_and_leave_nothing():
    locks = locking.NamedLocks()
    assert locks.acquire("a", 0)
    assert locks.acquire("a", 0)  # again, by the same thread
    order = []

    def client(n):
        assert locks.acquire("a", 10, holder=f"client {n}")
        order.append(n)
        locks.release("a")

    threads = []
    for n in range(5):
        thread = threading.Thread(target=client, args=(n,))
        thread.start()
        threads.append(thread)
        deadline = time.monotonic() + 5
        while len(locks["a"].waiters or ()) <= n and time.monotonic() < deadline:
            time.sleep(0.001)
    results = []
    impatient = threading.Thread(target=lambda: results.append(locks.acquire("a", 0.01)))
    impatient.start()
    impatient.join(5)
    assert results == [False]
    locks.release("a")
    assert order == []
    locks.release("a")
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]
    assert locks == {}
    locks.release("a")


def test_a_lock_may_be_given_back_by_another_thread():
    locks = locking.NamedLocks()
    assert locks.acquire("a", 0)
    thread = threading.Thread(target=locks.release, args=("a",))
    thread.start()
    thread.join(5)
    assert locks == {}


def test_timers():
    assert not locking.NeverExpires().expired()
    assert locking.Timer.after(0).expired()
    assert not locking.Timer.after(datetime.timedelta(hours=1)).expired()
    checker = locking.LockChecker("abc", None)
    assert checker.expired() is False
    checker = locking.LockChecker("abc", 0.0001)
    time.sleep(0.001)
    with pytest.raises(locking.LockTimeout, match="Timeout acquiring lock for abc"):
        checker.expired()
    assert issubclass(sessions.SessionLocked, HTTPError)
    assert issubclass(sessions.SessionLocked, locking.LockTimeout)


# ---------------------------------------------------------------------------------- memcached


def test_memcached_without_a_client_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymemcache", None)
    monkeypatch.setitem(sys.modules, "memcache", None)
    with pytest.raises(ImportError):
        sessions.MemcachedSession.setup()


class Memory(dict):
    def set(self, key, value, expires):
        self[key] = pickle.dumps(value)
        return True

    def get(self, key):
        value = super().get(key)
        return None if value is None else pickle.loads(value)

    def delete(self, key):
        self.pop(key, None)


def test_memcached(serve):
    class HereSession(sessions.MemcachedSession):
        @classmethod
        def setup(cls, **kwargs):
            cls.cache = Memory()

    site = serve(
        Root(),
        {
            "tools.sessions.on": True,
            "tools.sessions.storage_class": HereSession,
            "tools.sessions.clean_freq": 0,
        },
    )
    first = site("/count")
    assert site("/count", headers=back(first)).body == b"2"
    assert site("/delete", headers=back(first)).status == 200
    assert HereSession.cache == {}
    assert site("/count", headers={"Cookie": "session_id=" + "a" * 300}).body == b"1"
