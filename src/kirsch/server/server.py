"""The server: listeners, groups, workers and housekeeping, started, stopped and started again."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from typing import Any

from ..wire.http1.requests import HeadLimits
from ..wire.http1.responses import error_response
from .counters import Counters
from .gateway import Gateway
from .group import BUSY, Group
from .housekeeper import Housekeeper
from .limits import Settings
from .listeners import Bind, Listener, describe, open_listener, split_binds
from .pool import Pool
from .wsgi import WSGIGateway

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
        self.warned_str = False
        self._interrupt: BaseException | type[BaseException] | None = None
        self._life = threading.Lock()  # one start() or stop() at a time
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
        counts["queued"] = pool.qsize
        return counts

    @property
    def interrupt(self) -> BaseException | type[BaseException] | None:
        """Assign an exception: serve() stops the server and raises it in its thread."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, error: BaseException | type[BaseException] | None) -> None:
        self._interrupt = error
        if error is not None:
            self._over.set()

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

    def bind(self) -> None:
        """Bind and listen on every address; all or none. Raises OSError that names the address."""
        if self.listeners:
            return
        settings = self.settings
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
            count = settings.pollers or default_pollers()
            self.groups = [Group(self, self.listeners) for _ in range(count)]
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
                self.log(f"listening on {describe(address)}")

    def stop(self) -> None:
        """Stop accepting, let requests in flight finish within shutdown_timeout, close everything."""
        with self._life:
            if not self.ready:
                self._close_listeners()
                self._over.set()
                return
            self.ready = False
            deadline = time.monotonic() + self.settings.shutdown_timeout
            for group in self.groups:
                group.stop_listening()
            self._close_listeners()
            for group in self.groups:
                group.stop_keeping()
            me = threading.current_thread()
            mine = sum(worker.thread is me for worker in list(self.pool.workers))
            while sum(len(group.conns) for group in self.groups) > mine:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.005)
            self._end_threads(me)
            self._over.set()
            self.log("stopped")

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def _end_threads(self, me: threading.Thread) -> None:
        """Wake every worker and wait a little; a handler that never returns is left behind."""
        pool = self.pool
        workers = list(pool.workers)
        pool.ended = True
        for group in self.groups:
            group.abandon(me)
        self.house.end()
        deadline = time.monotonic() + 1.0
        waiting = [w for w in workers if w.thread is not me]
        while waiting and time.monotonic() < deadline:
            for group in self.groups:
                group.poller.wake()
            waiting[0].thread.join(0.02)
            waiting = [w for w in waiting if w.thread.is_alive()]
        if waiting:
            self.log(f"{len(waiting)} handlers are still running and were left behind", 30)
        self.house.thread.join(1.0)
        counts = self.counters_.shard()
        stuck = {w.group for w in waiting} | {w.group for w in workers if w.thread is me}
        for group in self.groups:
            if group in stuck:
                group.left_behind = True
            else:
                group.dispose(counts)
        self.counters_.retire(counts)
        self.groups = []

    def finish(self) -> None:
        """Let serve() stop and return; safe in a signal handler, returns at once."""
        self._over.set()

    def serve(self) -> None:
        """Start, wait until stop(), interrupt or KeyboardInterrupt, stop; raises the interrupt."""
        self.start()
        try:
            while not self._over.wait(1.0 if os.name == "nt" else -1):
                pass  # Windows delivers Ctrl-C only between waits
        finally:
            self.stop()
        error = self._interrupt
        if error is not None:
            raise error


def default_pollers() -> int:
    """One group under a GIL, one a core without."""
    import sys

    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    return 1 if locked else min(NO_GIL_POLLERS, os.cpu_count() or 1)


def serve(app: Any, bind: Bind = "127.0.0.1:8080", **settings: Any) -> None:
    """Serve `app` on `bind` until KeyboardInterrupt or Server.stop()."""
    Server(bind, app, **settings).serve()


__all__ = ["Server", "serve"]
