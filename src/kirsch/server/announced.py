"""Connections that a proxy announces by the PROXY protocol, before HTTP or TLS begin.

Law: whom nobody trusts announces nothing: his connection is his own, and a header from him is no HTTP.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..http.peers import truster
from ..wire.announcement import MAX_HEADER, parse_announcement
from ..wire.errors import ProtocolError
from .connection import Connection
from .counters import BYTES_IN, PARSE_ERRORS, RESETS, TIMEOUTS_HEAD
from .link import HANDSHAKING, READING
from .poller import IN

if TYPE_CHECKING:
    from .group import Group
    from .listeners import Listener
    from .workers import Worker

ANNOUNCING = 11  # parked, until the header is here


class Announced(Connection):
    """A connection whose peer, if it is trusted, first says for whom it speaks.

    Made into a class of its own with the kind of connection that follows, see `announced`.
    """

    __slots__ = ()

    def __init__(self, group: Group, sock: socket.socket, remote: Any, listener: Listener) -> None:
        super().__init__(group, sock, remote, listener)
        if truster(group.settings.proxy_protocol or ())(self.remote[0]):
            self.state = ANNOUNCING

    def on_event(self, mask: int, worker: Worker) -> bool:
        if self.state == ANNOUNCING:
            return self.on_announcement(worker)
        return super().on_event(mask, worker)

    def on_announcement(self, worker: Worker) -> bool:
        """ANNOUNCING: take from the socket what belongs to the header, and not a byte more (the holder)."""
        try:
            # What follows is for whoever comes after us, who reads it from the socket.
            data = self.sock.recv(MAX_HEADER, socket.MSG_PEEK)
            seen = bytes(self.buffer)
            header = parse_announcement(seen + data) if data else None
            mine = len(data) if header is None else header.size - len(seen)
            taken = self.sock.recv(mine) if data else b""
        except BlockingIOError:
            return True
        except ProtocolError as error:
            self.unannounced(error, worker)
            return True
        except OSError:
            worker.counts[RESETS] += 1
            self.close(worker)
            return True
        worker.counts[BYTES_IN] += len(taken)
        if not taken:
            self.close(worker)
        elif header is None or len(taken) < mine:
            self.buffer = seen + taken
        else:
            self.buffer = b""
            if header.client is not None:
                self.remote = header.client
            self.begin(worker)
        return True

    def begin(self, worker: Worker) -> None:
        """The header has come: what follows is TLS, within the time accept() has set, or HTTP."""
        if self.scheme == "https":
            self.state = HANDSHAKING
            return
        self.state = READING
        self.group.wheel.set(self, worker.now + self.group.settings.head_timeout)

    def unannounced(self, error: ProtocolError, worker: Worker) -> None:
        """A trusted peer that says something else is told so, in words where it may understand them."""
        worker.counts[PARSE_ERRORS] += 1
        self.buffer = b""
        if self.scheme == "https":
            self.close(worker)
            return
        self.state = READING
        self.interest(IN)
        self.refuse(error.status, error.text, worker)

    def on_deadline(self, worker: Worker, now: float) -> None:
        if self.state == ANNOUNCING:
            worker.counts[TIMEOUTS_HEAD] += 1
            self.close(worker)
        else:
            super().on_deadline(worker, now)

    def retire(self, worker: Worker) -> None:
        if self.state == ANNOUNCING:
            self.close(worker)
        else:
            super().retire(worker)


@lru_cache
def announced(kind: type[Connection]) -> type[Connection]:
    """Return the class of connections of a kind that proxies announce."""
    return type(f"Announced{kind.__name__}", (Announced, kind), {"__slots__": ()})
