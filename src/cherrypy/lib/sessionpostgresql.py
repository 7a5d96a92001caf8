"""Sessions in PostgreSQL: beside the data of the application, for any number of machines."""

from __future__ import annotations

import math
import selectors
import time
from typing import Any

from .sessionsql import SqlStore, table_name
from .sessionstores import SharedSession, timeout_of

__all__ = ("PostgresqlSession",)


def _connection_class(timeout: float) -> Any:
    """Return psycopg's connection, with a limit for each answer, which it has none of its own."""
    import psycopg
    from psycopg.waiting import Ready

    class Connection(psycopg.Connection):
        def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
            deadline = time.monotonic() + timeout
            with selectors.DefaultSelector() as selector:
                try:
                    wanted = next(gen)
                    selector.register(self.fileno(), wanted)
                    while True:
                        left = deadline - time.monotonic()
                        events = selector.select(max(0.0, left))
                        if not events:
                            self.pgconn.finish()
                            raise psycopg.OperationalError(f"no answer within {timeout} seconds")
                        wanted = gen.send(Ready(events[0][1]))
                        selector.modify(self.fileno(), wanted)
                except StopIteration as done:
                    return done.value

    return Connection


class PostgresqlSession(SharedSession):
    """Sessions in a table of PostgreSQL.

    Settings: `url`, as libpq takes it, ``postgresql://...`` or ``host=... dbname=...``; `table`;
    `connections`, the most that this process keeps open; `serializer`; `lock_timeout` and
    `store_timeout`, seconds.
    """

    SETTINGS = ("url", "table", "connections", "store_timeout")

    url: str = "postgresql:///"
    table: str = "cherrypy_sessions"
    connections: int = 10

    @classmethod
    def _connect(cls, settings: dict[str, Any]) -> SqlStore:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        timeout = timeout_of(settings["store_timeout"])
        kind = _connection_class(timeout)
        url = settings["url"]

        def connect() -> Any:
            return kind.connect(
                url,
                autocommit=True,
                connect_timeout=max(2, math.ceil(timeout)),
                prepare_threshold=None,
            )

        known = conninfo_to_dict(url)
        at = f"{known.get('host', 'localhost')}:{known.get('port', 5432)}"
        return SqlStore(
            f"PostgreSQL at {at}",  # the URL may hold a password
            connect,
            (psycopg.Error, OSError),
            table=table_name(settings["table"]),
            connections=int(settings["connections"]),
            timeout=timeout,
            now="extract(epoch from clock_timestamp())::float8",
            blob="BYTEA",
            real="FLOAT8",
            mark="%s",
        )
