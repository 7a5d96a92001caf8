"""The mount: the dashboard at a path of the site's own servers.

It stands before the recorder, so it is not among the requests that are counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...framework.site import site as house
from .guard import Unsafe

if TYPE_CHECKING:
    from .front import Front

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def check_path(path: str) -> str:
    """Return a path that the dashboard can stand at. Raises Unsafe for another one."""
    path = path.rstrip("/")
    if not _PATH.fullmatch(path):
        raise Unsafe(
            "monitor.dashboard.mount must be a path such as '/-/monitor', not the whole site."
        )
    return path


class Mount:
    """The dashboard on all servers of the site, until `end`."""

    def __init__(self, monitor: Any, front: Front, path: str) -> None:
        self.monitor = monitor
        self.front = front
        self.path = path
        self._undo: list[tuple[Any, Any, Any]] = []
        monitor.served.append(self.serve)

    def serve(self) -> None:
        """Stand before the gateways of the servers that have started."""
        for kirsch in servers():
            if not any(one is kirsch for one, _, _ in self._undo):
                before = kirsch.gateway
                after = self.gateway(before)
                answer_by(kirsch, after)
                self._undo.append((kirsch, before, after))

    def gateway(self, others: Any) -> Any:
        """Return a gateway that answers below the path, and leaves the rest to others."""
        path, below, respond = self.path, self.path + "/", self.front.respond

        def gateway(exchange: Any) -> Any:
            asked = exchange.head.path
            if asked.startswith(below) or asked == path:
                return respond(exchange, path)
            inner: Any = gateway
            return inner.__wrapped__(exchange)  # `Monitor.rewatch` puts others there

        gateway.__wrapped__ = others  # type: ignore[attr-defined]  # as functools has it
        gateway.mounted = True  # type: ignore[attr-defined]  # `Monitor.rewatch` looks for it
        return gateway

    def end(self) -> None:
        """Leave the servers as they were."""
        self.monitor.served.remove(self.serve)
        while self._undo:
            kirsch, before, after = self._undo.pop()
            if kirsch.gateway is after:
                answer_by(kirsch, getattr(after, "__wrapped__", before))


def servers() -> list[Any]:
    """The servers of the site that serve by ours."""
    found = {house.server, *house.servers.values()}
    made = [getattr(adapter.httpserver, "kirsch", None) for adapter in found]
    return [kirsch for kirsch in made if kirsch is not None]


def answer_by(kirsch: Any, gateway: Any) -> None:
    """Have a server answer by another gateway, from the next request on."""
    kirsch.gateway = gateway
    for worker in list(kirsch.pool.workers):
        worker.gateway = gateway
