"""What instruments of model layers count by. Their time is what the driver has not taken."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable, Iterator
from typing import Any

from ..shards import own
from ..table import stores
from ..traces import MODEL, clock
from .guard import guard_of

DURATION = stores.MODEL_OPERATION_DURATION
CALLS = stores.MODEL_CALLS


class Models:
    """Counts the operations of one library.

    orm
        Its name.
    """

    def __init__(self, orm: str) -> None:
        self.orm = orm
        self.labels: dict[str, str] = {}  # of steps, by operation: a few

    def method(self, operation: Any, *, always: bool = False) -> Callable[[Any], Any]:
        """Return what makes a counting method.

        operation
            Its name, or a function of the method's arguments that returns it.
        always
            It is counted even where another operation calls it.
        """

        def make(plain: Any) -> Any:
            def method(*args: Any, **kwargs: Any) -> Any:
                trace = own.trace
                inside = trace.layer == MODEL
                if inside and not always:
                    return plain(*args, **kwargs)
                # In a loop's thread others go on while this one waits, as SQLAlchemy does it.
                if _get_running_loop() is not None:
                    return self._timed(plain, operation, args, kwargs)
                before = trace.enter(MODEL)
                began = trace.since
                try:
                    return plain(*args, **kwargs)
                finally:
                    name = self._name(operation, args, kwargs)
                    label = self.labels.get(name) or self.labels.setdefault(
                        name, f"{self.orm} {name}"
                    )
                    ended = trace.leave(before, label, began)
                    self.observe(name, ended - began)

            return method

        return make

    def _timed(self, plain: Any, operation: Any, args: Any, kwargs: Any) -> Any:
        began = clock()
        try:
            return plain(*args, **kwargs)
        finally:
            self.observe(self._name(operation, args, kwargs), clock() - began)

    def _name(self, operation: Any, args: Any, kwargs: Any) -> str:
        if isinstance(operation, str):
            return operation
        try:
            return str(operation(*args, **kwargs))
        except Exception as error:
            guard_of(self.orm).failed(error)
            return "query"

    def observe(self, operation: str, seconds: float) -> None:
        """Count an operation."""
        try:
            DURATION.observe(seconds, (self.orm, operation))
            CALLS.add(1, (self.orm, operation))
        except Exception as error:
            guard_of(self.orm).failed(error)

    def count(self, operation: str, number: int) -> None:
        """Count what has no time of its own."""
        CALLS.add(number, (self.orm, operation))

    @staticmethod
    def each(rows: Iterator[Any]) -> Iterator[Any]:
        """Return an iterator in whose steps the layer is that of the models."""
        end = object()
        while True:
            if _get_running_loop() is not None:
                row = next(rows, end)
            else:
                trace = own.trace
                before = trace.enter(MODEL)
                try:
                    row = next(rows, end)
                finally:
                    trace.leave(before)
            if row is end:
                return
            yield row


def layered(plain: Any) -> Any:
    """Return a method that is in the layer, and not counted."""

    def method(*args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        if trace.layer == MODEL or _get_running_loop() is not None:
            return plain(*args, **kwargs)
        before = trace.enter(MODEL)
        try:
            return plain(*args, **kwargs)
        finally:
            trace.leave(before)

    return method
