"""The store: the file in which the history outlives the process.

Law: one thread writes, once a second, and nobody waits for it. What cannot be written stays in
memory until it can; nothing that is wrong with the file or the disk ends anything.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .frames import Frame, Names, Packed, key_of, pack
from .keeping import Keeping
from .levels import SECOND, Level
from .locks import InUse, Lock
from .marks import MOST, Mark
from .schema import Damaged, Foreign, open_file

#: Seconds until writing is tried again after it has failed.
PAUSE = 10.0

#: Files that are set aside in the life of a process.
ASIDES = 3

#: The least that a store may be given.
LEAST = 1024 * 1024


class Store:
    """One file.

    path
        Where it is.
    most_bytes
        How much it may take, with the log beside it.
    say
        Told in a sentence what is wrong, and that it is well again: `say(text, level of logging)`.
    """

    def __init__(
        self,
        path: str | Path,
        most_bytes: float = 256 * 1024 * 1024,
        say: Callable[[str, int], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path).absolute()
        self.most_bytes = max(LEAST, int(most_bytes))
        self.say = say or (lambda text, level: None)
        self.clock = clock
        self.meta: dict[str, str] = {}
        self._put: dict[str, str] = {}
        self._closed = False
        self._mutex = threading.RLock()  # guards: one thread at a time uses the connection
        self._connection: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._pid = os.getpid()
        self._asides = 0
        self._failing = ""
        self._retry = 0.0
        self._bad = ""  # what a reader has found
        self._inode = (0, 0)
        self._newest: dict[float, int] = {}
        self._first: list[int] = []
        self.keeping = Keeping(self)

    # -- life --------------------------------------------------------------------------------------

    def load(self, history: Any) -> None:
        """Open the file, and give the history what it needs of it; if that fails, later.

        Raises Foreign.
        """
        with self._mutex:
            try:
                self._begin(history)
            except Foreign:
                self._closed = True
                if self._lock is not None:
                    self._lock.release()
                raise
            except (sqlite3.Error, OSError) as error:
                self._failed(error)

    def _begin(self, history: Any) -> None:
        """Open the file, or a new one in its place if it is damaged, and read what is in it.

        Raises InUse, Foreign, OSError, or what SQLite says.
        """
        if self._lock is None:
            self.path.parent.stat()  # a clear error, where the folder is missing
            self._lock = Lock(self.path)
        try:
            self._connection = open_file(self.path, self.most_bytes)
            self._read(history)
        except Damaged as error:
            self._aside(str(error))
            self._connection = open_file(self.path, self.most_bytes)
            self._again(history)
        except sqlite3.OperationalError:
            self._drop()
            raise
        except sqlite3.DatabaseError as error:
            self._drop()
            self._aside(str(error))
            self._connection = open_file(self.path, self.most_bytes)
            self._again(history)
        stat = self.path.stat()
        self._inode = (stat.st_dev, stat.st_ino)
        self._bad = ""
        for key, value in self._put.items():
            self.put(key, value)

    def _aside(self, why: str) -> None:
        """Put the file where nobody uses it. Raises OSError when that happens too often."""
        self._drop()
        if self._asides >= ASIDES:
            raise OSError(f"{self.path} was damaged {ASIDES} times; the disk may be")
        self._asides += 1
        aside = Path(f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{self._asides}")
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.replace(f"{aside}{suffix}")
        self.say(
            f"The monitor's history {self.path} cannot be read ({why}). It was set aside as "
            f"{aside.name}, and begins anew.",
            40,
        )

    def _drop(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error:
                pass
            self._connection = None

    def _again(self, history: Any) -> None:
        """All that is in memory is new to the file."""
        self._newest = {}
        self._first = []
        for level in history.levels:
            level.fresh = dict.fromkeys(level.rows)
        history.names.all_fresh()

    def close(self) -> None:
        """End well."""
        with self._mutex:
            mine, self._closed = self._mine(), True
            if not mine:
                return
            if self._connection is not None:
                try:
                    self._connection.execute("DELETE FROM meta WHERE key = 'running'")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                except sqlite3.Error:
                    pass
                self._drop()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _mine(self) -> bool:
        """Whether this is the process that has opened the file; a child of it leaves it alone."""
        return not self._closed and os.getpid() == self._pid

    @property
    def opened(self) -> bool:
        """Whether there is a file: it could be opened, and its lock be had."""
        return self._connection is not None

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, history: Any) -> None:
        connection = self._connection
        assert connection is not None
        for number, name, labels in connection.execute("SELECT id, metric, labels FROM names"):
            try:
                key = key_of(name, json.loads(labels))
            except (ValueError, TypeError):
                continue
            if key is not None:
                history.names.learn(number, key)
        for (number,) in connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'names'"):
            history.names.above(number)
        marks = connection.execute("SELECT at, kind, text FROM marks ORDER BY rowid").fetchall()
        history.remember([Mark(*mark) for mark in marks[-MOST:]])
        self.meta = dict(connection.execute("SELECT key, value FROM meta"))
        self._mend(history)
        for step, tick, first in connection.execute(
            "SELECT step, max(tick), min(tick) FROM frames GROUP BY step"
        ):
            self._newest[float(step)] = tick
            self._first.append(first)
        ring = history.levels[0]
        for tick, data in connection.execute(
            "SELECT tick, data FROM frames WHERE step = ? ORDER BY rowid", (ring.step,)
        ):
            ring.put(tick, data)
        ring.fresh.clear()

    def _mend(self, history: Any) -> None:
        """Make what a process that was killed had not made yet: its last frame of each level."""
        connection = self._connection
        assert connection is not None
        last = connection.execute(
            "SELECT tick FROM frames WHERE step = ? ORDER BY rowid DESC LIMIT 1", (SECOND,)
        ).fetchone()
        if last is None:
            return
        for finer, level in zip(history.levels, history.levels[1:], strict=False):
            tick = level.tick(last[0])
            whole = Frame(tick)
            for (data,) in connection.execute(
                "SELECT data FROM frames WHERE step = ? AND tick >= ? AND tick < ?",
                (finer.step, tick, tick + level.step),
            ):
                _add(whole, data, history.names)
            known = Frame(tick)
            _add(known, self.row(level.step, tick, known=False), history.names)
            if known.seconds < whole.seconds:
                connection.execute(
                    "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)",
                    (level.step, tick, pack(whole, history.names)),
                )

    def row(self, step: float, tick: int, *, known: bool = True) -> bytes | None:
        """The frame that begins at `tick`: for the thread that writes."""
        if known and tick > self._newest.get(step, -1):
            return None
        with self._mutex:
            if self._connection is None or not self._mine():
                return None
            try:
                found = self._connection.execute(
                    "SELECT data FROM frames WHERE step = ? AND tick = ?", (step, tick)
                ).fetchone()
            except sqlite3.Error as error:
                self._found(error)
                return None
            return bytes(found[0]) if found else None

    def rows(self, step: float, start: float, end: float) -> list[tuple[int, bytes]]:
        """The frames of a level that begin from `start` to `end`: for any thread."""
        if not self.opened:
            return []
        try:
            reader = sqlite3.connect(
                f"{self.path.as_uri()}?mode=ro", uri=True, timeout=1.0, isolation_level=None
            )
            try:
                return reader.execute(
                    "SELECT tick, data FROM frames WHERE step = ? AND tick >= ? AND tick < ?",
                    (step, start, end),
                ).fetchall()
            finally:
                reader.close()
        except sqlite3.Error as error:
            self._found(error)
            return []

    def _found(self, error: sqlite3.Error) -> None:
        if not isinstance(error, sqlite3.OperationalError):
            self._bad = str(error)

    def newest(self) -> int:
        """When the newest frame begins; 0 if there is none."""
        return max(self._newest.values(), default=0)

    def began(self, first: list[int]) -> None:
        """Know when each level begins."""
        self._first = first

    def first(self) -> list[int]:
        """When each level begins, as of the last look."""
        return list(self._first)

    def bytes(self) -> int:
        """What the file and the log beside it take."""
        size = 0
        for suffix in ("", "-wal", "-shm"):
            try:
                size += os.stat(f"{self.path}{suffix}").st_size
            except OSError:
                continue
        return size

    # -- writing: the monitor's thread -------------------------------------------------------------

    def write(self, history: Any, *, last: bool = False) -> None:
        """Write what is new; when that fails it stays new, and waits for a while but the last time."""
        with self._mutex:
            if not self._mine() or (self._failing and self.clock() < self._retry and not last):
                return
            try:
                if self._bad:
                    raise sqlite3.DatabaseError(self._bad)
                if self._connection is None or self._gone():
                    self._reopen(history)
                connection = self._connection
                assert connection is not None
                self.keeping.sweep(connection, history)
                self._write(history)
            except (Damaged, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.OperationalError):
                    self._failed(error)
                else:
                    self._replace(history, error)
            except (Foreign, OSError, sqlite3.Error) as error:
                self._failed(error)
            else:
                self._well()

    def _gone(self) -> bool:
        """Whether somebody has taken the file away, or put another one in its place."""
        try:
            stat = self.path.stat()
        except OSError:
            return True
        return self._inode != (stat.st_dev, stat.st_ino)

    def _reopen(self, history: Any) -> None:
        if self._connection is not None:
            self._drop()
            self.say(f"The monitor's history {self.path} was taken away, and begins anew.", 40)
        history.renumber(lambda: self._begin(history))

    def _replace(self, history: Any, error: Exception) -> None:
        try:
            self._aside(str(error))
            self._begin(history)
            self._again(history)
            self._write(history)
        except (Damaged, Foreign, OSError, sqlite3.Error) as worse:
            self._failed(worse)

    def _write(self, history: Any) -> None:
        connection = self._connection
        assert connection is not None
        names = dict(history.names.fresh)
        marks = history.fresh_marks()
        connection.execute("BEGIN IMMEDIATE")
        try:
            if names:
                connection.executemany(
                    "INSERT OR REPLACE INTO names VALUES (?, ?, ?)",
                    [
                        (number, metric.name, json.dumps(labels, default=str))
                        for number, (metric, labels) in names.items()
                    ],
                )
            for level in history.levels:
                connection.executemany(
                    "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)",
                    [(level.step, tick, level.rows[tick]) for tick in level.fresh],
                )
            if marks:
                connection.executemany("INSERT INTO marks VALUES (?, ?, ?)", marks)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._written(history, names, marks)

    def _written(self, history: Any, names: dict[int, Any], marks: list[Mark]) -> None:
        for number in names:
            history.names.fresh.pop(number, None)
        history.written_marks(len(marks))
        level: Level
        for level in history.levels:
            if level.fresh:
                self._newest[level.step] = max(self._newest.get(level.step, -1), *level.fresh)
                level.fresh.clear()

    def put(self, key: str, value: str) -> None:
        """Keep a fact: what version ran."""
        with self._mutex:
            self.meta[key] = self._put[key] = value
            if self._connection is not None and self._mine():
                try:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value)
                    )
                except sqlite3.Error as error:
                    self._found(error)

    def _failed(self, error: Exception) -> None:
        """Nothing can be written now: say so once, and try again in a while."""
        self._retry = self.clock() + PAUSE
        if not self._failing:
            self.say(
                f"The monitor's history cannot be written to {self.path} ({error}). It goes on in "
                "memory, and is written when that is possible again.",
                40,
            )
        self._failing = str(error) or repr(error)

    def _well(self) -> None:
        if self._failing:
            self._failing = ""
            self.say(f"The monitor's history is written to {self.path} again.", 20)


def _add(frame: Frame, data: bytes | None, names: Names) -> None:
    """Add what was packed, unless it cannot be read."""
    if data is not None:
        try:
            frame.add(Packed(data).frame(names))
        except ValueError:
            return


__all__ = ("Foreign", "InUse", "Store")
