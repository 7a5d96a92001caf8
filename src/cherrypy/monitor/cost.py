"""What the recorder takes of each request: found out by recording nothing, many times."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from kirsch.server.input import EMPTY

from .blocks import Block
from .recorder import Recorder
from .routes import Route
from .shards import Shard

ROUNDS = 2000


def recorder_seconds() -> float:
    """Return the seconds of processor time that the recorder takes around one request's gateway."""
    recorder = Recorder()
    shard = Shard()
    answer: tuple[str, list[Any], bytes] = ("200 OK", [], b"")

    def gateway(exchange: Any) -> Any:
        return answer

    now = time.monotonic()
    head = SimpleNamespace(path="/", method="GET", minor=1, size=0, length=0)
    worker = SimpleNamespace(watch=shard, came=now, now=now, turn=None)
    connection = SimpleNamespace(worker=worker, scheme="http")
    exchange = SimpleNamespace(connection=connection, head=head, body=EMPTY)
    # Where it finds it at once, as nearly all requests do; nothing of this is counted anywhere.
    block = Block(Route("", "/"), 1e9, shard.lock)
    shard.hot["/"] = (None, "GET", "200 OK", 1, "http", block)
    watched = recorder.watched(gateway)
    began = time.thread_time()
    for _ in range(ROUNDS):
        gateway(exchange)
    bare = time.thread_time() - began
    began = time.thread_time()
    for _ in range(ROUNDS):
        watched(exchange)
    return max(0.0, time.thread_time() - began - bare) / ROUNDS
