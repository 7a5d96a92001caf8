"""The event loop that all coroutines share, of pages and of ASGI applications, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

__all__ = ("LoopThread", "shared")

#: Seconds that tasks get to end when the loop does.
PATIENCE = 2.0


class LoopThread:
    """One event loop in one thread, which is there while somebody uses it.

    `acquire` and `release` may be called from any thread but the loop's own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # users, loop and thread belong together
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def acquire(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which is started for the first user."""
        with self._lock:
            self._users += 1
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name="event-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def release(self) -> None:
        """Do without the loop; it ends with its last user, and with it whatever still runs there."""
        with self._lock:
            self._users -= 1
            if self._users or self._loop is None or self._thread is None:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(2 * PATIENCE + 1)

    def is_here(self) -> bool:
        """Return whether the calling thread is the loop's own, which cannot wait for the loop."""
        return threading.current_thread() is self._thread

    def forget(self) -> None:
        """In a forked child: the thread has stayed with the parent."""
        self._lock = threading.Lock()
        self._users = 0
        self._loop = self._thread = None

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(_tidy())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _tidy() -> None:
    """Cancel what still runs, and wait for it a little."""
    own = asyncio.current_task()
    tasks: set[asyncio.Task[Any]] = {task for task in asyncio.all_tasks() if task is not own}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=PATIENCE)
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.shutdown_asyncgens(), PATIENCE)
    except asyncio.TimeoutError:
        pass


#: The loop of this process.
shared = LoopThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared.forget)
