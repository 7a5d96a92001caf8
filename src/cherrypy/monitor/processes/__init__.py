"""Several processes, one view: those that serve one site find the one that collects at a unix socket.

`engine.monitor.socket` names its path. Who comes first collects: it has the history, the dashboard and
the exporters; the others send it what they have counted, each second. When it ends, another of them
takes its place. `python -m cherrypy monitor serve` is a process that does nothing but collect.
"""

from __future__ import annotations

from typing import Any


def serve(options: Any) -> int:
    """Be the process that collects, until it is ended: the command's `serve`."""
    from .standalone import run

    return run()
