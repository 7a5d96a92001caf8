"""Health, for those who start and stop processes: is it alive, and is it ready for requests?

`live` says that the process answers at all; who gets no answer may end it. `ready` says that it should be
sent requests: not while it starts or stops, while it is drained, or while all its threads are stuck.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ..framework.site import site as house
from . import shards

if TYPE_CHECKING:
    from .plugin import Monitor

Answer = tuple[int, dict[str, Any]]  # the status, and what is said


def live(monitor: Monitor) -> Answer:
    """Return whether the process is alive: 200, from whom it answers."""
    return 200, {
        "status": "alive",
        "bus": _state(monitor),
        "uptime": round(time.time() - shards.born, 1),
    }


def ready(monitor: Monitor) -> Answer:
    """Return whether the process is to be sent requests: 200, or 503 with the reasons."""
    why = []
    state = _state(monitor)
    if getattr(monitor, "draining", False) or getattr(monitor.bus, "leaving", False):
        why.append("draining")
    if state != "started":
        why.append(state)
    why += [f"all threads of {name} are stuck" for name in stuck(monitor)]
    told: dict[str, Any] = {"status": "not ready" if why else "ready", "bus": state}
    if why:
        told["why"] = why
    return (503 if why else 200), told


def _state(monitor: Monitor) -> str:
    return str(getattr(monitor.bus.state, "name", "")).lower()


def stuck(monitor: Monitor) -> list[str]:
    """Return the servers of which each thread has served one request for too long, and none is free.

    The seconds are those of `health.stuck`; only what the monitor has seen begin counts.
    """
    limit = time.monotonic() - float(monitor.settings["health.stuck"])
    late = {
        ident
        for ident, trace in shards.traces()
        if trace.live is not None and 0.0 < trace.began < limit
    }
    if not late:
        return []
    found = []
    for adapter in {house.server, *house.servers.values()}:
        kirsch = getattr(adapter.httpserver, "kirsch", None)
        pool = getattr(kirsch, "pool", None)
        if pool is None:
            continue
        workers = [worker for worker in list(pool.workers) if not worker.leads]
        if len(workers) >= pool.max and all(worker.ident in late for worker in workers):
            found.append(str(adapter.bind_addr))
    return found


_QUESTIONS = {"live": live, "ready": ready}


def answer(monitor: Monitor, question: str, accept: str | None = None) -> tuple[int, str, bytes]:
    """Return status, content type and body of the answer to 'live' or 'ready'.

    accept
        The field `Accept` of the request: JSON for those who name it, plain text for all others.
    """
    status, told = _QUESTIONS[question](monitor)
    if "json" in (accept or "").lower():
        return status, "application/json", json.dumps(told).encode() + b"\n"
    text = told["status"] + "".join(f"\n{reason}" for reason in told.get("why", ()))
    return status, "text/plain; charset=utf-8", text.encode() + b"\n"


class Mounted:
    """`/live` and `/ready` on the site's own servers: a WSGI application, which no tool gets in the way of."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.at: str | None = None
        monitor.settings.changed.append(self._changed)
        self._mount()

    def _changed(self, name: str) -> None:
        if name == "health.mount":
            self._mount()

    def _mount(self) -> None:
        tree = house.tree
        if self.at is not None and tree.apps.get(self.at) is self:
            del tree.apps[self.at]
        self.at = None
        path = self.monitor.settings["health.mount"]
        if path is None:
            return
        path = path.rstrip("/")
        if path in tree.apps:
            raise ValueError(
                f"monitor.health.mount: there is an application at {path or '/'} already"
            )
        tree.graft(self, path)
        self.at = path

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        question = environ.get("PATH_INFO", "").strip("/")
        method = environ.get("REQUEST_METHOD", "GET")
        headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        status, kind = 404, "text/plain; charset=utf-8"
        body = b"There are /live and /ready.\n"
        if method not in ("GET", "HEAD"):
            status, body = 405, b"GET and HEAD only.\n"
            headers.append(("Allow", "GET, HEAD"))
        elif question in _QUESTIONS:
            status, kind, body = answer(self.monitor, question, environ.get("HTTP_ACCEPT"))
        headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(_REASONS[status], headers)
        return [] if method == "HEAD" else [body]

    def end(self) -> None:
        """Be there no more, once nobody is served any more."""
        changed = self.monitor.settings.changed
        if self._changed in changed:
            changed.remove(self._changed)
        if self.at is not None and house.tree.apps.get(self.at) is self:
            del house.tree.apps[self.at]


_REASONS = {
    200: "200 OK",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    503: "503 Service Unavailable",
}


def begin(monitor: Monitor) -> Mounted:
    """A part of the monitor."""
    return Mounted(monitor)
