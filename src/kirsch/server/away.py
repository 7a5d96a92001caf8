"""A connection whose response is made elsewhere: parked in the poller, it owes its peer an answer.

What stands in `upgraded` says what its events mean. Law: only the holder of the baton reads, closes
and gives the connection back; the lock of what stands there guards that nobody sends meanwhile.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .connection import Connection
from .counters import BYTES_IN, RESETS
from .deadlines import NEVER
from .input import RECV
from .link import CLOSED_STATE, SWITCHED
from .poller import IN, OUT

if TYPE_CHECKING:
    from .workers import Worker


class Away:
    """What a detached connection waits for; the ground of `Feed` and `Parked`."""

    __slots__ = ("__weakref__", "conn", "deaf", "junk", "lock", "over", "unread")

    conn: Any

    def __init__(self) -> None:
        # Guards: the socket is written to by one thread, and the end comes once.
        self.lock = threading.Lock()
        self.over = False  # nobody waits for us any more
        self.unread = False  # the peer's request body was not read to its end
        self.junk = 0  # bytes of that thrown away
        self.deaf = False  # it has sent so much of what is not its turn that we listen no more

    # -- the holder of the baton, and the worker that begins it ----------------------------------

    def detach(self, conn: Any) -> None:
        """Make `conn` ours. Its owner calls, and arms it as the last thing he does."""
        self.conn = conn
        decoder = conn.decoder
        if decoder is not None and decoder.done:
            conn.buffer, conn.decoder = decoder.rest, None
        self.unread = conn.decoder is not None
        conn.group.wheel.set(conn, NEVER)
        conn.upgraded = self
        conn.__class__ = detached(type(conn))

    def listen(self) -> int:
        """What to wait for: the end of the peer."""
        return 0 if self.deaf else IN

    def arm(self, more: int = 0) -> None:
        """Let the poller watch the connection (with the lock held)."""
        self.conn.state = SWITCHED
        self.conn.interest(self.listen() | more)

    def give_back(self) -> Any:
        """Make the connection an ordinary one again, and return it."""
        conn = self.conn
        conn.upgraded = None
        conn.__class__ = _attached[type(conn)]
        return conn

    def on_event(self, mask: int, worker: Worker) -> bool:
        """Bytes have come, or the end."""
        if mask & OUT:
            self.on_writable(worker)
            if self.conn.upgraded is not self:
                return True
        if mask & ~OUT:
            self.on_readable(mask, worker)
        return True

    def on_writable(self, worker: Worker) -> None:
        """The peer takes more."""

    def on_readable(self, mask: int, worker: Worker) -> None:
        """Keep what has come for later; the end of the peer's half is the end."""
        conn = self.conn
        if self.deaf:
            if mask & ~(IN | OUT):
                conn.close(worker)
            return
        try:
            data = conn.recv(RECV)
        except BlockingIOError:
            return
        except OSError:
            data = b""
            worker.counts[RESETS] += 1
        if not data or self.over:
            conn.close(worker)
            return
        worker.counts[BYTES_IN] += len(data)
        group = conn.group
        if self.unread:
            self.junk += len(data)
            self.deaf = self.junk > group.settings.drain_limit
        else:
            conn.buffer = bytes(conn.buffer) + data
            self.deaf = len(conn.buffer) > group.limits.max_head
        if self.deaf:
            with self.lock:
                self.arm(conn.mask & OUT)

    def on_deadline(self, worker: Worker, now: float) -> None:
        """A deadline has passed, or has moved."""

    def go_on(self, worker: Worker) -> None:
        """Somebody has asked for the holder."""

    def retire(self) -> None:
        """The server stops."""

    def forsake(self) -> None:
        """The server has stopped, and nobody reads any more."""

    def lost(self, worker: Any) -> None:
        """The connection is closed."""

    # -- any thread ------------------------------------------------------------------------------

    def call_holder(self) -> None:
        """Have the holder of the baton call `go_on`."""
        group = self.conn.group
        group.ready.append(self.conn)
        group.poller.wake()

    def run_errand(self, errand: Any) -> None:
        """Have a worker without the baton call `errand`; a thread of its own when all have ended."""
        group = self.conn.group
        if group.disposed:
            threading.Thread(target=errand, args=(None,), name="kirsch-late", daemon=True).start()
            return
        group.errands.append(errand)
        group.called = True
        group.poller.wake()


class DetachedConnection(Connection):
    """The same object with other ways."""

    __slots__ = ()

    def on_event(self, mask: int, worker: Worker) -> bool:
        """Bytes, room for bytes, or the end."""
        away: Away | None = self.upgraded
        return super().on_event(mask, worker) if away is None else away.on_event(mask, worker)

    def on_deadline(self, worker: Worker, now: float) -> None:
        """A deadline has passed."""
        away: Away | None = self.upgraded
        if away is None:
            super().on_deadline(worker, now)
        else:
            away.on_deadline(worker, now)

    def go_on(self, worker: Worker) -> bool:
        """Somebody has asked for the holder."""
        away: Away | None = self.upgraded
        if away is None:
            return super().go_on(worker)
        away.go_on(worker)
        return True

    def retire(self, worker: Worker) -> None:
        """The server stops."""
        away: Away | None = self.upgraded
        if away is None:
            super().retire(worker)
        else:
            away.retire()

    def forsake(self) -> None:
        """The server has stopped, and nobody reads any more."""
        away: Away | None = self.upgraded
        if away is not None:
            away.forsake()
        super().forsake()

    def close(self, worker: Any) -> None:
        """End the connection, once; nobody sends on its descriptor meanwhile."""
        away: Away | None = self.upgraded
        if away is None:
            super().close(worker)
            return
        with away.lock:
            away.over = True
            if self.state != CLOSED_STATE:
                super().close(worker)
        away.lost(worker)


_detached: dict[type[Any], type[Any]] = {Connection: DetachedConnection}
_attached: dict[type[Any], type[Any]] = {DetachedConnection: Connection}


def detached(kind: type[Any]) -> type[Any]:
    """The class that a connection of this kind becomes: over TLS it stays one of TLS as well."""
    found = _detached.get(kind)
    if found is None:
        found = type(f"Detached{kind.__name__}", (DetachedConnection, kind), {"__slots__": ()})
        _attached[found] = kind
        _detached[kind] = found
    return found
