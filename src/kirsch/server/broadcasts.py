"""Broadcasts: one message to many WebSockets, and bursts of them in few sends.

Law: nothing here waits for a peer, and each peer gets what is sent to it in the order it was sent. What is
broadcast right after something else is held back, no longer than sending to all would take: a system call
for many frames costs what one costs for one. Who broadcasts sends what has waited long enough; when nobody
does any more, the holder of the baton will.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..wire.websocket.copies import Copies
from .workers import BATCH, HELD

if TYPE_CHECKING:
    from collections.abc import Collection

    from .senders import Sender

MANY = 16  # peers; for fewer, waking the holder would cost more than it saves
PER_PEER = 7e-6  # seconds, roughly, that sending to one takes
MOST = 0.01  # seconds


class Broadcaster:
    """Sends to whoever it is told to. Any thread may call."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0.0  # end of the last broadcast; threads may mix it up, and nothing breaks

    def send(self, peers: Collection[Sender], message: str | bytes) -> int:
        """Send a message to all peers; to how many it went: the others are closed, or closing."""
        copies = Copies(message)
        patience = min(max(HELD, PER_PEER * len(peers)), MOST)
        now = time.monotonic()
        if now - self._last > patience or len(peers) < MANY:
            sent = sum([peer.deliver(copies) for peer in peers])
        else:
            sent = self._send_later(peers, copies, now + patience)
        self._last = time.monotonic()
        return sent

    def _send_later(self, peers: Collection[Sender], copies: Copies, till: float) -> int:
        """Part of a burst."""
        groups = {peer.conn.group for peer in peers}
        for group in groups:
            if not group.held:
                group.held_till = till
        sent = sum([peer.deliver(copies, True) for peer in peers])
        now = time.monotonic()
        for group in groups:
            if group.held_till <= now:
                for _ in range(0, len(group.held), BATCH):
                    group.release()
            elif group.wake_at > group.held_till:
                group.poller.wake()
        return sent
