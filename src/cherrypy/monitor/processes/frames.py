"""Frames: snapshots on a stream, each behind its length. Law: nobody's length is believed beyond a limit."""

from __future__ import annotations

import struct

LENGTH = struct.Struct("!I")

#: Bytes of a packed snapshot.
MOST = 8 * 1024 * 1024

#: A frame without a snapshot: the process ends, and says so.
FAREWELL = LENGTH.pack(0)


def frame(data: bytes) -> bytes:
    """Put a packed snapshot in a frame. Raises ValueError if it is too big."""
    if not 0 < len(data) <= MOST:
        raise ValueError(f"a snapshot of {len(data)} bytes; {MOST} are the limit")
    return LENGTH.pack(len(data)) + data


class Frames:
    """Takes a stream apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return what is whole now; b"" is the farewell. Raises ValueError for a length beyond reason."""
        buffer = self._buffer
        buffer += data
        found = []
        while len(buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer)
            if size > MOST:
                raise ValueError(f"a frame of {size} bytes; {MOST} are the limit")
            end = LENGTH.size + size
            if len(buffer) < end:
                break
            found.append(bytes(buffer[LENGTH.size : end]))
            del buffer[:end]
        return found
