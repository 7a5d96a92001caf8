"""Totals: what all processes have counted, kept in files beside the history for who collects next.

Law: whatever ends, however, what the files hold is whole, and at most some seconds old. Two files take
turns, so one of them always is complete; what is in them is counted once, whoever comes back.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from typing import TYPE_CHECKING

from ..snapshots import Snapshot, unpack
from .frames import MOST, Frames, frame

if TYPE_CHECKING:
    from ..plugin import Monitor

MAGIC = b"KirschT1"

#: The number of the writing, when it was, since when is counted, and bytes and checksum of the frames.
HEAD = struct.Struct("!8sQddQI")

#: Bytes a second that are written on the average: what is more is written less often than each second.
RATE = 4 * 1024 * 1024

#: Bytes of a file that is believed.
MOST_BYTES = 512 * 1024 * 1024


class Totals:
    """The totals of a site's processes in the files PATH-totals-a and PATH-totals-b.

    path
        The file of the history.
    """

    def __init__(self, monitor: Monitor, path: str) -> None:
        self.monitor = monitor
        self.paths = [os.path.abspath(f"{path}-totals-{name}") for name in "ab"]
        self.number = 0
        self._due = 0.0

    def load(self) -> None:
        """Add what is in the files to what the site has counted."""
        found = []
        for path in self.paths:
            try:
                found.append(read(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self.monitor.broken(f"totals: {os.path.basename(path)}", error)
        if not found:
            return
        number, _, since, snapshots = max(found, key=lambda one: one[0])
        self.number = number
        self.monitor.site.restore(snapshots, since)

    def beat(self) -> None:
        """Write them, if it is time."""
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write them to the older of the files."""
        began = time.monotonic()
        self.number += 1
        path = self.paths[self.number % 2]
        try:
            written = write(path, self.number, *self.monitor.site.state())
        except OSError as error:
            self._due = began + 10.0
            self.number -= 1  # the same one next time: the other is whole
            with contextlib.suppress(OSError):  # half of one is none, and takes room
                os.truncate(path, 0)
            self.monitor.broken("totals", error)
            return
        self._due = began + written / RATE


def write(path: str, number: int, since: float, snapshots: list[Snapshot]) -> int:
    """Write a file in the place of what it held; return its bytes. Raises OSError."""
    parts = []
    for snapshot in snapshots:
        data = snapshot.packed
        if not data:
            data = snapshot.packed = snapshot.pack()
        if len(data) <= MOST:
            parts.append(frame(data))
    body = b"".join(parts)
    head = HEAD.pack(MAGIC, number, time.time(), since, len(body), zlib.crc32(body))
    follow = getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | follow, 0o600)
    try:
        left = memoryview(head + body)
        while left:
            left = left[os.write(descriptor, left) :]
        # After, not before: a file that is emptied first is sent to the disk at once by some systems.
        os.ftruncate(descriptor, len(head) + len(body))
    finally:
        os.close(descriptor)
    return len(head) + len(body)


def read(path: str) -> tuple[int, float, float, list[Snapshot]]:
    """Return what `write` has written: its number, when, since when, and the snapshots.

    Raises ValueError for what it has not, or not to the end; OSError.
    """
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if not data:
        raise FileNotFoundError(path)  # emptied where there was no room
    if len(data) < HEAD.size or len(data) > MOST_BYTES:
        raise ValueError("a file of another size than totals have")
    magic, number, at, since, size, checksum = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if magic != MAGIC or len(body) < size or zlib.crc32(body[:size]) != checksum:
        raise ValueError("no totals, or not all of them")
    return number, at, since, [unpack(packed) for packed in Frames().feed(body[:size])]
