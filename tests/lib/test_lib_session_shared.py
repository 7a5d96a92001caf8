"""Sessions that requests, processes and machines share: no update is lost, nobody waits in vain, servers come and go."""

from __future__ import annotations

import threading
import time

import pytest
import session_checks
import session_kit
from session_kit import KINDS, LEASED, SHARED, Root, Slow, back, expire_lease, made, until

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site as owner


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def store(kind, tmp_path):
    return session_kit.store(kind, tmp_path)


@pytest.fixture
def conf(store):
    return session_kit.configuration(store)


# ------------------------------------------------------------------------ between processes


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", SHARED)
def test_no_update_of_32_threads_in_4_processes_is_lost(store):
    session_checks.no_update_of_32_threads_in_4_processes_is_lost(*made(store))
    until(lambda: len(store.kept()) == 1)


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
    # Memcached counts whole seconds: what is to hold for 4 may be gone after 3.
    seconds = 4 if kind == "memcached" else 1.5
    conf["tools.sessions.timeout"] = seconds / 60
    site = serve(Root(), conf)
    headers = back(site("/count"))
    ends = time.monotonic() + seconds * 2.2
    while time.monotonic() < ends:
        assert site("/get", headers=headers).body == b"1"
        time.sleep(0.1)
