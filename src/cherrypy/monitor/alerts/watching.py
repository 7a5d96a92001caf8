"""Alerts: rules that are looked at every ten seconds, and whoever is told when one holds.

Law: a rule that fails, and a hook that is dead, harm neither each other nor the monitor.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ..snapshots import Snapshot
from ..table.itself import MONITOR_ALERTS_FIRING
from .actions import Courier, Mail, post, run, wrong_url
from .grammar import SEVERITIES
from .judging import Reading, Row, judge
from .rules import Rule, read_rules

#: Seconds between two looks at a rule, and seconds that looking may take at each beat.
EVERY, BUDGET = 10.0, 0.25

#: Alerts that one rule may have at once, and past ones that are remembered.
MOST, REMEMBERED = 100, 100

#: Seconds for which a rule must not hold until its alert has passed, if it does not say.
CLEAR, LONGEST_CLEAR = 30.0, 300.0

LEVELS = {"info": 20, "warning": 30, "critical": 40}


@dataclass
class Alert:
    """One thing that is wrong.

    rule
        What it breaks.
    labels
        Of the row that breaks it.
    value, limit
        What is now, and what it is compared with; None where that is not known.
    since, fired, resolved
        When it began, when it was told, when it had passed; None before.
    """

    rule: Rule
    labels: dict[str, str]
    since: float
    value: float | None = None
    limit: float | None = None
    fired: float | None = None
    resolved: float | None = None
    passing: float | None = field(default=None, repr=False)  # since when it does not hold

    @property
    def severity(self) -> str:
        """How bad it is."""
        return self.rule.severity

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"

    @property
    def name(self) -> str:
        """What the rule is called."""
        return self.rule.name

    @property
    def text(self) -> str:
        """What is wrong, in a sentence. It may hold what others have written: escape it."""
        labels = ", ".join(f"{name}={value}" for name, value in self.labels.items())
        where = f" ({labels})" if labels else ""
        if self.rule.text:
            return f"{self.rule.text}{where}"
        is_now = "" if self.value is None else f" is {self.value:.4g}"
        limit = "" if self.limit is None else f", limit {self.limit:.4g}"
        metric = self.rule.condition.metric.name
        what = "is absent" if self.rule.condition.absent else f"{is_now[1:]}{limit}"
        return f"{metric} {what}{where}"

    def plain(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "name": self.rule.name,
            "severity": self.severity,
            "status": "firing" if self.resolved is None else "resolved",
            "text": self.text,
            "rule": self.rule.source,
            "labels": self.labels,
            "value": self.value,
            "limit": self.limit,
            "since": self.since,
            "fired": self.fired,
            "resolved": self.resolved,
        }


class Alerts:
    """Looks at the rules.

    rules, wrong
        Those that were read, and a sentence for each that could not be.
    """

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.rules: list[Rule] = []
        self.wrong: list[str] = []
        self.past: deque[Alert] = deque(maxlen=REMEMBERED)
        self._alerts: dict[tuple[str, Row], Alert] = {}  # firing, and those that soon may be
        self._began = monitor.history.now()
        self._last = 0.0
        self._due: list[Rule] = []
        self._stale = False
        say = monitor.bus.log
        self.couriers = {
            "bus": Courier("listener", self._publish, say, ()),
            "webhook": Courier("webhook", post, say),
            "command": Courier("command", run, say, ()),
            "mail": Courier("mail", self._mail, say),
        }
        self.read()
        MONITOR_ALERTS_FIRING.sample(self.counts)
        monitor.beats.append(self.beat)
        monitor.settings.changed.append(self._changed)

    # -- settings ----------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the rules anew; alerts of rules that stay the same stay."""
        settings = self.monitor.settings
        self.rules, self.wrong = read_rules(settings["alerts"], settings["alerts.defaults"])
        hook = settings["alerts.webhook"]
        if hook is not None and (why := wrong_url(hook)):
            self.wrong.append(f"monitor.alerts.webhook: {why}.")
        for sentence in self.wrong:
            self.monitor.bus.log(sentence, 40)
        known = {(rule.name, rule.source) for rule in self.rules}
        for key, alert in list(self._alerts.items()):
            if (alert.rule.name, alert.rule.source) not in known:
                del self._alerts[key]
        self._due = []

    def _changed(self, name: str) -> None:
        self._stale = self._stale or name.startswith("alerts")  # read by the thread that looks

    # -- looking: the monitor's thread -------------------------------------------------------------

    def beat(self, snapshot: Snapshot) -> None:
        """Look at the rules if it is time, and at the rest of them if there was none."""
        now = snapshot.at
        if self._stale:
            self._stale = False
            self.read()
        if not self._due:
            if abs(now - self._last) < EVERY:
                return
            self._last = now
            self._due = list(self.rules)
        until = time.monotonic() + BUDGET
        while self._due:
            rule = self._due.pop(0)
            try:
                self.look(rule, now)
            except Exception as error:
                self.monitor.broken(f"alert {rule.name!r}", error)
            if time.monotonic() > until:
                return

    def look(self, rule: Rule, now: float) -> None:
        """Look at one rule."""
        condition = rule.condition
        if condition.absent and now - self._began < condition.over[0]:
            return
        seen = set()
        for reading in judge(condition, self.monitor.history, now)[: 10 * MOST]:
            seen.add(reading.row)
            self._weigh(rule, reading, now)
        gone = [key for key in self._alerts if key[0] == rule.name and key[1] not in seen]
        for _, row in gone:
            self._weigh(rule, Reading(row, None, None, False, False), now)

    def _weigh(self, rule: Rule, reading: Reading, now: float) -> None:
        key = (rule.name, reading.row)
        alert = self._alerts.get(key)
        if alert is None:
            if not reading.holds or self._crowded(rule):
                return
            labels = dict(zip(rule.condition.by, reading.row, strict=True))
            alert = self._alerts[key] = Alert(rule, labels, now)
        if reading.value is not None and isfinite(reading.value):
            alert.value = reading.value
        alert.limit = reading.limit
        alert.since = min(alert.since, now)  # the clock may have been set back
        if alert.fired is None:
            if not reading.holds:
                del self._alerts[key]
            elif now - alert.since >= rule.condition.held:
                alert.fired = now
                self._tell(alert)
        elif reading.stays:
            alert.passing = None
        else:
            alert.passing = min(now, alert.passing if alert.passing is not None else now)
            if now - alert.passing >= _clear(rule):
                self._resolve(key, alert, now)

    def _crowded(self, rule: Rule) -> bool:
        return sum(1 for name, _ in self._alerts if name == rule.name) >= MOST

    def _resolve(self, key: tuple[str, Row], alert: Alert, now: float) -> None:
        del self._alerts[key]
        alert.resolved = now
        self.past.append(alert)
        self._tell(alert)

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, alert: Alert) -> None:
        """Tell of an alert that has come or passed: mark, log record, bus, and whoever wants it."""
        monitor, settings, rule = self.monitor, self.monitor.settings, alert.rule
        status = "firing" if alert.resolved is None else "resolved"
        monitor.history.mark("alert", f"{status}: {alert}", at=monitor.history.now())
        level = LEVELS[alert.severity] if alert.resolved is None else 20
        monitor.bus.log(f"Alert {status} ({alert.severity}): {alert}", level)
        self.couriers["bus"].send(alert.plain(), alert)
        plain = {"service": _service(settings["service"]), **alert.plain()}
        for hook in (settings["alerts.webhook"], rule.webhook):
            if hook and not wrong_url(hook):
                self.couriers["webhook"].send(plain, hook)
        for command in (settings["alerts.command"], rule.command):
            if command:
                self.couriers["command"].send(plain, command)
        mail = settings["alerts.mail"]
        for to in (mail.get("to") if mail else None, rule.mail):
            if to:
                self.couriers["mail"].send(plain, to)

    def _publish(self, plain: dict[str, Any], alert: Alert) -> None:
        self.monitor.bus.publish("monitor-alert", plain)

    def _mail(self, plain: dict[str, Any], to: Any) -> None:
        Mail(self.monitor.settings["alerts.mail"] or {})(plain, to)

    # -- asking: any thread ------------------------------------------------------------------------

    def firing(self) -> list[Alert]:
        """The alerts of now, the worst first."""
        alerts = [alert for alert in self._alerts.copy().values() if alert.fired is not None]
        return sorted(alerts, key=lambda alert: (-LEVELS[alert.severity], alert.fired or 0.0))

    def counts(self) -> dict[tuple[str], float]:
        """How many of each severity there are."""
        found = dict.fromkeys(((severity,) for severity in SEVERITIES), 0.0)
        for alert in self.firing():
            found[alert.severity,] += 1.0
        return found

    def end(self) -> None:
        """Look at nothing any more; what waits to be told has a moment."""
        self.monitor.beats.remove(self.beat)
        self.monitor.settings.changed.remove(self._changed)
        MONITOR_ALERTS_FIRING.source = None
        for courier in self.couriers.values():
            courier.end()


def _clear(rule: Rule) -> float:
    clear = rule.condition.clear
    if clear is not None:
        return clear
    return min(max(CLEAR, rule.condition.held), LONGEST_CLEAR)


def _service(name: Any) -> str:
    return str(name) if name else Path(sys.argv[0] or "python").stem
