"""Pauses: the recorder out of the way of requests for a while. What is served meanwhile is not counted."""

from __future__ import annotations

import threading
from typing import Any

from . import units
from .mount import answer_by, servers


class Pause:
    """A pause, when there is one.

    mount
        The dashboard's own part of the gateways, which stays; None if it has none.
    """

    def __init__(self) -> None:
        self.mount: Any = None
        #: Called when it is over.
        self.over: Any = lambda: None
        self._lock = threading.Lock()  # guards: gateways are replaced by one at a time
        self._timer: threading.Timer | None = None
        self._undo: list[tuple[Any, Any, Any]] = []

    @property
    def on(self) -> bool:
        """Whether nothing is recorded."""
        return self._timer is not None

    def begin(self, seconds: float) -> str:
        """Record nothing for so long, and say so."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            else:
                for kirsch in servers():
                    before = kirsch.gateway
                    after = self._plain(before)
                    answer_by(kirsch, after)
                    self._undo.append((kirsch, before, after))
            self._timer = threading.Timer(seconds, self.end)
            self._timer.daemon = True
            self._timer.start()
        return f"Requests are not recorded for {units.seconds(seconds)}."

    def _plain(self, gateway: Any) -> Any:
        """What answers without the recorder."""
        watched = gateway.__wrapped__ if getattr(gateway, "mounted", False) else gateway
        plain = getattr(watched, "__wrapped__", watched)
        return plain if watched is gateway else self.mount.gateway(plain)

    def end(self) -> str:
        """Record again, and say so."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while self._undo:
                kirsch, before, after = self._undo.pop()
                if kirsch.gateway is after:
                    answer_by(kirsch, before)
        self.over()
        return "Requests are recorded."
