"""psycopg2: connections and cursors of C are made of subclasses that count, for each server its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..shards import own
from ..traces import DB
from .databases import ROWS, Database, database
from .patches import Patches
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
        trace = own.trace
        before = trace.enter(DB)
        began = trace.since
        try:
            connection = plain(dsn, factory, cursor_factory, **kwargs)
        except BaseException as error:
            trace.leave(before)
            counted.step(trace, "connect", began)
            counted.refused(error)
            raise
        counted.connected(trace.leave(before) - began)
        counted.step(trace, "connect", began)
        return connection

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
            return _timed(counted, "execute", plain.execute, self, query, vars)

        def executemany(self, query: Any, vars_list: Any) -> Any:
            return _timed(counted, "executemany", plain.executemany, self, query, vars_list)

        def callproc(self, procname: Any, *args: Any) -> Any:
            return _timed(counted, "callproc", plain.callproc, self, procname, *args)

        def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
            return _timed(counted, "copy", plain.copy_expert, self, sql, *args, **kwargs)

        def fetchone(self) -> Any:
            return _fetched(counted, "fetchone", plain.fetchone, self)

        def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
            return _fetched(counted, "fetchmany", plain.fetchmany, self, *args, **kwargs)

        def fetchall(self) -> Any:
            return _fetched(counted, "fetchall", plain.fetchall, self)

    return Cursor


def _named_cursor(plain: Any, counted: Database) -> Any:
    """Cursors of the server: each so many rows are another exchange with it."""

    class Cursor(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def __next__(self) -> Any:
            trace = own.trace
            if trace.layer == DB:
                return super().__next__()
            before = trace.enter(DB)
            try:
                return super().__next__()
            finally:
                trace.leave(before)

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
            return _ended(counted, "commit", plain.commit, self)

        def rollback(self) -> Any:
            return _ended(counted, "rollback", plain.rollback, self)

        def __exit__(self, *args: Any) -> Any:
            method = "commit" if args and args[0] is None else "rollback"
            return _ended(counted, method, plain.__exit__, self, *args)

    return Connection


def _timed(
    counted: Database, method: str, plain: Any, cursor: Any, query: Any, *args: Any, **kwargs: Any
) -> Any:
    """Call what takes a statement."""
    shard = own.shard
    trace = shard.trace
    if trace.layer == DB:
        return plain(cursor, query, *args, **kwargs)
    before = trace.enter(DB)
    began = trace.since
    try:
        answer = plain(cursor, query, *args, **kwargs)
    except BaseException as error:
        counted.failed(shard, before, began, method, _sql(method, query, cursor), error)
        raise
    counted.done(shard, before, began, method, _sql(method, query, cursor))
    return answer


def _sql(method: str, query: Any, cursor: Any) -> Any:
    return f"CALL {query}" if method == "callproc" else sql_of(query, cursor)


def _fetched(counted: Database, method: str, plain: Any, cursor: Any, *args: Any, **kw: Any) -> Any:
    """Call what returns rows."""
    shard = own.shard
    trace = shard.trace
    if trace.layer == DB:
        return plain(cursor, *args, **kw)
    before = trace.enter(DB)
    try:
        rows = plain(cursor, *args, **kw)
    finally:
        counted.quick(shard, before, method)
    if ROWS.on:
        counted.returned(len(rows) if method != "fetchone" else int(rows is not None))
    return rows


def _ended(counted: Database, method: str, plain: Any, connection: Any, *args: Any) -> Any:
    """Call what ends a transaction."""
    shard = own.shard
    trace = shard.trace
    if trace.layer == DB:
        return plain(connection, *args)
    before = trace.enter(DB)
    began = trace.since
    try:
        return plain(connection, *args)
    finally:
        counted.ended(shard, before, began, method)
