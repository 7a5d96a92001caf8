"""sqlite3: connections and cursors are made of subclasses that count.

A program's own classes (`factory=`) come first in the order of methods, ours below them, the
library's last: whatever theirs override or call of `super()`, each statement passes ours once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB, clock
from .calls import ended, ending, fetched, opened, timed
from .databases import ROWS, Database, database
from .subclasses import Subclasses

LIBRARY = "sqlite3"
HOUSE = __name__.partition(".instruments")[0]  # the monitor's own history is not the program's


def instrument(module: Any) -> Callable[[], object]:
    """Have the connections that are opened from now on counted."""
    patches = Patches()
    connections, _ = classes(module, database("sqlite", "", LIBRARY))
    plain, standard = module.connect, module.Connection
    counted = database("sqlite", "", LIBRARY)

    def connect(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__")
        if isinstance(caller, str) and caller.startswith(HOUSE):
            return plain(*args, **kwargs)
        if len(args) > 5:
            args = (*args[:5], connections.of(args[5]), *args[6:])
        else:
            kwargs["factory"] = connections.of(kwargs.get("factory", standard))
        return opened(lambda connection: counted, plain, *args, **kwargs)

    patches.function(plain, connect)
    return patches.end


def classes(module: Any, counted: Database) -> tuple[Subclasses, Subclasses]:
    """Return what makes subclasses of connections and of cursors."""
    cursors = Subclasses(module.Cursor, _cursor(module.Cursor, counted))
    return Subclasses(module.Connection, _connection(module.Connection, counted, cursors)), cursors


def _cursor(plain: Any, counted: Database) -> Any:
    done, failed, quick = counted.done, counted.failed, counted.quick
    execute_, executemany_, script_ = plain.execute, plain.executemany, plain.executescript
    one_, many_, all_, next_ = plain.fetchone, plain.fetchmany, plain.fetchall, plain.__next__

    class Cursor(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def execute(self, *args: Any) -> Any:
            shard = own.shard
            trace = shard.trace
            if trace.layer == DB or not args:
                return execute_(self, *args)
            # What `Trace.enter` does, without a call.
            before, seconds = trace.layer, trace.seconds
            trace.layer = DB
            trace.more = True
            began = clock()
            seconds[before] += began - trace.since
            trace.since = began
            try:
                answer = execute_(self, *args)
            except BaseException as error:
                failed(shard, before, began, "execute", args[0], error)
                raise
            done(shard, before, began, "execute", args[0])
            return answer

        def executemany(self, *args: Any) -> Any:
            return _timed(counted, "executemany", executemany_, self, *args)

        def executescript(self, *args: Any) -> Any:
            return _timed(counted, "executescript", script_, self, *args)

        def fetchone(self) -> Any:
            shard = own.shard
            trace = shard.trace
            if trace.layer == DB:
                return one_(self)
            before = trace.enter(DB)
            try:
                row = one_(self)
            finally:
                quick(shard, before, "fetchone")
            if row is not None and ROWS.on:
                counted.returned(1)
            return row

        def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
            return fetched(counted, "fetchmany", many_, self, *args, **kwargs)

        def fetchall(self) -> Any:
            return fetched(counted, "fetchall", all_, self)

        def __next__(self) -> Any:
            # A row at a time, perhaps a million: the time is moved, and nothing else is done.
            began = clock()
            try:
                return next_(self)
            finally:
                took = clock() - began
                trace = own.trace
                seconds = trace.seconds
                seconds[trace.layer] -= took
                seconds[DB] += took
                trace.more = True

    return Cursor


def _runs_its_cursor(plain: Any) -> bool:
    """Whether `Connection.execute` calls the method `cursor` for a cursor, as it did in Python 3.10."""
    called = []

    class Probe(plain):  # type: ignore[misc]  # of a class that is passed
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            called.append(True)
            return super().cursor(*args, **kwargs)

    connection = Probe(":memory:")
    connection.execute("SELECT 1")
    connection.close()
    return bool(called)


def _connection(plain: Any, counted: Database, cursors: Subclasses) -> Any:
    cls: Any = _connection_alone(plain, counted, cursors)
    if _runs_its_cursor(plain):
        return cls  # that cursor counts
    done, failed, cursor_ = counted.done, counted.failed, plain.cursor
    standard, own_cursor = cursors.plain, cursors.counted
    execute_ = standard.execute

    class Connection(cls):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def execute(self, *args: Any) -> Any:
            shard = own.shard
            trace = shard.trace
            cursor = cursor_(self, own_cursor)
            if trace.layer == DB or not args:
                return execute_(cursor, *args)
            # What `Trace.enter` does, without a call.
            before, seconds = trace.layer, trace.seconds
            trace.layer = DB
            trace.more = True
            began = clock()
            seconds[before] += began - trace.since
            trace.since = began
            try:
                answer = execute_(cursor, *args)
            except BaseException as error:
                failed(shard, before, began, "execute", args[0], error)
                raise
            done(shard, before, began, "execute", args[0])
            return answer

        def executemany(self, *args: Any) -> Any:
            return cursor_(self, own_cursor).executemany(*args)

        def executescript(self, *args: Any) -> Any:
            return cursor_(self, own_cursor).executescript(*args)

    return Connection


def _connection_alone(plain: Any, counted: Database, cursors: Subclasses) -> Any:
    cursor_, commit_, rollback_ = plain.cursor, plain.commit, plain.rollback
    exit_, backup_ = plain.__exit__, plain.backup
    standard, own_cursor = cursors.plain, cursors.counted

    class Connection(plain):  # type: ignore[misc]  # of a class that is passed
        __slots__ = ()

        def cursor(self, factory: Any = standard) -> Any:
            return cursor_(self, own_cursor if factory is standard else cursors.of(factory))

        def commit(self) -> None:
            return ended(counted, "commit", commit_, self)  # type: ignore[no-any-return]  # None

        def rollback(self) -> None:
            return ended(counted, "rollback", rollback_, self)  # type: ignore[no-any-return]  # None

        def __exit__(self, *args: Any) -> Any:
            try:
                ends = self.in_transaction
            except Exception:  # it is closed, as it will say itself
                ends = False
            if not ends:
                return exit_(self, *args)
            return ended(counted, ending(args), exit_, self, *args)

        def backup(self, *args: Any, **kwargs: Any) -> Any:
            shard = own.shard
            before = shard.trace.enter(DB)
            began = shard.trace.since
            try:
                return backup_(self, *args, **kwargs)
            finally:
                shard.trace.leave(before)
                counted.step(shard.trace, "backup", began)

    return Connection


def _timed(counted: Database, method: str, plain: Any, cursor: Any, *args: Any) -> Any:
    """Call what takes a statement; without one it says itself what is missing."""
    return timed(counted, method, _text, plain, cursor, *args) if args else plain(cursor)


def _text(query: Any, cursor: Any) -> Any:
    return query
