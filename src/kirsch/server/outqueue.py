"""Frames that a peer has not taken yet: joined into few sends, and weighed against a limit."""

from __future__ import annotations

from collections import deque
from typing import Any

from .output import Pending

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

    def first(self) -> Any:
        """Return the first frame, as one piece with those behind it: a call costs more than a copy."""
        parts = self.parts
        pieces = [parts.popleft()]
        total = len(pieces[0])
        while parts and total + len(parts[0]) <= JOIN:
            piece = parts.popleft()
            total += len(piece)
            pieces.append(piece)
        first = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        parts.appendleft(first)
        return first
