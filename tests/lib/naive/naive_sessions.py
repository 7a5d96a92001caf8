"""Sessions as one writes them in an afternoon: each of them works, for one visitor who means well."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from session_checks import LIMIT, Subject

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib.sessions import _SessionProxy

# ------------------------------------------------------------------------ files, with no lock


class Record(dict):
    """What pages take for a session."""

    locked = False
    path = ""

    def acquire_lock(self) -> None:
        """Believe that nobody else comes."""

    def load(self) -> None:
        """It has been loaded."""

    def delete(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.clear()


class Pickles:
    """A pickle in a file that is named like the cookie, written at the end of each request."""

    def __init__(self, folder: Any, **settings: Any) -> None:
        self.path = str(Path(folder) / "store")

    def conf(self) -> dict[str, Any]:
        return {"hooks.before_handler": self.begin, "hooks.before_finalize": self.end}

    def begin(self) -> None:
        cookie = serving.request.cookie.get("session_id")
        id = cookie.value if cookie else os.urandom(20).hex()
        path = os.path.join(self.path, id)
        session = Record()
        if os.path.exists(path):
            with open(path, "rb") as file:
                session = Record(pickle.load(file))
        session.path = path
        serving.session = session
        owner.__dict__["session"] = _SessionProxy("session")
        serving.response.cookie["session_id"] = id
        serving.response.cookie["session_id"]["path"] = "/"

    def end(self) -> None:
        session: Any = serving.__dict__.get("session")
        if session is not None:
            os.makedirs(self.path, exist_ok=True)
            with open(session.path, "wb") as file:
                pickle.dump(dict(session), file)

    # ------------------------------------------------------------------------- for the checks

    def kept(self) -> list[str]:
        return sorted(os.listdir(self.path)) if os.path.exists(self.path) else []

    def record(self, id: str) -> Path:
        return Path(self.path, id)

    def read(self, id: str) -> bytes:
        return self.record(id).read_bytes()

    def write(self, id: str, raw: bytes) -> None:
        self.record(id).write_bytes(raw)


def pickles(folder: Path) -> Subject:
    """A pickle in a file that is named like the cookie, read and written with each request"""
    store = Pickles(folder)
    return Subject(store.conf(), store)


# ---------------------------------------------------------------------------- locks in memory


class LockedForAll(Pickles):
    """The same, with a lock for each id, which each request takes as it begins."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        self.locks: dict[str, Any] = {}
        self.waiting = 0

    def begin(self) -> None:
        super().begin()
        lock = self.locks.setdefault(serving.session.path, threading.Lock())
        self.waiting += 1
        lock.acquire()
        self.waiting -= 1
        # Another one has just written.
        super().begin()

    def end(self) -> None:
        super().end()
        session: Any = serving.__dict__.get("session")
        if session is not None:
            self.locks[session.path].release()

    def clean_up(self) -> None:
        for name in os.listdir(self.path):
            os.unlink(os.path.join(self.path, name))

    def kept(self) -> list[str]:
        return super().kept() + [f"lock of {os.path.basename(path)}" for path in self.locks]


def locked_for_all(folder: Path) -> Subject:
    """A lock that each request of a session takes as it begins, and waits for as long as it takes"""
    store = LockedForAll(folder)
    return Subject(store.conf(), store, waits=lambda: store.waiting > 0, clean_up=store.clean_up)


class Refusing(LockedForAll):
    """The same, with a limit, and a line that says what happened."""

    def begin(self) -> None:
        Pickles.begin(self)
        lock = self.locks.setdefault(serving.session.path, threading.Lock())
        if not lock.acquire(timeout=LIMIT):
            del serving.session
            owner.log("A session is locked.", "SESSION")
            raise HTTPError(503)
        Pickles.begin(self)


def refusing(folder: Path) -> Subject:
    """A lock with a limit, and a log that says \"A session is locked\""""
    store = Refusing(folder)
    return Subject(store.conf(), store)


# ------------------------------------------------------------------------- locks between processes


class LockFiles(Pickles):
    """A file `<id>.lock` as a lock, and a clean-up that looks at sessions."""

    def clean_up(self) -> None:
        for name in self.kept():
            path = os.path.join(self.path, name)
            if not name.endswith(".lock") and os.stat(path).st_mtime < time.time() - 3600:
                os.unlink(path)


def lock_files(folder: Path) -> Subject:
    """Lock files, and a clean-up that removes sessions only"""
    store = LockFiles(folder)

    def leave_lock(id: str) -> None:
        lock = store.record(id + ".lock")
        lock.touch()
        os.utime(lock, (1e9, 1e9))

    return Subject(store.conf(), store, clean_up=store.clean_up, leave_lock=leave_lock)


class LockRows(Pickles):
    """The locks in a set of the database; a process that dies takes none of its own away."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        self.locks: list[str] = []

    def kept(self) -> list[str]:
        return super().kept() + self.locks


def lock_rows(folder: Path) -> Subject:
    """Locks as rows that only who took them deletes"""
    store = LockRows(folder)
    clean_up = LockFiles.clean_up.__get__(store)
    return Subject(store.conf(), store, clean_up=clean_up, leave_lock=store.locks.append)


# ---------------------------------------------------------------------------- lost updates


class Loose:
    """A session that is read when it is asked for and written as a whole, the last one wins.

    The lock is one of this process: nobody in another one knows of it.
    """

    locks: dict[str, Any] = {}

    def __init__(self, id: str | None = None, **settings: Any) -> None:
        self.id = id or os.urandom(20).hex()
        self.settings = settings
        self.data: Any = None
        self.lock: Any = None

    def acquire_lock(self) -> None:
        self.lock = self.locks.setdefault(self.id, threading.Lock())
        self.lock.acquire()

    def get(self, key: str, default: Any = None) -> Any:
        if self.data is None:
            raw = self.read()
            self.data = pickle.loads(raw) if raw else {}
        return self.data.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.get(key)
        self.data[key] = value

    def save(self) -> None:
        self.write(pickle.dumps(self.data))
        if self.lock:
            self.lock.release()

    def read(self) -> bytes | None:
        raise NotImplementedError

    def write(self, raw: bytes) -> None:
        raise NotImplementedError


class LooseFiles(Loose):
    """Files, replaced as a whole, with a lock of this process"""

    @property
    def path(self) -> str:
        os.makedirs(self.settings["storage_path"], exist_ok=True)
        return os.path.join(self.settings["storage_path"], self.id)

    def read(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            return file.read()
        return None

    def write(self, raw: bytes) -> None:
        own = f"{self.path}.{os.getpid()}"
        with open(own, "wb") as file:
            file.write(raw)
        os.replace(own, self.path)


class LooseRedis(Loose):
    """GET and SET, with a lock of this process"""

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        import redis

        with redis.Redis.from_url(self.settings["url"]) as client:
            yield client

    def read(self) -> bytes | None:
        with self.client() as client:
            found: bytes | None = client.get(self.id)
            return found

    def write(self, raw: bytes) -> None:
        with self.client() as client:
            client.set(self.id, raw)


class LooseSqlite(Loose):
    """SELECT and REPLACE, each in a transaction of its own, with a lock of this process"""

    def ask(self, statement: str, *values: Any) -> Any:
        import sqlite3

        path = self.settings["storage_path"]
        with contextlib.closing(
            sqlite3.connect(path, timeout=50, isolation_level=None)
        ) as connection:
            return connection.execute(statement, values).fetchone()

    def read(self) -> bytes | None:
        row = self.ask("SELECT data FROM loose WHERE id = ?", self.id)
        return row[0] if row else None

    def write(self, raw: bytes) -> None:
        self.ask("REPLACE INTO loose VALUES (?, ?)", self.id, raw)


class LoosePostgresql(Loose):
    """SELECT and INSERT ... ON CONFLICT, each by itself, with a lock of this process"""

    def ask(self, statement: str, *values: Any) -> Any:
        import psycopg

        with psycopg.connect(self.settings["url"], autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchone() if cursor.description else None

    def read(self) -> bytes | None:
        row = self.ask("SELECT data FROM loose WHERE id = %s", self.id)
        return bytes(row[0]) if row else None

    def write(self, raw: bytes) -> None:
        put = "INSERT INTO loose VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET data = %s"
        self.ask(put, self.id, raw, raw)
