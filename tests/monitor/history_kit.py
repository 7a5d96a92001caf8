"""What the tests of the monitor share: a site that counts by a clock of its own."""

from __future__ import annotations

from cherrypy.monitor import table
from cherrypy.monitor.histograms import Spread
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import Metric
from cherrypy.monitor.snapshots import Snapshot

assert table

START = 1_800_000_000.0  # on the hour, and not on the day


class Clockwork:
    """A site that counts by a clock of its own."""

    def __init__(self, history: History, at: float = START) -> None:
        self.history = history
        self.at = at
        self.whole = Snapshot("site", 0.0, at)
        self.push(0.0)

    def push(self, seconds: float = 1.0) -> None:
        self.at += seconds
        now = Snapshot("site", 0.0, self.at)
        now.counts = dict(self.whole.counts)
        now.gauges = dict(self.whole.gauges)
        now.spreads = {key: spread.copy() for key, spread in self.whole.spreads.items()}
        self.history.add(now)

    def count(self, metric: Metric, number: float, *labels: str) -> None:
        key = (metric, labels)
        self.whole.counts[key] = self.whole.counts.get(key, 0) + number

    def gauge(self, metric: Metric, value: float, *labels: str) -> None:
        self.whole.gauges[metric, labels] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        self.whole.spreads.setdefault((metric, labels), Spread(metric.scale)).observe(value)
