"""Channels: who listens to what, in which order, and the calling of them.

Law: the sets in ``listeners`` are the truth, whoever changes them and however; what is remembered
beside them is compared with them on every call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ("ChannelFailures", "Channels")

Listener = Callable[..., Any]
_L = TypeVar("_L", bound=Listener)
# The version of the subscriptions, the listeners, and the same in order.
_Order = tuple[object, frozenset[Listener], tuple[Listener, ...]]


class ChannelFailures(Exception):
    """One or more listeners of a channel failed; the others have run all the same."""

    __module__ = "cherrypy.process.wspbus"  # Its name in logs and pickles.
    delimiter = "\n"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._exceptions: list[BaseException] = []

    def handle_exception(self) -> None:
        """Add the exception that is being handled."""
        exc = sys.exc_info()[1]
        if exc is not None:
            self._exceptions.append(exc)

    def get_instances(self) -> list[BaseException]:
        """Return the collected exceptions, oldest first."""
        return self._exceptions[:]

    def __str__(self) -> str:
        return self.delimiter.join(map(repr, self._exceptions))

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self._exceptions)

    __nonzero__ = __bool__


class Channels:
    """Publish and subscribe."""

    listeners: dict[str, set[Listener]]

    def __init__(self, channels: tuple[str, ...] = ()) -> None:
        self.listeners = {channel: set() for channel in channels}
        self._priorities: dict[tuple[str, Listener], int] = {}
        self._orders: dict[str, _Order] = {}
        self._version = object()

    @overload
    def subscribe(
        self, channel: str, callback: None = None, priority: int | None = None
    ) -> Callable[[_L], _L]: ...

    @overload
    def subscribe(self, channel: str, callback: Listener, priority: int | None = None) -> None: ...

    def subscribe(
        self, channel: str, callback: Listener | None = None, priority: int | None = None
    ) -> Callable[[_L], _L] | None:
        """Call ``callback`` whenever something is published on ``channel``.

        Lower priorities are called first; without one, ``callback.priority`` or 50 counts.
        Without a callback this is a decorator, which returns the function it decorates.
        """
        if callback is None:

            def decorate(function: _L) -> _L:
                self.subscribe(channel, function, priority)
                return function

            return decorate
        if priority is None:
            priority = getattr(callback, "priority", 50)
        self._priorities[channel, callback] = priority
        self.listeners.setdefault(channel, set()).add(callback)
        self._version = object()
        return None

    def unsubscribe(self, channel: str, callback: Listener) -> None:
        """Forget ``callback``; it is no error when it does not listen."""
        listeners = self.listeners.get(channel)
        if listeners and callback in listeners:
            listeners.discard(callback)
            self._priorities.pop((channel, callback), None)
            self._version = object()

    def publish(self, channel: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call the listeners of ``channel`` in order of priority; return what they returned.

        A listener that fails is logged and the others still run; then :exc:`ChannelFailures`
        is raised with all failures. KeyboardInterrupt and SystemExit pass at once (a SystemExit
        of 0 becomes 1 when a listener failed before).
        """
        listeners = self.listeners.get(channel)
        if not listeners:
            return []
        order = self._orders.get(channel)
        # The comparison is what makes direct changes of the set safe: it costs some 40 ns.
        if order is None or order[0] is not self._version or order[1] != listeners:
            order = self._arrange(channel, listeners)
        output: list[Any] = []
        try:
            for listener in order[2]:
                output.append(listener(*args, **kwargs))  # noqa: PERF401 # its length tells who failed
        except Exception:
            return self._publish_rest(channel, order[2], output, args, kwargs)
        return output

    def _arrange(
        self, channel: str, listeners: set[Listener]
    ) -> tuple[object, frozenset[Listener], tuple[Listener, ...]]:
        version = self._version  # Read first: a later subscribe() makes what follows invalid.
        snapshot = frozenset(listeners)
        ranks = {}
        for index, ((name, listener), priority) in enumerate(list(self._priorities.items())):
            if name == channel:
                ranks[listener] = (priority, index)
        last = len(self._priorities)
        ordered = sorted(
            snapshot,
            key=lambda one: ranks.get(one) or (getattr(one, "priority", 50), last),
        )
        order = (version, snapshot, tuple(ordered))
        self._orders[channel] = order
        return order

    def _publish_rest(
        self,
        channel: str,
        ordered: tuple[Listener, ...],
        output: list[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> list[Any]:
        """Go on after the first failure (the exception that is being handled)."""
        failures = ChannelFailures()
        failed = len(output)
        self._note_failure(failures, channel, ordered[failed])
        for listener in ordered[failed + 1 :]:
            try:
                output.append(listener(*args, **kwargs))
            except SystemExit as exc:
                if exc.code in (0, None):
                    exc.code = 1
                raise
            except Exception:
                self._note_failure(failures, channel, listener)
        raise failures from failures.get_instances()[0]

    def _note_failure(self, failures: ChannelFailures, channel: str, listener: Listener) -> None:
        failures.handle_exception()
        if channel != "log":  # Whatever fails there would fail again.
            self._say(f"Error in {channel!r} listener {listener!r}", level=40, traceback=True)

    def log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Publish ``msg`` on ``log``, with the exception being handled when ``traceback``."""
        if traceback:
            from traceback import format_exception

            msg += "\n" + "".join(format_exception(*sys.exc_info()))
        self.publish("log", msg, level)

    def _say(self, msg: str, level: int = 20, traceback: bool = False) -> None:
        """Log, whatever the log's listeners do: a full disk must not keep the bus from moving."""
        try:
            self.log(msg, level, traceback)
        except ChannelFailures:
            pass
