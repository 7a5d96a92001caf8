"""The monitor itself."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

MONITOR_CPU_TIME = counter(
    "cherrypy.monitor.cpu.time", "s", "part", help="Thread_time around each part."
)
MONITOR_SERIES = gauge("cherrypy.monitor.series", "{series}", "metric", help="Registry.")
MONITOR_OVERFLOW = counter(
    "cherrypy.monitor.overflow",
    "{measurement}",
    "metric",
    help="Cardinality cap hit (otel.metric.overflow=true series).",
)
MONITOR_SNAPSHOTS_LOST = counter(
    "cherrypy.monitor.snapshots.lost",
    "{snapshot}",
    help="Sequence gaps seen by the master.",
    merge="each",
)
MONITOR_STORE_BYTES = gauge("cherrypy.monitor.store.bytes", "By", help="SQLite file + WAL.")
MONITOR_EXPORT_DURATION = histogram(
    "cherrypy.monitor.export.duration", "s", "exporter", help="Otlp/statsd/prometheus."
)
MONITOR_EXPORT_FAILURES = counter(
    "cherrypy.monitor.export.failures", "{export}", "exporter", "error.type", help="Same."
)
MONITOR_ALERTS_FIRING = gauge(
    "cherrypy.monitor.alerts.firing", "{alert}", "severity", help="Rules."
)
