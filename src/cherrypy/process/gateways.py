"""A flup server that can be ended: its listening socket, its connections, and which of them are at work.

flup looks once a second whether it shall end, and then waits without a limit for connections that web
servers keep open. Law: what is idle is closed at once; what is at work has until a deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ("Gateway",)


class Gateway:
    """Watches one flup server.

    server
        A `WSGIServer` of `flup.server.fcgi` or `flup.server.scgi` that has not run yet.
    bound
        Called when it listens.
    """

    def __init__(self, server: Any, bound: Callable[[], object]) -> None:
        self.server = server
        self.bound = bound
        self.patience = 5.0  # seconds for requests that are being answered at the stop
        self.listener: socket.socket | None = None
        # Job of a connection -> its thread. One writer a key; copied to be looked through.
        self._jobs: dict[Any, int] = {}
        self._busy: set[int] = set()  # threads in which an application is being asked
        self._ends = 0.0  # when nobody is waited for any more
        self._watch()

    def _watch(self) -> None:
        server, jobs, busy = self.server, self._jobs, self._busy
        kind, handler, setup = server._jobClass, server.handler, server._setupSocket

        class Job(kind):  # type: ignore[misc, valid-type]  # flup's class, found at the start
            def run(self) -> None:
                jobs[self] = threading.get_ident()
                try:
                    kind.run(self)
                finally:
                    del jobs[self]
                    self._sock.close()  # flup forgets it when the web server went first

        def handle(request: Any) -> Any:
            ident = threading.get_ident()
            busy.add(ident)
            try:
                return handler(request)
            finally:
                busy.discard(ident)

        def setup_socket() -> socket.socket:
            self.listener = listener = setup()
            self.bound()
            return listener  # type: ignore[no-any-return]  # flup has no types

        server._jobClass = Job
        server.handler = handle
        server._setupSocket = setup_socket
        server.shutdown = self._wait
        # The bus handles signals, and this is not the main thread, where alone flup could.
        server._installSignalHandlers = lambda: None
        server._oldSIGs = []

    def run(self) -> None:
        """Serve until `end()`."""
        try:
            self.server.run()
        finally:
            # flup leaves them to whoever collects the garbage.
            for job in self.server._threadPool._workQueue:
                job._sock.close()
            if self.listener is not None:
                self.listener.close()

    def end(self) -> None:
        """Ask it to end. Any thread; returns at once, and `run()` soon."""
        self._ends = time.monotonic() + self.patience
        self.server._keepGoing = False
        self._wake()
        self._close_idle()

    def _wake(self) -> None:
        """Have it look at what was asked, by a connection that says nothing."""
        listener = self.listener
        if listener is None:
            return
        with contextlib.suppress(OSError), socket.socket(listener.family) as peer:
            peer.settimeout(1)
            address = listener.getsockname()
            if listener.family == socket.AF_INET and address[0] == "0.0.0.0":
                address = ("127.0.0.1", address[1])
            peer.connect(address)

    def _close_idle(self) -> None:
        """Give connections on which nothing is being asked their end."""
        for job, ident in list(self._jobs.items()):
            if ident not in self._busy and not getattr(job, "_requests", None):
                _close(job, socket.SHUT_RD)

    def _wait(self) -> None:
        """End the threads, as `shutdown` of flup does, but not for ever. They are daemons."""
        pool = self.server._threadPool
        with pool._lock:
            pool._stop = True
            pool._lock.notify_all()
        threads = list(pool._threads)
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() > self._ends:
                for job in list(self._jobs):
                    _close(job, socket.SHUT_RDWR)
                return
            self._close_idle()  # also those that have become idle meanwhile
            for thread in threads:
                thread.join(0.02)


def _close(job: Any, how: int) -> None:
    # Not `close()`: the descriptor is its thread's, which might be about to wait for it.
    with contextlib.suppress(OSError):
        job._sock.shutdown(how)
