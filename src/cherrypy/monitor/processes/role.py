"""Roles: which of the processes at one socket collects. Law: never two, and never none for long.

Who holds the lock beside the socket collects. The system lets go of it when a process ends, however it
ends, so nobody has to find out whether a socket that lies about belongs to somebody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from . import handover
from .collector import Collector
from .handover import Handed
from .sender import Sender

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds to connect to a collector.
PATIENCE = 1.0

#: Seconds until somebody who claims the role tries again.
AGAIN = 0.05


def join(monitor: Monitor, path: str) -> Collector | Sender | None:
    """Collect at a path, or send to who does; None if neither can be right now.

    Raises OSError for a path where no socket can be.
    """
    path = os.path.abspath(path)
    lock = _take_lock(path + ".lock")
    if lock is not None:
        try:
            return Collector(monitor, path, _bind(path), lock)
        except BaseException:
            os.close(lock)
            raise
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    try:
        sock.connect(path)
    except OSError:
        sock.close()  # it is about to listen, or to go
        return None
    return Sender(monitor, path, sock)


def claim(monitor: Monitor, path: str) -> tuple[Collector, Handed | None]:
    """Collect at a path, in the place of who does as long as nobody comes that does nothing else.

    Returns what that one has told as well, if there was one.

    Raises Refused, which says why it cannot be; OSError for a path where no socket can be.
    """
    path = os.path.abspath(path)
    deadline = time.monotonic() + handover.PATIENCE
    handed: Handed | None = None
    while True:
        lock = _take_lock(path + ".lock")
        if lock is not None:
            try:
                return Collector(monitor, path, _bind(path), lock), handed
            except BaseException:
                os.close(lock)
                raise
        one = handover.Claim(monitor, path, deadline)
        try:
            descriptor, listener = one.take()
            return Collector(monitor, path, listener, descriptor), one.handed
        except (OSError, ValueError) as error:
            if time.monotonic() >= deadline:
                raise handover.Refused(
                    f"The process that collects at {path} does not hand over: {error}. End it "
                    "first, or name another socket."
                ) from error
        handed = one.handed or handed  # it has ended, or is about to listen
        time.sleep(AGAIN)


def _take_lock(path: str) -> int | None:
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return None
    return descriptor


def _bind(path: str) -> socket.socket:
    """Bind a socket that only its owner can connect to, in the place of one that nobody has any more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Made under another name first: at no time can others connect.
    fresh = f"{path}.{os.getpid()}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        sock.bind(fresh)
        os.chmod(fresh, 0o600)
        os.rename(fresh, path)
    except BaseException:
        sock.close()
        raise
    return sock
