"""Calls: the methods of database drivers, called while their time is taken.

Law: what such a method returns or raises is what the program gets; a call within another is that one's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..shards import own
from ..traces import DB
from .databases import ROWS, Database


def timed(
    counted: Database,
    method: str,
    said: Callable[[Any, Any], Any],
    plain: Callable[..., Any],
    cursor: Any,
    query: Any,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call what takes a statement.

    method
        As which it is counted: 'execute'.
    said
        Returns the text of a query, given the cursor; asked once the call is over.
    """
    shard = own.shard
    trace = shard.trace
    if trace.layer == DB:
        return plain(cursor, query, *args, **kwargs)
    before = trace.enter(DB)
    began = trace.since
    try:
        answer = plain(cursor, query, *args, **kwargs)
    except BaseException as error:
        counted.failed(shard, before, began, method, said(query, cursor), error)
        raise
    counted.done(shard, before, began, method, said(query, cursor))
    return answer


def fetched(
    counted: Database, method: str, plain: Callable[..., Any], cursor: Any, /, *args: Any, **kw: Any
) -> Any:
    """Call what returns rows: 'fetchone', 'fetchmany' or 'fetchall'."""
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
        counted.returned(number(method, rows))
    return rows


def number(method: str, rows: Any) -> int:
    """Return how many rows a method has returned."""
    return int(rows is not None) if method == "fetchone" else len(rows)


def stepped(plain: Callable[..., Any], *args: Any) -> Any:
    """Call what gives a row at a time, and may ask the server for more of them."""
    trace = own.trace
    if trace.layer == DB:
        return plain(*args)
    before = trace.enter(DB)
    try:
        return plain(*args)
    finally:
        trace.leave(before)


def ended(
    counted: Database, method: str, plain: Callable[..., Any], connection: Any, *args: Any
) -> Any:
    """Call what ends a transaction: 'commit' or 'rollback'."""
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


def ending(args: tuple[Any, ...]) -> str:
    """Return how `__exit__` of a connection ends its transaction."""
    return "commit" if args and args[0] is None else "rollback"


def opened(
    counted: Callable[[Any], Database], plain: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call what makes a connection.

    counted
        Returns what counts for it; it is given None where there was none to be had.
    """
    trace = own.trace
    before = trace.enter(DB)
    began = trace.since
    try:
        connection = plain(*args, **kwargs)
    except BaseException as error:
        trace.leave(before)
        one = counted(None)
        one.step(trace, "connect", began)
        one.refused(error)
        raise
    one = counted(connection)
    one.connected(trace.leave(before) - began)
    one.step(trace, "connect", began)
    return connection
