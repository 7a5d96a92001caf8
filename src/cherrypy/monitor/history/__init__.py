"""The history of all metrics: in memory, and in a file if there is to be one.

`history` keeps and answers, `frames` are what it keeps, `levels` how long, `store` is the file.
"""

from __future__ import annotations

from typing import Any


def begin(monitor: Any) -> Any:
    """Begin to keep what the monitor's site does: `monitor.history`."""
    from .keeper import Keeper

    return Keeper(monitor)
