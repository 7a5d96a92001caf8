"""What is special about each store of sessions, and the locks they use."""

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
from cherrypy.framework.site import site as owner
from cherrypy.lib import locking, sessions


class Root:
    @expose
    def count(self):
        session = owner.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @expose
    def delete(self):
        owner.session.delete()
        return "x"


def back(answer):
    return {"Cookie": answer.cookie}


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
