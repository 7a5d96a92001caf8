"""SQLAlchemy: sessions are the layer `model`, their driver's calls are not; engines tell of their pools.

Statements are counted by the instrument of the driver; those of drivers that have none are here.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB, clock
from . import pools
from .awaits import Wait, covered, uncover
from .databases import database
from .models import Models, layered
from .seen import SEEN

LIBRARY = "sqlalchemy"
MODELS = Models("sqlalchemy")

#: Drivers, as dialects call them, that have an instrument of their own.
DRIVERS = {
    "pysqlite": "sqlite3",
    "aiosqlite": "sqlite3",
    "psycopg": "psycopg",
    "psycopg_async": "psycopg",
    "psycopg2": "psycopg2",
    "pymysql": "pymysql",
    "mysqldb": "MySQLdb",
}
#: Those whose instrument counts connections that were opened before it was on, too.
_ALL = frozenset(("psycopg", "pymysql", "MySQLdb"))
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}


def instrument(module: Any) -> Callable[[], object]:
    """Have engines and their pools counted: of `sqlalchemy`."""
    patches = Patches()
    patches.method(module.Engine, "raw_connection", _connection)
    dialect = import_module("sqlalchemy.engine.default").DefaultDialect
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        patches.method(dialect, name, _executing("executemany" if "many" in name else "execute"))
    return patches.end


def _removal(event: Any, target: Any, name: str, listener: Any) -> Callable[[], object]:
    return lambda: event.remove(target, name, listener)


def _pool(engine: Any) -> str:
    name: str | None = engine.__dict__.get("_monitor_pool")
    if name is None:
        url = engine.url
        base = str(url.database or "").rpartition("/")[2][:60]
        words = (_system(engine.dialect), str(url.host or ""), base)
        name = engine.__dict__["_monitor_pool"] = " ".join(word for word in words if word)
        pools.known(engine, name, lambda engine: _counts(engine.pool))
    return name


def _counts(pool: Any) -> tuple[int, int]:
    return pool.checkedin(), pool.checkedout()


def _system(dialect: Any) -> str:
    return _SYSTEMS.get(dialect.name, str(dialect.name))


def _connection(plain: Any) -> Any:
    def raw_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        loop = _get_running_loop() is not None
        before = trace.layer if loop else trace.enter(DB)
        began = clock()
        try:
            return plain(self, *args, **kwargs)
        except Exception as error:
            if type(error).__name__ == "TimeoutError":
                pools.TIMEOUTS.add(1, (_pool(self),))
            raise
        finally:
            pools.WAIT.observe((clock() if loop else trace.leave(before)) - began, (_pool(self),))

    return raw_connection


# -- statements of drivers that have no instrument -------------------------------------------------


def _executing(method: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        # Not events: with listeners of its own an engine takes a slower way for all statements.
        def do_execute(self: Any, cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            if _counts_itself(self.driver, cursor):
                return plain(self, cursor, statement, *args, **kwargs)
            counted = database(_system(self), _host(cursor), LIBRARY)
            if _get_running_loop() is not None:
                token = covered.set(True)  # the driver has an instrument, perhaps
                wait = Wait(DB)
                try:
                    answer = plain(self, cursor, statement, *args, **kwargs)
                except BaseException as error:
                    counted.awaited(wait, method, statement, error)
                    raise
                finally:
                    uncover(token)
                counted.awaited(wait, method, statement)
                return answer
            shard = own.shard
            before = shard.trace.enter(DB)
            began = shard.trace.since
            try:
                answer = plain(self, cursor, statement, *args, **kwargs)
            except BaseException as error:
                counted.failed(shard, before, began, method, statement, error)
                raise
            counted.done(shard, before, began, method, statement)
            return answer

        return do_execute

    return make


def _counts_itself(driver: str, cursor: Any) -> bool:
    """Whether the driver's instrument is on, and was when the connection was opened."""
    library = DRIVERS.get(driver)
    if driver == "aiosqlite":  # its connection has one of sqlite3, in another thread
        cursor = getattr(getattr(cursor, "_connection", None), "_connection", None)
    return library in SEEN and (library in _ALL or hasattr(type(cursor), "counts_for_the_monitor"))


def _host(cursor: Any) -> str:
    """The server's address, where the driver's connection tells it."""
    return str(getattr(getattr(cursor, "connection", None), "host", "") or "")


# -- the model layer -------------------------------------------------------------------------------

#: Methods of a session and a query, and what they are.
_SESSION = {
    "get": "get",
    "get_one": "get",
    "refresh": "get",
    "merge": "get",
    "bulk_save_objects": "create",
    "bulk_insert_mappings": "create",
    "bulk_update_mappings": "update",
}
_QUERY = {"count": "count", "delete": "delete", "update": "update"}
_BY_STATEMENT = ("execute", "scalar", "scalars")


def models(module: Any) -> Callable[[], object]:
    """Have sessions counted: of `sqlalchemy.orm`."""
    patches = Patches()
    session = module.Session
    for name, operation in _SESSION.items():
        patches.method(session, name, MODELS.method(operation))
    for name in _BY_STATEMENT:
        patches.method(session, name, MODELS.method(_operation))
    # `flush` is called before each query, most often for nothing.
    flush = "_flush" if hasattr(session, "_flush") else "flush"
    patches.method(session, flush, MODELS.method("flush", always=True))
    for name in ("commit", "rollback"):
        patches.method(session, name, layered)
    for name, operation in _QUERY.items():
        patches.method(module.Query, name, MODELS.method(operation))
    _results(patches)
    event = module.events.event if hasattr(module, "events") else None
    if event is not None:
        event.listen(session, "after_flush", _flushed)
        patches.also(_removal(event, session, "after_flush", _flushed))
    return patches.end


def _results(patches: Patches) -> None:
    """Objects are made of rows when these are fetched, perhaps long after the statement has run."""
    result = import_module("sqlalchemy.engine.result").ChunkedIteratorResult
    for name in ("_fetchall_impl", "_fetchone_impl", "_fetchmany_impl"):
        patches.method(result, name, layered)
    patches.method(result, "_fetchiter_impl", _each)


def _each(plain: Any) -> Any:
    def _fetchiter_impl(self: Any) -> Any:
        return Models.each(plain(self))

    return _fetchiter_impl


def _operation(session: Any, statement: Any = None, *args: Any, **kwargs: Any) -> str:
    """What a statement is."""
    for name, operation in (
        ("is_insert", "create"),
        ("is_update", "update"),
        ("is_delete", "delete"),
    ):
        if getattr(statement, name, False):
            return operation
    return "query"


def _flushed(session: Any, context: Any) -> None:
    """Objects have been written."""
    for operation, objects in (
        ("create", session.new),
        ("update", session.dirty),
        ("delete", session.deleted),
    ):
        if objects:
            MODELS.count(operation, len(objects))
