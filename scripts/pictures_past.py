"""The made-up week of the pictures: a history file as eight days of the shop would have left it."""

from __future__ import annotations

import math
import random
from pathlib import Path

from cherrypy.monitor.histograms import Spread, bucket
from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.store import Store
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.snapshots import Snapshot

DAYS = 8
#: Route: requests a second at noon, median seconds, spread, shares of (database, session, tools).
ROUTES = {
    "/": (16.0, 0.0024, 0.35, (0.45, 0, 0)),
    "/items/{number}": (22.0, 0.0058, 0.4, (0.3, 0, 0)),
    "/search": (6.0, 0.031, 0.45, (0.85, 0, 0)),
    "/cart/{number}": (3.2, 0.0043, 0.6, (0, 0.5, 0.12)),
    "/checkout/{number}": (1.1, 0.037, 0.5, (0.7, 0, 0.03)),
    "/api/stock/{number}": (9.0, 0.0031, 0.3, (0.4, 0, 0.1)),
    "/report/{year}": (0.06, 1.25, 0.3, (0.78, 0, 0)),
}
FAILING = {"/checkout/{number}": 0.05}


class Past:
    """Writes it."""

    def __init__(self, path: Path, now: float) -> None:
        self.history = History(None, Store(str(path), 1 << 28, lambda *words: None))
        self.now = now
        self.whole = Snapshot("site")
        self.chance = random.Random(7)

    def write(self) -> None:
        """Write eight days: in minutes, the last hours in steps of ten seconds."""
        at = self.now - DAYS * 86400
        self.history.mark("deploy", "version 2.4.0", self.now - 5.3 * 86400)
        self.history.mark("deploy", "version 2.4.1", self.now - 9.4 * 3600)
        while at < self.now - 5:
            step = 10.0 if self.now - at < 3 * 3600 else 60.0
            at += step
            self.step(at, step)
        self.history.close()

    def busy(self, at: float) -> float:
        """How much goes on, from 0 to 1: by day more than by night, and less at the end of a week."""
        hour = at % 86400 / 3600
        day = 0.52 - 0.42 * math.cos((hour - 3.5) / 24 * 2 * math.pi)
        lunch = 0.16 * math.exp(-(((hour - 12.5) / 1.6) ** 2))
        weekend = 0.68 if int(at // 86400) % 7 in (2, 3) else 1.0
        return (day + lunch) * weekend * self.chance.gauss(1.0, 0.035)

    def step(self, at: float, seconds: float) -> None:
        """Count what one step has brought."""
        busy = max(0.02, self.busy(at))
        ago = self.now - at
        trouble = 1.0 if 3.2 * 3600 < ago < 3.9 * 3600 else 0.0
        release = 0.82 if ago < 9.4 * 3600 else 1.0
        for route, facts in ROUTES.items():
            self.route(route, facts, seconds, busy, trouble, release)
        info = int(self.chance.gauss(4, 1) * busy * seconds)
        self.count("cherrypy.log.records", max(0, info), "info")
        warnings = self.chance.random() * 0.35 * busy * seconds + 5 * trouble * seconds / 10
        self.count("cherrypy.log.records", int(warnings + self.chance.random()), "warning")
        now = Snapshot("site", 0.0, at)
        now.counts = dict(self.whole.counts)
        now.spreads = {key: one.copy() for key, one in self.whole.spreads.items()}
        self.history.add(now)

    def route(
        self,
        route: str,
        facts: tuple[float, float, float, tuple[float, float, float]],
        seconds: float,
        busy: float,
        trouble: float,
        release: float,
    ) -> None:
        """Count the requests of a route."""
        rate, median, wide, shares = facts
        count = rate * busy * seconds
        count = int(count) + (self.chance.random() < count % 1)
        if not count:
            return
        heavy = 1 + 1.6 * trouble * (shares[0] > 0.5)
        middle = median * release * heavy * (1 + 0.25 * busy)
        failed = FAILING.get(route, 0.0005) * (1 + 7 * trouble)
        bad = min(count, int(count * failed + self.chance.random()))
        missing = int(count * 0.006 + self.chance.random()) if route == "/items/{number}" else 0
        for code, number in (("200", count - bad - missing), ("404", missing), ("500", bad)):
            if number <= 0:
                continue
            kind = ("GET", route, code, "http", "1.1", "500" if code == "500" else "", "")
            total = self.observe("http.server.request.duration", kind, middle, wide, number)
            self.count("cherrypy.responses", number, code[0] + "xx")
            kinds = {"404": "cherrypy.framework.errors.HTTPError", "500": "__main__.OutOfStock"}
            if code in kinds:
                handled = "true" if code == "404" else "false"
                self.count("cherrypy.exceptions", number, kinds[code], route, handled)
            if code == "404":
                self.count("cherrypy.http_errors", number, code, "framework")
            group = "frustrated" if code == "500" else "satisfied" if middle < 0.4 else "tolerating"
            self.count("cherrypy.apdex.requests", number, "", route, group)
            rest = total
            layers = (("db", shares[0]), ("session", shares[1]), ("tools", shares[2]))
            for name, share in (*layers, ("app", 0.13 if shares[0] > 0.5 else 0.3)):
                if share:
                    rest -= self.lasting(
                        f"cherrypy.time.{name}", ("", route), total * share, number
                    )
            self.lasting("cherrypy.time.queue", ("",), number * 0.00022 * (1 + busy), number)
            self.lasting("cherrypy.time.wsgi", ("",), max(0.0, rest) * 0.9, number)
        self.count("cherrypy.requests", count, "")

    def observe(
        self, name: str, labels: tuple[str, ...], middle: float, wide: float, number: int
    ) -> float:
        """Count times around a middle; returns their sum."""
        spread = self.spread(name, labels)
        total = 0.0
        drawn = min(number, 24)
        for index in range(drawn):
            value = middle * math.exp(self.chance.gauss(0, wide))
            times = number // drawn + (index < number % drawn)
            place = bucket(value)
            spread.buckets[place] = spread.buckets.get(place, 0) + times
            spread.most = max(spread.most, value)
            total += value * times
        spread.total += total
        return total

    def lasting(self, name: str, labels: tuple[str, ...], total: float, number: int) -> float:
        """Count so much time in a layer."""
        spread = self.spread(name, labels)
        place = bucket(total / number)
        spread.buckets[place] = spread.buckets.get(place, 0) + number
        spread.total += total
        return total

    def spread(self, name: str, labels: tuple[str, ...]) -> Spread:
        metric = METRICS[name]
        return self.whole.spreads.setdefault((metric, labels), Spread(metric.scale))

    def count(self, name: str, number: float, *labels: str) -> None:
        key = (METRICS[name], labels)
        self.whole.counts[key] = self.whole.counts.get(key, 0.0) + number
