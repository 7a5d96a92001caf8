"""Sessions in a table, through the DB-API: the same few statements for every database.

Law: every statement is atomic by itself; no transaction outlives a call.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ("NoConnection", "SqlStore", "table_name")

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}(\.[A-Za-z_][A-Za-z0-9_]{0,40})?")


def table_name(value: Any) -> str:
    """Return a name that may stand in a statement. Raises ValueError."""
    if not isinstance(value, str) or not _TABLE.fullmatch(value):
        raise ValueError(
            f"tools.sessions.table is {value!r}; letters, digits and '_', and a schema before a '.'."
        )
    return value


class NoConnection(Exception):
    """All connections are in use and none came back in time."""


class SqlStore:
    """Sessions and their locks in two tables.

    Args:
        connect: returns a new DB-API connection that commits by itself.
        now: the SQL expression of the seconds since the epoch, by the database's own clock.
        blob: the type of a column of bytes; `real` that of a number of seconds.
        mark: how a parameter is written.
    """

    def __init__(
        self,
        where: str,
        connect: Callable[[], Any],
        errors: tuple[type[BaseException], ...],
        *,
        table: str,
        connections: int,
        timeout: float,
        now: str,
        blob: str,
        real: str,
        mark: str,
    ) -> None:
        self.where = where
        self.errors = (*errors, NoConnection)
        self.ready = False
        self._open = connect
        self._timeout = timeout
        self._most = connections
        self._table, self._locks = table, f"{table}_locks"
        self._now, self._blob, self._real, self._mark = now, blob, real, mark
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._free = threading.BoundedSemaphore(self._most)
        # Connections that nobody uses; the last that came back goes out first.
        self._idle: list[Any] = []
        # Whether what comes back is kept.
        self._shut = False

    # ------------------------------------------------------------------------ connections

    def _run(self, statement: str, *values: Any) -> tuple[int, Any]:
        """Run one statement; return the number of rows it changed, and the first that it found."""
        if self._pid != os.getpid():
            # Forked: connections belong to the parent, who must not lose them.
            _kept.append(self._idle)
            self._begin()
        free = self._free
        if not free.acquire(timeout=self._timeout):
            raise NoConnection(f"all {self._most} connections are in use")
        try:
            return self._run_on_one(statement, values)
        finally:
            free.release()

    def _run_on_one(self, statement: str, values: tuple[Any, ...]) -> tuple[int, Any]:
        statement = statement.format(
            table=self._table, locks=self._locks, now=self._now, blob=self._blob, real=self._real
        ).replace("?", self._mark)
        while True:
            try:
                connection = self._idle.pop()
                used = True
            except IndexError:
                connection = self._open()
                used = False
            try:
                cursor = connection.cursor()
                try:
                    cursor.execute(statement, values)
                    row = cursor.fetchone() if cursor.description else None
                    result = cursor.rowcount, row
                finally:
                    cursor.close()
            except BaseException as error:
                lost = _closed(connection)
                self._close(connection)
                if used and lost and isinstance(error, self.errors):
                    continue  # it had died in the meantime; a new one says how things are
                raise
            self._idle.append(connection)
            if self._shut:  # while this one was out
                self.close()
            return result

    @staticmethod
    def _close(connection: Any) -> None:
        try:
            connection.close()
        except Exception:  # it is of no more use, whatever it says
            pass

    def close(self) -> None:
        """Close the connections that nobody uses; those in use are closed once they are not."""
        self._shut, self.ready = True, False
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self._close(connection)

    def ping(self) -> None:
        """Make the tables, and see that they can be written to."""
        self._shut = False
        self._run(
            "CREATE TABLE IF NOT EXISTS {table} "
            "(id VARCHAR(200) PRIMARY KEY, data {blob} NOT NULL, expires {real} NOT NULL)"
        )
        self._run(
            "CREATE TABLE IF NOT EXISTS {locks} "
            "(id VARCHAR(200) PRIMARY KEY, token VARCHAR(400) NOT NULL, until {real} NOT NULL)"
        )
        index = self._table.rpartition(".")[2] + "_expires"
        self._run(f"CREATE INDEX IF NOT EXISTS {index} ON {{table}} (expires)")
        self._run("DELETE FROM {locks} WHERE until < {now} - 3600")

    # ---------------------------------------------------------------------------- records

    def get(self, id: str) -> tuple[bytes, float] | None:
        """Return the record and until when it holds."""
        row = self._run("SELECT data, expires FROM {table} WHERE id = ?", id)[1]
        return None if row is None else (bytes(row[0]), float(row[1]))

    def put(self, id: str, raw: bytes, until: float, must_exist: bool) -> bool:
        """Keep a record."""
        if must_exist:
            update = "UPDATE {table} SET data = ?, expires = ? WHERE id = ?"
            return self._run(update, raw, until, id)[0] > 0
        self._run(
            "INSERT INTO {table} (id, data, expires) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires",
            id,
            raw,
            until,
        )
        return True

    def touch(self, id: str, until: float) -> None:
        """Have a record hold until then."""
        self._run("UPDATE {table} SET expires = ? WHERE id = ? AND expires < ?", until, id, until)

    def remove(self, id: str) -> None:
        """Remove a record."""
        self._run("DELETE FROM {table} WHERE id = ?", id)

    def count(self) -> int:
        """Return the number of records."""
        return int(self._run("SELECT count(*) FROM {table}")[1][0])

    def clean_up(self) -> None:
        """Remove what has expired, and locks of those who died."""
        self._run("DELETE FROM {table} WHERE expires <= ?", time.time())
        self._run("DELETE FROM {locks} WHERE until < {now}")

    # ------------------------------------------------------------------------------ locks

    def take(self, name: str, token: str, seconds: float) -> bool:
        """Take a lock, if nobody has it."""
        done = self._run(
            "INSERT INTO {locks} AS held (id, token, until) VALUES (?, ?, {now} + ?) "
            "ON CONFLICT (id) DO UPDATE SET token = excluded.token, until = excluded.until "
            "WHERE held.until < {now} OR held.token = excluded.token",
            name,
            token,
            seconds,
        )
        return done[0] > 0

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Keep a lock for longer."""
        update = "UPDATE {locks} SET until = {now} + ? WHERE id = ? AND token = ?"
        return self._run(update, seconds, name, token)[0] > 0

    def drop(self, name: str, token: str) -> None:
        """Give a lock back."""
        self._run("DELETE FROM {locks} WHERE id = ? AND token = ?", name, token)

    def holder(self, name: str) -> str | None:
        """Return the token of a lock."""
        row = self._run("SELECT token FROM {locks} WHERE id = ?", name)[1]
        if row is None:
            return None
        # Bytes come from a PostgreSQL that knows no encoding.
        return row[0].decode("utf-8", "replace") if isinstance(row[0], bytes) else str(row[0])


#: What a parent process had open: never closed here, as that would speak to its servers.
_kept: list[list[Any]] = []


def _closed(connection: Any) -> bool:
    return bool(getattr(connection, "closed", False))
