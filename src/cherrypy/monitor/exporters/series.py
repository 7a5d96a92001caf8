"""The series of a site at one moment, by metric: what every exporter writes down."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..histograms import Spread
from ..metrics import METRICS, Labels, Metric
from ..site import ENDED
from ..table import itself

if TYPE_CHECKING:
    from ..plugin import Monitor

#: The label that metrics have whose series are not added up over processes.
WORKER = "worker"

Row = tuple[tuple[str, ...], Any]  # the values of its labels, and a number or a Spread


class Family:
    """The series of one metric.

    labels
        The names of its labels, as OpenTelemetry has them.
    rows
        `(values, value)`, where the values are texts, and the value a number or a `Spread`.
    """

    __slots__ = ("labels", "metric", "rows")

    def __init__(self, metric: Metric, labels: tuple[str, ...], rows: list[Row]) -> None:
        self.metric = metric
        self.labels = labels
        self.rows = rows


def families(monitor: Monitor) -> list[Family]:
    """Return all there is of a monitor's site, in the order of the metrics' declaration.

    Series by worker end with the worker. What all that have ended had counted is left out: whoever adds up by
    how much each series grows, `sum(rate(...))`, has had it from the worker, and would have it all again.
    """
    merged = monitor.site.merged()
    found: dict[Metric, dict[Labels, Any]] = {}
    for values in (merged.counts, merged.gauges, merged.spreads, derived(monitor)):
        for (metric, labels), value in values.items():
            # A monitor that only collects, from other processes, has selected nothing itself.
            if (metric.on or not monitor.running) and not _of_ended(metric, labels):
                found.setdefault(metric, {})[labels] = value
    return [_family(metric, found[metric]) for metric in METRICS.values() if metric in found]


def _of_ended(metric: Metric, labels: Labels) -> bool:
    return len(labels) > len(metric.labels) and labels[-1] == ENDED


def _family(metric: Metric, series: dict[Labels, Any]) -> Family:
    names = metric.labels
    rows = [(tuple(_text(value) for value in labels), value) for labels, value in series.items()]
    if any(len(labels) > len(names) for labels, _ in rows):
        names = (*names, WORKER)
        rows = [((*labels, "")[: len(names)], value) for labels, value in rows]
    rows.sort(key=lambda row: row[0])
    return Family(metric, names, rows)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def derived(monitor: Monitor) -> dict[tuple[Metric, Labels], float]:
    """Return the present values of what is worked out from the history, if there is one."""
    history = getattr(monitor, "history", None)
    if history is None:
        return {}
    try:
        from importlib import import_module

        values: dict[tuple[Metric, Labels], float] = import_module(
            "cherrypy.monitor.derived"
        ).gauges(history)
        return {key: value for key, value in values.items() if value is not None}
    except Exception as error:
        monitor.broken("derived metrics", error)
        return {}


def resource(monitor: Monitor) -> dict[str, str]:
    """Return who tells all this: OpenTelemetry's attributes of a service.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` in the environment add to it, as everywhere.
    """
    settings = monitor.settings
    attributes = {
        "service.name": settings["service"] or os.environ.get("OTEL_SERVICE_NAME") or _program(),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "host.name": socket.gethostname(),
        "telemetry.sdk.name": "kirsch",
        "telemetry.sdk.language": "python",
    }
    if settings["app_version"]:
        attributes["service.version"] = settings["app_version"]
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            from urllib.parse import unquote

            attributes.setdefault(name.strip(), unquote(value.strip()))
    return attributes


def _program() -> str:
    """The name of the program, as good as can be told."""
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    if name in ("", "-c", "-m"):
        return "unknown_service"
    if name == "__main__.py":
        name = os.path.basename(os.path.dirname(sys.argv[0]))
    return os.path.splitext(name)[0] or "unknown_service"


class Told:
    """Measures what an exporter does: `with Told(monitor, "otlp"):`."""

    def __init__(self, exporter: str) -> None:
        self.exporter = exporter
        self.began = self.cpu = 0.0

    def __enter__(self) -> Told:
        self.began, self.cpu = time.monotonic(), time.thread_time()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        itself.MONITOR_EXPORT_DURATION.observe(time.monotonic() - self.began, (self.exporter,))
        itself.MONITOR_CPU_TIME.add(time.thread_time() - self.cpu, ("export",))
        if kind is not None:
            failed(self.exporter, kind.__name__)


def failed(exporter: str, kind: str) -> None:
    """Count an export that failed, by the type of its error."""
    itself.MONITOR_EXPORT_FAILURES.add(1, (exporter, kind))


def since(rows: dict[tuple[Metric, Labels], Any], family: Family) -> Iterator[tuple[Row, Any]]:
    """Yield each series of a family that has grown since it was last asked for, with its growth.

    rows
        What was known then; brought up to date by this.
    """
    metric = family.metric
    for row in family.rows:
        labels, value = row
        key = (metric, labels)
        before = rows.get(key)
        rows[key] = value.copy() if isinstance(value, Spread) else value
        if isinstance(value, Spread):
            grown = value.since(before)
            if grown.buckets:
                yield row, grown
        else:
            grown = value - (before or 0)
            if grown > 0:
                yield row, grown
