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
from typing import NamedTuple

#: Seconds that threads get in any case: after the budget is spent, and again at the very end.
GRACE = 0.25

Log = Callable[..., object]


class _Verdict(NamedTuple):
    suspects: frozenset[threading.Thread]
    status: object
    log: Log
    because: BaseException | None
    since: float


_verdict: _Verdict | None = None
_armed = False
_ending = threading.Event()


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


def leave_behind(
    threads: Iterable[threading.Thread],
    status: object = 0,
    *,
    log: Log,
    because: BaseException | None = None,
) -> None:
    """End the process once only ``threads`` keep the interpreter from ending.

    Runs beside the interpreter's own end: exit handlers and buffers are served before. ``status``
    is what the main thread was leaving with, as ``sys.exit`` takes it. With ``because``, only
    when the program ends because of this exception: uncaught, or at once.
    """
    global _verdict
    suspects = frozenset(threads)
    # The latest call counts; without suspects it withdraws the one before.
    _verdict = _Verdict(suspects, status, log, because, time.monotonic()) if suspects else None
    if _verdict is None:
        return
    if threading.main_thread().is_alive():
        _arm()
        return
    try:  # The interpreter is waiting for threads already.
        threading.Thread(target=_judge, name="Bus End", daemon=True).start()
    except RuntimeError:  # 3.12 makes no threads any more by now.
        _judge()


def _arm() -> None:
    """Have a thread ready for the moment when the interpreter begins to wait for threads.

    It is made now because it could not be made then (3.12), and once: it waits in the dark.
    """
    global _armed
    if _armed:
        return
    _armed = True
    wait = _ending.wait
    try:
        # Called before the pools' own hook, which waits for busy workers without limit.
        threading._register_atexit(_begin)  # type: ignore[attr-defined] # no public hook
    except (AttributeError, RuntimeError):  # Renamed one day, or the end has begun.
        wait = threading.main_thread().join  # type: ignore[assignment] # only waited for
    threading.Thread(target=_stand_by, args=(wait,), name="Bus End", daemon=True).start()


def _begin() -> None:
    _ending.set()


def _stand_by(wait: Callable[[], object]) -> None:
    wait()
    _judge()


def _judge() -> None:
    verdict = _verdict
    if verdict is None:
        return
    if verdict.because is not None:
        at_once = time.monotonic() - verdict.since <= 1
        if not at_once and not _uncaught(verdict.because):
            return  # The host has dealt with it and ends for reasons of its own.
    _watch(verdict)


def _watch(verdict: _Verdict) -> None:
    deadline = time.monotonic() + GRACE
    while True:
        alive = [one for one in running() if one.is_alive()]
        if not alive:
            return
        if time.monotonic() >= deadline and verdict.suspects.issuperset(alive):
            break
        time.sleep(0.02)
    names = ", ".join(one.name for one in alive)
    verdict.log(f"Ending the process in spite of running threads: {names}.", level=30)
    last = threading.Thread(target=_run_exit_handlers, name="Bus End Handlers", daemon=True)
    try:
        last.start()
        last.join(GRACE * 2)  # One that hangs must not hold the process either.
    except RuntimeError:  # 3.12 makes no threads any more by now.
        _run_exit_handlers()
    os._exit(_exit_code(verdict.status))


def _uncaught(exc: BaseException) -> bool:
    last = getattr(sys, "last_value", None)
    while last is not None and last is not exc:
        last = last.__cause__ or last.__context__
    return last is exc


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
    global _verdict, _armed, _ending
    _verdict, _armed, _ending = None, False, threading.Event()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
