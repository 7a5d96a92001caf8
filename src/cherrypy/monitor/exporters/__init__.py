"""What others read of the monitor: Prometheus, OpenTelemetry's protocol, StatsD, Grafana.

`series` is what there is to tell; each of the others writes it down in one way. None of them needs a
library, see docs/dependencies.md.
"""
