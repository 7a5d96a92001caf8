"""Locks that a store lends for a while: renewed as long as their holder lives, free soon after it died.

Law: nobody who has lost a lock goes on as if it had it.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .sessionhealth import SessionStoreDown

__all__ = ("LEASE", "Lease")

LEASE = 30.0  # seconds until the lock of a process that has died is free
PAUSE = 0.5  # seconds between attempts to give one back


class Lease:
    """The lock of one session, in a store that processes share.

    Args:
        store: with `take(name, token, seconds)`, `renew(name, token, seconds)`, both telling whether
            the lock is ours, `drop(name, token)` and `holder(name)`, which returns a token or None.
        call: calls a method of it; raises SessionStoreDown.
    """

    def __init__(self, store: Any, call: Callable[..., Any], name: str) -> None:
        self._store = store
        self._call = call
        self._name = name
        self.token = ""
        self._good_until = 0.0

    def acquire(self, timeout: float | None) -> bool:
        """Take the lock; False if it was not to be had within `timeout` seconds (None: for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self.token = _token()
        pause = 0.001
        while True:
            began = time.monotonic()
            if self._taken(began):
                self._good_until = began + LEASE
                _keeper.watch(self)
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            wait = pause * random.uniform(0.5, 1.0)  # not all at once
            time.sleep(wait if left is None else min(wait, left))
            pause = min(pause * 1.5, 0.05)

    def _taken(self, began: float) -> bool:
        try:
            return bool(self._call(self._store.take, self._name, self.token, LEASE))
        except SessionStoreDown as exc:
            if exc.__cause__ is not None:
                # Asked and not answered: the store may have lent it to us, and nobody would know.
                _keeper.owe(self, began + LEASE)
            raise

    def renew(self) -> bool:
        """Keep it for longer; False when it is lost."""
        began = time.monotonic()
        try:
            mine = self._call(self._store.renew, self._name, self.token, LEASE)
        except SessionStoreDown:
            return self.held()
        self._good_until = began + LEASE if mine else 0.0
        return bool(mine)

    def held(self) -> bool:
        """Tell whether this object can be sure to have the lock."""
        return time.monotonic() < self._good_until

    def release(self) -> None:
        """Give the lock back."""
        _keeper.forget(self)
        ends, self._good_until = self._good_until, 0.0
        if not self.dropped():
            _keeper.owe(self, ends)

    def dropped(self) -> bool:
        """Give it back to the store; False if that is not there."""
        try:
            self._call(self._store.drop, self._name, self.token)
        except SessionStoreDown:
            return False
        return True

    def holder(self) -> str:
        """Describe who has the lock."""
        try:
            token = self._call(self._store.holder, self._name)
        except SessionStoreDown:
            token = None
        return token.partition(" ")[2] if token else "nobody any more"


def _token() -> str:
    """Return what no other lock has, and who it is for others to read."""
    import socket

    line = getattr(serving.request, "request_line", None) or "a program"
    # Of a request that may be as long as it likes, and not from us.
    line = "".join(one if " " <= one <= "~" else "?" for one in line[:100])
    return (
        f"{os.urandom(12).hex()} {line!r} in process {os.getpid()} on {socket.gethostname()[:60]}"
    )


class _Keeper:
    """The thread that renews what is held for long, and gives back what a store was not there to take.

    There is none while there is nothing to do.
    """

    def __init__(self) -> None:
        # Guards all below.
        self._changed = threading.Condition()
        self._held: set[Lease] = set()
        self._owed: dict[Lease, float] = {}  # and when each ends by itself
        self._thread: threading.Thread | None = None
        self._pid = 0

    def watch(self, lease: Lease) -> None:
        """Keep a lock."""
        with self._changed:
            self._work()
            self._held.add(lease)

    def owe(self, lease: Lease, ends: float) -> None:
        """Give a lock back when the store is there again, unless it has ended by then."""
        with self._changed:
            self._work()
            self._owed[lease] = ends
            self._changed.notify()

    def _work(self) -> None:
        if self._pid != os.getpid():  # forked
            self._pid, self._thread = os.getpid(), None
            self._held.clear()
            self._owed.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="Session locks", daemon=True)
            self._thread.start()

    def forget(self, lease: Lease) -> None:
        """Keep a lock no longer."""
        with self._changed:
            self._held.discard(lease)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(PAUSE if self._owed else LEASE / 3)
                if not self._held and not self._owed:
                    self._thread = None
                    return
                soon = time.monotonic() + LEASE * 0.8
                due = [one for one in self._held if one._good_until < soon]
                owed = dict(self._owed)
            for lease in due:
                try:
                    kept = lease.renew()
                except Exception:  # whatever a driver raises, other locks have to be kept
                    site.log("A lock of a session was not renewed.", "SESSION", 30, traceback=True)
                    continue
                if not kept:
                    self.forget(lease)
            self._pay(owed)

    def _pay(self, owed: dict[Lease, float]) -> None:
        for lease, ends in owed.items():
            try:
                over = ends < time.monotonic() or lease.dropped()
            except Exception:  # as above; it ends by itself
                over = True
            if over:
                with self._changed:
                    self._owed.pop(lease, None)


_keeper = _Keeper()
