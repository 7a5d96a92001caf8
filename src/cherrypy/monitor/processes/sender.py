"""The sender: tells the collector each second what this process has counted.

Law: the collector is never waited for. What it does not take is left out; the next snapshot has it all.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from .frames import FAREWELL, frame

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds that the last snapshot of a process may take.
PATIENCE = 2.0


class Sender:
    """A connection to a collector.

    sock
        Connected to it.
    """

    def __init__(self, monitor: Monitor, path: str, sock: socket.socket) -> None:
        self.monitor = monitor
        self.path = path
        self.sock = sock
        self._rest = b""
        sock.setblocking(False)

    def beat(self) -> bool:
        """Send the latest snapshot; False when the collector is gone."""
        if self._rest:
            if not self._flush():
                return False
            if self._rest:
                return True  # it lags: this one is left out
        self._rest = frame(self._latest())
        return self._flush()

    def _latest(self) -> bytes:
        worker = self.monitor.taker.worker
        for snapshot in self.monitor.site.workers():
            if snapshot.worker == worker:
                return snapshot.pack()
        return self.monitor.taker.take().pack()

    def _flush(self) -> bool:
        try:
            while self._rest:
                sent = self.sock.send(self._rest)
                self._rest = self._rest[sent:]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Send the last snapshot and say farewell."""
        with contextlib.suppress(OSError, ValueError):
            self.sock.settimeout(PATIENCE)
            self.sock.sendall(self._rest + frame(self._latest()) + FAREWELL)
        self.sock.close()

    def abandon(self) -> None:
        """In a forked child: the parent goes on with its own."""
        self.sock.close()
