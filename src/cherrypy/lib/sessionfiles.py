"""Sessions in files: one a session, replaced as a whole, locked between processes.

Law: an id becomes part of a path only if it consists of letters, digits, '-' and '_'.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import threading
import time
from typing import Any

from cherrypy.framework.site import site

from .locking import FileLock, NamedLocks
from .sessionbase import Session

__all__ = ("FileSession",)

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_TEMPORARY = ".session-tmp-"


class _Pickle:
    """Any Python object; the store must be nobody else's, for pickles are programs."""

    @staticmethod
    def dumps(data: Any, protocol: int) -> bytes:
        import pickle

        return pickle.dumps(data, protocol)

    @staticmethod
    def loads(raw: bytes) -> Any:
        import pickle

        return pickle.loads(raw)


class _Json:
    """What JSON can say, and nothing that could run."""

    @staticmethod
    def dumps(data: Any, protocol: int) -> bytes:
        import json

        values, expiration_time = data
        return json.dumps([values, expiration_time.isoformat()]).encode("utf-8")

    @staticmethod
    def loads(raw: bytes) -> Any:
        import json

        values, expiration_time = json.loads(raw)
        return values, datetime.datetime.fromisoformat(expiration_time)


_SERIALIZERS: dict[str, Any] = {"pickle": _Pickle, "json": _Json}


class FileSession(Session):
    """Sessions in the files of a directory.

    Settings: `storage_path`, the directory; `serializer`, ``'pickle'`` (the default) or
    ``'json'``; `lock_timeout`, seconds.
    """

    SESSION_PREFIX = "session-"
    LOCK_SUFFIX = ".lock"
    pickle_protocol = 5

    storage_path: str = ""
    serializer: Any = "pickle"

    # Between the threads of this process, which is cheaper to wait for than the file lock.
    locks: NamedLocks = NamedLocks()
    _file_lock: FileLock | None = None
    _raw: bytes | None = None

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
        path = kwargs.get("storage_path") or cls.storage_path
        if not path:
            raise ValueError("File sessions need a directory: set tools.sessions.storage_path.")
        kwargs["storage_path"] = path = os.path.abspath(path)
        for name, value in kwargs.items():
            setattr(cls, name, value)
        probe = os.path.join(path, f"{_TEMPORARY}{os.getpid()}-probe")
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

    # ------------------------------------------------------------------------------ paths

    def _get_file_path(self) -> str:
        """Return the path of this session's file. Raises ValueError for an id that is none."""
        id = self._id or ""
        if not _ID.fullmatch(id):
            raise ValueError("The session id is not one that could be part of a path.")
        return os.path.join(self.storage_path, self.SESSION_PREFIX + id)

    def _exists(self) -> bool:
        try:
            return os.path.exists(self._get_file_path())
        except ValueError:
            return False

    # ------------------------------------------------------------------------------- data

    def _serializer(self) -> Any:
        serializer = self.serializer
        if isinstance(serializer, str):
            try:
                return _SERIALIZERS[serializer]
            except KeyError:
                raise ValueError(
                    f"tools.sessions.serializer is {serializer!r}; known are "
                    f"{', '.join(_SERIALIZERS)}."
                ) from None
        return serializer

    def _load(self, path: str | None = None) -> Any:
        """Return ``(data, expiration time)``, or None if there is no such thing in the file."""
        serializer = self._serializer()
        try:
            with open(path or self._get_file_path(), "rb") as file:
                raw = file.read()
        except (OSError, ValueError):
            return None
        try:
            data, expiration_time = serializer.loads(raw)
            if not isinstance(expiration_time, datetime.datetime):
                raise TypeError("no expiration time")
        except Exception as exc:  # unpickling may raise anything
            # The request goes on with an empty session.
            site.log(
                f"A session file is damaged and counts as new ({type(exc).__name__}).",
                "SESSION",
                severity=30,
            )
            return None
        return data, expiration_time

    def _save(self, expiration_time: datetime.datetime) -> None:
        path = self._get_file_path()
        raw = self._serializer().dumps((self._data, expiration_time), self.pickle_protocol)
        # A file of its own, then renamed: readers without the lock see all or nothing.
        temporary = os.path.join(
            self.storage_path, f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        )
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(raw)
            # The time of change is when it expires, so that a clean-up need not read it.
            expires = expiration_time.timestamp()
            os.utime(temporary, (expires, expires))
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _delete(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.unlink(self._get_file_path())

    # ------------------------------------------------------------------------------ locks

    def acquire_lock(self, path: str | None = None) -> None:
        """Take the lock of this session. Raises SessionLocked when it is not to be had."""
        if self.locked:
            return
        path = path or self._get_file_path()
        limit = self._lock_limit()
        deadline = None if limit is None else time.monotonic() + limit
        self._lock_named(self.locks)
        lock = FileLock(path + self.LOCK_SUFFIX)
        entry = self.locks.get(self._id or "")
        if entry is not None and entry.count > 1:
            # This thread has the file lock already, through another object.
            return
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            got = lock.acquire(left)
        except BaseException:
            self._unlock_named()
            raise
        if not got:
            holder = lock.holder()
            self._unlock_named()
            self._refuse(holder)
        self._file_lock = lock

    def _unlock_named(self) -> None:
        self.locked = False
        self.locks.release(self._id or "")

    def release_lock(self, path: str | None = None) -> None:
        """Give the lock back."""
        self._lock_on_access = False
        if not self.locked:
            return
        lock, self._file_lock = self._file_lock, None
        if lock is not None:
            lock.release()
        self._unlock_named()

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
            if data is None or data[1] <= self.now():
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
