"""Pools of connections: who waits for one, how many there are, and who waited in vain."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..table import stores
from ..traces import DB, clock

COUNT = stores.DB_CLIENT_CONNECTION_COUNT
WAIT = stores.DB_CLIENT_CONNECTION_WAIT_TIME
TIMEOUTS = stores.DB_CLIENT_CONNECTION_TIMEOUTS

_lock = threading.RLock()  # guards: the set, while it is looked through
#: What has been asked for connections, with the function that counts them: (idle, used).
_pools: weakref.WeakKeyDictionary[Any, tuple[str, Callable[[Any], tuple[int, int]]]] = (
    weakref.WeakKeyDictionary()
)


def known(pool: Any, name: str, count: Callable[[Any], tuple[int, int]]) -> None:
    """Remember a pool as long as it lives."""
    with _lock:
        _pools[pool] = (name, count)


def is_known(pool: Any) -> bool:
    """Whether a pool is remembered."""
    return pool in _pools


def counts() -> dict[tuple[Any, ...], float]:
    """How many connections pools have, by state and pool."""
    with _lock:
        pools = list(_pools.items())
    found: dict[tuple[Any, ...], float] = {}
    for pool, (name, count) in pools:
        try:
            idle, used = count(pool)
        except Exception:  # it is closed, or of a kind that does not count
            continue
        for state, number in (("idle", idle), ("used", used)):
            found[state, name] = found.get((state, name), 0) + max(0, number)
    return found


COUNT.sample(counts)


def psycopg_pool(module: Any) -> Callable[[], object]:
    """Have the pools of psycopg counted, with and without `async`."""
    patches = Patches()

    def make(plain: Any) -> Any:
        def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = _seen(self)
            trace = own.trace
            before = trace.enter(DB)
            began = trace.since
            try:
                return plain(self, *args, **kwargs)
            except module.PoolTimeout:
                TIMEOUTS.add(1, (name,))
                raise
            finally:
                WAIT.observe(trace.leave(before) - began, (name,))

        return getconn

    def make_async(plain: Any) -> Any:
        async def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = _seen(self)
            began = clock()
            try:
                return await plain(self, *args, **kwargs)
            except module.PoolTimeout:
                TIMEOUTS.add(1, (name,))
                raise
            finally:
                WAIT.observe(clock() - began, (name,))

        return getconn

    patches.method(module.ConnectionPool, "getconn", make)
    patches.method(module.AsyncConnectionPool, "getconn", make_async)
    return patches.end


def _seen(pool: Any) -> str:
    name = f"postgresql {pool.name}"
    if pool not in _pools:
        known(pool, name, _stats)
    return name


def _stats(pool: Any) -> tuple[int, int]:
    stats = pool.get_stats()
    idle = stats.get("pool_available", 0)
    return idle, stats.get("pool_size", 0) - idle
