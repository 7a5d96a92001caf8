"""What is promised of sessions, as functions that fail for whatever does not keep it.

Each takes a `Subject`: ours with one of its stores, or an implementation that knows no better.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asking_kit import Site
from session_kit import Pages, Slow, back, until

#: Seconds to see that somebody waits without a limit.
PATIENCE = 4
#: What the sites here wait for a lock, in seconds.
LIMIT = 0.05


class Subject:
    """A site with sessions, and its store.

    Args:
        conf: its configuration.
        store: with `kept()`, what it holds, locks and all, and `write(id, bytes)`.
        waits: tells whether somebody waits for a lock.
        clean_up: what the clean-up thread does.
        leave_lock: leaves the lock of an id as a process does that dies.
    """

    def __init__(
        self,
        conf: dict[str, Any],
        store: Any = None,
        *,
        waits: Callable[[], bool] = lambda: False,
        clean_up: Callable[[], None] | None = None,
        leave_lock: Callable[[str], None] | None = None,
    ) -> None:
        self.site = Site(Pages(), conf)
        self.store = store
        self.waits = waits
        self.clean_up = clean_up
        self.leave_lock = leave_lock

    @property
    def kept(self) -> list[str]:
        return list(self.store.kept())


class Asked:
    """A request in a thread of its own; `answer` is there when it has been answered."""

    def __init__(self, site: Any, path: str, headers: dict[str, str], query: str = "") -> None:
        self.answer: Any = None
        self._how = site, path, query, headers
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self) -> None:
        site, path, query, headers = self._how
        self.answer = site(path, query, headers=headers)


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """The lines of the error log that are written meanwhile."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # this one handler only collects lines
    log = logging.getLogger("cherrypy.error")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


def id_of(answer: Any) -> str:
    return str(answer.cookie.partition("=")[2])


# -------------------------------------------------------------------------------------- locks


def _asked_while_held(
    it: Subject, path: str, query: str = "", seconds: float = 0, first: str = "/count"
) -> Any:
    headers = back(it.site(first))
    assert it.site("/look", headers=headers).status == 200  # a page that is known to read
    with Slow(it.site, "/hold", headers) as slow:
        asked = Asked(it.site, path, headers, query)
        until(lambda: asked.answer or it.waits())
        asked.thread.join(seconds)
        answer = asked.answer
        assert slow.answer is None
    asked.thread.join(20)
    assert answer, f"{path} waits for another request"
    return answer


def readers_do_not_wait(it: Subject) -> None:
    answer = _asked_while_held(it, "/look")
    assert (answer.status, answer.text) == (200, "1 False"), f"{answer} is no answer for a reader"


def nobody_knows_and_it_does_not_wait(it: Subject) -> None:
    """The first request of a page of which nobody can know what it does, to an object that there is once."""
    answer = _asked_while_held(it, "/guess", "deed=n", 4, "/keep_thing")
    assert (answer.status, answer.text) == (200, "0 False"), f"{answer} is no answer for a reader"


def who_uses_no_session_does_not_wait(it: Subject) -> None:
    assert _asked_while_held(it, "/nothing").text == "nothing"


def who_asks_for_the_lock_waits(it: Subject) -> None:
    headers = back(it.site("/count"))
    with Slow(it.site, "/slow_locked", headers) as slow:
        slow.root.entered.clear()
        asked = Asked(it.site, "/slow_locked", headers)
        until(lambda: it.waits() or slow.root.entered.is_set() or asked.answer)
        both = slow.root.entered.is_set()
    asked.thread.join(20)
    assert not both, "two requests have had the lock at once"


def waiting_has_a_limit(it: Subject) -> None:
    headers = back(it.site("/count"))
    with Slow(it.site, "/hold", headers):
        asked = Asked(it.site, "/count", headers)
        asked.thread.join(PATIENCE)
        answer = asked.answer
    asked.thread.join(20)
    assert answer, "a request waits for the lock without a limit"
    assert (answer.status, answer["Retry-After"]) == (503, "1")


def the_log_names_the_holder(it: Subject) -> None:
    headers = back(it.site("/count"))
    with logged() as lines, Slow(it.site, "/hold", headers):
        assert it.site("/count", headers=headers).status == 503
    named = [line for line in lines if "GET /hold" in line and "GET /count" in line]
    assert named, f"no line of the log names the holder of the lock: {lines}"
    assert headers["Cookie"].partition("=")[2] not in str(named), "the log tells the id"


WORKER = """
import importlib, sys, threading, time
module, name, settings, id, threads, rounds = *sys.argv[1:3], eval(sys.argv[3]), *sys.argv[4:]
cls = getattr(importlib.import_module(module), name)
failed = []
def work():
    try:
        for _ in range(int(rounds)):
            session = cls(id, lock_timeout=100, clean_freq=0, **settings)
            session.acquire_lock()
            n = session.get("n", 0)
            time.sleep(0.001)  # others get the processor
            session["n"] = n + 1
            session.save()
    except BaseException as exc:
        failed.append(exc)
        raise
print("ready", flush=True)
sys.stdin.readline()
workers = [threading.Thread(target=work) for _ in range(int(threads))]
for worker in workers: worker.start()
for worker in workers: worker.join()
sys.exit(bool(failed))
"""


def no_update_of_32_threads_in_4_processes_is_lost(
    cls: Any, settings: dict[str, Any], rounds: int = 8
) -> None:
    session = cls(clean_freq=0, **settings)
    session["n"] = 0
    session.save()
    command = [sys.executable, "-c", WORKER, cls.__module__, cls.__name__, repr(settings)]
    command += [session.id, "8", str(rounds)]
    path = os.pathsep.join(one for one in sys.path if one)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": path}
    with contextlib.ExitStack() as ends:
        workers: list[Any] = []
        for _ in range(4):
            workers.append(ends.enter_context(subprocess.Popen(command, env=environment, **pipes)))
            ends.callback(workers[-1].kill)
        # Who starts late would find nobody to lose an update with.
        assert [worker.stdout.readline() for worker in workers] == [b"ready\n"] * 4
        for worker in workers:
            worker.stdin.write(b"go\n")
            worker.stdin.flush()
        assert [worker.wait(100) for worker in workers] == [0] * 4
    found = cls(session.id, clean_freq=0, **settings)["n"]
    assert found == 4 * 8 * rounds, f"updates were lost: {found} of {4 * 8 * rounds} are there"


# ------------------------------------------------------------------------------- what is kept


def unused_sessions_leave_nothing(it: Subject) -> None:
    for path in ("/nothing", "/get"):
        assert it.site(path).status == 200
        assert it.kept == [], f"a visitor who uses no session leaves something behind: {it.kept}"
    assert it.site("/count").body == b"1"
    assert it.kept, "what was used is not kept"


def clean_up_removes_sessions_and_locks(it: Subject) -> None:
    """`it` has sessions that expire at once."""
    for _ in range(5):
        first = it.site("/count")
        it.site("/count", headers=back(first))

    def gone() -> bool:
        assert it.clean_up
        it.clean_up()
        return all("lock" in name for name in it.kept)

    until(gone)
    assert it.kept == [], f"locks of sessions that have gone are still there: {it.kept}"


def clean_up_removes_locks_of_the_dead(it: Subject) -> None:
    id = id_of(it.site("/count"))
    before = it.kept
    assert it.leave_lock
    assert it.clean_up
    it.leave_lock(id)
    assert len(it.kept) == len(before) + 1
    it.clean_up()
    assert it.kept == before, "the clean-up leaves the lock of a process that has died"


def damaged_records_are_new_sessions(it: Subject) -> None:
    damages = [b"", b"rubbish", pickle.dumps(5), b"\x80\x05K", b"cno_such_module\nx\n.", b"[1"]
    for damage in damages:
        first = it.site("/count")
        it.store.write(id_of(first), damage)
        answer = it.site("/count", headers=back(first))
        assert answer.status != 500, f"500 for a record that is {damage!r}"
        assert (answer.status, answer.body) == (200, b"1")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """As somebody whom files can be kept from; root reads all of them."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def unreadable_records_are_new_sessions(it: Subject) -> None:
    """Of a store in a folder where anybody gets."""
    with as_nobody():
        first = it.site("/count")
        path = it.store.record(id_of(first))
        path.chmod(0)
        answer = it.site("/count", headers=back(first))
    assert answer.status != 500, "500 for a record that may not be read"
    assert (answer.status, answer.body) == (200, b"1")


def records_that_are_no_files_are_new_sessions(it: Subject) -> None:
    first = it.site("/count")
    path = it.store.record(id_of(first))
    path.unlink()
    path.mkdir()
    answer = it.site("/count", headers=back(first))
    assert answer.status == 200, f"{answer.status} for a folder in the place of a record"
    assert answer.body == b"1"


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


def an_unusable_store_ends_the_start(settings: str, words: str, folder: Path) -> None:
    """`settings` is Python for the configuration, `words` are of the message."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("SETTINGS", settings)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert "started" not in done.stdout, "the site starts with a store that cannot be used"
    assert done.returncode != 0
    assert words in done.stderr


# ------------------------------------------------------------------------- cookies and their ids


def cookie_says(*parts: str, scheme: str = "http") -> Callable[[Subject], None]:
    """A check that the cookie has these attributes."""

    def check(it: Subject) -> None:
        field = it.site("/count", scheme=scheme)["Set-Cookie"] or ""
        missing = [part for part in parts if part not in field.split("; ")]
        assert not missing, f"the cookie is not {' '.join(missing)}: {field}"

    return check


def unknown_ids_are_not_adopted(it: Subject) -> None:
    for id in ("a" * 40, "nope", "0"):
        answer = it.site("/count", headers={"Cookie": f"session_id={id}"})
        assert answer.body == b"1"
        assert id_of(answer) != id, f"the id {id!r}, which a client made up, was adopted"
        assert not any(id == name.rpartition("-")[2] for name in it.kept)


def ids_of_sessions_that_have_gone_are_not_adopted(it: Subject) -> None:
    first = it.site("/count")
    it.site("/delete", headers=back(first))
    answer = it.site("/count", headers=back(first))
    assert id_of(answer) != id_of(first), "the id of a session that was removed was adopted"


def ids_do_not_reach_a_path(it: Subject, folder: Path) -> None:
    """`folder` is the one above the store's."""
    assert it.site("/count").body == b"1"  # the store is there now
    outside = folder / "outside"
    outside.write_bytes(pickle.dumps({"n": 41}))
    before = sorted(folder.iterdir())
    odd = ["../outside", str(outside), "./../outside", "..", ".", "a/b", "a\0b", "a" * 5000]
    for id in odd:
        answer = it.site("/count", headers={"Cookie": f'session_id="{id}"'})
        assert answer.body != b"42", f"the id {id!r} has reached a file that is no session"
        assert answer.status != 500, f"500 for the id {id[:20]!r}"
        assert answer.body == b"1"
    assert pickle.loads(outside.read_bytes()) == {"n": 41}
    assert sorted(folder.iterdir()) == before


# ------------------------------------------------------------------------------ serialisation


def records_are_json(it: Subject) -> None:
    first = it.site("/put", "key=a&value=b")
    raw = it.store.read(id_of(first))
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    assert found, f"a record is no JSON, though that was chosen: {raw[:30]!r}"
    assert '"a": "b"' in json.dumps(found)
    assert it.site("/get", "key=a", headers=back(first)).text == "'b'"


def json_runs_no_programs(it: Subject, folder: Path) -> None:
    first = it.site("/count")
    program = b"cos\nmkdir\n(S'" + str(folder).encode() + b"/made'\ntR."
    it.store.write(id_of(first), program)
    it.site("/count", headers=back(first))
    assert not (folder / "made").exists(), "a program in a record was run, though JSON was chosen"
