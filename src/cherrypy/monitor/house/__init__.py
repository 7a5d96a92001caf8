"""What the house itself tells: framework, servers, tools, bus, process and interpreter.

Law: everything here is put on from outside when the monitor begins and taken off when it ends, so it
costs nothing while that is off; and nothing that fails here fails a request.
"""

from __future__ import annotations

from typing import Any


def begin(monitor: Any) -> Any:
    """Put everything on; returns what takes it off."""
    from .house import House

    return House(monitor)
