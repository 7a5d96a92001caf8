"""Sessions in a SQLite file: for several processes on one machine, with nothing to install."""

from __future__ import annotations

import os
from typing import Any

from .sessionsql import SqlStore, table_name
from .sessionstores import SharedSession, timeout_of

__all__ = ("SqliteSession",)


class SqliteSession(SharedSession):
    """Sessions in a table of a SQLite file.

    Settings: `storage_path`, the file; `table`; `serializer`; `lock_timeout` and `store_timeout`,
    seconds.
    """

    SETTINGS = ("storage_path", "table", "store_timeout")

    storage_path: str = ""
    table: str = "cherrypy_sessions"

    @classmethod
    def _connect(cls, settings: dict[str, Any]) -> SqlStore:
        import sqlite3

        path, timeout = settings["storage_path"], timeout_of(settings["store_timeout"])
        if not path:
            raise ValueError("SQLite sessions need a file: set tools.sessions.storage_path.")
        path = os.path.abspath(path)

        def connect() -> Any:
            # Nobody else's: what it holds is who may do what.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(
                path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
            try:
                # Readers never wait for a writer; and a crash of the machine may cost the last
                # moments, never the file.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            except BaseException:
                connection.close()
                raise
            return connection

        return SqlStore(
            path,
            connect,
            (sqlite3.Error, OSError),
            table=table_name(settings["table"]),
            connections=10,
            timeout=timeout,
            now="((julianday('now') - 2440587.5) * 86400.0)",
            blob="BLOB",
            real="REAL",
            mark="?",
        )
