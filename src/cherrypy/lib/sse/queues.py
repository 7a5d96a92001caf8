"""Queues: where a thread waits for events, behind servers that cannot send without one."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator

from cherrypy.framework.site import site

__all__ = ("Queue",)


class Queue:
    """What `kirsch.server.feeds.Feed` is elsewhere, with the same names; iterating waits."""

    def __init__(
        self,
        *,
        most: int = 100,
        most_bytes: int = 1 << 20,
        drop: bool = True,
        beat: bytes = b"",
        interval: float = 0.0,
        limit: float | None = None,
    ) -> None:
        self.most = most
        self.most_bytes = most_bytes
        self.drop = drop
        self.beat = beat
        self.interval = interval if beat else 0.0
        self.ends_at = None if limit is None else time.monotonic() + limit
        self.dropped = 0
        self.length = 0
        self.open = True
        self._lost = False
        self._changed = threading.Condition()  # guards all of it
        self._pieces: deque[bytes] = deque()
        self._size = 0
        _watch(self)

    def send(self, piece: bytes) -> bool:
        """Add a piece; False when the stream is over."""
        with self._changed:
            if not self.open or self._lost:
                return False
            self._pieces.append(piece)
            self._size += len(piece)
            while len(self._pieces) > 1 and (
                len(self._pieces) > self.most or self._size > self.most_bytes
            ):
                if not self.drop:
                    self.open = False
                    self._lost = True
                    break
                self._size -= len(self._pieces.popleft())
                self.dropped += 1
            self._changed.notify()
            return self.open

    def finish(self) -> None:
        """Take no more; who iterates gets what is there, and the end."""
        with self._changed:
            self.open = False
            self._changed.notify()

    def take(self) -> list[bytes]:
        """Return what is there."""
        with self._changed:
            pieces = list(self._pieces)
            self._pieces.clear()
            self._size = 0
            self.length += sum(map(len, pieces))
        return pieces

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                if not self._pieces and self.open:
                    self._changed.wait(self._patience())
                late = self.ends_at is not None and time.monotonic() >= self.ends_at
                if self._lost:
                    return
                over = not self.open or late
                silent = not self._pieces and not over
            if silent:
                self.length += len(self.beat)
                if self.beat:
                    yield self.beat
                continue
            yield from self.take()
            if over:
                self.open = False
                return

    def _patience(self) -> float | None:
        """Seconds to wait for something to happen."""
        wait = self.interval or None
        if self.ends_at is not None:
            left = max(0.0, self.ends_at - time.monotonic())
            wait = left if wait is None else min(wait, left)
        return wait


_all: weakref.WeakSet[Queue] = weakref.WeakSet()
_guard = threading.Lock()  # guards the set


def _watch(queue: Queue) -> None:
    """Have the queue end when the engine stops: a thread waits there."""
    with _guard:
        _all.add(queue)
    if _stop not in site.engine.listeners.get("stop", ()):
        site.engine.subscribe("stop", _stop)


def _stop() -> None:
    with _guard:
        queues = list(_all)
    for queue in queues:
        queue.finish()


# Before the servers (25), which wait for their requests.
_stop.priority = 20  # type: ignore[attr-defined]  # the bus reads it
