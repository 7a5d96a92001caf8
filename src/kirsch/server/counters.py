"""Counters in per-thread shards: each list has one writer, a snapshot adds them up.

No increment takes a lock; a shard outlives its thread only as numbers in ``Counters.past``.
"""

from __future__ import annotations

import threading

NAMES = (
    "accepted",
    "closed",
    "requests",
    "responses_1xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "bytes_in",
    "bytes_out",
    "parse_errors",
    "timeouts_head",
    "timeouts_idle",
    "timeouts_body",
    "timeouts_write",
    "timeouts_queue",
    "timeouts_response",
    "overflow",
    "resets",
    "handler_errors",
    "accept_errors",
    "baton_takes",
    "tls_handshakes",
    "tls_errors",
    "timeouts_tls",
    "websockets",
    "websocket_messages",
    "websocket_slow_peers",
    "websocket_unanswered_pings",
    "feeds",
    "feed_slow_peers",
    "parked",
    "sheds",
)
(
    ACCEPTED,
    CLOSED,
    REQUESTS,
    R1XX,
    R3XX,
    R4XX,
    R5XX,
    BYTES_IN,
    BYTES_OUT,
    PARSE_ERRORS,
    TIMEOUTS_HEAD,
    TIMEOUTS_IDLE,
    TIMEOUTS_BODY,
    TIMEOUTS_WRITE,
    TIMEOUTS_QUEUE,
    TIMEOUTS_RESPONSE,
    OVERFLOW,
    RESETS,
    HANDLER_ERRORS,
    ACCEPT_ERRORS,
    BATON_TAKES,
    TLS_HANDSHAKES,
    TLS_ERRORS,
    TIMEOUTS_TLS,
    SOCKETS,
    MESSAGES,
    SLOW_PEERS,
    UNANSWERED,
    FEEDS,
    SLOW_FEEDS,
    PARKED,
    SHEDS,
) = range(len(NAMES))
# Responses that began, all classes. Successes are what remains: the commonest answer costs nothing.
RESPONSES = len(NAMES)

# The class of a status, by its first digit; '2' is absent on purpose.
CLASS = {"1": R1XX, "3": R3XX, "4": R4XX, **dict.fromkeys("56789", R5XX)}

Shard = list[int]


class Counters:
    """The shards of one server."""

    __slots__ = ("lock", "past", "shards")

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the list of shards, never a count
        self.shards: list[Shard] = []
        self.past: Shard = [0] * (len(NAMES) + 1)

    def shard(self) -> Shard:
        """A new list of zeros for the calling thread to add to."""
        shard = [0] * (len(NAMES) + 1)
        with self.lock:
            self.shards.append(shard)
        return shard

    def retire(self, shard: Shard) -> None:
        """Keep a leaving thread's numbers without its shard."""
        with self.lock:
            for index, mine in enumerate(self.shards):
                if mine is shard:
                    del self.shards[index]
                    self.past = [a + b for a, b in zip(self.past, shard, strict=True)]
                    return

    def snapshot(self) -> dict[str, int]:
        """All counts by name, with ``responses``, ``responses_2xx`` and ``open`` worked out."""
        with self.lock:
            totals = [sum(column) for column in zip(self.past, *self.shards, strict=True)]
        counts = dict(zip(NAMES, totals[:-1], strict=True))
        responses = totals[RESPONSES]
        counts["responses"] = responses
        others = (R1XX, R3XX, R4XX, R5XX)
        counts["responses_2xx"] = responses - sum(totals[i] for i in others)
        counts["open"] = counts["accepted"] - counts["closed"]
        return counts
