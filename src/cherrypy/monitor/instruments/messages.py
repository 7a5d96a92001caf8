"""What instruments of brokers count by: messages that go and come, and what handing them over takes.

A call is in the layer `external`. Law: what a call does for itself is counted once; what a program's
own functions do while a call runs them, as those that are told of deliveries, is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..shards import own
from ..table import stores
from ..traces import EXTERNAL
from .awaits import covered, uncover
from .guard import guard_of

DURATION = stores.MESSAGING_CLIENT_OPERATION_DURATION
SENT = stores.MESSAGING_CLIENT_SENT_MESSAGES
CONSUMED = stores.MESSAGING_CLIENT_CONSUMED_MESSAGES


def one(answer: Any) -> int:
    """The number of messages that a call has taken which takes one."""
    return 1


class Broker:
    """Counts the calls of one library.

    system
        As OpenTelemetry names it: 'rabbitmq', 'kafka'.
    library
        Whose instrument this is.
    """

    __slots__ = ("library", "system")

    def __init__(self, system: str, library: str) -> None:
        self.system = system
        self.library = library

    def timed(
        self, operation: str, sent: Callable[[Any], int] | None = None
    ) -> Callable[[Any], Any]:
        """Return what makes a counting method.

        operation
            Its name.
        sent
            Returns how many messages a call has taken to send, of what it has returned.
        """
        label = f"{self.system} {operation}"

        def make(plain: Any) -> Any:
            def method(*args: Any, **kwargs: Any) -> Any:
                if covered.get():
                    return plain(*args, **kwargs)
                trace = own.trace
                token = covered.set(True)
                before = trace.enter(EXTERNAL)
                began = trace.since
                went = 0
                try:
                    answer = plain(*args, **kwargs)
                    went = self._number(sent, answer)
                    return answer
                finally:
                    uncover(token)
                    took = trace.leave(before, label, began) - began
                    self.count(took, operation, sent=went)

            return method

        return make

    def waits(
        self, operation: str, number: Callable[[Any], int] | None = None
    ) -> Callable[[Any], Any]:
        """The same for a method in which functions of the program's may run.

        number
            Returns how many messages are in what the method has returned. Waiting for none is no
            operation: a consumer may do that all day.
        """
        label = f"{self.system} {operation}"

        def make(plain: Any) -> Any:
            def method(*args: Any, **kwargs: Any) -> Any:
                if covered.get():
                    return plain(*args, **kwargs)
                trace = own.trace
                before = trace.enter(EXTERNAL)
                began = trace.since
                came = 0
                said = "" if number is not None else label
                try:
                    answer = plain(*args, **kwargs)
                    came = self._number(number, answer)
                    said = label if came else said
                    return answer
                finally:
                    took = trace.leave(before, said, began) - began
                    if said:
                        self.count(took, operation, consumed=came)

            return method

        return make

    def _number(self, number: Callable[[Any], int] | None, answer: Any) -> int:
        if number is None:
            return 0
        try:
            return number(answer)
        except Exception as error:
            guard_of(self.library).failed(error)
            return 0

    def count(self, took: float, operation: str, *, sent: int = 0, consumed: int = 0) -> None:
        """Count a call."""
        try:
            DURATION.observe(took, (self.system, operation))
            if sent:
                SENT.add(sent, (self.system,))
            if consumed:
                CONSUMED.add(consumed, (self.system,))
        except Exception as error:
            guard_of(self.library).failed(error)

    def consumed(self) -> None:
        """A message has come."""
        try:
            CONSUMED.add(1, (self.system,))
        except Exception as error:
            guard_of(self.library).failed(error)

    def told(self, function: Any) -> Any:
        """Return a function that counts messages, and hands them to the program's."""
        if not callable(function):  # it is the call itself that has to say so
            return function

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.consumed()
            return function(*args, **kwargs)

        return counted
