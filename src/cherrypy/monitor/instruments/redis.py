"""redis-py: the methods that run a command and a pipeline, with and without `async`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..shards import own
from ..traces import DB
from .awaits import Wait
from .keyvalue import Store, word_of
from .patches import Patches

STORE = Store("redis", DB, "redis")

#: Commands that ask for one thing, and for several.
ONE = frozenset(("GET", "GETDEL", "GETEX", "GETSET", "HGET", "LPOP", "RPOP", "SPOP", "LINDEX"))
SEVERAL = frozenset(("MGET", "HMGET"))


def instrument(module: Any) -> Callable[[], object]:
    """Have the commands of all clients counted: of `redis.client`."""
    patches = Patches()
    patches.method(module.Redis, "execute_command", _command)
    patches.method(module.Pipeline, "immediate_execute_command", _command)
    patches.method(module.Pipeline, "execute", _pipeline)
    return patches.end


def instrument_async(module: Any) -> Callable[[], object]:
    """Have the commands of all clients counted: of `redis.asyncio.client`."""
    patches = Patches()
    patches.method(module.Redis, "execute_command", _async_command)
    patches.method(module.Pipeline, "immediate_execute_command", _async_command)
    patches.method(module.Pipeline, "execute", _async_pipeline)
    return patches.end


def instrument_cluster(module: Any) -> Callable[[], object]:
    """Have the commands of a cluster's client counted: of `redis.cluster`."""
    patches = Patches()
    patches.method(module.RedisCluster, "execute_command", _command)
    patches.method(module.ClusterPipeline, "execute", _pipeline)
    return patches.end


def _address(client: Any) -> str:
    pool = getattr(client, "connection_pool", None)
    said = getattr(pool, "connection_kwargs", None) or {}
    return str(said.get("host") or said.get("path") or "")


def _found(word: str, answer: Any) -> tuple[int, int] | None:
    """Hits and misses."""
    if word in ONE:
        return (0, 1) if answer is None else (1, 0)
    if word in SEVERAL and isinstance(answer, list):
        misses = answer.count(None)
        return len(answer) - misses, misses
    return None


def _commands(pipeline: Any) -> list[Any]:
    """What a pipeline will run."""
    stack = getattr(pipeline, "command_stack", None)
    return list(stack) if isinstance(stack, list) else []


def _found_by_all(commands: list[Any], answers: Any) -> tuple[int, int] | None:
    """Hits and misses of a pipeline."""
    if not isinstance(answers, list) or len(answers) != len(commands):
        return None
    hits = misses = 0
    for command, answer in zip(commands, answers, strict=True):
        try:
            word = word_of(command[0][0])
        except (TypeError, IndexError, KeyError):
            continue
        found = None if isinstance(answer, Exception) else _found(word, answer)
        if found is not None:
            hits += found[0]
            misses += found[1]
    return hits, misses


def _command(plain: Any) -> Any:
    def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        word = word_of(args[0]) if args else ""
        shard = own.shard
        before = shard.trace.enter(DB)
        began = shard.trace.since
        try:
            answer = plain(self, *args, **options)
        except BaseException as error:
            STORE.failed(shard, before, began, word, _address(self), error)
            raise
        STORE.done(shard, before, began, word, _address(self), _found(word, answer))
        return answer

    return execute_command


def _pipeline(plain: Any) -> Any:
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
            STORE.failed(shard, before, began, "PIPELINE", _address(self), error)
            raise
        found = _found_by_all(commands, answers)
        STORE.done(shard, before, began, "PIPELINE", _address(self), found)
        return answers

    return execute


def _async_command(plain: Any) -> Any:
    async def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        word = word_of(args[0]) if args else ""
        wait = Wait(DB)
        try:
            answer = await plain(self, *args, **options)
        except BaseException as error:
            STORE.awaited(wait, word, _address(self), None, error)
            raise
        STORE.awaited(wait, word, _address(self), _found(word, answer))
        return answer

    return execute_command


def _async_pipeline(plain: Any) -> Any:
    async def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        commands = _commands(self)
        if not commands:
            return await plain(self, *args, **kwargs)
        wait = Wait(DB)
        try:
            answers = await plain(self, *args, **kwargs)
        except BaseException as error:
            STORE.awaited(wait, "PIPELINE", _address(self), None, error)
            raise
        STORE.awaited(wait, "PIPELINE", _address(self), _found_by_all(commands, answers))
        return answers

    return execute
