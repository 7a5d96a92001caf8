"""pymongo: its own listeners tell of the commands and pools of clients that are made from now on.

Law: of a command its name and its collection's are looked at; filters, documents and answers are not.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB, MOST_STEPS, clock
from . import pools
from .awaits import Wait
from .databases import CREATED, DURATION, ERRORS, SLOW, database, limits
from .guard import failed
from .statements import admit, known

LIBRARY = "pymongo"
SYSTEM = "mongodb"

#: Commands that are told apart; any other is `OTHER`.
COMMANDS = frozenset(
    (
        *("find", "getMore", "insert", "update", "delete", "aggregate", "count", "distinct"),
        *("findAndModify", "bulkWrite", "create", "drop", "dropDatabase", "createIndexes"),
        *("dropIndexes", "listCollections", "listIndexes", "listDatabases", "killCursors", "ping"),
        *("commitTransaction", "abortTransaction", "explain", "mapReduce"),
    )
)
OTHER = "_OTHER"

#: What a client says for itself.
_OWN = frozenset(
    ("hello", "isMaster", "ismaster", "endSessions", "saslStart", "saslContinue", "authenticate")
)
#: Commands under way that are remembered; a client that tells of no end does not fill the memory.
_MOST = 10_000


class Commands:
    """Counts commands: between `started` and its end a thread, or a coroutine, waits for the server."""

    def __init__(self) -> None:
        self.on = True
        # No lock: what is put in and taken out is one operation each.
        self._under_way: dict[Any, tuple[str, float, Wait | None]] = {}

    def started(self, event: Any) -> None:
        """A command is being sent."""
        name = event.command_name
        if not self.on or name in _OWN:
            return
        try:
            command = name if name in COMMANDS else OTHER
            of = event.command.get("collection" if name == "getMore" else name)
            label = f"{command} {of}"[:100] if isinstance(of, str) else command
            wait = Wait(DB) if _get_running_loop() is not None else None
            if len(self._under_way) >= _MOST:
                self._under_way.clear()
            self._under_way[event.connection_id, event.request_id] = (label, clock(), wait)
        except Exception as error:
            failed(LIBRARY, error)

    def ended(self, event: Any, kind: str = "") -> None:
        """A command has been answered.

        kind
            Of the error that it is; '' for none.
        """
        known_ = self._under_way.pop((event.connection_id, event.request_id), None)
        if known_ is None:
            return
        try:
            label, began, wait = known_
            if wait is not None:
                took = wait.end(f"{SYSTEM} {label}")
            else:
                took = _waited(f"{SYSTEM} {label}", began)
            counted = database(SYSTEM, str(event.connection_id[0]), LIBRARY)
            command = label.partition(" ")[0]
            DURATION.observe(took, (SYSTEM, command, counted.address, kind))
            counted.called("execute")
            statement = known(own.shard, SYSTEM, label)
            statement.once(took, failed=bool(kind))
            if kind:
                ERRORS.add(1, (SYSTEM, kind))
            if took > limits.slow:
                statement.slow += 1
                SLOW.add(1, (SYSTEM, admit(label, "slow")))
        except Exception as error:
            failed(LIBRARY, error)


def _waited(label: str, began: float) -> float:
    """Move the time since to the layer, in this thread. Returns it."""
    now = clock()
    took = now - began
    trace = own.trace
    trace.seconds[trace.layer] -= took
    trace.seconds[DB] += took
    trace.more = True
    if trace.live is not None:
        trace.calls[DB] = trace.calls.get(DB, 0) + 1
        if len(trace.steps) < MOST_STEPS:
            trace.steps.append((DB, label, began, now))
    return took


def _kind(event: Any) -> str:
    """What kind of error the failure of a command is: the server's name for it, or its exception's."""
    failure = event.failure
    name = failure.get("codeName") or failure.get("errtype")
    return str(name)[:60] if isinstance(name, str) else "OperationFailure"


def _command_listener(base: Any, commands: Commands) -> Any:
    class Listener(base):  # type: ignore[misc]  # of a class that is passed
        def started(self, event: Any) -> None:
            commands.started(event)

        def succeeded(self, event: Any) -> None:
            commands.ended(event)

        def failed(self, event: Any) -> None:
            commands.ended(event, _kind(event))

    return Listener()


def _pool_listener(module: Any, commands: Commands) -> Any:
    late = module.ConnectionCheckOutFailedReason.TIMEOUT

    def nothing(self: Any, event: Any) -> None:
        """What is not counted."""

    def connection_ready(self: Any, event: Any) -> None:
        if commands.on:
            counted = database(SYSTEM, str(event.address[0]), LIBRARY)
            took = getattr(event, "duration", None)  # from 4.7 on
            counted.called("connect")
            if took is not None:
                CREATED.observe(took, (counted.pool,))

    def connection_checked_out(self: Any, event: Any) -> None:
        took = getattr(event, "duration", None)
        if commands.on and took is not None:
            pools.WAIT.observe(took, (database(SYSTEM, str(event.address[0]), LIBRARY).pool,))

    def connection_check_out_failed(self: Any, event: Any) -> None:
        if commands.on and event.reason == late:
            pools.TIMEOUTS.add(1, (database(SYSTEM, str(event.address[0]), LIBRARY).pool,))

    base = module.ConnectionPoolListener
    methods: dict[str, Any] = {name: nothing for name in vars(base) if not name.startswith("_")}
    for method in (connection_ready, connection_checked_out, connection_check_out_failed):
        methods[method.__name__] = _guarded(method)
    return type("Listener", (base,), methods)()


def _guarded(plain: Any) -> Any:
    def method(self: Any, event: Any) -> None:
        try:
            plain(self, event)
        except Exception as error:
            failed(LIBRARY, error)

    return method


def instrument(module: Any) -> Callable[[], object]:
    """Have the commands counted of the clients that are made from now on: of `pymongo.monitoring`."""
    patches = Patches()
    commands = Commands()
    registered = (
        (module._LISTENERS.command_listeners, _command_listener(module.CommandListener, commands)),
        (module._LISTENERS.cmap_listeners, _pool_listener(module, commands)),
    )
    for listeners, listener in registered:
        module.register(listener)
        patches.also(_removal(listeners, listener))
    patches.also(lambda: setattr(commands, "on", False))  # clients have got them already
    return patches.end


def _removal(listeners: Any, listener: Any) -> Callable[[], object]:
    return lambda: listeners.remove(listener) if listener in listeners else None
