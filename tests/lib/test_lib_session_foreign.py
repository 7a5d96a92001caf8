"""Stores of sessions that others have written, which insist on the lock as those of the index do."""

from __future__ import annotations

import threading

import pytest

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
