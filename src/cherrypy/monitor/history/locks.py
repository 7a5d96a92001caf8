"""The lock of a store's file: one process writes it; a process that is killed holds it no more."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

_lock = threading.Lock()  # guards: a path is held once in this process
_held: set[str] = set()


class InUse(OSError):
    """Somebody else has the file.

    owner
        The process id that is known of, or ''.
    """

    def __init__(self, path: Path, owner: str) -> None:
        by = f"process {owner}" if owner else "another process"
        super().__init__(f"{path} is in use by {by}")
        self.owner = owner


class Lock:
    """Holds `<path>-lock` until `release`, or the end of this process. Children do not inherit it.

    Raises InUse if somebody else holds it, OSError if the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(f"{path}-lock")
        self._name = str(self.path.resolve())
        with _lock:
            if self._name in _held:
                raise InUse(path, str(os.getpid()))
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _take(self._file)
            except OSError:
                owner = os.pread(self._file, 20, 1) if hasattr(os, "pread") else b""
                os.close(self._file)
                raise InUse(path, owner.decode("ascii", "replace").strip()) from None
            _held.add(self._name)
        self._pid = os.getpid()
        os.lseek(self._file, 1, os.SEEK_SET)
        os.write(self._file, f"{self._pid:<19}".encode())

    def release(self) -> None:
        """Hold it no longer."""
        with _lock:
            _held.discard(self._name)
            os.close(self._file)  # and with it the lock, if it is this process's


if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
