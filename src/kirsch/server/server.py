"""The server: listeners, groups, workers and housekeeping, started, stopped and started again."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from ..wire.http1.requests import HeadLimits
from ..wire.http1.responses import error_response
from .counters import Counters
from .gateway import Gateway
from .group import BUSY, Group
from .housekeeper import Housekeeper
from .limits import Settings
from .link import CLOSED_STATE
from .listeners import Bind, Listener, describe, open_listener, split_binds
from .pool import Pool
from .wsgi import WSGIGateway

if TYPE_CHECKING:
    from .certificates import Certificates

NO_GIL_POLLERS = 8


class Latch:
    """An event that a signal handler may set (threading.Event could deadlock with its own wait)."""

    __slots__ = ("lock", "on")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.on = False
        self.lock.acquire()

    def set(self) -> None:
        self.on = True
        with contextlib.suppress(RuntimeError):  # released already
            self.lock.release()

    def clear(self) -> None:
        self.lock.acquire(blocking=False)
        self.on = False

    def wait(self, timeout: float = -1) -> bool:
        """Block until set; False after `timeout` seconds (-1: never)."""
        if not self.on and self.lock.acquire(timeout=timeout):
            self.set()  # for whoever else waits
        return self.on


class Server:
    """A threaded HTTP/1.1 server for a WSGI application, or for a gateway of its own kind.

    bind      (host, port), 'host:port', 'unix:/path', 'fd://N', 'LISTEN_FDS', an open socket, or a
              list of these; port 0 takes a free one, see `bound_addresses`
    app       the WSGI callable; may be replaced while running
    gateway   a callable from exchange to response that replaces WSGI altogether
    settings  see kirsch.server.limits; TypeError and ValueError for what is not there or in range
    """

    def __init__(
        self, bind: Bind, app: Any = None, *, gateway: Gateway | None = None, **settings: Any
    ) -> None:
        self.settings = Settings(**settings)
        self.binds = split_binds(bind)
        self.app = app
        self.gateway: Gateway = gateway if gateway is not None else WSGIGateway(self)
        self.ready = False
        self.counters_ = Counters()
        self.groups: list[Group] = []
        self.listeners: list[Listener] = []
        self.pool = Pool(self)
        self.house = Housekeeper(self)
        self.head_limits = HeadLimits()
        self.tls: Certificates | None = None
        self.tls_loaded = False  # for the next bind()
        self.warned_str = False
        self.last_trouble = -60.0  # when it was last said that accepting has to wait
        self._interrupt: BaseException | type[BaseException] | None = None
        # One start() or stop() at a time; re-entrant for a signal handler that interrupts one.
        self._life = threading.RLock()
        self._stopping: list[threading.Thread] = []  # who is within stop()
        self._over = Latch()  # serve() may return
        self._over.set()

    # -- what can be asked -----------------------------------------------------------------------

    @property
    def bound_addresses(self) -> list[Any]:
        """What getsockname() says of each listener, after bind()."""
        return [listener.address for listener in self.listeners]

    @property
    def counters(self) -> dict[str, int]:
        """All counters now, with the state of the pool."""
        counts = self.counters_.snapshot()
        pool = self.pool
        counts["threads"] = size = pool.size
        counts["threads_idle"] = idle = min(size, pool.idle)
        counts["threads_busy"] = size - idle
        counts["threads_stuck"] = len(pool.stuck)
        counts["queued"] = pool.qsize
        return counts

    def answers(self, timeout: float = 1.0) -> bool:
        """Whether requests are taken up: somebody polls in every group within `timeout` seconds.

        That all workers are busy is no failure: then somebody polls for them, and answers 503.
        """
        began = time.monotonic()
        deadline = began + timeout
        for group in self.groups:
            while True:
                # Again and again: one that swallows a wake-up just now need not come round for it.
                group.poller.wake()
                time.sleep(0.002)
                leader = group.leader
                if leader is not None and leader.now > began:
                    break
                if time.monotonic() > deadline:
                    return False
        return self.ready

    @property
    def interrupt(self) -> BaseException | type[BaseException] | None:
        """Assign an exception: serve() stops the server and raises it in its thread."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, error: BaseException | type[BaseException] | None) -> None:
        self._interrupt = error
        if error is not None:
            self._over.set()

    @property
    def scheme(self) -> str:
        """'https' when it speaks TLS, else 'http'."""
        return "http" if self.tls is None else "https"

    def host_name(self, listener: Listener) -> str:
        """SERVER_NAME: the address listened on, or the machine's name when that is any address."""
        address = listener.address
        host = address[0] if isinstance(address, tuple) else ""
        return host if host not in ("", "0.0.0.0", "::") else socket.gethostname()

    def busy_response(self, group: Group) -> bytes:
        """The 503 of a server without room."""
        headers = [("Retry-After", "5")]
        return error_response(503, BUSY, headers=headers, suffix=group.suffix_close)

    # -- logging: nothing a log does may harm a worker -------------------------------------------

    def log(self, message: str, level: int = logging.INFO, traceback: bool = False) -> None:
        """Write to the `log` setting."""
        try:
            self.settings.log(message, level, traceback)
        except Exception:
            pass

    def log_error(self, message: str, error: BaseException) -> None:
        """Write one record with the traceback of `error`."""
        try:
            raise error
        except BaseException:
            self.log(f"{message}: {type(error).__name__}", logging.ERROR, True)

    # -- life ------------------------------------------------------------------------------------

    def load_tls(self) -> None:
        """Load the certificates that the next bind() takes. Raises OSError, ValueError in words."""
        self.tls = None
        if self.settings.wants_tls:
            from .certificates import Certificates  # who speaks in the clear does without OpenSSL

            self.tls = Certificates(self)
        self.tls_loaded = True

    def bind(self) -> None:
        """Bind and listen on every address; all or none. Raises OSError that names the address.

        Certificates are loaded before: ValueError or OSError names the file that is wrong.
        """
        if self.listeners:
            return
        settings = self.settings
        if not self.tls_loaded:
            self.load_tls()
        self.tls_loaded = False
        opened: list[Listener] = []
        try:
            for bind in self.binds:
                opened += open_listener(
                    bind,
                    backlog=settings.backlog,
                    nodelay=settings.nodelay,
                    mode=settings.socket_mode,
                )
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        self.listeners = opened

    def reload_tls(self) -> None:
        """Load certificates and keys anew, as the settings say now; connections are not dropped.

        Changed files are found without it. Raises OSError or ValueError, and RuntimeError for a
        server that does not speak TLS; then what was loaded before stays in use.
        """
        if self.tls is None:
            raise RuntimeError("this server does not speak TLS: it was started without certificate")
        self.tls.reload()

    def start(self) -> None:
        """Bind, start the threads, and return when requests are served."""
        with self._life:
            if self.ready:
                return
            self.bind()
            settings = self.settings
            self._interrupt = None
            self._over.clear()
            self.head_limits = HeadLimits(
                settings.max_request_line, settings.max_head, settings.max_fields
            )
            self.pool = Pool(self)
            self.house = Housekeeper(self)
            # A group without a worker of its own would only queue.
            count = min(settings.pollers or default_pollers(), settings.pool_max)
            self.groups = [Group(self, self.listeners) for _ in range(count)]
            self.pool.groups = self.house.groups = self.groups
            LIVE.add(self)
            for number in range(max(settings.threads, count)):
                self.pool.add(self.groups[number % count])
            patience = time.monotonic() + 5.0
            while not all(group.baton.held for group in self.groups):
                if time.monotonic() > patience:
                    break  # an overloaded machine: housekeeping adds a worker where none came
                time.sleep(0.0005)
            self.house.thread.start()
            self.ready = True
            for address in self.bound_addresses:
                self.log(f"listening on {describe(address, self.scheme)}")

    def stop(self) -> None:
        """Stop accepting, let requests in flight finish within shutdown_timeout, close everything.

        May be called by a handler: its own answer is waited for after this has returned, by a
        thread that keeps the process alive until then, for shutdown_timeout at most.
        """
        me = threading.current_thread()
        for worker in list(self.pool.workers):
            if worker.thread is me and worker.current is not None:
                worker.give_up(worker.current)  # somebody else has to poll meanwhile
        self._stopping.append(me)
        try:
            with self._life:
                self._stop()
        finally:
            self._stopping.remove(me)

    def _stop(self) -> None:
        if not self.ready:
            self._close_listeners()
            self._over.set()
            return
        self.ready = False
        groups, pool, house = self.groups, self.pool, self.house
        for group in groups:
            group.stop_listening()
        self._close_listeners()
        for group in groups:
            group.stop_keeping()
        callers = self._wait_for_peers(groups, pool)
        self.groups = []
        ending = (groups, pool, house)
        if not callers or not self._end_later(ending):
            self._end_threads(*ending)
        self._over.set()
        self.log("stopped")

    def _wait_for_peers(self, groups: list[Group], pool: Pool, callers_too: bool = False) -> bool:
        """Wait for connections to end; whether handlers that called stop() are left to wait for."""
        deadline = time.monotonic() + self.settings.shutdown_timeout
        while True:
            stopping = [] if callers_too else list(self._stopping)
            callers = sum(worker.thread in stopping for worker in list(pool.workers))
            if sum(len(group.conns) for group in groups) <= callers:
                break
            if time.monotonic() >= deadline:
                break
            time.sleep(0.005)
            for group in groups:
                group.poller.wake()  # half a head that came meanwhile is no request in flight
        return callers > 0

    def _end_later(self, ending: tuple[list[Group], Pool, Housekeeper]) -> bool:
        """Let the handlers that called stop() answer before all threads end."""

        def end() -> None:
            self._wait_for_peers(ending[0], ending[1], True)
            self._end_threads(*ending)

        try:
            threading.Thread(target=end, name="kirsch-stopper", daemon=False).start()
        except RuntimeError:
            return False  # the interpreter is ending: no thread comes any more
        return True

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def _end_threads(self, groups: list[Group], pool: Pool, house: Housekeeper) -> None:
        """Wake every worker and wait a little; a handler that never returns is left behind."""
        me = threading.current_thread()
        workers = list(pool.workers)
        pool.ended = True
        for group in groups:
            group.abandon(me)
        house.end()
        deadline = time.monotonic() + 1.0
        waiting = [w for w in workers if w.thread is not me]
        while waiting and time.monotonic() < deadline:
            for group in groups:
                group.poller.wake()
            waiting[0].thread.join(0.02)
            waiting = [w for w in waiting if w.thread.is_alive()]
        if waiting:
            self.log(f"{len(waiting)} handlers are still running and were left behind", 30)
        house.thread.join(1.0)
        counts = self.counters_.shard()
        stuck = {w.group for w in waiting} | {w.group for w in workers if w.thread is me}
        for group in groups:
            if group in stuck:
                group.left_behind = True
            else:
                group.dispose(counts)
        self.counters_.retire(counts)
        pool.groups = []

    def forget(self) -> None:
        """In a forked child: its copies are closed, so that the parent alone serves its peers.

        A child that kept them would hold connections and the port open, and whatever it did to
        the poller would be done to the parent's.
        """
        groups, pool = self.groups, self.pool
        pool.ended = True
        pool.lock = threading.Lock()  # who held any of these did not come along
        self.counters_.lock = threading.Lock()
        self._life = threading.RLock()
        self.ready = False
        for group in groups:
            group.steal = group.baton.lock = threading.Lock()
            group.wheel.lock = threading.Lock()
            group.baton.parked.clear()
            group.inbox.clear()
            group.outbox.clear()
            group.poller.close()
            for conn in group.conns.values():
                conn.state = CLOSED_STATE
                conn.sock.close()
        for listener in self.listeners:
            listener.path = None  # the file is the parent's as well
            listener.close()
        self.listeners = []
        self.groups = []

    def finish(self) -> None:
        """Let serve() stop and return; safe in a signal handler, returns at once."""
        self._over.set()

    def serve(self) -> None:
        """Start, wait until stop(), interrupt or KeyboardInterrupt, stop; raises the interrupt."""
        self.start()
        try:
            # A signal that arrives just before the wait, or in another thread, does not end it; its
            # handler runs between waits. Windows delivers Ctrl-C only there anyhow. In other threads
            # than the main one no handlers run.
            handlers = threading.current_thread() is threading.main_thread()
            while not self._over.wait(0.5 if handlers else 30.0):
                pass
        finally:
            self.stop()
        error = self._interrupt
        if error is not None:
            raise error


LIVE: weakref.WeakSet[Server] = weakref.WeakSet()  # servers that were started


def _after_fork() -> None:
    for server in list(LIVE):
        server.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def default_pollers() -> int:
    """One group under a GIL, one a core without."""
    import sys

    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    return 1 if locked else min(NO_GIL_POLLERS, os.cpu_count() or 1)


def serve(app: Any, bind: Bind = "127.0.0.1:8080", **settings: Any) -> None:
    """Serve `app` on `bind` until KeyboardInterrupt or Server.stop()."""
    Server(bind, app, **settings).serve()


__all__ = ["Server", "serve"]
