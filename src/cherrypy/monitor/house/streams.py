"""Event streams: how many clients listen, by route."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from kirsch.server.feeds import Feed

from ..metrics import Labels
from ..routes import UNMATCHED
from ..table import sockets as k
from .house import House

KIND = "text/event-stream"


class Streams:
    """The event streams of the servers that are watched."""

    def __init__(self, house: House) -> None:
        self.servers = house.monitor.servers
        self.leaving = house.recorder.away_from
        self.lock = threading.Lock()  # guards: `open` is not changed while it is copied
        self.open: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def begun(
        self, feed: Any, conn: Any, worker: Any, exchange: Any, status: str, fields: Any
    ) -> None:
        """A feed has begun, of events or of something else."""
        route = self.leaving.pop(conn, UNMATCHED)
        if conn.group.server not in self.servers:
            return
        for name, value in fields:
            if name.lower() == "content-type" and value.lower().startswith(KIND):
                with self.lock:
                    self.open[feed] = route
                return

    def count(self) -> dict[Labels, float]:
        """How many are open."""
        with self.lock:
            known = list(self.open.items())
        found: dict[Labels, float] = {}
        for feed, route in known:
            found.setdefault((route,), 0.0)
            if not feed.told:
                found[route,] += 1
        return found


def begin(house: House) -> None:
    """Count them."""
    of = Streams(house)
    house.before(Feed, "begin", of.begun)
    house.sample(k.SSE_STREAMS, of.count)
