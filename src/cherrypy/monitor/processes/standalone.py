"""A process that does nothing but collect: `python -m cherrypy monitor serve`."""

from __future__ import annotations

import sys
from typing import Any

from ...framework.site import site
from ..plugin import Monitor


def run() -> int:
    """Collect until the engine exits, with no server of the site in this process.

    Returns the exit status of the process: 2 when the settings name no socket.
    """
    engine: Any = site.engine
    monitor = getattr(engine, "monitor", None)
    if monitor is None:
        monitor = engine.monitor = Monitor(engine)
    if not monitor.settings["socket"]:
        sys.stderr.write(
            "There is no socket to collect at. Name one: python -m cherrypy monitor serve "
            "--set socket=/run/site/monitor.sock, and give the processes of the site the same: "
            "engine.monitor.socket = '/run/site/monitor.sock'.\n"
        )
        return 2
    site.server.unsubscribe()
    monitor.only_collects = True
    monitor.subscribe()
    engine.signals.subscribe()
    engine.start()
    if not monitor.collects:
        refusal = monitor.processes.refusal
        engine.exit()
        sys.stderr.write(f"{refusal}\n")
        return 1
    engine.block()
    return 0
