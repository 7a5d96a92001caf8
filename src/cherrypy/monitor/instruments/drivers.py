"""Drivers whose connections and cursors are classes of Python: their methods are replaced.

Connections that are open already are counted as well, and classes that a program derives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB
from .databases import ROWS, Database

STATEMENTS = ("execute", "executemany", "callproc")
#: What is called for each row of a loop, and what reads to the end of what nobody wants.
_LAYERED = ("__next__", "close")
FETCHES = ("fetchone", "fetchmany", "fetchall", "nextset")


class Driver:
    """Makes the counting methods of one library.

    of
        Returns what counts for a connection, which may be closed, or None.
    """

    def __init__(self, of: Callable[[Any], Database]) -> None:
        self.of = of

    def cursors(self, patches: Patches, *classes: Any) -> None:
        """Have the statements and rows of cursors counted; a class that inherits a method has it so."""
        for owner in classes:
            mine = vars(owner)
            for name in STATEMENTS:
                if name in mine:
                    patches.method(owner, name, self.statement(name))
            for name in FETCHES:
                if name in mine:
                    patches.method(owner, name, self.fetch(name))
            for name in _LAYERED:
                if name in mine:
                    patches.method(owner, name, _layered)

    def connections(self, patches: Patches, owner: Any, connect: str) -> None:
        """Have connections and the ends of transactions counted.

        connect
            The name of the method that connects.
        """
        for name in ("commit", "rollback"):
            patches.method(owner, name, self.end(name))
        patches.method(owner, connect, self.connect)

    def statement(self, name: str) -> Callable[[Any], Any]:
        """Return what makes a method that takes a statement."""

        def make(plain: Any) -> Any:
            def method(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
                shard = own.shard
                trace = shard.trace
                if trace.layer == DB:
                    return plain(cursor, query, *args, **kwargs)
                counted = self.of(cursor.connection)
                sql = f"CALL {query}" if name == "callproc" else query
                before = trace.enter(DB)
                began = trace.since
                try:
                    answer = plain(cursor, query, *args, **kwargs)
                except BaseException as error:
                    counted.failed(shard, before, began, name, sql, error)
                    raise
                counted.done(shard, before, began, name, sql)
                return answer

            return method

        return make

    def fetch(self, name: str) -> Callable[[Any], Any]:
        """Return what makes a method that returns rows."""

        def make(plain: Any) -> Any:
            def method(cursor: Any, *args: Any, **kwargs: Any) -> Any:
                shard = own.shard
                trace = shard.trace
                if trace.layer == DB:
                    return plain(cursor, *args, **kwargs)
                counted = self.of(cursor.connection)
                before = trace.enter(DB)
                try:
                    rows = plain(cursor, *args, **kwargs)
                finally:
                    counted.quick(shard, before, name)
                if ROWS.on and name != "nextset":
                    counted.returned(int(rows is not None) if name == "fetchone" else len(rows))
                return rows

            return method

        return make

    def end(self, name: str) -> Callable[[Any], Any]:
        """Return what makes a method that ends a transaction."""

        def make(plain: Any) -> Any:
            def method(connection: Any) -> Any:
                shard = own.shard
                trace = shard.trace
                if trace.layer == DB:
                    return plain(connection)
                counted = self.of(connection)
                before = trace.enter(DB)
                began = trace.since
                try:
                    return plain(connection)
                finally:
                    counted.ended(shard, before, began, name)

            return method

        return make

    def connect(self, plain: Any) -> Any:
        """Return a method that connects."""

        def connect(connection: Any, *args: Any, **kwargs: Any) -> Any:
            trace = own.trace
            before = trace.enter(DB)
            began = trace.since
            try:
                answer = plain(connection, *args, **kwargs)
            except BaseException as error:
                trace.leave(before)
                counted = self.of(None)
                counted.step(trace, "connect", began)
                counted.refused(error)
                raise
            took = trace.leave(before) - began
            counted = self.of(connection)
            counted.connected(took)
            counted.step(trace, "connect", began)
            return answer

        return connect


def _layered(plain: Any) -> Any:
    """Have the time moved, and nothing else done: of a row, perhaps one of a million."""

    def method(cursor: Any) -> Any:
        trace = own.trace
        if trace.layer == DB:
            return plain(cursor)
        before = trace.enter(DB)
        try:
            return plain(cursor)
        finally:
            trace.leave(before)

    return method
