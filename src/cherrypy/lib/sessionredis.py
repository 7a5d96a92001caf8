"""Sessions in Redis, or in Valkey, which speaks the same: for any number of machines."""

from __future__ import annotations

import math
import time
from typing import Any

from .sessionstores import SharedSession, timeout_of

__all__ = ("RedisSession",)

# The second word may be our own when the answer to the first attempt got lost.
_TAKE = """
if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) == ARGV[1] then return 1 end
return 0
"""
_RENEW = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_DROP = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


def _left(until: float) -> int:
    """Return milliseconds from now; at least one, as Redis takes no others."""
    return max(1, math.ceil((until - time.time()) * 1000))


class RedisStore:
    """Sessions as keys that expire by themselves, with their locks beside them."""

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.ready = False
        self.errors = (redis.RedisError, OSError)
        self.client = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Once more: a connection that has lain idle may have been closed.
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[redis.ConnectionError],
        )
        known = self.client.connection_pool.connection_kwargs
        if known.get("decode_responses"):
            raise ValueError("tools.sessions.url asks for decode_responses; sessions are bytes.")
        at = known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"
        self.where = f"Redis at {at}"  # the URL may hold a password
        self._prefix = prefix
        self._take = self.client.register_script(_TAKE)
        self._renew = self.client.register_script(_RENEW)
        self._drop = self.client.register_script(_DROP)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self.client.connection_pool.disconnect(inuse_connections=False)

    def ping(self) -> None:
        """See that Redis answers and can be written to."""
        self.client.set(f"{self._prefix}probe", b"", px=1)

    # ---------------------------------------------------------------------------- records

    def get(self, id: str) -> tuple[bytes, float] | None:
        """Return the record; what Redis still has is not expired."""
        raw: Any = self.client.get(self._prefix + id)
        return None if raw is None else (raw, time.time() + 1)

    def put(self, id: str, raw: bytes, until: float, must_exist: bool) -> bool:
        """Keep a record."""
        return bool(self.client.set(self._prefix + id, raw, px=_left(until), xx=must_exist))

    def touch(self, id: str, until: float) -> None:
        """Have a record hold until then."""
        self.client.pexpire(self._prefix + id, _left(until))

    def remove(self, id: str) -> None:
        """Remove a record."""
        self.client.delete(self._prefix + id)

    def count(self) -> int:
        """Return the number of records; walks through all keys of the database."""
        pattern = "".join(f"\\{one}" if one in "*?[]\\" else one for one in self._prefix)
        locks = f"{self._prefix}lock:".encode()
        keys = self.client.scan_iter(f"{pattern}*", count=1000)
        return len({key for key in keys if not key.startswith(locks)})

    def clean_up(self) -> None:
        """Do nothing: keys expire by themselves."""

    # ------------------------------------------------------------------------------ locks

    def _lock(self, name: str) -> str:
        return f"{self._prefix}lock:{name}"

    def take(self, name: str, token: str, seconds: float) -> bool:
        """Take a lock, if nobody has it."""
        return bool(self._take(keys=[self._lock(name)], args=[token, int(seconds * 1000)]))

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Keep a lock for longer."""
        return bool(self._renew(keys=[self._lock(name)], args=[token, int(seconds * 1000)]))

    def drop(self, name: str, token: str) -> None:
        """Give a lock back."""
        self._drop(keys=[self._lock(name)], args=[token])

    def holder(self, name: str) -> str | None:
        """Return the token of a lock."""
        token: Any = self.client.get(self._lock(name))
        return None if token is None else str(token, "utf-8", "replace")


class RedisSession(SharedSession):
    """Sessions in Redis or Valkey.

    Settings: `url`, as ``redis://``, ``rediss://`` or ``unix://``; `prefix` of the keys;
    `serializer`; `lock_timeout` and `store_timeout`, seconds.
    """

    SETTINGS = ("url", "prefix", "store_timeout")

    url: str = "redis://localhost:6379/0"
    prefix: str = "cherrypy.session:"

    @classmethod
    def _connect(cls, settings: dict[str, Any]) -> RedisStore:
        timeout = timeout_of(settings["store_timeout"])
        return RedisStore(settings["url"], settings["prefix"], timeout)

    def _start_cleaning(self, cls: Any) -> None:
        pass
