"""Workers, and the baton that only one of them holds: its holder alone polls and owns what is parked.

A quick handler runs with the baton in hand; before a slow one the baton is passed on. What a worker
does can end in an answer, a closed connection and a log line, never in the end of the worker.
"""

from __future__ import annotations

import threading
import time
from types import FunctionType
from typing import TYPE_CHECKING, Any

from .counters import BYTES_IN, RESETS
from .deadlines import NEVER
from .exchange import Exchange
from .input import RECV, StreamInput
from .link import READING, RUNNING
from .poller import MUTE

if TYPE_CHECKING:
    from ..wire.http1.requests import RequestHead
    from .connection import Connection
    from .group import Group
    from .link import Link

BATCH = 64
HELD = 0.001  # seconds that a response may wait for others of its batch
QUICK = 0.001  # seconds: a handler of this mean wall time may keep the baton
NOTED = 0.0005  # a quick handler below this does not bother the books
MEANS = 4096  # paths remembered; a full table starts over
NOTABLE = 512  # characters: longer paths are not remembered, whoever asks for thousands of them


class Baton:
    """Who polls. Idle workers park here, the last to come is the first to go: its caches are warm."""

    __slots__ = ("group", "held", "lock", "parked", "reserve")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.lock = threading.Lock()  # guards: held, and that a parked worker is woken once
        self.held = False
        self.parked: list[Worker] = []
        self.reserve: Worker | None = None  # the parked overflow leader: the last resort

    def wait(self, worker: Worker, timeout: float) -> bool:
        """Park until the baton is this worker's; False after `timeout` seconds (-1: never)."""
        leads = worker.leads
        with self.lock:
            if not self.held:
                self.held = True
                return True
            if leads:
                self.reserve = worker
            else:
                self.parked.append(worker)
        leader = self.group.leader
        if leader is not None and leader.leads and not leads:
            self.group.poller.wake()  # the overflow leader steps back for us
        if worker.signal.acquire(timeout=timeout):
            return True
        with self.lock:
            if leads and self.reserve is worker:
                self.reserve = None
                return False
            if worker in self.parked:
                self.parked.remove(worker)
                return False
        worker.signal.acquire()  # it was handed over in that very moment
        return True

    def pass_on(self) -> None:
        """Hand the baton to a parked worker; with none, housekeeping is told."""
        with self.lock:
            if self.parked:
                worker = self.parked.pop()
            elif self.reserve is not None:
                worker, self.reserve = self.reserve, None
            else:
                self.held = False
                self.group.house.wake()
                return
        worker.signal.release()

    def idle(self) -> int:
        """How many workers have nothing to do, the polling one included."""
        leader = self.group.leader
        polls = self.held and leader is not None and not leader.leads and not leader.token
        return len(self.parked) + (1 if polls else 0)


class Worker:
    """One thread that leads, handles and follows."""

    __slots__ = (
        "announced",
        "came",
        "counts",
        "current",
        "gateway",
        "group",
        "holding",
        "ident",
        "key",
        "leads",
        "lost",
        "now",
        "running",
        "signal",
        "since",
        "stake",
        "strayed",
        "thread",
        "token",
        "turn",
        "watch",
    )

    def __init__(self, group: Group, leads: bool = False) -> None:
        self.group = group
        self.gateway = called(group.server.gateway)
        self.leads = leads  # runs no handler: it only reads, queues and refuses while all are busy
        self.announced = False
        self.came = 0.0  # when the requests had come that are being served; for those who watch
        self.holding = False
        self.ident = 0  # of its thread
        self.key = ""  # the path of the present request, or its family: where books are kept
        self.running = False  # a quick handler is out: its connection is in `token`, or was taken
        self.now = time.monotonic()
        self.since = 0.0  # when the quick handler began
        # While a quick handler may lose the baton: its exchange, or just the connection when the
        # answer is not to be given by anybody else.
        self.token: list[Exchange | Connection] = []
        # A handler without the baton, whose answer may be given by somebody else (`takeover`).
        # Changed under `group.steal` once the handler runs.
        self.stake: Exchange | None = None
        self.lost = False  # that has happened: what the handler returns goes nowhere
        self.strayed = False  # the pool has another in our place
        self.current: Connection | None = None
        # Requests that had all come when the first of them was taken up have the same one: what a
        # gateway has looked up for one of them holds for the others.
        self.turn = object()
        self.watch: Any = None  # what whoever watches keeps for this thread
        self.signal = threading.Lock()
        self.signal.acquire()
        self.counts = group.server.counters_.shard()
        name = f"kirsch-{'leader' if leads else 'worker'}-{group.pool.next_number()}"
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self) -> None:
        """Live: wait for the baton, lead, serve, until the pool lets this worker go."""
        group = self.group
        pool, baton = group.pool, group.baton
        self.ident = threading.get_ident()
        try:
            while not pool.ended:
                if (self.lost or self.strayed) and not pool.rejoin(self):
                    return
                patience = pool.patience if self.leads or pool.size > pool.min else -1.0
                if not baton.wait(self, patience):
                    if self.leads or pool.may_leave(self):
                        return
                    continue
                if pool.ended or pool.must_leave(self):
                    baton.pass_on()
                    return
                self.hold()
        finally:
            pool.left(self)

    def hold(self) -> None:
        """Have the baton: lead, and survive whatever happens meanwhile."""
        group = self.group
        self.holding = True
        group.leader = self
        try:
            while self.holding and not group.pool.ended:
                try:
                    if self.leads:
                        if group.baton.parked:
                            break
                    elif group.pool.qsize and self.serve_queued():
                        continue
                    self.lead()
                except (
                    BaseException
                ) as error:  # a fault of ours: the connection pays, not the worker
                    self.survive(error)
        finally:
            if self.holding:
                self.holding = False
                group.flush(self)
                group.baton.pass_on()

    def survive(self, error: BaseException) -> None:
        """Log a fault of the server itself and end the connection it happened on."""
        server, conn = self.group.server, self.current
        mine = self.back()
        try:
            server.log_error("internal error", error)
            if conn is not None and mine:
                conn.close(self)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                server.interrupt = error
        except BaseException:
            pass  # even the log is broken: serving goes on

    def lead(self) -> None:
        """Poll and serve until the baton is gone (law: only the holder runs this).

        A batch goes through three rooms: all is received, then all handlers run, then all is sent.
        Each room's code and the kernel's stay in the caches that way, and a peer's process is woken
        once for many responses. Whoever gets the baton takes over what is left of a batch.
        """
        group = self.group
        wait, wheel = group.poller.wait, group.wheel
        clock, ready, ticks, pool = time.monotonic, group.ready, wheel.ticks, group.pool
        inbox, outbox, held = group.inbox, group.outbox, group.held
        self.now = now = clock()
        while True:
            if inbox and not self.serve_batch():
                return
            if ready:
                self.turn = object()
                self.came = self.now
                for _ in range(min(len(ready), BATCH)):
                    conn = self.current = ready.popleft()
                    if not conn.go_on(self):
                        return
            if outbox or (held and group.held_till <= self.now):
                group.flush(self)
            if (ticks and self.now >= group.wake_at) or self.now >= group.chore_at:
                group.sweep(self, self.now)
            if (self.leads and group.baton.parked) or pool.ended:
                return
            if group.called:  # another group has more requests than workers
                group.called = False
                if not self.leads:
                    return
            if ready:
                timeout = 0.0
            else:
                now = self.now
                group.wake_at = NEVER  # who sets a deadline from here on wakes us
                wake_at = min(wheel.next(), group.chore_at)
                if held:
                    wake_at = min(wake_at, group.held_till)
                group.wake_at = wake_at
                timeout = -1.0 if wake_at == NEVER else max(0.0, wake_at - now) + 0.001
                if held and group.held_till <= now:
                    timeout = 0.0  # more than go at once
            events = wait(timeout, BATCH)
            self.now = now = clock()
            if now >= group.suffix_until:
                group.refresh_suffix(now)
            if events and not self.receive(events):
                return

    def receive(self, events: list[tuple[int, int]]) -> bool:
        """Take in what has come; False when the baton has left this worker meanwhile."""
        group, counts = self.group, self.counts
        find, put = group.conns.get, group.inbox.append
        specials = []
        total = 0
        self.came = self.now  # of bodies that are whole now, too
        try:
            for fd, mask in events:
                conn = self.current = find(fd)
                if conn is None:
                    specials.append(fd)
                elif conn.state != READING:
                    if not conn.on_event(mask, self):
                        return False
                else:
                    try:
                        data = conn.recv(RECV)
                    except BlockingIOError:
                        continue
                    except OSError:
                        data = b""
                        counts[RESETS] += 1
                    if data:
                        total += len(data)
                        put((conn, data))
                    else:
                        conn.close(self)
        finally:
            counts[BYTES_IN] += total
        if specials:
            # Last of the batch: closing what is idle must not meet what has just come.
            if not self.serve_batch():
                return False
            group.flush(self)
            for fd in specials:
                group.special(self, fd)
        return True

    def serve_batch(self) -> bool:
        """Go on with what was received; False when the baton has left this worker meanwhile."""
        group = self.group
        inbox, outbox, held, clock = group.inbox, group.outbox, group.held, time.monotonic
        self.came = self.now
        # What receiving and sending took is no handler's fault.
        self.now = now = clock()
        flush_at = now + HELD
        self.turn = object()
        while inbox:
            conn, data = inbox.popleft()
            self.current = conn
            if not (conn.more_head(data, self) if conn.buffer else conn.parse(data, self)):
                return False
            if self.now > flush_at:
                if outbox or held:
                    group.flush(self)
                self.now = now = clock()
                flush_at = now + HELD
        return True

    def dispatch(self, conn: Connection, head: RequestHead, body: Any) -> bool:
        """Run the handler of a complete request; False when the baton is gone after it."""
        group = self.group
        means = group.means
        self.key = path = head.path
        mean = means.get(path)
        if mean is None:
            self.key = key = family(path)
            mean = means.get(key, 1.0)
        if mean > QUICK or self.leads or type(body) is StreamInput:
            return self.dispatch_slow(conn, head, body)
        start = self.now
        self.since = start
        self.running = True
        exchange = Exchange(conn, head, body)
        self.token.append(exchange)
        if group.house.asleep:
            group.house.wake()
        if not self.announced:
            self.announce()
        conn.serve(self, exchange)
        self.now = now = time.monotonic()
        if now - start > NOTED:
            self.note(path, now - start)
        return self.holding

    def dispatch_slow(self, conn: Connection, head: RequestHead, body: Any) -> bool:
        """Let go of the connection, then of the baton, and only then run the handler."""
        group = self.group
        if self.leads:
            group.enqueue(self, conn, head, body)
            return True
        conn.state = RUNNING
        group.wheel.set(conn, NEVER)
        conn.interest(MUTE)
        self.holding = False
        group.flush(self)
        group.baton.pass_on()
        self.run_slow(conn, head, body)
        return False

    def run_slow(self, conn: Connection, head: RequestHead, body: Any) -> None:
        """Run a handler without the baton."""
        self.current = conn
        self.turn = object()
        self.key = head.path
        self.now = start = time.monotonic()
        if not self.announced:
            self.announce()
        self.stake = exchange = Exchange(conn, head, body)
        conn.serve(self, exchange)
        self.note(head.path, time.monotonic() - start)

    def serve_queued(self) -> bool:
        """Take the oldest request that waits, of this group first; the baton goes to somebody else."""
        group = self.group
        for other in (group, *group.pool.groups):
            if other.errands:
                self.run_errands(other)
                return True
            try:
                conn, head, body, self.came = other.queue.popleft()
            except IndexError:
                continue
            conn.state = RUNNING
            self.holding = False
            group.flush(self)
            group.baton.pass_on()
            self.run_slow(conn, head, body)
            return True
        return False

    def run_errands(self, other: Group) -> None:
        """Do what waits for a worker without the baton; others take part as they get it."""
        self.holding = False
        self.group.flush(self)
        self.group.baton.pass_on()
        while True:
            try:
                errand = other.errands.popleft()
            except IndexError:
                return
            errand(self)
            if self.lost or self.strayed:  # somebody else is to go on
                if other.errands:
                    other.called = True
                    other.poller.wake()
                return

    def step_aside(self) -> None:
        """Pass the baton on from within a handler that has no request, and is about to wait."""
        if self.running:
            self.running = False
            try:
                self.token.pop()
            except IndexError:
                with self.group.steal:
                    self.holding = False
                return
            self.holding = False
            self.group.flush(self)
            self.group.baton.pass_on()

    def note(self, path: str, took: float) -> None:
        """Keep the books: the running mean of a path and of its family."""
        if len(path) > NOTABLE:
            return
        means = self.group.means
        if took > 1.0:
            took = 1.0
        if len(means) >= MEANS:
            means.clear()
        kin = family(path)
        mean = means.get(path)
        kind = means.get(kin)
        # Members of a quick family that are quick themselves need no line of their own.
        if mean is not None or took > NOTED or kind is None or kind > QUICK:
            means[path] = took if mean is None else mean * 0.8 + took * 0.2
        means[kin] = took if kind is None else kind * 0.8 + took * 0.2

    def back(self) -> bool:
        """The application's code has returned: whose is the baton now, and whose the answer?

        False when somebody else has answered: then the connection is not ours to touch any more.
        """
        if self.running:
            self.running = False
            try:
                self.token.pop()
                return True
            except IndexError:
                # Taken away. The thief holds `steal` until our connection is disarmed.
                with self.group.steal:
                    self.holding = False
        with self.group.steal:
            self.stake = None
            return not self.lost

    def settle(self, conn: Link) -> bool:
        """Before an answer begins while the application's code still runs: nobody else shall give it.

        False when somebody has.
        """
        if self.running:
            try:
                self.token.pop()
            except IndexError:
                self.running = False
                with self.group.steal:
                    self.holding = False
            else:
                self.token.append(conn)  # type: ignore[arg-type]  # every link is a connection
                return True
        with self.group.steal:
            self.stake = None
            return not self.lost

    def offer(self, exchange: Exchange) -> None:
        """Nothing has been sent after all: somebody else may still answer (undoes `settle`)."""
        if self.running:
            try:
                self.token.pop()
            except IndexError:
                self.running = False
                with self.group.steal:
                    self.holding = False
            else:
                self.token.append(exchange)
                return
        with self.group.steal:
            self.stake = exchange

    def give_up(self, conn: Link) -> None:
        """Pass the baton on from within a handler that turns out to need time."""
        if self.running:
            self.running = False
            try:
                item = self.token.pop()
            except IndexError:
                with self.group.steal:
                    self.holding = False
                return
            conn.state = RUNNING
            self.group.wheel.set(conn, NEVER)
            conn.interest(MUTE)
            if type(item) is Exchange:
                with self.group.steal:
                    self.stake = item
            self.holding = False
            self.group.flush(self, conn)  # type: ignore[arg-type]  # every link is a connection
            self.group.baton.pass_on()

    def announce(self) -> None:
        """Tell the owner of the server that this thread serves, from this thread, once."""
        self.announced = True
        callback = self.group.server.settings.thread_started
        if callback is not None:
            try:
                callback(self.thread)
            except Exception as error:
                self.group.server.log_error("error in thread_started", error)


def called(gateway: Any) -> Any:
    """What a call of a gateway comes to: through an object it would leave the interpreter and come back."""
    return gateway if isinstance(gateway, FunctionType) else gateway.__call__


def family(path: str) -> str:
    """'/user/42' -> '/user/*': paths that probably end in one handler."""
    return path[: path.rfind("/") + 1] + "*"
