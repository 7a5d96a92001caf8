"""redis-py and valkey-py: the methods that run a command and a pipeline, with and without `async`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import DB
from .awaits import Wait
from .keyvalue import Store, word_of

#: Commands that ask for one thing, and for several.
ONE = frozenset(("GET", "GETDEL", "GETEX", "GETSET", "HGET", "LPOP", "RPOP", "SPOP", "LINDEX"))
SEVERAL = frozenset(("MGET", "HMGET"))


class Library:
    """The instruments of one library: valkey-py is redis-py under other names.

    name
        Of the library, and of its servers.
    client
        The name of its class.
    """

    def __init__(self, name: str, client: str) -> None:
        self.store = Store(name, DB, name)
        self.client = client

    def instrument(self, module: Any) -> Callable[[], object]:
        """Have the commands of all clients counted: of `redis.client`."""
        patches = Patches()
        patches.method(getattr(module, self.client), "execute_command", self.command)
        patches.method(module.Pipeline, "immediate_execute_command", self.command)
        patches.method(module.Pipeline, "execute", self.pipeline)
        return patches.end

    def instrument_async(self, module: Any) -> Callable[[], object]:
        """The same of `redis.asyncio.client`."""
        patches = Patches()
        patches.method(getattr(module, self.client), "execute_command", self.async_command)
        patches.method(module.Pipeline, "immediate_execute_command", self.async_command)
        patches.method(module.Pipeline, "execute", self.async_pipeline)
        return patches.end

    def instrument_cluster(self, module: Any) -> Callable[[], object]:
        """The same of a cluster's client: of `redis.cluster`."""
        patches = Patches()
        cluster = getattr(module, f"{self.client}Cluster")
        patches.method(cluster, "execute_command", self.command)
        patches.method(module.ClusterPipeline, "execute", self.pipeline)
        return patches.end

    def instrument_async_cluster(self, module: Any) -> Callable[[], object]:
        """The same of `redis.asyncio.cluster`."""
        patches = Patches()
        cluster = getattr(module, f"{self.client}Cluster")
        patches.method(cluster, "execute_command", self.async_command)
        patches.method(module.ClusterPipeline, "execute", self.async_pipeline)
        return patches.end

    def command(self, plain: Any) -> Any:
        """Return a counting method that runs a command."""
        store = self.store

        def execute_command(self: Any, *args: Any, **options: Any) -> Any:
            word = word_of(args[0]) if args else ""
            shard = own.shard
            before = shard.trace.enter(DB)
            began = shard.trace.since
            try:
                answer = plain(self, *args, **options)
            except BaseException as error:
                store.failed(shard, before, began, word, _address(self), error)
                raise
            store.done(shard, before, began, word, _address(self), _found(word, answer))
            return answer

        return execute_command

    def pipeline(self, plain: Any) -> Any:
        """Return a counting method that runs a pipeline."""
        store = self.store

        def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
            commands = _commands(self)
            if not commands:
                return plain(self, *args, **kwargs)
            shard = own.shard
            before = shard.trace.enter(DB)
            began = shard.trace.since
            try:
                answers = plain(self, *args, **kwargs)
            except BaseException as error:
                store.failed(shard, before, began, "PIPELINE", _address(self), error)
                raise
            found = _found_by_all(commands, answers)
            store.done(shard, before, began, "PIPELINE", _address(self), found)
            return answers

        return execute

    def async_command(self, plain: Any) -> Any:
        """Return a counting `async` method that runs a command."""
        store = self.store

        async def execute_command(self: Any, *args: Any, **options: Any) -> Any:
            word = word_of(args[0]) if args else ""
            wait = Wait(DB)
            try:
                answer = await plain(self, *args, **options)
            except BaseException as error:
                store.awaited(wait, word, _address(self), None, error)
                raise
            store.awaited(wait, word, _address(self), _found(word, answer))
            return answer

        return execute_command

    def async_pipeline(self, plain: Any) -> Any:
        """Return a counting `async` method that runs a pipeline."""
        store = self.store

        async def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
            commands = _commands(self)
            if not commands:
                return await plain(self, *args, **kwargs)
            wait = Wait(DB)
            try:
                answers = await plain(self, *args, **kwargs)
            except BaseException as error:
                store.awaited(wait, "PIPELINE", _address(self), None, error)
                raise
            store.awaited(wait, "PIPELINE", _address(self), _found_by_all(commands, answers))
            return answers

        return execute


REDIS, VALKEY = Library("redis", "Redis"), Library("valkey", "Valkey")


def _address(client: Any) -> str:
    """The server of a client, or the first that a cluster's has been told of."""
    pool = getattr(client, "connection_pool", None)
    said = getattr(pool, "connection_kwargs", None)
    if said:
        return str(said.get("host") or said.get("path") or "")
    for name in ("cluster_client", "_client"):  # of a pipeline
        client = getattr(client, name, None) or client
    nodes = getattr(getattr(client, "nodes_manager", None), "startup_nodes", None) or {}
    return str(getattr(next(iter(nodes.values()), None), "host", "") or "")


def _found(word: str, answer: Any) -> tuple[int, int] | None:
    """Hits and misses."""
    if word in ONE:
        return (0, 1) if answer is None else (1, 0)
    if word in SEVERAL and isinstance(answer, list):
        misses = answer.count(None)
        return len(answer) - misses, misses
    return None


def _commands(pipeline: Any) -> list[Any]:
    """What a pipeline will run; those of clusters keep it elsewhere."""
    strategy = getattr(pipeline, "_execution_strategy", None)
    for owner, name in (
        (pipeline, "command_stack"),
        (pipeline, "_command_stack"),
        (strategy, "_command_queue"),
    ):
        stack = getattr(owner, name, None)
        if isinstance(stack, list) and stack:
            return list(stack)
    return []


def _found_by_all(commands: list[Any], answers: Any) -> tuple[int, int] | None:
    """Hits and misses of a pipeline."""
    if not isinstance(answers, list) or len(answers) != len(commands):
        return None
    hits = misses = 0
    for command, answer in zip(commands, answers, strict=True):
        try:
            words = command.args if hasattr(command, "args") else command[0]
            word = word_of(words[0])
        except (TypeError, IndexError, KeyError):
            continue
        found = None if isinstance(answer, Exception) else _found(word, answer)
        if found is not None:
            hits += found[0]
            misses += found[1]
    return hits, misses
