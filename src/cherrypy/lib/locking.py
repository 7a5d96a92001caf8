"""Locks that are waited for with a limit, by name: in this process, and between processes."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ("LockChecker", "LockTimeout", "NamedLock", "NamedLocks", "NeverExpires", "Timer")


class LockTimeout(Exception):
    """A lock could not be had within its limit."""


class NeverExpires:
    """A limit that is never reached."""

    def expired(self) -> bool:
        """Return False."""
        return False


def _utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class Timer:
    """A limit that is reached at a point in time.

    Args:
        expiration: a datetime; a naive one is in UTC.
    """

    def __init__(self, expiration: datetime.datetime) -> None:
        self.expiration = expiration

    @classmethod
    def after(cls, elapsed: float | datetime.timedelta) -> Timer:
        """Return a timer that expires `elapsed` seconds (or a timedelta) from now."""
        if not isinstance(elapsed, datetime.timedelta):
            elapsed = datetime.timedelta(seconds=elapsed)
        return cls(_utcnow() + elapsed)

    def expired(self) -> bool:
        """Tell whether the time is over."""
        limit = self.expiration
        if limit.tzinfo is None:
            limit = limit.replace(tzinfo=datetime.timezone.utc)
        return _utcnow() >= limit


class LockChecker:
    """Watch how long somebody waits for the lock of a session.

    Args:
        session_id: whose lock it is, for the message.
        timeout: seconds or a timedelta; None or 0 for ever.
    """

    def __init__(self, session_id: str, timeout: float | datetime.timedelta | None) -> None:
        self.session_id = session_id
        self.timer: Timer | NeverExpires = Timer.after(timeout) if timeout else NeverExpires()

    def expired(self) -> bool:
        """Return False, or raise LockTimeout when the time is over."""
        if self.timer.expired():
            raise LockTimeout(f"Timeout acquiring lock for {self.session_id}")
        return False


class NamedLock:
    """One lock of `NamedLocks` while somebody has it: who, since when, and who waits."""

    __slots__ = ("count", "holder", "owner", "since", "waiters")

    def __init__(self, owner: int, holder: Any) -> None:
        self.owner = owner
        self.holder = holder
        self.count = 1
        self.since = time.monotonic()
        self.waiters: list[tuple[Any, int, Any]] | None = None


class NamedLocks(dict[str, NamedLock]):
    """Locks by name; only those that somebody holds exist.

    Who holds a lock may take it again: the request, or, for whoever names none, the thread. Any
    thread may give it back, since the end of a response can come in another one than its beginning.
    Whoever waits longest is next.
    """

    def __init__(self) -> None:
        super().__init__()
        # Guards the entries and all that is in them; never held while waiting.
        self._guard = threading.Lock()

    def acquire(self, name: str, timeout: float | None, holder: Any = None) -> bool:
        """Take the lock `name`; False if it was not to be had within `timeout` seconds.

        Args:
            timeout: None waits for ever, 0 does not wait.
            holder: the request that wants it; shown to others who wait in vain.
        """
        # Requests of coroutines share a thread, and go from one to another. Without an application
        # it is but the request that threads see which serve none.
        own = getattr(holder, "app", None) is not None
        me = id(holder) if own else threading.get_ident()
        with self._guard:
            entry = self.get(name)
            if entry is None:
                self[name] = NamedLock(me, holder)
                return True
            if entry.owner == me:
                entry.count += 1
                return True
            if timeout is not None and timeout <= 0:
                return False
            # A lock that is handed over by being released.
            turn = threading.Lock()
            turn.acquire()
            ticket = (turn, me, holder)
            if entry.waiters is None:
                entry.waiters = []
            entry.waiters.append(ticket)
        if turn.acquire(timeout=-1 if timeout is None else timeout):
            return True
        with self._guard:
            if ticket in entry.waiters:
                entry.waiters.remove(ticket)
                return False
        # It was handed over just as we gave up.
        return True

    def release(self, name: str) -> None:
        """Give the lock `name` back; nothing happens if nobody has it."""
        with self._guard:
            entry = self.get(name)
            if entry is None:
                return
            entry.count -= 1
            if entry.count:
                return
            if not entry.waiters:
                del self[name]
                return
            turn, entry.owner, entry.holder = entry.waiters.pop(0)
            entry.count = 1
            entry.since = time.monotonic()
            turn.release()

    def holder_of(self, name: str) -> str:
        """Describe who has the lock `name`."""
        entry = self.get(name)
        if entry is None:
            return "nobody any more"
        seconds = time.monotonic() - entry.since
        holder = getattr(entry.holder, "request_line", entry.holder)
        return f"{holder or 'another thread'}, for {seconds:.1f} seconds"


class FileLock:
    """A lock between processes: a file that the operating system locks, gone when released."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def acquire(self, timeout: float | None, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Take the lock; False if it was not to be had within `timeout` seconds (None: for ever).

        Raises OSError when the file cannot be made.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while not self._attempt():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return True

    def _attempt(self) -> bool:
        import os

        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if not _lock_fd(fd):
                os.close(fd)
                return False
            # The one before us has removed the file, perhaps after we had opened it: then
            # somebody else may hold the lock of the file that has the name now.
            try:
                same = os.path.samestat(os.fstat(fd), os.stat(self.path))
            except FileNotFoundError:
                same = False
            if not same:
                os.close(fd)
                return False
            os.ftruncate(fd, 0)
            os.write(fd, b"%d" % os.getpid())
        except BaseException:
            import contextlib

            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back."""
        import contextlib
        import os

        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        # Before the lock goes, so that nobody can have got it in between. Windows does not
        # remove open files: there the file stays until somebody cleans up.
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os.close(fd)

    def held(self) -> bool:
        """Tell whether this object has the lock."""
        return self._fd >= 0

    def holder(self) -> str:
        """Describe who has the lock."""
        try:
            with open(self.path, "rb") as file:
                pid = file.read(20).decode("ascii", "replace")
        except OSError:
            return "nobody any more"
        return f"process {pid}" if pid else "another process"


def _lock_fd(fd: int) -> bool:
    """Lock an open file at once, or return False."""
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # only on Windows
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
