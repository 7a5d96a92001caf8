"""Sessions in files: one a session, replaced as a whole, locked between processes.

Law: an id becomes part of a path only if it consists of letters, digits, '-' and '_'.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from cherrypy.framework.site import site

from .locking import FileLock
from .sessionbase import reads_freely
from .sessionhealth import StoreHealth
from .sessionrecords import SAFE_ID, RecordSession

__all__ = ("FileSession",)

_TEMPORARY = ".session-tmp-"


#: By directory.
_health: dict[str, StoreHealth] = {}


def _health_of(path: str) -> StoreHealth:
    health = _health.get(path)
    if health is None:
        health = _health.setdefault(path, StoreHealth(path, (OSError,)))
    return health


class _HealthyLock(FileLock):
    """A lock whose directory may have become unusable."""

    def __init__(self, path: str, health: StoreHealth) -> None:
        super().__init__(path)
        self._health = health

    def _attempt(self) -> bool:
        return bool(self._health.call(super()._attempt))


@reads_freely
class FileSession(RecordSession):
    """Sessions in the files of a directory.

    Settings: `storage_path`, the directory; `serializer`, ``'pickle'`` (the default) or
    ``'json'``; `lock_timeout`, seconds.
    """

    SESSION_PREFIX = "session-"
    LOCK_SUFFIX = ".lock"

    storage_path: str = ""

    def __init__(self, id: str | None = None, **kwargs: Any) -> None:
        if "storage_path" in kwargs:
            kwargs["storage_path"] = os.path.abspath(kwargs["storage_path"])
        super().__init__(id, **kwargs)

    @classmethod
    def setup(cls, **kwargs: Any) -> None:
        """Take the settings and see that the directory can be written to.

        Raises ValueError when there is no `storage_path`, OSError with a clear text when the
        directory cannot be used.
        """
        kwargs["storage_path"] = cls.check(**kwargs)
        for name, value in kwargs.items():
            setattr(cls, name, value)

    @classmethod
    def check(cls, **kwargs: Any) -> str:
        """See that the directory can be written to, and return its path. Raises as `setup`."""
        path = kwargs.get("storage_path") or cls.storage_path
        if not path:
            raise ValueError("File sessions need a directory: set tools.sessions.storage_path.")
        path = os.path.abspath(path)
        probe = os.path.join(path, f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}-probe")
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600))
            os.unlink(probe)
        except OSError as exc:
            raise type(exc)(
                exc.errno,
                f"The directory for sessions cannot be written to ({exc.strerror})",
                path,
            ) from None
        return path

    # ------------------------------------------------------------------------------ paths

    def _get_file_path(self) -> str:
        """Return the path of this session's file. Raises ValueError for an id that is none."""
        id = self._id or ""
        if not SAFE_ID.fullmatch(id):
            raise ValueError("The session id is not one that could be part of a path.")
        return os.path.join(self.storage_path, self.SESSION_PREFIX + id)

    def _exists(self) -> bool:
        try:
            # What somebody has put in its place, a directory or a pipe, is no record.
            return os.path.isfile(self._get_file_path())
        except ValueError:
            return False

    # ------------------------------------------------------------------------------- data

    def _load(self, path: str | None = None) -> Any:
        """Return ``(data, expiration time)``, or None if there is no such thing in the file."""
        if path is None:
            return super()._load()
        raw = self._read_file(path)
        return None if raw is None else self._parse(raw[0])

    def _read(self) -> tuple[bytes, float] | None:
        try:
            return self._read_file(self._get_file_path())
        except ValueError:
            return None

    def _read_file(self, path: str) -> tuple[bytes, float] | None:
        try:
            with open(path, "rb") as file:
                # The time of change is when it expires, so that a clean-up need not read it.
                return file.read(), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        except OSError as exc:
            site.log(
                f"A session file cannot be read and counts as new ({exc.strerror}).",
                "SESSION",
                severity=30,
            )
            return None

    def _write(self, raw: bytes, until: float, must_exist: bool) -> bool:
        health = _health_of(self.storage_path)
        return bool(health.call(self._replace, self._get_file_path(), raw, until, must_exist))

    def _replace(self, path: str, raw: bytes, until: float, must_exist: bool) -> bool:
        # A file of its own, then renamed: readers without the lock see all or nothing.
        temporary = os.path.join(
            self.storage_path, f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        )
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(raw)
            os.utime(temporary, (until, until))
            if must_exist and not os.path.exists(path):
                os.unlink(temporary)
                return False
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return True

    def _touch(self, until: float) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.utime(self._get_file_path(), (until, until))

    def _delete(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.unlink(self._get_file_path())

    # ------------------------------------------------------------------------------ locks

    def _lock_between(self) -> _HealthyLock:
        return _HealthyLock(self._get_file_path() + self.LOCK_SUFFIX, _health_of(self.storage_path))

    def acquire_lock(self, path: str | None = None) -> None:
        """Take the lock of this session. Raises SessionLocked when it is not to be had."""
        super().acquire_lock()

    def release_lock(self, path: str | None = None) -> None:
        """Give the lock back."""
        foreign = self.__dict__.pop("lock", None)
        if foreign is not None and self.locked:
            # An `acquire_lock` of a subclass has left it there, such as a LockFile of zc.lockfile.
            self._lock_on_access = self.locked = False
            foreign.close()
            return
        super().release_lock()

    # --------------------------------------------------------------------------- clean-up

    def clean_up(self) -> None:
        """Remove sessions that have expired, and locks and files that a crash has left."""
        now = time.time()
        try:
            entries = list(os.scandir(self.storage_path))
        except OSError:
            return
        for entry in entries:
            name = entry.name
            try:
                if name.startswith(_TEMPORARY):
                    if entry.stat().st_mtime < now - 3600:
                        os.unlink(entry.path)
                elif name.startswith(self.SESSION_PREFIX):
                    if name.endswith(self.LOCK_SUFFIX):
                        if entry.stat().st_mtime < now - 60:
                            self._remove_stale(entry.path)
                    elif entry.stat().st_mtime <= now:
                        self._remove_expired(entry.path)
            except OSError:
                # Somebody else was quicker.
                continue

    @staticmethod
    def _remove_stale(path: str) -> None:
        lock = FileLock(path)
        if lock.acquire(0):
            lock.release()

    def _remove_expired(self, path: str) -> None:
        lock = FileLock(path + self.LOCK_SUFFIX)
        if not lock.acquire(0):
            return
        try:
            data = self._load(path)
            expired = data is None or data[1] <= self.now()
            if expired and os.stat(path).st_mtime <= time.time():
                os.unlink(path)
        finally:
            lock.release()

    def __len__(self) -> int:
        """Return the number of sessions."""
        return sum(
            1
            for name in os.listdir(self.storage_path)
            if name.startswith(self.SESSION_PREFIX) and not name.endswith(self.LOCK_SUFFIX)
        )
