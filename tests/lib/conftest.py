"""What the tests of the tools share: requests without a socket, and a clean slate after each test."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from asking_kit import Answer, Site


@pytest.fixture
def serve():
    """Return the class that makes an application that can be asked."""
    return Site


@pytest.fixture
def ask():
    """Return a function that asks an application: ``ask(app, path, query, headers=...)``."""

    def ask(app: Any, path: str, query: str = "", **how: Any) -> Answer:
        return Site(app)(path, query, **how)

    return ask


@pytest.fixture(autouse=True)
def clean_slate():
    """Leave no session, no cache and no clean-up thread to the next test."""
    yield
    from cherrypy.framework.serving import serving
    from cherrypy.framework.site import site
    from cherrypy.lib import sessions

    serving.clear()
    for name in ("session", "_cache"):
        site.__dict__.pop(name, None)
    for cls in [vars(sessions)[name] for name in _STORES if name in vars(sessions)]:
        thread = cls.__dict__.get("clean_thread")
        if thread is not None:
            thread.stop()
            thread.unsubscribe()
        # setup() puts the settings on the class.
        before = _pristine[cls]
        for name in set(vars(cls)) - set(before):
            delattr(cls, name)
        for name, value in before.items():
            if vars(cls)[name] is not value:
                setattr(cls, name, value)
    sessions.RamSession.cache.clear()
    sessions.RamSession.locks.clear()
    sessions._ready.clear()
    shared = sys.modules.get("cherrypy.lib.sessionstores")
    if shared is not None:
        from cherrypy.lib.sessionleases import _keeper

        # A lock that is still to be given back would open a connection that nobody closes.
        deadline = time.monotonic() + 10
        while _keeper._owed and time.monotonic() < deadline:
            time.sleep(0.01)
        for store, _ in shared.SharedSession._stores.values():
            site.engine.unsubscribe("exit", store.close)
            store.close()
        shared.SharedSession._stores.clear()


_STORES = ("Ram", "File", "Sqlite", "Redis", "Memcached", "Postgresql")
_STORES = tuple(f"{one}Session" for one in _STORES)
_pristine: dict[Any, dict[str, Any]] = {}


@pytest.fixture
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """What other tests have defined is no part of the program whose code is looked at."""
    from cherrypy.lib.reading import libraries

    own = (request.module.__name__, "session_kit", "session_pages", "session_writers")
    tests = str(Path(__file__).parents[1])
    every = libraries._all_classes

    def of_others(cls: type) -> bool:
        name = type.__getattribute__(cls, "__module__")
        file = getattr(sys.modules.get(name), "__file__", None) if type(name) is str else None
        return file is not None and file.startswith(tests) and name not in own

    monkeypatch.setattr(
        libraries, "_all_classes", lambda: {cls for cls in every() if not of_others(cls)}
    )
    libraries._counted = -1
    yield
    libraries._counted = -1


@pytest.fixture
def nothing_is_known(monkeypatch: pytest.MonkeyPatch):
    """Of no page, whether it reads or writes."""
    from cherrypy.lib import sessionreads

    monkeypatch.setattr(sessionreads, "_reads_only", {})
    monkeypatch.setattr(sessionreads, "_doubted", set())
    monkeypatch.setattr(sessionreads, "_waited", set())


@pytest.fixture
def conf(tmp_path: Path):
    """Sessions in memory; who may only read is patient enough, however slow the machine is."""
    import session_kit

    settings = session_kit.configuration(session_kit.store("ram", tmp_path))
    return {**settings, "tools.sessions.patience": 20}


@pytest.fixture
def shop(serve, conf):
    """A site of pages of which nobody can tell what they do; `start` puts things into a session and returns its cookie."""
    from guarded_pages import Shop
    from session_kit import back

    site = serve(Shop(), conf)

    def start(**kept):
        site.app.root.kept = kept
        return back(site("/start"))

    site.start = start
    return site


@pytest.fixture(scope="session", autouse=True)
def end_of_servers():
    """Note how the classes are made, and end the servers that tests have started."""
    from cherrypy.lib import sessions

    for name in _STORES:
        cls = getattr(sessions, name)
        if "clean_thread" in vars(cls):  # of a test elsewhere, whose engine has ended
            if cls.clean_thread is not None:
                cls.clean_thread.unsubscribe()
            del cls.clean_thread
        _pristine[cls] = dict(vars(cls))
    sessions.RamSession.cache.clear()  # of tests elsewhere as well
    sessions.RamSession.locks.clear()
    sessions._ready.clear()
    yield
    import session_kit

    for server in session_kit.running.values():
        server.close()


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
