"""psycopg (3): its methods, of classes that are plain Python, are replaced; with and without `async`.

What an `async` call takes is the layer's of the page that waits for it, see `awaits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB, clock
from .awaits import Wait
from .calls import ended, fetched, number, opened, stepped, timed
from .databases import ROWS, Database, database

LIBRARY = "psycopg"
_NAME = "_monitor_database"  # the attribute of a connection

_STATEMENTS = ("execute", "executemany")
_FETCHES = ("fetchone", "fetchmany", "fetchall")


def instrument(module: Any) -> Callable[[], object]:
    """Have the calls of all connections counted, those that are open included."""
    patches = Patches()
    kinds = (
        (module.Cursor, _statement, _fetch),
        (module.ServerCursor, _statement, _fetch),
        (module.AsyncCursor, _async_statement, _async_fetch),
        (module.AsyncServerCursor, _async_statement, _async_fetch),
    )
    for cls, statement, fetch in kinds:
        makers = {**dict.fromkeys(_STATEMENTS, statement), **dict.fromkeys(_FETCHES, fetch)}
        for name, maker in makers.items():
            if name in vars(cls):
                patches.method(cls, name, maker(name))
    patches.method(module.ServerCursor, "__next__", _row)
    patches.method(module.Cursor, "stream", _stream)
    for name in ("commit", "rollback"):
        patches.method(module.Connection, name, _end(name))
        patches.method(module.AsyncConnection, name, _async_end(name))
    before = module.Connection.connect
    patches.method(module.Connection, "connect", _connect)
    patches.method(module.AsyncConnection, "connect", _async_connect)
    patches.bound(before, module.Connection.connect)
    return patches.end


def _database(connection: Any) -> Database:
    """What counts for a connection."""
    found = connection.__dict__.get(_NAME)
    if found is None:
        try:
            address = str(connection.info.host or "")
        except Exception:  # it is closed
            return database("postgresql", "", LIBRARY)
        found = connection.__dict__[_NAME] = database("postgresql", address, LIBRARY)
    return found  # type: ignore[no-any-return]  # of a dict of anything


def sql_of(query: Any, context: Any) -> Any:
    """The text of a statement; composed ones write themselves, values and all, which go later."""
    if type(query) is str:
        return query
    compose = getattr(query, "as_string", None)
    if compose is not None:
        try:
            return compose(context)
        except Exception:  # it is the call itself that has to say so
            return "COMPOSED"
    return query


def _statement(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def method(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            counted = _database(cursor.connection)
            return timed(counted, name, sql_of, plain, cursor, query, *args, **kwargs)

        return method

    return make


def _fetch(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def method(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            return fetched(_database(cursor.connection), name, plain, cursor, *args, **kwargs)

        return method

    return make


def _row(plain: Any) -> Any:
    def __next__(cursor: Any) -> Any:
        return stepped(plain, cursor)

    return __next__


def _stream(plain: Any) -> Any:
    def stream(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        rows = plain(cursor, query, *args, **kwargs)
        shard = own.shard
        before = shard.trace.enter(DB)
        began = shard.trace.since
        try:
            row = next(rows, _END)
        except BaseException as error:
            counted = _database(cursor.connection)
            counted.failed(shard, before, began, "stream", sql_of(query, None), error)
            raise
        _database(cursor.connection).done(shard, before, began, "stream", sql_of(query, cursor))
        try:
            while row is not _END:
                yield row
                row = stepped(next, rows, _END)
        finally:
            rows.close()

    return stream


_END = object()


def _end(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def method(connection: Any) -> Any:
            return ended(_database(connection), name, plain, connection)

        return method

    return make


def _connect(plain: Any) -> Any:
    def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return opened(_counted, plain, cls, *args, **kwargs)

    return connect


def _counted(connection: Any) -> Database:
    """What counts for a connection, or for one that could not be had."""
    return database("postgresql", "", LIBRARY) if connection is None else _database(connection)


def _async_statement(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        async def method(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            counted = _database(cursor.connection)
            wait = Wait(DB)
            try:
                answer = await plain(cursor, query, *args, **kwargs)
            except BaseException as error:
                counted.awaited(wait, name, sql_of(query, None), error)
                raise
            counted.awaited(wait, name, sql_of(query, cursor))
            return answer

        return method

    return make


def _async_fetch(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        async def method(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            counted = _database(cursor.connection)
            rows = await plain(cursor, *args, **kwargs)
            counted.called(name)
            if ROWS.on:
                counted.returned(number(name, rows))
            return rows

        return method

    return make


def _async_end(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        async def method(connection: Any) -> Any:
            _database(connection).called(name)
            return await plain(connection)

        return method

    return make


def _async_connect(plain: Any) -> Any:
    async def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            connection = await plain(cls, *args, **kwargs)
        except BaseException as error:
            database("postgresql", "", LIBRARY).refused(error)
            raise
        _database(connection).connected(clock() - began)
        return connection

    return connect
