"""pymemcache and pylibmc: the methods of a client; pools and hashed clients use those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import CACHE
from .keyvalue import Store

METHODS = (
    *("get", "get_many", "get_multi", "gets", "gets_many", "gets_multi"),
    *("set", "set_many", "set_multi", "add", "replace", "append", "prepend", "cas"),
    *("delete", "delete_many", "delete_multi", "incr", "decr", "touch", "flush_all"),
)

#: Methods that ask for one thing, and for several.
ONE = frozenset(("get", "gets"))
SEVERAL = frozenset(("get_many", "get_multi", "gets_many", "gets_multi"))


def instrument(module: Any) -> Callable[[], object]:
    """Have the calls of all clients counted: of `pymemcache.client.base`."""
    store = Store("memcached", CACHE, "pymemcache")
    return _methods(module.Client, store, _server)


def pylibmc(module: Any) -> Callable[[], object]:
    """Have the calls of all clients counted: of `pylibmc`."""
    return _methods(module.Client, Store("memcached", CACHE, "pylibmc"), lambda client: "")


def _methods(client: Any, store: Store, server: Callable[[Any], str]) -> Callable[[], object]:
    patches = Patches()
    for name in METHODS:
        if hasattr(client, name):
            patches.method(client, name, _counted(name, store, server))
    return patches.end


def _server(client: Any) -> str:
    server = getattr(client, "server", "")
    return str(server[0]) if isinstance(server, tuple) else str(server)


def _found(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> Any:
    """Hits and misses."""
    if name in ONE:
        default = args[1] if len(args) > 1 else kwargs.get("default")
        missing = answer == (None, None) if name == "gets" else answer is default
        return (0, 1) if missing else (1, 0)
    if name in SEVERAL and isinstance(answer, dict):
        keys: Any = args[0] if args else kwargs.get("keys")
        asked = len(keys) if hasattr(keys, "__len__") else len(answer)
        return len(answer), max(0, asked - len(answer))
    return None


def _counted(name: str, store: Store, server: Callable[[Any], str]) -> Callable[[Any], Any]:
    word = name.replace("_multi", "_many")

    def make(plain: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            shard = own.shard
            trace = shard.trace
            before = trace.enter(CACHE)
            began = trace.since
            try:
                answer = plain(self, *args, **kwargs)
            except BaseException as error:
                store.failed(shard, before, began, word, server(self), error)
                raise
            found = _found(name, args, kwargs, answer)
            store.done(shard, before, began, word, server(self), found)
            return answer

        return method

    return make
