"""psycopg2: connections and cursors of C are made of subclasses that count, for each server its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from .calls import ended, ending, fetched, opened, stepped, timed
from .databases import Database, database
from .psycopg import sql_of
from .subclasses import Subclasses

LIBRARY = "psycopg2"


def instrument(module: Any) -> Callable[[], object]:
    """Have the connections that are opened from now on counted."""
    patches = Patches()
    extensions = module.extensions
    plain, standard = module.connect, extensions.connection
    made: dict[Database, Subclasses] = {}  # bounded, as `database` is

    def connect(
        dsn: Any = None, connection_factory: Any = None, cursor_factory: Any = None, **kwargs: Any
    ) -> Any:
        counted = database("postgresql", _address(extensions, dsn, kwargs), LIBRARY)
        connections = made.get(counted)
        if connections is None:
            connections = made[counted] = _connections(extensions, counted)
        factory = connections.of(connection_factory or standard)
        return opened(lambda connection: counted, plain, dsn, factory, cursor_factory, **kwargs)

    patches.function(plain, connect)
    return patches.end


def _address(extensions: Any, dsn: Any, kwargs: dict[str, Any]) -> str:
    """The server that a connection is for."""
    words = {name: value for name, value in kwargs.items() if name not in ("async", "async_")}
    try:
        said = extensions.parse_dsn(extensions.make_dsn(dsn, **words))
    except Exception:  # it is the call itself that has to say so
        return ""
    return str(said.get("host") or said.get("hostaddr") or os.environ.get("PGHOST", ""))


def _connections(extensions: Any, counted: Database) -> Subclasses:
    cursors = Subclasses(extensions.cursor, _cursor(extensions.cursor, counted))
    named = Subclasses(extensions.cursor, _named_cursor(cursors.counted, counted))
    plain = extensions.connection
    return Subclasses(plain, _connection(plain, counted, cursors, named))


def _cursor(plain: Any, counted: Database) -> Any:
    class Cursor(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def execute(self, query: Any, vars: Any = None) -> Any:
            return timed(counted, "execute", sql_of, plain.execute, self, query, vars)

        def executemany(self, query: Any, vars_list: Any) -> Any:
            return timed(counted, "executemany", sql_of, plain.executemany, self, query, vars_list)

        def callproc(self, procname: Any, *args: Any) -> Any:
            return timed(counted, "callproc", _procedure, plain.callproc, self, procname, *args)

        def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
            return timed(counted, "copy", sql_of, plain.copy_expert, self, sql, *args, **kwargs)

        def fetchone(self) -> Any:
            return fetched(counted, "fetchone", plain.fetchone, self)

        def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
            return fetched(counted, "fetchmany", plain.fetchmany, self, *args, **kwargs)

        def fetchall(self) -> Any:
            return fetched(counted, "fetchall", plain.fetchall, self)

    return Cursor


def _named_cursor(plain: Any, counted: Database) -> Any:
    """Cursors of the server: each so many rows are another exchange with it."""

    class Cursor(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def __next__(self) -> Any:
            return stepped(super().__next__)

    return Cursor


def _connection(plain: Any, counted: Database, cursors: Subclasses, named: Subclasses) -> Any:
    class Connection(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def cursor(
            self, name: Any = None, cursor_factory: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            factory = cursor_factory or self.cursor_factory or cursors.plain
            counting = cursors if name is None else named
            return plain.cursor(self, name, counting.of(factory), *args, **kwargs)

        def commit(self) -> Any:
            return ended(counted, "commit", plain.commit, self)

        def rollback(self) -> Any:
            return ended(counted, "rollback", plain.rollback, self)

        def __exit__(self, *args: Any) -> Any:
            return ended(counted, ending(args), plain.__exit__, self, *args)

    return Connection


def _procedure(name: Any, cursor: Any) -> str:
    """What a call of a procedure says."""
    return f"CALL {name}"
