"""What a server has counted, as `cherrypy.lib.cpstats` shows it: in `logging.statistics`.

Law: nothing is counted for it. The numbers are made of the server's own counters when somebody asks.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from kirsch.server import counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from kirsch.server.server import Server as Kirsch

__all__ = ("hide", "show", "table_of")


def _counter(server: Kirsch, name: str) -> Callable[[Any], int]:
    return lambda table: server.counters[name]


def _threads(server: Kirsch) -> Callable[[Any], dict[str, dict[str, int]]]:
    def by_thread(table: Any) -> dict[str, dict[str, int]]:
        return {
            worker.thread.name: {
                "Requests": worker.counts[counters.REQUESTS],
                "Bytes Read": worker.counts[counters.BYTES_IN],
                "Bytes Written": worker.counts[counters.BYTES_OUT],
            }
            for worker in list(server.pool.workers)
        }

    return by_thread


def table_of(server: Kirsch) -> dict[str, Any]:
    """Return the table of a server that starts now: values, and callables that give them."""
    started = time.monotonic()

    def run_time(table: Any) -> float:
        return time.monotonic() - started if server.ready else -1.0

    def per_second(name: str) -> Callable[[Any], float]:
        return lambda table: server.counters[name] / max(time.monotonic() - started, 1e-9)

    return {
        "Enabled": True,
        "Bind Address": lambda table: ", ".join(map(str, server.bound_addresses)),
        "Run time": run_time,
        "Accepts": _counter(server, "accepted"),
        "Accepts/sec": per_second("accepted"),
        "Queue": _counter(server, "queued"),
        "Threads": _counter(server, "threads"),
        "Threads Idle": _counter(server, "threads_idle"),
        "Socket Errors": _counter(server, "resets"),
        "Requests": _counter(server, "requests"),
        "Bytes Read": _counter(server, "bytes_in"),
        "Bytes Written": _counter(server, "bytes_out"),
        "Worker Threads": _threads(server),
    }


def _tables() -> dict[str, Any]:
    """Return `logging.statistics`, a name on a module of the standard library by agreement."""
    tables: dict[str, Any] = vars(logging).setdefault("statistics", {})
    return tables


def show(name: str, table: dict[str, Any]) -> None:
    """Put a table among those that are shown."""
    _tables()[name] = table


def hide(name: str) -> None:
    """Take a table away again."""
    _tables().pop(name, None)
