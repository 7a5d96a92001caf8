"""Stores of sessions that others have written, which insist on the lock as those of the index do."""

from __future__ import annotations

import threading

import pytest

try:
    import fcntl
except ImportError:
    fcntl = None

from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions


class Insisting(sessions.Session):
    """Every access is an error without the lock, and a lock is taken once."""

    cache: dict = {}
    locks: dict = {}
    locked = False

    def _exists(self):
        return self._id in self.cache

    def _load(self):
        assert self.locked, "loaded without the lock"
        return self.cache.get(self._id)

    def _save(self, expiration_time):
        assert self.locked, "saved without the lock"
        self.cache[self._id] = (dict(self._data), expiration_time)

    def _delete(self):
        assert self.locked, "deleted without the lock"
        self.cache.pop(self._id, None)

    def acquire_lock(self):
        assert self.locks.setdefault(self._id, threading.Lock()).acquire(timeout=5)
        self.locked = True

    def release_lock(self):
        self.locks[self._id].release()
        self.locked = False


class Root:
    @expose
    def count(self):
        session = owner.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @expose
    def renew(self):
        owner.session.regenerate()
        return "renewed"

    @expose
    def empty(self):
        owner.session.clear()
        owner.session.regenerate()
        return owner.session.id

    @expose
    def leave(self):
        sessions.expire()
        owner.session.delete()
        return "left"

    @expose
    def read_and_leave(self):
        owner.session.get("n")
        return self.leave()


@pytest.fixture
def site(serve):
    Insisting.cache.clear()
    Insisting.locks.clear()
    yield serve(Root(), {"tools.sessions.on": True, "tools.sessions.storage_class": Insisting})
    thread = Insisting.__dict__.get("clean_thread")
    if thread is not None:
        thread.stop()
        thread.unsubscribe()
        del Insisting.clean_thread


def back(answer):
    return {"Cookie": answer.cookie}


@pytest.mark.parametrize("page", ["/leave", "/read_and_leave"])
def test_a_session_is_deleted_under_its_lock(site, page):
    first = site("/count")
    assert site("/count", headers=back(first)).body == b"2"
    left = site(page, headers=back(first))
    assert (left.status, left.body) == (200, b"left")
    assert Insisting.cache == {}
    assert not any(lock.locked() for lock in Insisting.locks.values())
    assert site("/count", headers=back(first)).body == b"1"


def test_a_new_id_is_given_under_the_lock(site):
    first = site("/count")
    renewed = site("/renew", headers=back(first))
    assert (renewed.status, renewed.cookie != first.cookie) == (200, True)
    assert not any(lock.locked() for lock in Insisting.locks.values())
    assert site("/count", headers=back(renewed)).body == b"2"


def test_an_emptied_session_with_a_new_id_is_kept(site):
    """Who logs out like this is known under the new id afterwards."""
    first = site("/count")
    emptied = site("/empty", headers=back(first))
    assert list(Insisting.cache) == [emptied.text]
    assert site("/count", headers=back(emptied)).cookie == emptied.cookie


class OwnLock:
    """A lock as zc.lockfile has them: held until it is closed."""

    def __init__(self, path):
        self.file = open(path, "w")  # noqa: SIM115 held until close()
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self):
        self.file.close()


class OwnLocking(sessions.FileSession):
    """Takes the lock in its own way, and leaves it to FileSession to give it back."""

    def acquire_lock(self, path=None):
        self.lock = OwnLock((path or self._get_file_path()) + self.LOCK_SUFFIX)
        self.locked = True


@pytest.mark.skipif(fcntl is None, reason="only on systems with fcntl")
def test_a_lock_of_a_subclass_is_given_back(tmp_path):
    session = OwnLocking(storage_path=str(tmp_path), clean_freq=0)
    session.acquire_lock()
    held = session.lock
    session["a"] = 1
    session.save()
    assert held.file.closed
    assert not session.locked
    session.acquire_lock()  # at once, and not of a closed file
    session.timeout = 0
    session.load()
    session.save()
    session.clean_up()
    assert not session._exists()
