"""What the configuration of a path may say to the monitor (`tools.monitor.*`); nothing of it acts here.

The monitor reads it where it is on; where it is off, it says nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cherrypy.framework.tools import HookSpec, Tool

__all__ = ("MonitorTool", "monitor")


def monitor(route: str | None = None, apdex: float | None = None) -> None:
    """Say how a path is monitored (tool `monitor`); `tools.monitor.on = False` leaves it out.

    Args:
        route: the name that its requests go by, in place of that of the page.
        apdex: seconds within which an answer satisfies.
    """


class MonitorTool(Tool):
    """Holds settings: it hooks in nowhere, so that no request pays for it."""

    def __init__(self) -> None:
        Tool.__init__(self, "on_start_resource", monitor, "monitor")

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield nothing."""
        return iter(())
