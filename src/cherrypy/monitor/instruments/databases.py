"""What instruments of databases count by: time, calls, errors and slow statements.

A call is in the layer `db`. Law: a call that another one makes for itself (a connection that runs a
cursor, an interface that runs a driver) is that call's, and not counted again.
"""

from __future__ import annotations

import threading
from typing import Any

from ..metrics import OVERFLOW
from ..shards import Shard, own
from ..table import stores
from ..traces import DB, MOST_STEPS, Trace, clock
from .awaits import Wait
from .guard import failed as broken
from .sql import LOOKED_AT, OTHER
from .statements import Statement, admit, known, taken_apart

DURATION = stores.DB_CLIENT_OPERATION_DURATION
CALLS = stores.DB_CALLS
ERRORS = stores.DB_ERRORS
SLOW = stores.DB_SLOW
ROWS = stores.DB_CLIENT_RESPONSE_RETURNED_ROWS
CREATED = stores.DB_CLIENT_CONNECTION_CREATE_TIME

#: Statements whose way to their counts a thread remembers; a full table starts over.
REMEMBERED = 512

#: Servers that are told apart.
MOST_ADDRESSES = 50


class Cell:
    """Where a thread counts one statement."""

    __slots__ = ("calls", "label", "operation", "print_", "spread", "statement")

    def __init__(
        self, operation: str, print_: str, label: str, statement: Statement, calls: Any
    ) -> None:
        self.operation = operation
        self.print_ = print_
        self.label = label  # of the step
        self.statement = statement
        self.calls = calls  # the key of the counter
        self.spread: Any = None


class Limits:
    """Seconds from which on a call is slow; the setting `db.slow_threshold`."""

    __slots__ = ("slow",)

    def __init__(self) -> None:
        self.slow = 0.1


limits = Limits()


class Database:
    """Counts the calls of one library to one server.

    system
        As OpenTelemetry names it: 'sqlite', 'postgresql'.
    address
        The server's; '' for none.
    library
        Whose instrument this is.
    """

    __slots__ = ("address", "fetches", "library", "system")

    def __init__(self, system: str, address: str, library: str) -> None:
        self.system = system
        self.address = address
        self.library = library
        #: Keys of counters of what has no statement, by method.
        self.fetches = {
            name: (CALLS, (system, name))
            for name in ("fetchone", "fetchmany", "fetchall", "nextset", "commit", "rollback")
        }

    def done(self, shard: Shard, before: int, began: float, method: str, sql: Any) -> None:
        """A call has ended well: count it, and go back to the layer it came from.

        method
            Of the driver: 'execute'.
        sql
            The statement, or a word for what is none.
        """
        trace = shard.trace
        now = clock()
        layer = trace.layer
        trace.seconds[layer] += now - trace.since
        trace.since = now
        trace.layer = before
        took = now - began
        try:
            try:
                # Most calls are of this method: two look-ups, and no key is made.
                cell = shard.calls[self][sql if method == "execute" else (method, sql)]
            except (KeyError, TypeError):
                cell = self.cell(shard, method, sql)
            if trace.live is not None:
                calls = trace.calls
                calls[layer] = calls.get(layer, 0) + 1
                if len(trace.steps) < MOST_STEPS:
                    trace.steps.append((layer, cell.label, began, now))
            if DURATION.on:
                spread = cell.spread
                if spread is None:
                    spread = self.spread(shard, cell)
                spread.observe(took)
            if CALLS.on:
                try:
                    shard.counts[cell.calls] += 1
                except KeyError:
                    CALLS.add(1, cell.calls[1])
            statement = cell.statement
            statement.count += 1
            statement.seconds += took
            if took > statement.most:
                statement.most = took
            if took > limits.slow:
                self.slow(cell)
        except Exception as error:
            broken(self.library, error)

    def failed(
        self, shard: Shard, before: int, began: float, method: str, sql: Any, error: BaseException
    ) -> None:
        """A call has raised: count that, and go back to the layer it came from."""
        try:
            cell = self.cell(shard, method, sql)
            now = shard.trace.leave(before, cell.label, began)
            kind = type(error).__name__
            DURATION.observe(now - began, (self.system, cell.operation, self.address, kind))
            CALLS.add(1, cell.calls[1])
            ERRORS.add(1, (self.system, kind))
            cell.statement.once(now - began, failed=True)
            if now - began > limits.slow:
                self.slow(cell)
        except Exception as more:
            shard.trace.layer = before
            broken(self.library, more)

    def quick(self, shard: Shard, before: int, method: str) -> None:
        """What has no statement has ended: rows were fetched, a cursor went on."""
        shard.trace.leave(before)
        if CALLS.on:
            try:
                shard.counts[self.fetches[method]] += 1
            except KeyError:
                CALLS.add(1, (self.system, method))

    def ended(self, shard: Shard, before: int, began: float, method: str) -> None:
        """A transaction has ended: a step of its own."""
        self.quick(shard, before, method)
        self.step(shard.trace, method, began)

    def awaited(
        self, wait: Wait, method: str, sql: Any, error: BaseException | None = None
    ) -> None:
        """An `async` call has ended."""
        try:
            cell = self.cell(own.shard, method, sql)
            took = wait.end(cell.label)
            kind = "" if error is None else type(error).__name__
            DURATION.observe(took, (self.system, cell.operation, self.address, kind))
            CALLS.add(1, cell.calls[1])
            if kind:
                ERRORS.add(1, (self.system, kind))
            cell.statement.once(took, failed=bool(kind))
            if took > limits.slow:
                self.slow(cell)
        except Exception as more:
            broken(self.library, more)

    def called(self, method: str) -> None:
        """Count a call that has no statement."""
        CALLS.add(1, (self.system, method))

    def refused(self, error: BaseException) -> None:
        """There is no connection to be had."""
        CALLS.add(1, (self.system, "connect"))
        ERRORS.add(1, (self.system, type(error).__name__))

    def step(self, trace: Trace, method: str, began: float) -> None:
        """Remember a step that asks for nothing: it is not one of the calls of a request."""
        if trace.live is not None and len(trace.steps) < MOST_STEPS:
            trace.steps.append((DB, f"{self.system} {method.upper()}", began, trace.since))

    def connected(self, seconds: float, pool: str = "") -> None:
        """A connection has been made."""
        CALLS.add(1, (self.system, "connect"))
        CREATED.observe(seconds, (pool or self.pool,))

    @property
    def pool(self) -> str:
        """A name for the connections to this server."""
        return f"{self.system} {self.address}" if self.address else self.system

    def returned(self, rows: int) -> None:
        """Rows have been fetched."""
        ROWS.observe(rows, (self.system,))

    def slow(self, cell: Cell) -> None:
        """Count a slow call."""
        cell.statement.slow += 1
        SLOW.add(1, (self.system, admit(cell.print_, "slow")))

    def cell(self, shard: Shard, method: str, sql: Any) -> Cell:
        """Where a statement is counted."""
        text = sql if type(sql) is str else text_of(sql)
        key = text if method == "execute" else (method, text)
        cells = shard.calls.setdefault(self, {})
        known_: Cell | None = cells.get(key)
        if known_ is not None:
            return known_
        print_, operation, table = taken_apart(text, self.system)
        if operation == OTHER:
            operation = method.upper()
        label = f"{self.system} {operation} {table}" if table else f"{self.system} {operation}"
        cell = Cell(
            operation,
            print_,
            label[:100],
            known(shard, self.system, print_),
            (CALLS, (self.system, method)),
        )
        if len(text) <= LOOKED_AT:
            if len(cells) >= REMEMBERED:
                cells.clear()
            cells[key] = cell
        return cell

    def spread(self, shard: Shard, cell: Cell) -> Any:
        """The histogram of a cell."""
        labels = DURATION.admit((self.system, cell.operation, self.address, ""))
        cell.spread = shard.spread(DURATION, labels)
        return cell.spread


def text_of(sql: Any) -> str:
    """The text of a statement that is no `str`, without its values."""
    if isinstance(sql, str):
        return str(sql)
    if isinstance(sql, (bytes, bytearray)):
        return sql[:LOOKED_AT].decode("utf-8", "replace")
    return str(sql)[:LOOKED_AT] if hasattr(sql, "__clause_element__") else type(sql).__name__


_lock = threading.RLock()  # guards: no more servers than there may be
_databases: dict[tuple[str, str, str], Database] = {}


def database(system: str, address: str, library: str) -> Database:
    """The one counter of a library's calls to a server; of one too many, the one for all others."""
    key = (system, address, library)
    found = _databases.get(key)
    if found is None:
        with _lock:
            if len(_databases) >= MOST_ADDRESSES:
                key = (system, OVERFLOW, library)
            found = _databases.get(key)
            if found is None:
                found = _databases[key] = Database(*key)
    return found
