"""What the process is doing right now, as JSON."""

from __future__ import annotations

import itertools
import os
import threading
import time
from typing import Any

import cherrypy

from .views import page


def resident_bytes() -> int | None:
    """Memory of this process; None where the system does not tell (anything but Linux)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


class Live:
    """/live: a page that asks /live/now again and again."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.counter = itertools.count(1)  # next() on it is atomic: no lock needed

    @cherrypy.expose
    def index(self) -> str:
        return page("/live/", "live.html", Live.now, script="live.js")

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def now(self) -> dict[str, Any]:
        return {
            "asked": next(self.counter),
            "uptime": round(time.monotonic() - self.started, 1),
            "threads": threading.active_count(),
            "memory": resident_bytes(),
            "cpu": round(time.process_time(), 2),
            "thread": threading.current_thread().name,
        }
