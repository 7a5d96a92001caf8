"""What the HTTP servers count by themselves, and how they stand: threads, queues, connections.

Asked once a second; no request pays for it.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from typing import Any

from kirsch.server.away import Away
from kirsch.server.link import HANDSHAKING, READING
from kirsch.server.listeners import describe

from .. import shards
from ..metrics import Labels
from ..table import servers as s
from .house import House

Values = dict[Labels, float]

#: Counter of kirsch -> how the timeout is called.
TIMEOUTS = {
    "timeouts_tls": "tls",
    "timeouts_head": "header",
    "timeouts_body": "body",
    "timeouts_idle": "keepalive",
    "timeouts_write": "write",
    "timeouts_queue": "queue",
    "timeouts_response": "response",
}

#: Seconds within which a process must have answered to be called active.
RECENTLY = 60.0

#: Threads that are told apart.
SLOTS = 500

#: Where `tcpi_unacked` is in Linux' `struct tcp_info`: for a listening socket, what it has in line.
_UNACKED = 24


def label_of(listener: Any) -> str:
    """What a listener is called: '127.0.0.1:8080', 'unix:/run/app.sock'."""
    return describe(listener.address, "").removeprefix("://")


class Servers:
    """The servers of a monitor, asked for what they know: once for each snapshot."""

    def __init__(self, house: House) -> None:
        self.monitor = house.monitor
        self.counted = house.once(self.look)
        self.connections = house.once(self.connected)
        self.peaks: dict[Any, int] = {}  # by server: most that waited since the last look
        self._started: dict[Any, list[Any]] = {}  # by server: threads of pools before, pool, count
        self._served: dict[str, float] = {}
        self._known = (0.0, 0.0)  # when something was served last, and the count then
        self._names: dict[Any, str] = {}

    @property
    def all(self) -> list[Any]:
        """The servers that are watched."""
        return list(self.monitor.servers)

    def name_of(self, server: Any) -> str:
        """The addresses of a server, as they were when it had some."""
        if server.listeners:
            self._names[server] = ", ".join(map(label_of, server.listeners))
        return self._names.get(server, "")

    def look(self) -> list[tuple[Any, dict[str, int]]]:
        """All counters of each server: to add them up costs the same for one of them as for all."""
        return [(server, server.counters) for server in self.all]

    def counts(self, *names: str) -> float:
        """The sum of some counters of all servers."""
        return float(sum(counters[name] for _, counters in self.counted() for name in names))

    # -- connections -------------------------------------------------------------------------------

    def connected(self) -> tuple[Values, Values, Values, float]:
        """Open connections and idle ones by listener, switched ones by protocol, handshakes."""
        active: Values = {}
        idle: Values = {}
        upgraded: Values = {("websocket",): 0.0, ("stream",): 0.0}
        shaking = 0
        for server in self.all:
            for listener in server.listeners:
                active[label_of(listener),] = idle[label_of(listener),] = 0.0
            for conn in _conns(server):
                key = (label_of(conn.listener),)
                active[key] = active.get(key, 0) + 1
                other = getattr(conn, "upgraded", None)
                if other is not None:
                    upgraded["stream" if isinstance(other, Away) else "websocket",] += 1
                elif conn.state == READING and not conn.buffer:
                    idle[key] = idle.get(key, 0) + 1
                shaking += conn.state == HANDSHAKING
        return active, idle, upgraded, float(shaking)

    def io(self, name: str) -> Values:
        """Bytes by server."""
        found: Values = {}
        for server, counters in self.counted():
            key = (self.name_of(server),)
            found[key] = found.get(key, 0) + counters[name]
        return found

    def rejected(self) -> Values:
        """Connections that were refused."""
        return {
            ("no_room",): self.counts("sheds"),
            ("tls",): self.counts("tls_errors", "timeouts_tls"),
        }

    def backlog(self) -> Values:
        """Connections that the kernel has and nobody has accepted."""
        found: Values = {}
        for server in self.all:
            for listener in list(server.listeners):
                waiting = backlog_of(listener.sock)
                if waiting is not None:
                    found[label_of(listener),] = float(waiting)
        return found

    # -- threads and queues ------------------------------------------------------------------------

    def depth(self) -> Values:
        """The most requests that waited for a thread since the last look."""
        most = 0
        for server in self.all:
            most += max(self.peaks.pop(server, 0), server.pool.qsize)
        return {(): float(most)}

    def queued(self, group: Any) -> None:
        """A request has begun to wait."""
        server = group.server
        self.peaks[server] = max(self.peaks.get(server, 0), group.pool.qsize)

    def refused(self) -> Values:
        """Requests that found no place in the queue, or waited in it too long."""
        late = self.counts("timeouts_queue")
        return {
            ("full",): self.counts("overflow") - self.counts("sheds") - late,
            ("timeout",): late,
        }

    def threads(self) -> Values:
        """Threads that work, that wait, and that were left behind in their handlers."""
        return {
            ("busy",): self.counts("threads_busy"),
            ("idle",): self.counts("threads_idle"),
            ("stuck",): self.counts("threads_stuck"),
        }

    def limits(self) -> Values:
        """How many there may be."""
        return {
            ("min",): float(sum(server.pool.min for server in self.all)),
            ("max",): float(sum(server.pool.max for server in self.all)),
        }

    def started(self) -> Values:
        """Threads that were started."""
        total = 0
        for server in self.all:
            known = self._started.setdefault(server, [0, server.pool, 0])
            if known[1] is not server.pool:
                known[0] += known[2]
                known[1] = server.pool
            known[2] = server.pool.numbers
            total += known[0] + known[2]
        return {(): float(total)}

    def per_thread(self) -> Values:
        """Requests by the thread that answered them."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, blocks in shards.blocks():
            name = names.get(ident)
            if name is not None and blocks and (name in self._served or len(self._served) < SLOTS):
                number = sum(b.duration.count + len(b.pending) for b in blocks)
                self._served[name] = max(number, self._served.get(name, 0.0))
        return {(name,): count for name, count in self._served.items()}

    # -- the process as a worker -------------------------------------------------------------------

    def workers(self) -> Values:
        """This process, by what it is at."""
        state = str(self.monitor.bus.state).rpartition(".")[2].lower()
        kind = {"starting": "starting", "started": "running"}.get(state, "draining")
        return {(kind,): 1.0}

    def active_worker(self) -> Values:
        """Whether it has answered a request within the last minute."""
        served = self.counts("requests")
        now = time.monotonic()
        if served != self._known[1]:
            self._known = (now, served)
        return {(): float(served > 0 and now - self._known[0] < RECENTLY)}

    def expiry(self) -> Values:
        """Days until the first certificate of a server expires."""
        found: Values = {}
        for server in self.all:
            if server.tls is not None and server.listeners:
                days = days_left(server.tls)
                if days is not None:
                    found[self.name_of(server),] = days
        return found


def _conns(server: Any) -> list[Any]:
    """The connections of a server in one moment, or as near as can be."""
    found: list[Any] = []
    for group in list(server.groups):
        for _ in range(5):
            try:
                found += list(group.conns.values())
                break
            except RuntimeError:  # one came or went meanwhile
                continue
    return found


def backlog_of(sock: Any) -> int | None:
    """How many connections wait to be accepted; None where the system does not tell (Linux does)."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None or not sys.platform.startswith("linux"):
        return None
    if sock.family == getattr(socket, "AF_UNIX", None):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, 104)
    except OSError:
        return None
    if len(info) < _UNACKED + 4:
        return None
    return int(struct.unpack_from("I", info, _UNACKED)[0])


def days_left(certificates: Any) -> float | None:
    """Days until the first of a server's certificates is worth nothing."""
    from .handshakes import expires_at

    at = expires_at(certificates)
    return None if at is None else (at - time.time()) / 86400.0


def begin(house: House) -> None:
    """Ask the servers."""
    from kirsch.server.group import Group

    of = Servers(house)
    house.before(Group, "overflow", lambda group, worker, conn: of.queued(group))
    house.after(Group, "enqueue", lambda group, *rest: of.queued(group))
    house.sample(s.SERVER_CONNECTIONS_ACTIVE, lambda: of.connections()[0])
    house.sample(s.SERVER_CONNECTIONS_IDLE, lambda: of.connections()[1])
    house.sample(s.SERVER_CONNECTIONS_UPGRADED, lambda: of.connections()[2])
    house.sample(s.SERVER_TLS_HANDSHAKES_ACTIVE, lambda: {(): of.connections()[3]})
    house.sample(s.SERVER_CONNECTIONS_REJECTED, of.rejected)
    house.sample(s.SERVER_IO_RECEIVED, lambda: of.io("bytes_in"))
    house.sample(s.SERVER_IO_SENT, lambda: of.io("bytes_out"))
    house.sample(s.SERVER_QUEUE_DEPTH, of.depth)
    house.sample(s.SERVER_QUEUE_REJECTED, of.refused)
    house.sample(s.SERVER_ACCEPT_BACKLOG, of.backlog)
    house.sample(s.SERVER_THREADS, of.threads)
    house.sample(s.SERVER_THREADS_LIMIT, of.limits)
    house.sample(s.SERVER_THREADS_STARTED, of.started)
    house.sample(s.SERVER_THREAD_REQUESTS, of.per_thread)
    house.sample(s.SERVER_TLS_CERTIFICATE_EXPIRY, of.expiry)
    house.sample(
        s.SERVER_TIMEOUTS, lambda: {(phase,): of.counts(name) for name, phase in TIMEOUTS.items()}
    )
    house.sample(
        s.SERVER_SOCKET_ERRORS,
        lambda: {("transfer",): of.counts("resets"), ("accept",): of.counts("accept_errors")},
    )
    house.sample(s.SERVER_WORKERS, of.workers)
    house.sample(s.SERVER_WORKERS_ACTIVE, of.active_worker)
    house.sample(s.SERVER_WORKER_UPTIME, lambda: {(): time.time() - shards.born})
