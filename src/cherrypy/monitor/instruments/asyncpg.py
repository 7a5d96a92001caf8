"""asyncpg: its methods, of classes that are plain Python, are replaced.

What a call takes is the layer's of the page that waits for it, see `awaits`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ..patches import Patches
from ..traces import DB, clock
from . import pools
from .awaits import Wait, covered, uncover
from .databases import ROWS, Database, database
from .guard import failed

LIBRARY = "asyncpg"

#: Methods that run a statement and return what it has given, as the interface of drivers calls them.
_RUNS = {
    "execute": "execute",
    "fetch": "execute",
    "fetchval": "execute",
    "fetchrow": "execute",
    "fetchmany": "executemany",
    "executemany": "executemany",
}


def instrument(module: Any) -> Callable[[], object]:
    """Have the calls of all connections counted, those that are open included."""
    patches = Patches()
    connection = module.Connection
    prepared = import_module("asyncpg.prepared_stmt").PreparedStatement
    cursor = import_module("asyncpg.cursor").BaseCursor
    for name, method in _RUNS.items():
        patches.method(connection, name, _statement(method, _given))
        patches.method(prepared, name, _statement(method, _query))
    for name in ("copy_from_table", "copy_to_table", "copy_records_to_table"):
        patches.method(connection, name, _statement("copy", _table))
    patches.method(connection, "copy_from_query", _statement("copy", _asked))
    for name in ("_bind", "_bind_exec"):  # a cursor begins
        patches.method(cursor, name, _statement("execute", _query))
    patches.method(cursor, "_exec", _fetch)
    patches.method(connection, "reset", _quiet)
    connect = import_module("asyncpg.connection").connect
    patches.function(connect, _connect(connect))
    patches.method(module.Pool, "_acquire", _acquire)
    return patches.end


def _given(connection: Any, query: Any = "", *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return connection, query


def _asked(connection: Any, query: Any = "", *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return connection, f"COPY ({query}) TO STDOUT"


def _table(connection: Any, table_name: Any = "", *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return connection, f"COPY {table_name}"


def _query(owner: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The connection and the statement of a cursor, or of one that is prepared."""
    return owner._connection, owner._query


def _database(connection: Any) -> Database:
    """What counts for a connection."""
    address = getattr(connection, "_addr", None)  # of host and port, or a path
    where = address[0] if isinstance(address, tuple) else str(address or "")
    return database("postgresql", str(where).partition("/.s.PGSQL.")[0], LIBRARY)


def _end(method: str, query: Any) -> str:
    """The end of a transaction that a statement is, or ''."""
    words = query[:20].upper().split() if method == "execute" and isinstance(query, str) else []
    word = words[0].rstrip(";") if words else ""
    ends = word == "COMMIT" or (word == "ROLLBACK" and words[1:2] != ["TO"])
    return word.lower() if ends else ""


def _statement(method: str, told: Callable[..., tuple[Any, Any]]) -> Callable[[Any], Any]:
    """Return what makes a method that runs a statement.

    told
        Returns the connection and the statement of the method's arguments.
    """

    def make(plain: Any) -> Any:
        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            if covered.get():
                return await plain(self, *args, **kwargs)
            try:
                connection, query = told(self, *args, **kwargs)
                counted = _database(connection)
                end = _end(method, query)
            except Exception as error:
                failed(LIBRARY, error)
                return await plain(self, *args, **kwargs)
            if end:
                counted.called(end)
                return await plain(self, *args, **kwargs)
            wait = Wait(DB)
            try:
                answer = await plain(self, *args, **kwargs)
            except BaseException as error:
                counted.awaited(wait, method, query, error)
                raise
            counted.awaited(wait, method, query)
            if ROWS.on and isinstance(answer, list):
                counted.returned(len(answer))
            return answer

        return run

    return make


def _fetch(plain: Any) -> Any:
    async def _exec(self: Any, *args: Any, **kwargs: Any) -> Any:
        rows = await plain(self, *args, **kwargs)
        if not covered.get():
            counted = _database(self._connection)
            counted.called("fetchmany")
            if ROWS.on and isinstance(rows, list):
                counted.returned(len(rows))
        return rows

    return _exec


def _quiet(plain: Any) -> Any:
    """What a connection asks when it goes back to its pool is none of the program's statements."""

    async def reset(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = covered.set(True)
        try:
            return await plain(self, *args, **kwargs)
        finally:
            uncover(token)

    return reset


def _connect(plain: Any) -> Any:
    async def connect(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            connection = await plain(*args, **kwargs)
        except BaseException as error:
            database("postgresql", "", LIBRARY).refused(error)
            raise
        _database(connection).connected(clock() - began)
        return connection

    return connect


def _acquire(plain: Any) -> Any:
    """Have the waits for a connection of a pool counted."""

    async def _acquire(self: Any, *args: Any, **kwargs: Any) -> Any:
        name = _pool(self)
        began = clock()
        try:
            return await plain(self, *args, **kwargs)
        except Exception as error:
            if type(error).__name__ == "TimeoutError":
                pools.TIMEOUTS.add(1, (name,))
            raise
        finally:
            pools.WAIT.observe(clock() - began, (name,))

    return _acquire


def _pool(pool: Any) -> str:
    """The name of a pool: its server's."""
    name = "postgresql"
    try:
        args = getattr(pool, "_connect_args", None) or ()
        host = (getattr(pool, "_connect_kwargs", None) or {}).get("host")
        if not host and args and isinstance(args[0], str):
            host = urlsplit(args[0]).hostname
        name = f"postgresql {host}"[:100] if host else name
        for holder in getattr(
            pool, "_holders", ()
        ):  # of a connection each; the pool has no weak ones
            if pools.is_known(holder):
                break
            pools.known(holder, name, _counts)
    except TypeError:  # nor have they, in this version
        return name
    except Exception as error:
        failed(LIBRARY, error)
    return name


def _counts(holder: Any) -> tuple[int, int]:
    if not holder.is_connected():
        return 0, 0
    return (1, 0) if holder.is_idle() else (0, 1)
