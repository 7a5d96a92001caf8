"""Answering in place of a handler that does not come back: its connection is taken from its worker.

Law: exactly one of the two answers. Who empties `worker.stake` under `group.steal` has won: the
worker before it answers, or a `Takeover`, which from then on owns the connection. A handler that
holds the baton is never taken from: the watchdog sees to it first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .counters import TIMEOUTS_RESPONSE
from .input import StreamInput
from .server import LIVE

if TYPE_CHECKING:
    from .exchange import Exchange
    from .link import Link
    from .workers import Worker

__all__ = ("Takeover", "cut_stream", "find_worker", "take_over")


class Takeover:
    """Stands for the worker, with a connection that was taken from one: `answer` once, soon."""

    holding = False
    key = ""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.server = exchange.server
        self.thread = threading.current_thread()
        self.counts = self.server.counters_.shard()

    def settle(self, conn: Link) -> bool:
        """What the stuck handler asks when it wants to answer after all."""
        return False

    def back(self) -> bool:
        """What a failed answer asks: the connection is ours."""
        return True

    def answer(self, status: str, headers: list[Any], data: bytes) -> None:
        """Send a whole response and close the connection, or leave that to the poller."""
        try:
            headers = [*headers, ("Connection", "close")]
            conn: Any = self.exchange.connection
            conn.respond(self, self.exchange, status, headers, data, None)
        finally:
            self.server.counters_.retire(self.counts)


def find_worker(ident: int) -> Worker | None:
    """The worker, of any server of this process, whose thread has this number."""
    for server in list(LIVE):
        for worker in list(server.pool.workers):
            if worker.thread.ident == ident:
                return worker
    return None


def take_over(worker: Worker, wanted: Callable[[Link], bool]) -> Takeover | None:
    """Take the connection of a handler of which nothing has been sent; None when that cannot be.

    wanted
        Asked last, with the connection and under a lock: whether this is the request that is meant.
    """
    group = worker.group
    pool = group.pool
    with group.steal:
        exchange = worker.stake
        if exchange is None or pool.ended or not wanted(exchange.connection):
            return None
        worker.stake = None
        worker.lost = True
        strayed = pool.stray(worker)
    if strayed:
        pool.add(group)
    conn = exchange.connection
    if type(exchange.body) is StreamInput:
        exchange.body.take_away()
    stream = exchange.stream
    if stream is not None:
        with stream.lock:
            conn.stream = None
    taken = Takeover(exchange)
    taken.counts[TIMEOUTS_RESPONSE] += 1
    conn.worker = taken  # type: ignore[assignment]  # it stands for one
    return taken


def cut_stream(worker: Worker, wanted: Callable[[Link], bool]) -> bool:
    """Break off the body that a worker is making, so that the peer sees that it is incomplete.

    False when it makes none, or nothing of it has gone yet.
    """
    conn = worker.current
    stream = conn.stream if conn is not None else None
    if conn is None or stream is None or stream.worker is not worker:
        return False
    group = worker.group
    with stream.lock:  # the worker needs it to end its body
        if conn.stream is not stream or conn.gone or not stream.begun or not wanted(conn):
            return False
        conn.gone = True  # the next block will find out, and the worker closes
        conn.shutdown()
        strayed = group.pool.stray(worker)
    if strayed:
        group.pool.add(group)
    counters = group.server.counters_
    counts = counters.shard()
    counts[TIMEOUTS_RESPONSE] += 1
    counters.retire(counts)
    return True
