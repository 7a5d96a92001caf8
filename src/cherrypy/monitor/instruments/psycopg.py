"""psycopg (3): its methods, of classes that are plain Python, are replaced; with and without `async`.

What an `async` call takes is the layer's of the page that waits for it, see `awaits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..shards import own
from ..traces import DB, clock
from .awaits import Wait
from .databases import ROWS, Database, database
from .patches import Patches

LIBRARY = "psycopg"
_NAME = "_monitor_database"  # the attribute of a connection

_FETCHES = ("fetchone", "fetchmany", "fetchall")


def instrument(module: Any) -> Callable[[], object]:
    """Have the calls of all connections counted, those that are open included."""
    patches = Patches()
    for cls in (module.Cursor, module.ServerCursor):
        for name in ("execute", "executemany"):
            if name in vars(cls):
                patches.method(cls, name, _statement(name))
        for name in _FETCHES:
            if name in vars(cls):
                patches.method(cls, name, _fetch(name))
    patches.method(module.ServerCursor, "__next__", _row)
    patches.method(module.Cursor, "stream", _stream)
    for name in ("commit", "rollback"):
        patches.method(module.Connection, name, _end(name))
        patches.method(module.AsyncConnection, name, _async_end(name))
    for cls in (module.AsyncCursor, module.AsyncServerCursor):
        for name in ("execute", "executemany"):
            if name in vars(cls):
                patches.method(cls, name, _async_statement(name))
        for name in _FETCHES:
            if name in vars(cls):
                patches.method(cls, name, _async_fetch(name))
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
            shard = own.shard
            trace = shard.trace
            if trace.layer == DB:
                return plain(cursor, query, *args, **kwargs)
            counted = _database(cursor.connection)
            before = trace.enter(DB)
            began = trace.since
            try:
                answer = plain(cursor, query, *args, **kwargs)
            except BaseException as error:
                counted.failed(shard, before, began, name, sql_of(query, None), error)
                raise
            counted.done(shard, before, began, name, sql_of(query, cursor))
            return answer

        return method

    return make


def _fetch(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def method(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            shard = own.shard
            trace = shard.trace
            if trace.layer == DB:
                return plain(cursor, *args, **kwargs)
            counted = _database(cursor.connection)
            before = trace.enter(DB)
            try:
                rows = plain(cursor, *args, **kwargs)
            finally:
                counted.quick(shard, before, name)
            if ROWS.on:
                counted.returned(_number(name, rows))
            return rows

        return method

    return make


def _number(name: str, rows: Any) -> int:
    if name == "fetchone":
        return int(rows is not None)
    return len(rows)


def _row(plain: Any) -> Any:
    def __next__(cursor: Any) -> Any:
        trace = own.trace
        if trace.layer == DB:
            return plain(cursor)
        before = trace.enter(DB)
        try:
            return plain(cursor)
        finally:
            trace.leave(before)

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
                row = _next(rows)
        finally:
            rows.close()

    return stream


_END = object()


def _next(rows: Any) -> Any:
    trace = own.trace
    before = trace.enter(DB)
    try:
        return next(rows, _END)
    finally:
        trace.leave(before)


def _end(name: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def method(connection: Any) -> Any:
            shard = own.shard
            trace = shard.trace
            if trace.layer == DB:
                return plain(connection)
            counted = _database(connection)
            before = trace.enter(DB)
            began = trace.since
            try:
                return plain(connection)
            finally:
                counted.ended(shard, before, began, name)

        return method

    return make


def _connect(plain: Any) -> Any:
    def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        before = trace.enter(DB)
        began = trace.since
        try:
            connection = plain(cls, *args, **kwargs)
        except BaseException as error:
            trace.leave(before)
            counted = database("postgresql", "", LIBRARY)
            counted.step(trace, "connect", began)
            counted.refused(error)
            raise
        counted = _database(connection)
        counted.connected(trace.leave(before) - began)
        counted.step(trace, "connect", began)
        return connection

    return connect


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
                counted.returned(_number(name, rows))
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
