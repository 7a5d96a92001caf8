"""What instruments of key-value stores count by: time, and whether what was asked for was there."""

from __future__ import annotations

import re
from typing import Any

from ..shards import Shard
from ..table import stores
from .awaits import Wait
from .databases import DURATION, ERRORS, database
from .guard import guard_of

OPERATION = stores.KV_OPERATION_DURATION
REQUESTS = stores.KV_REQUESTS

_WORD = re.compile(r"[A-Z][A-Z0-9_. -]{0,30}\Z")
OTHER = "_OTHER"


class Store:
    """Counts the calls of one library.

    system
        As OpenTelemetry names it: 'redis', 'memcached'.
    layer
        In which its time is.
    """

    __slots__ = ("layer", "library", "system")

    def __init__(self, system: str, layer: int, library: str) -> None:
        self.system = system
        self.layer = layer
        self.library = library

    def done(
        self, shard: Shard, before: int, began: float, word: str, address: str, found: Any
    ) -> None:
        """A call has ended well; go back to the layer it came from.

        found
            Whether each thing that was asked for was there: (hits, misses), or None.
        """
        now = shard.trace.leave(before, f"{self.system} {word}", began)
        self.count(now - began, word, address, found)

    def failed(
        self,
        shard: Shard,
        before: int,
        began: float,
        word: str,
        address: str,
        error: BaseException,
    ) -> None:
        """A call has raised; go back to the layer it came from."""
        now = shard.trace.leave(before, f"{self.system} {word}", began)
        self.count(now - began, word, address, None, error)

    def awaited(
        self,
        wait: Wait,
        word: str,
        address: str,
        found: Any,
        error: BaseException | None = None,
    ) -> None:
        """An `async` call has ended."""
        self.count(wait.end(f"{self.system} {word}"), word, address, found, error)

    def count(
        self,
        took: float,
        word: str,
        address: str,
        found: Any,
        error: BaseException | None = None,
    ) -> None:
        """Count a call."""
        try:
            kind = "" if error is None else type(error).__name__
            OPERATION.observe(took, (self.system, word))
            server = database(self.system, address, self.library).address
            DURATION.observe(took, (self.system, word, server, kind))
            if kind:
                ERRORS.add(1, (self.system, kind))
                REQUESTS.add(1, (self.system, "error"))
            elif found is not None:
                for result, number in zip(("hit", "miss"), found, strict=True):
                    if number:
                        REQUESTS.add(number, (self.system, result))
        except Exception as more:
            guard_of(self.library).failed(more)


def word_of(command: Any) -> str:
    """The word of a command, which must not be anything that a user has sent."""
    text = command.decode("latin-1") if isinstance(command, bytes) else str(command)
    text = text.upper()
    return text if _WORD.match(text) else OTHER
