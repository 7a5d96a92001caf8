"""Frames that a peer has not taken yet: joined into few sends, and weighed against a limit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .output import Pending

if TYPE_CHECKING:
    from .link import Link

JOIN = 65536  # bytes of small frames that go out in one send
BURDEN = 64  # bytes that a frame in the queue is taken to cost beside its own


class OutQueue(Pending):
    """Whole frames and at most one rest of a frame. Guarded by the lock of its WebSocket."""

    __slots__ = ()

    def __init__(self, first: Any) -> None:
        super().__init__(deque((first,)))

    @property
    def weight(self) -> int:
        """Bytes of memory, roughly."""
        return self.size + BURDEN * len(self.parts)

    def flush(self, conn: Link) -> bool:
        """Send what the socket takes; True when nothing is left. Raises OSError."""
        parts = self.parts
        while parts:
            data = parts[0]
            if len(parts) > 1 and len(data) < JOIN:
                data = self._join()
            try:
                sent = conn.send(data)
            except BlockingIOError:
                return False
            self.size -= sent
            self.sent += sent
            if sent < len(data):
                parts[0] = memoryview(data)[sent:]
                return False
            parts.popleft()
        return True

    def _join(self) -> bytes:
        """Make one piece of the first ones: a system call costs more than copying them."""
        parts = self.parts
        pieces = [parts.popleft()]
        total = len(pieces[0])
        while parts and total + len(parts[0]) <= JOIN:
            piece = parts.popleft()
            total += len(piece)
            pieces.append(piece)
        joined = b"".join(pieces)
        parts.appendleft(joined)
        return joined
