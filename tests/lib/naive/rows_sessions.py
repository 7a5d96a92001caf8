"""The rows of sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive_sessions
import session_checks
import session_kit
from naive_sessions import Loose, LooseFiles, LoosePostgresql, LooseRedis, LooseSqlite
from promises import Row
from session_checks import LIMIT, Subject

from cherrypy.lib import sessions


def ours(kind: str = "file", **settings: Any) -> Callable[[Path], Subject]:
    """A builder of ours: a site with sessions in a store of this kind."""

    def build(folder: Path) -> Subject:
        store = session_kit.store(kind, folder)
        conf = session_kit.configuration(store)
        conf["tools.sessions.clean_freq"] = 0
        conf["tools.sessions.lock_timeout"] = LIMIT
        conf.update({f"tools.sessions.{name}": value for name, value in settings.items()})
        cls = getattr(sessions, f"{store.settings.get('storage_type', 'ram').title()}Session")

        def clean_up() -> None:
            cls().clean_up()

        def leave_lock(id: str) -> None:
            _leave_lock(store, kind, id)

        return Subject(
            conf,
            store,
            waits=lambda: any(one.waiters for one in list(cls.locks.values())),
            clean_up=clean_up,
            leave_lock=leave_lock,
        )

    return build


def _leave_lock(store: Any, kind: str, id: str) -> None:
    import os

    if kind == "file":
        lock = store.record(id + ".lock")
        lock.touch()
        os.utime(lock, (1e9, 1e9))
    else:
        store.ask(
            "INSERT INTO cherrypy_sessions_locks (id, token, until) VALUES (?, 'dead', 1)", id
        )


def cookie(**settings: Any) -> Callable[[Path], Subject]:
    return ours("ram", **settings)


def _counted(kind: str) -> Callable[[Path], Any]:
    """A builder of a class and its settings."""

    def build(folder: Path) -> Any:
        cls, settings = session_kit.made(session_kit.store(kind, folder))
        return cls, settings

    return build


def _loosely(kind: str, cls: type[Loose]) -> Callable[[Path], Any]:
    def build(folder: Path) -> Any:
        store = session_kit.store(kind, folder)
        if kind == "postgresql":
            store.ask("DROP TABLE IF EXISTS loose")
            store.ask("CREATE TABLE loose (id TEXT PRIMARY KEY, data BYTEA)")
        elif kind == "sqlite":
            store.ask("CREATE TABLE loose (id TEXT PRIMARY KEY, data BLOB)")
        settings = {key: value for key, value in store.settings.items() if key != "storage_type"}
        return cls, settings

    build.__doc__ = cls.__doc__
    return build


def _count(made: Any) -> None:
    session_checks.no_update_of_32_threads_in_4_processes_is_lost(*made, rounds=2)


def _updates(kind: str, clause: str, name: str, cls: type[Loose]) -> Row:
    promise = f"No update of 32 threads in 4 processes is lost in {name}"
    return Row((clause,), promise, _count, _counted(kind), _loosely(kind, cls), "updates were lost")


def _start(settings: Callable[[Path], str]) -> Callable[[Path], Any]:
    return lambda folder: (settings(folder), folder)


def _ours_nowhere(folder: Path) -> str:
    (folder / "taken").touch()
    conf = session_kit.configuration(session_kit.FileStore(folder / "taken"))
    return repr(conf)


def naive_nowhere(folder: Path) -> Any:
    """Pickles, whose directory is made when there is something to write"""
    (folder / "taken").touch()
    return f"__import__('naive_sessions').Pickles({str(folder / 'taken')!r}).conf()", folder


def _fails_at_start(made: Any) -> None:
    settings, folder = made
    session_checks.an_unusable_store_ends_the_start(settings, "cannot be written to", folder)


def _in_folder(check: Callable[[Any, Path], None]) -> Callable[[Any], None]:
    return lambda it: check(it, Path(it.store.path).parent)


def _cookie(clause: str, promise: str, check: Any, says: str, **settings: Any) -> Row:
    made = cookie(**settings)
    line = "`cookie['session_id'] = id`, and its path"
    return Row((clause,), promise, check, made, naive_sessions.pickles, says, line)


SAYS = session_checks.cookie_says

SESSIONS = [
    Row(
        ("reads",),
        "A page that reads its session does not wait for one that has it locked",
        session_checks.readers_do_not_wait,
        ours(lock_timeout=20),
        naive_sessions.locked_for_all,
        "/look waits for another request",
        "`lock.acquire()` as a request begins",
    ),
    Row(
        ("reads",),
        "A page of which nobody can know what it does does not wait until another one has ended, for an object in memory",
        session_checks.nobody_knows_and_it_does_not_wait,
        ours("ram", lock_timeout=20),
        naive_sessions.locked_for_all,
        "/guess waits for another request",
        "The same",
    ),
    Row(
        ("reads",),
        "A page that leaves its session alone does not wait",
        session_checks.who_uses_no_session_does_not_wait,
        ours(lock_timeout=20),
        naive_sessions.locked_for_all,
        "/nothing waits for another request",
        "`lock.acquire()` as each request begins, whatever it is for",
    ),
    Row(
        ("reads",),
        "Who asks for the lock has it alone",
        session_checks.who_asks_for_the_lock_waits,
        ours(lock_timeout=20, locking="explicit"),
        naive_sessions.pickles,
        "two requests have had the lock at once",
        "No lock at all",
    ),
    Row(
        ("limit",),
        "Waiting for a lock has a limit: 503 with Retry-After",
        session_checks.waiting_has_a_limit,
        ours(),
        naive_sessions.locked_for_all,
        "waits for the lock without a limit",
        "`lock.acquire()` without a time",
    ),
    Row(
        ("holder",),
        "A line of the log names who had the lock, and who waited",
        session_checks.the_log_names_the_holder,
        ours(),
        naive_sessions.refusing,
        "no line of the log names the holder",
    ),
    _updates("file", "updates of files", "files", LooseFiles),
    _updates("redis", "updates of Redis", "Redis", LooseRedis),
    _updates("sqlite", "updates of SQL", "SQLite", LooseSqlite),
    _updates("postgresql", "updates of SQL", "PostgreSQL", LoosePostgresql),
    Row(
        ("unused",),
        "A visitor who uses no session leaves nothing behind",
        session_checks.unused_sessions_leave_nothing,
        ours(),
        naive_sessions.pickles,
        "leaves something behind",
        "`pickle.dump(dict(session), file)` at the end of each request",
    ),
    Row(
        ("clean-up",),
        "Sessions in memory that have gone leave no lock",
        session_checks.clean_up_removes_sessions_and_locks,
        ours("ram", timeout=0.001 / 60),
        naive_sessions.locked_for_all,
        "locks of sessions that have gone are still there",
        "`locks.setdefault(id, Lock())`, and a clean-up that looks at sessions",
    ),
    Row(
        ("clean-up",),
        "The clean-up removes lock files of processes that have died",
        session_checks.clean_up_removes_locks_of_the_dead,
        ours(),
        naive_sessions.lock_files,
        "leaves the lock of a process that has died",
    ),
    Row(
        ("clean-up",),
        "It removes their rows in a database as well",
        session_checks.clean_up_removes_locks_of_the_dead,
        ours("sqlite"),
        naive_sessions.lock_rows,
        "leaves the lock of a process that has died",
    ),
    Row(
        ("corrupt",),
        "A damaged record is a new session",
        session_checks.damaged_records_are_new_sessions,
        ours(),
        naive_sessions.pickles,
        "500 for a record that is b''",
        "`pickle.load(file)`",
    ),
    Row(
        ("unreadable",),
        "A record that may not be read is a new session",
        session_checks.unreadable_records_are_new_sessions,
        ours(),
        naive_sessions.pickles,
        "500 for a record that may not be read",
        "`if os.path.exists(path): open(path, 'rb')`",
    ),
    Row(
        ("unreadable",),
        "So is one that is no file",
        session_checks.records_that_are_no_files_are_new_sessions,
        ours(),
        naive_sessions.pickles,
        "500 for a folder",
        "The same: a folder exists",
    ),
    Row(
        ("start",),
        "A store that cannot be written to ends the start, and says why",
        _fails_at_start,
        _start(_ours_nowhere),
        naive_nowhere,
        "starts with a store that cannot be used",
    ),
    _cookie("HttpOnly", "The cookie is HttpOnly", SAYS("HttpOnly"), "is not HttpOnly"),
    _cookie("Lax", "It is SameSite=Lax", SAYS("SameSite=Lax"), "is not SameSite=Lax"),
    _cookie(
        "Secure",
        "It is Secure if it came by https",
        SAYS("Secure", scheme="https"),
        "is not Secure",
    ),
    _cookie(
        "samesite",
        "`samesite` is what was set",
        SAYS("SameSite=Strict"),
        "is not SameSite=Strict",
        samesite="Strict",
    ),
    _cookie(
        "partitioned",
        "`partitioned` makes it Partitioned and Secure",
        SAYS("Partitioned", "Secure"),
        "is not Partitioned Secure",
        partitioned=True,
    ),
    _cookie(
        "domain",
        "`domain` is what was set",
        SAYS("Domain=example.com"),
        "is not Domain=example.com",
        domain="example.com",
    ),
    Row(
        ("adoption",),
        "An id that a client made up is not adopted",
        session_checks.unknown_ids_are_not_adopted,
        ours(),
        naive_sessions.pickles,
        "which a client made up, was adopted",
        "`id = request.cookie['session_id'].value`",
    ),
    Row(
        ("adoption",),
        "Neither is that of a session that was removed",
        session_checks.ids_of_sessions_that_have_gone_are_not_adopted,
        ours(),
        naive_sessions.pickles,
        "that was removed was adopted",
        "The same: the file is made anew",
    ),
    Row(
        ("paths",),
        "An id never becomes a path that leads elsewhere",
        _in_folder(session_checks.ids_do_not_reach_a_path),
        ours(),
        naive_sessions.pickles,
        "has reached a file that is no session",
        "`os.path.join(folder, id)`",
    ),
    Row(
        ("JSON",),
        "With `serializer = 'json'` records are JSON",
        session_checks.records_are_json,
        ours(serializer="json"),
        naive_sessions.pickles,
        "a record is no JSON",
        "`pickle.dump()`, whatever is set",
    ),
    Row(
        ("JSON",),
        "With it no record is run as a program",
        _in_folder(session_checks.json_runs_no_programs),
        ours(serializer="json"),
        naive_sessions.pickles,
        "a program in a record was run",
        "`pickle.load()`, whatever is set",
    ),
]
