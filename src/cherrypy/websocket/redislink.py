"""One process's link to Redis: a thread that publishes, a thread that listens, and what waits between.

Law: whoever publishes never waits. Redis may refuse, vanish or hang; that costs messages for other
processes, a line in the log, and never more memory or time than the limits say.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("RedisLink",)

FIRST_PAUSE, LAST_PAUSE = 0.1, 2.0  # seconds between attempts to connect
GRACE = LAST_PAUSE + 0.5  # seconds that the other processes may take to listen again after we do
LATE = 10.0  # seconds after which a message that waits for Redis is no news any more
BATCH = 256 * 1024  # bytes that are published in one go
FRESH = 1.0  # seconds for which a connection that has worked is believed to do so still
BURDEN = 100  # bytes that a waiting message is taken to cost beside its own
QUIET = 10.0  # seconds without a word, after which Redis is asked for one
TURN = 1.0  # seconds in which the listener looks whether it shall stop, should nobody wake it
NEWS = 60.0  # seconds between two log lines about lost messages
WARNING = 30


class RedisLink:
    """Publishes on one channel of Redis and listens there, from `start` to `stop`.

    :param client: of the library `redis`.
    :param where: the address, for the log.
    :param timeout: seconds that Redis has to answer.
    :param most: bytes that may wait for Redis; beyond it the oldest are lost.
    :param take: called with each message that comes, in the listener's thread; must not raise.
    :param log: called with words and a level.
    """

    def __init__(
        self,
        client: Any,
        where: str,
        channel: str,
        *,
        timeout: float,
        most: int,
        take: Callable[[bytes], object],
        log: Callable[[str, int], object],
    ) -> None:
        self.client = client
        self.where = where
        self.channel = channel
        self.timeout = timeout
        self.most = most
        self._take = take
        self._log = log
        self._ended = threading.Event()
        # Guards all below.
        self._changed = threading.Condition()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._weight = 0
        self._lost = 0  # messages, since it was last said
        self._said_lost = -NEWS
        self._up: set[str] = set()  # which of the two are connected
        self._down = False  # and has been told in the log
        self._hold = 0.0  # nothing is published before
        self._denied = False  # Redis answers, but does not take what is published
        self._listening: socket.socket | None = None
        self.threads = [
            threading.Thread(target=self._keep, args=(half,), name=f"websocket-redis-{half}")
            for half in ("publisher", "listener")
        ]
        for thread in self.threads:
            thread.daemon = True  # one that hangs in a look-up of a name keeps no program up

    # -- for every thread ------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether both halves are."""
        with self._changed:
            return len(self._up) == 2

    def start(self) -> None:
        """Start the threads; whether Redis answers is not waited for."""
        for thread in self.threads:
            thread.start()

    def publish(self, message: bytes) -> None:
        """Have a message published. Returns at once."""
        with self._changed:
            self._queue.append((time.monotonic(), message))
            self._weight += len(message) + BURDEN
            while self._weight > self.most and len(self._queue) > 1:
                self._drop_oldest()
            self._changed.notify()

    def stop(self, patience: float = 2.0) -> None:
        """Publish what waits, if Redis takes it, and end both threads.

        One that is still within a call to Redis after `patience` seconds ends when that call does.
        """
        self._ended.set()
        with self._changed:
            self._changed.notify_all()
            listening = self._listening
        deadline = time.monotonic() + patience
        if listening is not None:
            try:
                # Wakes the listener, whose own the socket stays: a descriptor that was closed here
                # might be somebody else's by the time it reads.
                listening.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # -- both halves -----------------------------------------------------------------------------

    def _keep(self, half: str) -> None:
        """Connect and work, again and again, with growing pauses."""
        work = self._publish if half == "publisher" else self._listen
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                work()
            except Exception as error:  # of the library, of the system, of a name that is none
                if self._ended.is_set():
                    return
                self._fell(half, error)
            if time.monotonic() - began > self.timeout + LAST_PAUSE:
                pause = FIRST_PAUSE  # it has held for a while
            self._ended.wait(pause * random.uniform(0.5, 1.0))  # not all processes at once
            pause = min(pause * 2, LAST_PAUSE)

    def _say(self, words: str, level: int) -> None:
        try:
            self._log(words, level)
        except Exception:  # of whoever listens to the log: it must not end the thread
            pass

    def _fell(self, half: str, error: Exception) -> None:
        with self._changed:
            self._up.discard(half)
            first, self._down = not self._down, True
        if first:
            self._say(
                f"Redis ({self.where}) does not serve WebSocket broadcasts ({error}). Until it does, "
                "what is sent reaches the sockets of this process only.",
                WARNING,
            )

    def _rose(self, half: str) -> None:
        with self._changed:
            if half in self._up:
                return  # a client that connects anew by itself
            self._up.add(half)
            self._changed.notify_all()
            if len(self._up) < 2:
                return
            again, self._down = self._down, False
            if again:
                self._hold = time.monotonic() + GRACE
        words = " again" if again else ""
        self._say(f"Redis ({self.where}) serves WebSocket broadcasts{words}: {self.channel!r}.", 20)

    # -- the publisher ---------------------------------------------------------------------------

    def _publish(self) -> None:
        self.client.ping()
        if not self._denied:
            self._rose("publisher")
        worked = time.monotonic()
        while self._wait_for_messages():
            if time.monotonic() > worked + FRESH:
                # Before anything is taken: what a dead connection is given is lost.
                self.client.ping()
            batch = self._next_batch()
            if batch:
                self._publish_all(batch)
            self._tell_lost()
            worked = time.monotonic()

    def _publish_all(self, batch: list[bytes]) -> None:
        pipe = self.client.pipeline(transaction=False)
        for message in batch:
            pipe.publish(self.channel, message)
        try:
            pipe.execute()
        except Exception as error:
            from redis.exceptions import ResponseError

            # It may have got them or not. To send them once more could be once too often.
            with self._changed:
                self._lost += len(batch)
            self._denied = isinstance(error, ResponseError)
            raise
        if self._denied:
            self._denied = False
            self._rose("publisher")

    def _wait_for_messages(self) -> bool:
        """Wait until there are some, and others can be believed to listen, as we do ourselves.

        False when there are none and it is over.
        """
        with self._changed:
            while not self._ended.is_set():
                held = self._hold - time.monotonic()
                if self._queue and held <= 0 and "listener" in self._up:
                    return True
                self._changed.wait(held if self._queue and held > 0 else None)
            return bool(self._queue)

    def _next_batch(self) -> list[bytes]:
        """Take the messages that go out together; those that are too old are lost."""
        batch: list[bytes] = []
        size = 0
        with self._changed:
            oldest = time.monotonic() - LATE
            while self._queue and self._queue[0][0] < oldest:
                self._drop_oldest()
            while self._queue and size < BATCH:
                message = self._queue.popleft()[1]
                self._weight -= len(message) + BURDEN
                size += len(message)
                batch.append(message)
        return batch

    def _drop_oldest(self) -> None:
        message = self._queue.popleft()[1]
        self._weight -= len(message) + BURDEN
        self._lost += 1

    def _tell_lost(self) -> None:
        now = time.monotonic()
        with self._changed:
            lost = self._lost
            if not lost or now < self._said_lost + NEWS:
                return
            self._lost, self._said_lost = 0, now
        self._say(f"WebSocket broadcasts that did not reach the other processes: {lost}.", WARNING)

    # -- the listener ----------------------------------------------------------------------------

    def _listen(self) -> None:
        pubsub = self.client.pubsub()
        try:
            pubsub.subscribe(self.channel)
            with self._changed:
                self._listening = getattr(pubsub.connection, "_sock", None)
            due: float | None = time.monotonic() + self.timeout  # by when it has to say something
            heard = time.monotonic()
            while not self._ended.is_set():
                message = pubsub.get_message(timeout=TURN)
                now = time.monotonic()
                if message is not None:
                    heard, due = now, None
                    self._heard(message)
                elif due is None and now > heard + QUIET:
                    pubsub.ping()
                    due = now + self.timeout
                elif due is not None and now > due:
                    raise TimeoutError("no answer in time")
        finally:
            with self._changed:
                self._listening = None
            pubsub.close()

    def _heard(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "subscribe":
            self._rose("listener")
        elif kind == "message":
            self._take(message["data"])
