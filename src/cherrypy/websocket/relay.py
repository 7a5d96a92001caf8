"""The plugin `engine.websocket`: what is sent to a shared room, or to everybody, reaches all processes.

Law: the sockets of this process get everything directly, once, whether there is a Redis or not.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cherrypy.process.plugins.base import SimplePlugin

from . import rooms
from .envelopes import Malformed, pack, unpack

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

    from .redislink import RedisLink

__all__ = ("Relay",)

COMPLAIN = 60.0  # seconds between two log lines about messages that cannot be read


class Relay(SimplePlugin):
    """Carries messages between the processes of an application through Redis.

    Its settings are entries `engine.websocket.<name>`; they hold from the next start of the engine.
    """

    redis: Any = None
    """The URL of a Redis: 'redis://host:6379/0', 'rediss://...', 'unix:///path', with user and password
    where it wants them. Or a client of the library `redis` (with timeouts, without retries). None:
    every process by itself."""

    redis_channel: str = "cherrypy.websocket"
    """The channel of Redis. Applications that share a Redis take different ones."""

    redis_timeout: float = 5.0
    """Seconds that Redis has to answer, before the connection is made anew."""

    redis_max_message: int = 1 << 20
    """Bytes of a message; a larger one is refused to who sends it, and skipped when it comes."""

    redis_max_queue: int = 4 << 20
    """Bytes that may wait for Redis; beyond it the oldest messages are lost to other processes."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._link: RedisLink | None = None
        self._sender = ""
        self._said = -COMPLAIN
        self._skipped = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a setting that there is not: a wrong name must not pass for the default."""
        if name[0] != "_" and not hasattr(type(self), name):
            raise AttributeError(f"engine.websocket has no setting {name!r}")
        super().__setattr__(name, value)

    @property
    def connected(self) -> bool:
        """Whether Redis carries messages at present."""
        link = self._link
        return link is not None and link.connected

    def start(self) -> None:
        """Begin to carry; Redis is not waited for.

        Raises ImportError without the library, ValueError for a URL or settings that are none.
        """
        if self.redis is None or self._link is not None:
            return
        from .redislink import RedisLink

        client, where = self._client()
        if client.get_encoder().decode_responses:
            raise ValueError("engine.websocket.redis: bytes are needed, not decode_responses")
        # Made here, and not before: a daemon has forked by now.
        self._sender = os.urandom(8).hex()
        self._link = RedisLink(
            client,
            where,
            self.redis_channel,
            timeout=self.redis_timeout,
            most=self.redis_max_queue,
            take=self._take,
            log=self.bus.log,
        )
        self._link.start()
        rooms.carry = self.send

    # Behind the Daemonizer, whose child has no threads, and before the servers.
    start.priority = 72  # type: ignore[attr-defined]  # the bus reads it

    def stop(self) -> None:
        """End; what was sent before still goes out, if Redis takes it."""
        link, self._link = self._link, None
        if link is None:
            return
        if rooms.carry == self.send:
            rooms.carry = None
        link.stop()
        if link.client is not self.redis:
            link.client.close()

    # Behind the servers: handlers of sockets that close may have last words.
    stop.priority = 60  # type: ignore[attr-defined]  # the bus reads it

    def send(self, room: str, data: str | bytes) -> None:
        """Send a message for `room` ('' is everybody) to the other processes; never waits.

        Raises ValueError for what is larger than `redis_max_message`.
        """
        link = self._link
        if link is None:
            return
        packed = pack(room, data, self._sender)
        if len(packed) > self.redis_max_message and _size(data) > self.redis_max_message:
            raise ValueError(
                f"a message of {_size(data)} bytes is larger than engine.websocket.redis_max_message "
                f"({self.redis_max_message})"
            )
        link.publish(packed)

    def _take(self, raw: bytes) -> None:
        """A message has come, in the listener's thread; perhaps our own."""
        try:
            envelope = unpack(raw, self.redis_max_message)
            if envelope.sender != self._sender:
                rooms.deliver_shared(envelope.room, envelope.data)
        except Malformed as error:
            self._complain(str(error))
        except Exception:
            self.bus.log("A WebSocket broadcast of another process failed.", 40, traceback=True)

    def _complain(self, words: str) -> None:
        """Say that something was skipped; not each time, or a stranger could fill the log."""
        self._skipped += 1
        now = time.monotonic()
        if now < self._said + COMPLAIN:
            return
        count, self._skipped, self._said = self._skipped, 0, now
        many = f" ({count} by now)" if count > 1 else ""
        self.bus.log(
            f"A message on the Redis channel {self.redis_channel!r} is no WebSocket broadcast and was "
            f"skipped{many}: {words}.",
            30,
        )

    def _client(self) -> tuple[Any, str]:
        """Return a client of Redis and its address in words, without what is secret in it."""
        if not isinstance(self.redis, str):
            return self.redis, type(self.redis).__name__
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ImportError(
                "engine.websocket.redis needs the library 'redis': pip install 'kirsch[redis]'"
            ) from None
        timeout = self.redis_timeout
        client = Redis.from_url(
            self.redis,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            protocol=2,
            # To try again is up to us: a message that was published twice would arrive twice.
            retry=Retry(NoBackoff(), 0),
        )
        parts = urlsplit(self.redis)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port else ""
        return client, f"{parts.scheme}://{host}{port}{parts.path}"


def _size(data: str | bytes) -> int:
    return len(data.encode()) if isinstance(data, str) else len(data)
