"""A poller group: one poller, one baton, and the connections that were accepted here.

Everything here that touches parked connections is run by the holder of the baton.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..http.dates import HTTPDate
from ..wire.http1.bodies import BodyLimits
from .connection import Connection
from .counters import ACCEPT_ERRORS, ACCEPTED, BYTES_OUT, OVERFLOW, RESETS, SHEDS, TIMEOUTS_QUEUE
from .deadlines import NEVER, Wheel
from .link import QUEUED, READING, RUNNING
from .listeners import describe
from .output import Pending
from .poller import IN, MUTE, make_poller
from .workers import BATCH, Baton, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from .listeners import Listener
    from .senders import Sender
    from .server import Server

ACCEPTS = 64  # connections taken in one turn, so that those already here get theirs
BACK_OFF = 0.2  # seconds without accepting when descriptors or memory have run out
SHED = 8  # connections told to come back later in each of these pauses
NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC))
DEAD = frozenset((errno.EBADF, errno.EINVAL, errno.ENOTSOCK))  # closed or shut down under us
BUSY = "The server is too busy to answer now."


class Group:
    """What the workers of one baton share."""

    def __init__(self, server: Server, listeners: list[Listener]) -> None:
        self.server = server
        self.settings = server.settings
        self.house = server.house  # this life's: start() makes new ones, old workers keep theirs
        self.pool = server.pool
        self.limits = server.head_limits
        self.connection = Connection if server.tls is None else server.tls.connection
        if server.settings.proxy_protocol:
            from .announced import announced

            self.connection = announced(self.connection)
        self.poller = make_poller(server.settings.poller)
        self.baton = Baton(self)
        self.wheel = Wheel()
        self.steal = threading.Lock()  # held while the watchdog takes the baton and disarms
        self.conns: dict[int, Connection] = {}  # by descriptor; all that are open
        self.ready: deque[Connection] = deque()  # with a request in the buffer, waiting their turn
        self.queue: deque[tuple[Connection, Any, Any, float]] = deque()  # overflow, oldest first
        # What a worker without the baton is to do: calls of handlers that belong to no request.
        self.errands: deque[Callable[[Any], object]] = deque()
        # Both belong to whoever has the baton. Received, and not looked at yet:
        self.inbox: deque[tuple[Connection, bytes]] = deque()
        # Responses that leave when their batch is done:
        self.outbox: deque[tuple[Connection, bytes]] = deque()
        # WebSockets with frames that leave when the batch is done, or when a burst of broadcasts is
        # over: at `held_till` at the latest. Any thread may add, see `Sender._hold`, or take out.
        self.held: deque[Sender] = deque()
        self.held_till = 0.0
        self.means: dict[str, float] = {}  # path or family -> mean wall time of its handler
        # Path -> what its last response head was made of, the head, and what is around its last value.
        self.memo: dict[str, tuple[Any, ...]] = {}
        self.bodies = BodyLimits(server.settings.max_body)
        self.bodies_max = server.settings.max_body
        self.leader: Worker | None = None
        self.wake_at = NEVER  # when the holder's poll ends by itself
        self.chore_at = NEVER  # when the holder has to look at more than connections
        self.persistent = server.settings.protocol != "HTTP/1.0"
        self.idle_timeout = 0.0
        self.suffix = self.suffix_close = b""
        self.suffix_until = 0.0
        self.listeners = {listener.fd: listener for listener in listeners}
        self.paused = False
        self.closing = False
        self.called = False  # another group asks for a hand with its queue
        self.left_behind = False  # the server has ended, and the last worker cleans up
        self.disposed = False
        self.reserve = self.spare_fd()
        for fd in self.listeners:
            self.poller.listen(fd)
        self.refresh_suffix(time.monotonic())

    @staticmethod
    def spare_fd() -> int:
        """A descriptor kept for the day when there is none left to refuse a peer with."""
        try:
            return os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return -1

    def refresh_suffix(self, now: float) -> None:
        """Write the lines every response ends with, once a second."""
        settings = self.settings
        wall = time.time()
        date = HTTPDate(wall)
        lines = f"Date: {date}\r\n"
        if settings.server_name:
            lines = f"Server: {settings.server_name}\r\n" + lines
        self.suffix_close = lines.encode("latin-1", "replace")
        keep = f"Keep-Alive: timeout={int(settings.keep_alive_timeout)}\r\n"
        self.suffix = self.suffix_close + keep.encode()
        self.idle_timeout = settings.keep_alive_timeout + 1.0
        self.suffix_until = now + 1.0 - wall % 1.0

    def body_limits(self) -> BodyLimits:
        """What `max_body` says now, ready for a chunked body."""
        most = self.settings.max_body
        if most != self.bodies_max:
            self.bodies_max, self.bodies = most, BodyLimits(most)
        return self.bodies

    # -- the holder ----------------------------------------------------------------------------

    def flush(self, worker: Any, lost: Connection | None = None) -> None:
        """Send the responses of the batch (the owner of the baton calls).

        lost: a connection whose handler is still out, and whose worker is to lose the baton. Its
        response is sent as well, but what becomes of it then is for that worker to say.
        """
        outbox, counts = self.outbox, worker.counts
        if self.held:
            self.release()
        total = 0
        while outbox:
            conn, data = outbox.popleft()
            try:
                sent = conn.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                counts[RESETS] += 1
                if conn is lost:
                    conn.gone = True
                else:
                    conn.close(worker)
                continue
            total += sent
            if sent != len(data):
                pending = Pending(deque((memoryview(data)[sent:],)))
                if conn is lost:
                    conn.pending = pending
                else:
                    conn.write_later(pending, worker)
        counts[BYTES_OUT] += total

    def release(self) -> None:
        """Send frames that were held back, of one batch at most: the holder has others to look after.

        The holder calls, who takes the baton, and in a burst who broadcasts.
        """
        held = self.held
        for _ in range(min(len(held), BATCH)):
            try:
                sender = held.popleft()
            except IndexError:
                return  # another thread was quicker
            sender.release()

    def special(self, worker: Worker, fd: int) -> None:
        """An event on something that is no connection: a listener, or a wake-up."""
        worker.current = None  # whatever fails here is no connection's fault
        if fd == self.poller.wake_fd:
            self.poller.woken()
            if self.closing:
                self.close_idle(worker)
            return
        listener = self.listeners.get(fd)
        if listener is not None:
            self.accept(listener, worker)

    def accept(self, listener: Listener, worker: Worker) -> None:
        """Take new connections."""
        conns, wheel, poller = self.conns, self.wheel, self.poller
        take = listener.sock.accept
        settings, make = self.settings, self.connection
        patience = settings.head_timeout if self.server.tls is None else settings.tls_timeout
        deadline = worker.now + patience
        for _ in range(ACCEPTS):
            try:
                sock, remote = take()
            except BlockingIOError:
                return
            except OSError as error:
                self.trouble(listener, worker, error)
                return
            worker.counts[ACCEPTED] += 1
            sock.setblocking(False)
            conn = make(self, sock, remote, listener)
            conns[conn.fd] = conn
            wheel.set(conn, deadline)
            try:
                poller.add(conn.fd, IN)
            except OSError as error:  # ENOSPC, ENOMEM: the kernel watches no more for us
                conn.close(worker)
                if error.errno in NO_ROOM:
                    self.trouble(listener, worker, error)
                    return

    def trouble(self, listener: Listener, worker: Worker, error: OSError) -> None:
        """accept() failed: shrug, or stop listening for a moment when there is no room."""
        worker.counts[ACCEPT_ERRORS] += 1
        if error.errno in DEAD:
            self.poller.remove(listener.fd)  # or it would be reported for ever
            self.listeners.pop(listener.fd, None)
            if not self.closing and self.server.ready and not listener.dead:
                listener.dead = True  # the other groups see it as well
                where = describe(listener.address, self.server.scheme)
                self.server.log(f"no longer listening on {where}: {error.strerror}", 40)
            return
        if error.errno not in NO_ROOM:
            return  # ECONNABORTED and its kin are a peer's affair
        if worker.now - self.server.last_trouble > 60:
            self.server.last_trouble = worker.now
            self.server.log(f"cannot accept connections for now: {error.strerror}", 40)
        for _ in range(SHED):
            if self.reserve < 0 or not self.shed(listener, worker):
                break
        for fd in self.listeners:
            self.poller.remove(fd)
        self.paused = True
        self.chore_at = min(self.chore_at, worker.now + BACK_OFF)

    def shed(self, listener: Listener, worker: Worker) -> bool:
        """Refuse one peer in words, on the reserve descriptor."""
        os.close(self.reserve)
        self.reserve = -1
        try:
            sock, _ = listener.sock.accept()
        except OSError:
            return False
        else:
            worker.counts[OVERFLOW] += 1
            worker.counts[SHEDS] += 1
            try:
                sock.setblocking(False)
                if self.server.tls is None:  # a handshake would need the room there is not
                    sock.send(self.server.busy_response(self))
            except OSError:
                pass
            finally:
                sock.close()
            return True
        finally:
            self.reserve = self.spare_fd()

    def sweep(self, worker: Worker, now: float) -> None:
        """Deadlines, the overflow queue, listening again: all that happens with time."""
        worker.current = None
        for conn in self.wheel.expired(now):
            worker.current = conn  # type: ignore[assignment]  # what the wheel holds are connections
            conn.on_deadline(worker, now)  # type: ignore[attr-defined]  # what the wheel holds are connections
        if now < self.chore_at:
            return
        self.chore_at = NEVER
        queue = self.queue
        while queue:
            try:
                item = queue[0]
            except IndexError:  # a worker of another group was quicker
                break
            expires = item[3] + self.settings.queue_timeout
            if expires > now:
                self.chore_at = expires
                break
            try:
                taken = queue.popleft()
            except IndexError:
                break
            if taken is not item:
                queue.appendleft(taken)
                continue
            conn = taken[0]
            worker.counts[TIMEOUTS_QUEUE] += 1
            self.overflow(worker, conn)
        if self.paused and not self.closing:
            self.paused = False
            for fd in list(self.listeners):
                try:
                    self.poller.listen(fd)
                except OSError:
                    pass  # a stop closed it in this moment

    def enqueue(self, worker: Worker, conn: Connection, head: Any, body: Any) -> None:
        """All workers are busy and no more are allowed: wait in line, or come back later."""
        most = self.settings.queue_size
        if 0 <= most <= self.pool.qsize:
            self.overflow(worker, conn)
            return
        conn.state = QUEUED
        self.wheel.set(conn, NEVER)
        conn.interest(MUTE)
        self.queue.append((conn, head, body, worker.now))
        self.chore_at = min(self.chore_at, worker.now + self.settings.queue_timeout)
        for other in self.pool.groups:
            if other is not self and other.baton.idle():
                other.called = True
                other.poller.wake()
                break

    def overflow(self, worker: Worker, conn: Connection) -> None:
        """Answer 503 with Retry-After."""
        worker.counts[OVERFLOW] += 1
        conn.cause = "busy"
        conn.state = READING
        conn.refuse(503, BUSY, worker, ("Retry-After", "5"))

    # -- stopping ------------------------------------------------------------------------------

    def stop_listening(self) -> None:
        """From the stopping thread: take no new connection."""
        for fd in list(self.listeners):
            self.poller.remove(fd)

    def stop_keeping(self) -> None:
        """From the stopping thread: the holder closes idle connections, now and from now on."""
        self.persistent = False
        self.closing = True
        self.poller.wake()

    def close_idle(self, worker: Worker) -> None:
        """Let go of what waits for a request, or for frames."""
        for conn in list(self.conns.values()):
            conn.retire(worker)

    def abandon(self, me: threading.Thread) -> None:
        """From the stopping thread `me`: patience is over, wake everybody who waits on a socket."""
        for conn in list(self.conns.values()):
            worker = getattr(conn, "worker", None) if conn.state == RUNNING else None
            if worker is None or worker.thread is not me:  # a handler that stops us may answer
                conn.forsake()

    def dispose(self, counts: Any) -> None:
        """From the stopping thread or the last worker, when nobody else owns anything."""

        class Last:
            """Stands for the worker in close()."""

            holding = False
            ident = 0

            def __init__(self) -> None:
                self.counts = counts

        last: Any = Last()
        for conn in list(self.conns.values()):
            if conn.state != RUNNING:
                conn.close(last)
        while self.errands:
            self.errands.popleft()(last)
        if self.disposed:
            return
        self.disposed = True
        self.poller.close()
        if self.reserve >= 0:
            os.close(self.reserve)
            self.reserve = -1
        while self.errands:  # those of whoever did not know yet that nobody is left
            self.errands.popleft()(last)
