"""Threads that outlive the bus, and the end of the process in spite of them.

Law: a program that has handed its main thread to ``bus.block()`` ends, whoever still runs. The
interpreter itself joins every non-daemon thread without limit when it ends, so one forgotten
thread (a pool, a plugin, a client library) would otherwise hold the process until SIGKILL.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable

#: Seconds that threads get in any case: after the budget is spent, and again at the very end.
GRACE = 0.25

Log = Callable[..., object]

_ending = threading.Event()
_armed = False


def running() -> list[threading.Thread]:
    """Return the threads that the interpreter would wait for, without this and the main one."""
    own = (threading.current_thread(), threading.main_thread())
    return [one for one in threading.enumerate() if not one.daemon and one not in own]


def join(deadline: float | None, log: Log) -> list[threading.Thread]:
    """Wait for them until ``deadline`` (``time.monotonic()``); return those that still run.

    Threads of ``concurrent.futures`` are not waited for: an idle one ends only when the
    interpreter tells it to, later than this.
    """
    futures = sys.modules.get("concurrent.futures.thread")
    pooled = getattr(futures, "_threads_queues", ())
    left = []
    for thread in running():
        if thread in pooled:
            continue
        log(f"Waiting for thread {thread.name}.")
        thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
        if thread.is_alive():
            left.append(thread)
    return left


def leave_behind(threads: Iterable[threading.Thread], status: object = 0, *, log: Log) -> None:
    """End the process once only ``threads`` keep the interpreter from ending.

    Runs beside the interpreter's own end: exit handlers and buffers are served before. ``status``
    is what the main thread was leaving with, as ``sys.exit`` takes it.
    """
    suspects = frozenset(threads)
    if not suspects:
        return
    _arm()
    watch = threading.Thread(
        target=_watch, args=(suspects, status, log), name="Bus End", daemon=True
    )
    watch.start()


def _arm() -> None:
    """Learn of the moment when the interpreter begins to wait for threads."""
    global _armed
    if _armed:
        return
    _armed = True
    try:
        # Runs before the pools' own hook, which waits for busy workers without limit.
        threading._register_atexit(_ending.set)  # type: ignore[attr-defined] # no public hook
    except (AttributeError, RuntimeError):  # Renamed one day, or the end has begun.
        threading.Thread(target=_await_main, name="Bus End", daemon=True).start()


def _await_main() -> None:
    threading.main_thread().join()
    _ending.set()


def _watch(suspects: frozenset[threading.Thread], status: object, log: Log) -> None:
    _ending.wait()
    deadline = time.monotonic() + GRACE
    while True:
        alive = [one for one in running() if one.is_alive()]
        if not alive:
            return
        if time.monotonic() >= deadline and suspects.issuperset(alive):
            break
        time.sleep(0.02)
    names = ", ".join(one.name for one in alive)
    log(f"Ending the process in spite of running threads: {names}.", level=30)
    last = threading.Thread(target=_run_exit_handlers, name="Bus End Handlers", daemon=True)
    last.start()
    last.join(GRACE * 2)
    os._exit(_exit_code(status))


def _run_exit_handlers() -> None:
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # None, a broken pipe, or closed.
            pass


def _exit_code(status: object) -> int:
    if isinstance(status, int) and status:
        return status & 0xFF
    if status or getattr(sys, "last_value", None) is not None:
        return 1  # sys.exit('text'), or the main thread died of an exception.
    return 0


def _after_fork() -> None:
    global _ending, _armed
    _ending, _armed = threading.Event(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
