"""Sessions in memcached: fast, shared, and gone when it needs the room or ends."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from .sessionstores import SharedSession, timeout_of

__all__ = ("MemcachedSession",)

_MONTH = 30 * 24 * 3600  # seconds; beyond that memcached takes a number for a date


def _lease(seconds: float) -> int:
    """Return how long memcached has to keep a lock: it looks at the clock once a second, if that."""
    return math.ceil(seconds) + 2


def _left(until: float) -> int:
    """Return when a record expires as memcached takes it: whole seconds, at least one."""
    left = max(1, math.ceil(until - time.time()))
    return left if left < _MONTH else int(until)


class MemcachedStore:
    """Sessions and their locks, each an item that expires by itself."""

    def __init__(self, servers: Any, prefix: str, timeout: float) -> None:
        from pymemcache.client.hash import HashClient
        from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError

        self.ready = False
        self.errors = (MemcacheUnexpectedCloseError, OSError)
        self._refusal = MemcacheServerError
        servers = [servers] if isinstance(servers, (str, tuple)) else list(servers)
        self.where = f"memcached at {', '.join(map(str, servers))}"
        self.client = HashClient(
            servers,
            use_pooling=True,
            connect_timeout=timeout,
            timeout=timeout,
            default_noreply=False,
        )
        self._prefix = prefix

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def ping(self) -> None:
        """See that all servers answer."""
        for client in self.client.clients.values():
            client.set(f"{self._prefix}probe", b"", expire=1)

    def _call(self, name: str, key: str, *args: Any, **more: Any) -> Any:
        # Past the hash client's own fail-over: what a server has is not on the others, and a
        # session must not change its place.
        call = getattr(self.client.clients[self.client.hasher.get_node(key)], name)
        try:
            return call(key, *args, **more)
        except (ConnectionError, self.errors[0]):
            # One that has lain idle may have been closed; a new one says how things are.
            return call(key, *args, **more)

    # ---------------------------------------------------------------------------- records

    def get(self, id: str) -> tuple[bytes, float] | None:
        """Return the record; what memcached still has is not expired."""
        raw = self._call("get", self._prefix + id)
        return None if raw is None else (bytes(raw), time.time() + 1)

    def put(self, id: str, raw: bytes, until: float, must_exist: bool) -> bool:
        """Keep a record."""
        how = "replace" if must_exist else "set"
        try:
            return bool(self._call(how, self._prefix + id, raw, expire=_left(until)))
        except self._refusal as exc:
            if isinstance(exc, self.errors):
                raise
            raise ValueError(
                f"Memcached refuses a session of {len(raw)} bytes; its limit is its option -I."
            ) from exc

    def touch(self, id: str, until: float) -> None:
        """Have a record hold until then."""
        self._call("touch", self._prefix + id, _left(until))

    def remove(self, id: str) -> None:
        """Remove a record."""
        self._call("delete", self._prefix + id)

    def count(self) -> int:
        """Raise NotImplementedError: memcached does not list what it has."""
        raise NotImplementedError("Memcached does not say how many sessions it has.")

    def clean_up(self) -> None:
        """Do nothing: items expire by themselves."""

    # ------------------------------------------------------------------------------ locks

    def _lock(self, name: str) -> str:
        return f"{self._prefix}{name}.lock"

    def take(self, name: str, token: str, seconds: float) -> bool:
        """Take a lock, if nobody has it."""
        key, value = self._lock(name), token.encode()
        if self._call("add", key, value, expire=_lease(seconds)):
            return True
        # Ours, perhaps, if the answer to a first attempt got lost.
        return bool(self._call("get", key) == value)

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Keep a lock for longer."""
        key, value = self._lock(name), token.encode()
        found, unique = self._call("gets", key)
        if found != value:
            return False
        return bool(self._call("cas", key, value, unique, expire=_lease(seconds)))

    def drop(self, name: str, token: str) -> None:
        """Give a lock back."""
        key, value = self._lock(name), token.encode()
        found, unique = self._call("gets", key)
        # A deletion cannot compare; an item that ends at once can.
        if found == value:
            self._call("cas", key, b"", unique, expire=-1)

    def holder(self, name: str) -> str | None:
        """Return the token of a lock."""
        token = self._call("get", self._lock(name))
        return None if token is None else bytes(token).decode("utf-8", "replace")


class MemcachedSession(SharedSession):
    """Sessions in memcached.

    Settings: `servers`, a list of ``'host:port'`` or paths of sockets; `prefix` of the keys;
    `serializer`; `lock_timeout` and `store_timeout`, seconds.
    """

    SETTINGS = ("servers", "prefix", "store_timeout")

    #: For programs that use `cache` themselves, and take turns; the client needs it no more.
    mc_lock: Any = threading.RLock()

    servers: list[str] = ["localhost:11211"]
    prefix: str = ""

    #: The client, once there is one.
    cache: Any = None

    @classmethod
    def _connect(cls, settings: dict[str, Any]) -> MemcachedStore:
        timeout = timeout_of(settings["store_timeout"])
        store = MemcachedStore(settings["servers"], settings["prefix"], timeout)
        cls.cache = store.client
        return store

    def _start_cleaning(self, cls: Any) -> None:
        pass

    def __len__(self) -> int:
        raise NotImplementedError("Memcached does not say how many sessions it has.")
