"""The monitor itself."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

MONITOR_CPU_TIME = counter(
    "cherrypy.monitor.cpu.time",
    "s",
    "part",
    help="Processor time of the monitor's own work, beside requests.",
)
MONITOR_SERIES = gauge(
    "cherrypy.monitor.series", "{series}", "metric", help="Series that a metric has."
)
MONITOR_OVERFLOW = counter(
    "cherrypy.monitor.overflow",
    "{measurement}",
    "metric",
    help="Measurements that were counted under 'otel.metric.overflow', as their metric had as many series as it may.",
)
MONITOR_SNAPSHOTS_LOST = counter(
    "cherrypy.monitor.snapshots.lost",
    "{snapshot}",
    "worker",
    help="Snapshots of a process that never came to the one that collects; their counts came with the next.",
)
MONITOR_STORE_BYTES = gauge(
    "cherrypy.monitor.store.bytes", "By", help="Bytes of the history's file."
)
MONITOR_EXPORT_DURATION = histogram(
    "cherrypy.monitor.export.duration", "s", "exporter", help="How long exports took."
)
MONITOR_EXPORT_FAILURES = counter(
    "cherrypy.monitor.export.failures",
    "{export}",
    "exporter",
    "error.type",
    help="Exports that failed.",
)
MONITOR_ALERTS_FIRING = gauge(
    "cherrypy.monitor.alerts.firing", "{alert}", "severity", help="Alerts that fire now."
)
