"""Alerts: rules over all that the history knows, and whoever is told when one holds.

`grammar` reads a rule's text, `rules` the setting, `judging` says whether a condition holds,
`alerts` when that is an alert, `actions` tells of it.
"""

from __future__ import annotations

from typing import Any


def begin(monitor: Any) -> Any:
    """Begin to look at the rules: `monitor.alerts`."""
    from .watching import Alerts

    alerts = Alerts(monitor)
    object.__setattr__(monitor, "alerts", alerts)  # an assignment would be to the setting
    return alerts
