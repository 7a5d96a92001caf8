"""Stores of sessions for tests: the servers they need, of the tests' own, and what they hold."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner

KINDS = ["ram", "file", "json", "sqlite", "redis", "memcached", "postgresql"]
SHARED = ["file", "sqlite", "redis", "memcached", "postgresql"]
LEASED = ["sqlite", "redis", "memcached", "postgresql"]
SERVERS = ["redis", "memcached", "postgresql"]


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something is true; what it was, or fail."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.01)
    return found


def command(name: str) -> str:
    """A program of Debian's; without it the test is skipped, in CI failed."""
    others = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    found = shutil.which(name) or (others[-1] if others else None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A process that can be killed, frozen and started again."""

    stop_signal = signal.SIGKILL

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="sessions-")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def launch(self, **how: Any) -> None:
        self.process = subprocess.Popen(
            self.arguments(),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **how,
        )

    def start(self) -> None:
        self.launch()
        until(self.answers)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        self.process.wait(20)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisServer(Server):
    def arguments(self) -> list[str]:
        self.path = os.path.join(self.folder, "s")
        return [command("redis-server"), "--port", "0", "--unixsocket", self.path, "--save", ""]

    def client(self) -> Any:
        import redis

        return redis.Redis(unix_socket_path=self.path, socket_timeout=5)

    def answers(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def settings(self) -> dict[str, Any]:
        return {"storage_type": "redis", "url": f"unix://{self.path}"}

    def kept(self) -> list[str]:
        with self.client() as client:
            return sorted(key.decode() for key in client.scan_iter() if not key.endswith(b":probe"))

    def write(self, id: str, raw: bytes) -> None:
        with self.client() as client:
            client.set(f"cherrypy.session:{id}", raw)

    def clear(self) -> None:
        with self.client() as client:
            client.flushall()


class MemcachedServer(Server):
    port = 0

    def arguments(self) -> list[str]:
        self.port = self.port or free_port()
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        return [command("memcached"), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", *user]

    def ask(self, words: str, end: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 5) as one:
            one.sendall(words.encode("latin-1") + b"\r\n")
            got = b""
            while not got.endswith(end) and not got.startswith(b"BUSY"):
                more = one.recv(65536)
                if not more:
                    break
                got += more
            return got

    def answers(self) -> bool:
        try:
            return b"VERSION" in self.ask("version", b"\r\n")
        except OSError:
            return False

    @property
    def settings(self) -> dict[str, Any]:
        return {"storage_type": "memcached", "servers": [f"127.0.0.1:{self.port}"]}

    def kept(self) -> list[str]:
        keys: set[str] = set()
        for _ in range(6):  # a dump misses what is just being moved from one list to another
            lines = self.ask("lru_crawler metadump all", b"END\r\n").decode().splitlines()
            keys |= {line.split()[0][4:] for line in lines if line.startswith("key=")}
            time.sleep(0.01)
        # What has ended but was not collected is listed, too.
        there = [key for key in keys if self.ask(f"get {key}", b"END\r\n") != b"END\r\n"]
        return sorted(key for key in there if key != "probe")

    def write(self, id: str, raw: bytes) -> None:
        self.ask(f"set {id} 0 0 {len(raw)}\r\n{raw.decode('latin-1')}", b"\r\n")

    def clear(self) -> None:
        self.ask("flush_all", b"\r\n")


class PostgresqlServer(Server):
    stop_signal = signal.SIGQUIT  # at once; a kill would leave its shared memory

    def start(self) -> None:
        as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            # It refuses to run as root.
            try:
                nobody = pwd.getpwnam("postgres")
            except KeyError:
                nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = os.path.join(self.folder, "data")
        if not os.path.exists(data):
            subprocess.run(
                [
                    command("initdb"),
                    "-D",
                    data,
                    "-U",
                    "tester",
                    "-A",
                    "trust",
                    "-N",
                    "--no-locale",
                    "-E",
                    "UTF8",
                ],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=60,
                **as_user,
            )
        self.launch(**as_user)
        until(self.answers)

    def arguments(self) -> list[str]:
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=8MB"]
        data = os.path.join(self.folder, "data")
        return [command("postgres"), "-D", data, "-k", self.folder, *options]

    @property
    def url(self) -> str:
        return f"host={self.folder} user=tester dbname=postgres"

    def ask(self, statement: str, *values: Any) -> list[Any]:
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def answers(self) -> bool:
        import psycopg

        try:
            return bool(self.ask("SELECT 1"))
        except psycopg.Error:
            return False

    @property
    def settings(self) -> dict[str, Any]:
        return {"storage_type": "postgresql", "url": self.url}

    def kept(self) -> list[str]:
        if not self.ask("SELECT to_regclass('cherrypy_sessions_locks')")[0][0]:
            return []
        both = "SELECT id FROM cherrypy_sessions UNION ALL SELECT id FROM cherrypy_sessions_locks"
        return sorted(row[0] for row in self.ask(both))

    def write(self, id: str, raw: bytes) -> None:
        self.ask("UPDATE cherrypy_sessions SET data = %s WHERE id = %s", raw, id)

    def clear(self) -> None:
        self.ask("DROP TABLE IF EXISTS cherrypy_sessions, cherrypy_sessions_locks")

    # The children have to stop as well.
    def freeze(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        assert self.process is not None
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with contextlib.suppress(OSError), open(path) as file:
            return [self.process.pid, *map(int, file.read().split())]
        return [self.process.pid]


CLASSES = {"redis": RedisServer, "memcached": MemcachedServer, "postgresql": PostgresqlServer}

#: Those that run; ended when the tests are over.
running: dict[str, Any] = {}


def server(kind: str) -> Any:
    """The one server of a kind, empty."""
    if kind not in running:
        running[kind] = CLASSES[kind]()
    running[kind].clear()
    return running[kind]


class RamStore:
    settings: dict[str, Any] = {}

    def kept(self) -> list[str]:
        from cherrypy.lib import sessions

        return sorted(sessions.RamSession.cache) + sorted(sessions.RamSession.locks)


class FileStore:
    def __init__(self, folder: Any, **more: Any) -> None:
        self.path = str(folder / "store")
        self.settings = {"storage_type": "file", "storage_path": self.path, **more}

    def kept(self) -> list[str]:
        return sorted(os.listdir(self.path)) if os.path.exists(self.path) else []

    def record(self, id: str) -> Path:
        return Path(self.path, f"session-{id}")

    def read(self, id: str) -> bytes:
        return self.record(id).read_bytes()

    def write(self, id: str, raw: bytes) -> None:
        self.record(id).write_bytes(raw)


class SqliteStore:
    def __init__(self, folder: Any) -> None:
        self.path = str(folder / "store.sqlite")
        self.settings = {"storage_type": "sqlite", "storage_path": self.path}

    def ask(self, statement: str, *values: Any) -> list[Any]:
        import sqlite3

        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def kept(self) -> list[str]:
        if not os.path.exists(self.path):
            return []
        both = "SELECT id FROM cherrypy_sessions UNION ALL SELECT id FROM cherrypy_sessions_locks"
        return sorted(row[0] for row in self.ask(both))

    def write(self, id: str, raw: bytes) -> None:
        self.ask("UPDATE cherrypy_sessions SET data = ? WHERE id = ?", raw, id)


def store(kind: str, folder: Any) -> Any:
    """A store with nothing in it: its `settings` of the tool, and `kept()`, locks and all."""
    if kind == "ram":
        return RamStore()
    if kind == "file":
        return FileStore(folder)
    if kind == "json":
        return FileStore(folder, serializer="json")
    if kind == "sqlite":
        return SqliteStore(folder)
    return server(kind)


def configuration(kept: Any) -> dict[str, Any]:
    """The configuration of a path whose sessions are in a store."""
    settings = {f"tools.sessions.{key}": value for key, value in kept.settings.items()}
    return {"tools.sessions.on": True, **settings}


# ------------------------------------------------------------------------------ what is asked


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


class Slow:
    """A request that runs until it is let go."""

    def __init__(self, site, path, headers, query="", **how):
        self.root = site.app.root
        self.answer = None

        def ask():
            self.answer = site(path, query, headers=headers, **how)

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


def made(store, **more):
    """A session in a store, without a request."""
    settings = {key: value for key, value in store.settings.items() if key != "storage_type"}
    from cherrypy.lib import sessions

    cls = getattr(sessions, f"{store.settings['storage_type'].title()}Session")
    if not hasattr(store, "path") or cls is not sessions.FileSession:
        return cls, {**settings, **more}
    Path(store.path).mkdir(exist_ok=True)
    return cls, {**settings, **more}


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


# -------------------------------------------------------------------- who reads and who writes

SOON = 0.5  # seconds


class Thing:
    """An object of the program."""

    def __init__(self):
        self.n = 0


#: More than anybody goes through who reads the code of a page.
GUESSES = {str(number): lambda session: None for number in range(30)}
GUESSES["n"] = lambda session: session["thing"].n


class Pages(Root):
    """What a page does with its session depends on the request."""

    @expose
    def keep_thing(self):
        owner.session["thing"] = Thing()
        return "kept"

    @expose
    def guess(self, deed):
        """Nobody can tell what it does."""
        return f"{GUESSES[deed](owner.session)} {owner.session.locked}"

    @expose
    def look(self, key="n"):
        return f"{owner.session.get(key)!r} {owner.session.locked}"

    @expose
    def hold(self):
        """Take the lock by writing, and keep it until told."""
        owner.session["held"] = True
        self.entered.set()
        assert self.go.wait(20)
        return "held"

    @expose
    def grow(self):
        """Change a list that is in the session."""
        owner.session["list"].append(1)
        return str(len(owner.session["list"]))

    @expose
    def start_list(self):
        owner.session["list"] = []
        return "started"

    @expose
    def sometimes(self):
        """Read, or read, wait and write: the same page."""
        session = owner.session
        n = session.get("n", 0)
        if serving.request.headers.get("X-Write"):
            self.entered.set()
            assert self.go.wait(20)
            session["n"] = n + 1
        return f"{session.get('n')} {session.locked}"


def ask(site, path, headers, query="", **how):
    """The answer, and whether it came soon."""
    began = time.monotonic()
    answer = site(path, query, headers=headers, **how)
    assert answer.status == 200, answer.body
    return answer.text, time.monotonic() - began < SOON
