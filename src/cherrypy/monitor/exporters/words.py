"""The names that metrics have in Prometheus, as OpenTelemetry's rules translate them.

Dots become underscores, the unit goes to the end, counters end with `_total`, and days become seconds.
"""

from __future__ import annotations

import re

from ..metrics import COUNTER, Metric

_UNITS = {"s": "seconds", "By": "bytes", "%": "percent", "d": "seconds"}
_FACTORS = {"d": 86400}
_PER = {"s": "per_second", "min": "per_minute", "h": "per_hour"}


def unit(metric: Metric) -> str:
    """Return the unit that ends a metric's name: 'seconds'; '' for what is merely counted."""
    found = _UNITS.get(metric.unit, "")
    if metric.unit == "1" and metric.name.endswith("utilization"):
        return "ratio"
    if "/" in metric.unit:
        found = _PER.get(metric.unit.partition("/")[2], "")
    return found


def family_name(metric: Metric) -> str:
    """Return a metric's name without the `_total` of counters."""
    name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
    suffix = unit(metric)
    if suffix and not name.endswith("_" + suffix):
        name += "_" + suffix
    return name


def sample_name(metric: Metric) -> str:
    """Return the name of its samples; those of a histogram have `_bucket`, `_sum` or `_count` more."""
    name = family_name(metric)
    return name + "_total" if metric.kind == COUNTER else name


def factor(metric: Metric) -> int:
    """Return by what its values are multiplied, for the unit that Prometheus wants."""
    return _FACTORS.get(metric.unit, 1)


def label_name(name: str) -> str:
    """Return the name of a label; `quantile` is one that only summaries may have."""
    if name == "quantile":
        return "q"
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
