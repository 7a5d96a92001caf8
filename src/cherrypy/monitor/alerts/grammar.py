"""The grammar of alert rules: a line of text, read into a condition.

cherrypy.responses{class=5xx} rate over 1m > 1 for 5m as critical
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ..history.levels import UNITS
from ..history.query import STATS, check, metric_of
from ..metrics import COUNTER, GAUGE, HISTOGRAM, Metric

#: The figure that is meant where none is named, and the window that it is of, in seconds.
USUAL = {COUNTER: "rate", GAUGE: "value", HISTOGRAM: "p95"}
WINDOW, GLANCE = 60.0, 10.0

SEVERITIES = ("info", "warning", "critical")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    "==": lambda value, limit: value == limit,
    "!=": lambda value, limit: value != limit,
}
#: What the words of a rule are.
WORDS = ("over", "by", "budget", "absent", "at least", "until", "for", "clear", "as")

#: Units of a limit: what it is multiplied by, by the unit of the metric.
_TIMES = {"ms": 0.001, **UNITS}
_BYTES = {
    name + end: float(base**power)
    for power, name in enumerate(("", "k", "M", "G", "T"))
    for end, base in (("B", 1000), ("iB", 1024))
}
LIMITS: dict[str, dict[str, float]] = {
    "s": _TIMES,
    "d": {name: seconds / 86400 for name, seconds in UNITS.items()},
    "By": _BYTES,
    "%": {"%": 1.0},
    "1": {"%": 0.01},
}

#: Characters of a rule.
LONGEST = 1000

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<labels>\{[^{}]*\})
      | (?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?P<unit>%|[A-Za-z]+)?
      | (?P<operator>>=|<=|==|!=|>|<|=)
      | (?P<sign>[/,])
      | (?P<word>[A-Za-z_][\w.]*)
    )""",
    re.VERBOSE,
)
_LABEL = re.compile(r'\s*([\w.]+)\s*=\s*(?:"([^"]*)"|([^,"]*?))\s*(?:,|$)')


class Unreadable(ValueError):
    """A rule that cannot be read: what is wrong, with the column, from 1 on."""

    def __init__(self, text: str, place: int, why: str) -> None:
        super().__init__(f"{text!r}, column {place + 1}: {why}")
        self.place = place


@dataclass
class Condition:
    """What a rule watches.

    metric, where, stat, by
        As in `History.query`; `divisor` is a second metric and its `where`, that the first is
        divided by.
    over
        The seconds of the window; two of them for a budget, of which both must be above the limit.
    operator, limit
        When it holds: of the value, of the value some seconds `ago` times the limit, or of how many
        times faster than allowed the errors use up the budget (`allowed`: percent that may fail).
    least
        The value that there must be at least, for comparisons.
    until
        When it ends to hold once it did: another operator and limit, or None.
    held, clear
        Seconds for which it must hold, and must not hold, until anything is said.
    absent
        It holds when there is no value, or nothing was counted.
    """

    metric: Metric
    where: dict[str, str] = field(default_factory=dict)
    stat: str = ""
    by: tuple[str, ...] = ()
    divisor: tuple[Metric, dict[str, str]] | None = None
    over: tuple[float, ...] = ()
    operator: str = ""
    limit: float = 0.0
    ago: float | None = None
    allowed: float | None = None
    least: float | None = None
    until: tuple[str, float] | None = None
    held: float = 0.0
    clear: float | None = None
    severity: str = "warning"
    absent: bool = False
    name: str = ""


@dataclass
class _Token:
    kind: str
    text: str
    place: int
    unit: str = ""


def read(text: str) -> Condition:
    """Read a rule. Raises Unreadable."""
    return _Reader(text).rule()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise Unreadable(text[:40] + "...", LONGEST, f"longer than {LONGEST} characters")
        self.name, start = "", 0
        if named := re.match(r"\s*([^:{}<>=\"]+):\s", text):
            self.name, start = named[1].strip(), named.end()
        self.tokens = self._tokens(start)
        self.next = 0

    def _tokens(self, place: int) -> list[_Token]:
        tokens = []
        end = len(self.text.rstrip())
        while place < end:
            found = _TOKEN.match(self.text, place)
            if found is None:
                while self.text[place].isspace():
                    place += 1
                raise self.wrong(f"{self.text[place]!r} means nothing here", place)
            kind = next(name for name, value in found.groupdict().items() if value is not None)
            tokens.append(_Token(kind, found[kind], found.start(kind), found["unit"] or ""))
            place = found.end()
        tokens.append(_Token("end", "", end))
        return tokens

    def wrong(self, why: str, place: int) -> Unreadable:
        return Unreadable(self.text, place, why)

    # -- one token after the other -----------------------------------------------------------------

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def take(self, kind: str, *texts: str) -> _Token | None:
        """The next token, if it is such a one."""
        token = self.token
        if token.kind == kind and (not texts or token.text in texts):
            self.next += 1
            return token
        return None

    def need(self, kind: str, what: str) -> _Token:
        token = self.token
        if self.take(kind) is None:
            there = f"not {token.text!r}" if token.text else "and the rule ends"
            raise self.wrong(f"{what} is wanted here, {there}", token.place)
        return token

    # -- what a rule is made of --------------------------------------------------------------------

    def rule(self) -> Condition:
        metric, where = self.metric()
        condition = Condition(metric, where, name=self.name)
        if self.take("sign", "/"):
            condition.divisor = self.metric()
            if metric.kind == HISTOGRAM or condition.divisor[0].kind != metric.kind:
                raise self.wrong("two gauges or two counters can be divided", self.token.place)
        while self.token.kind != "end":
            self.clause(condition)
        self.finish(condition)
        return condition

    def metric(self) -> tuple[Metric, dict[str, str]]:
        token = self.need("word", "the name of a metric")
        try:
            metric = metric_of(token.text)
        except ValueError as error:
            raise self.wrong(str(error), token.place) from error
        where: dict[str, str] = {}
        if labels := self.take("labels"):
            where = self.labels(labels)
            try:
                check(metric, where)
            except ValueError as error:
                raise self.wrong(str(error), labels.place) from error
        return metric, where

    def labels(self, token: _Token) -> dict[str, str]:
        inside, place = token.text[1:-1], 0
        where: dict[str, str] = {}
        while inside[place:].strip():
            found = _LABEL.match(inside, place)
            if found is None:
                raise self.wrong(
                    'labels are written {class=5xx, route="/a b"}', token.place + 1 + place
                )
            where[found[1]] = found[2] if found[2] is not None else found[3]
            place = found.end()
        return where

    def clause(self, condition: Condition) -> None:
        """Read one clause, in whatever order they come."""
        token = self.token
        if token.kind == "operator":
            self.limit(condition)
            return
        if token.kind == "word" and token.text in STATS[condition.metric.kind]:
            self.next += 1
            condition.stat = token.text
            return
        clause = _CLAUSES.get(token.text)
        if token.kind != "word" or clause is None:
            raise self.unknown(condition, token)
        self.next += 1
        clause(self, condition)

    def unknown(self, condition: Condition, token: _Token) -> Unreadable:
        stats = STATS[condition.metric.kind]
        near = get_close_matches(token.text, [*stats, *_CLAUSES], 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return self.wrong(
            f"{token.text!r} means nothing here.{hint} A {condition.metric.kind} has the figures "
            f"{', '.join(stats)}; then there are {', '.join(WORDS)}, and a limit such as '> 5'",
            token.place,
        )

    def over(self, condition: Condition) -> None:
        windows = [self.time()]
        while self.take("word", "and"):
            windows.append(self.time())
        condition.over = tuple(windows)

    def by(self, condition: Condition) -> None:
        token = self.need("word", "a label")
        names = [token.text]
        while self.take("sign", ","):
            names.append(self.need("word", "a label").text)
        try:
            check(condition.metric, names)
        except ValueError as error:
            raise self.wrong(str(error), token.place) from error
        condition.by = tuple(names)

    def budget(self, condition: Condition) -> None:
        token = self.need("number", "a share such as 99.9%")
        share = float(token.text)
        if token.unit != "%" or not 0.0 < share < 100.0:
            raise self.wrong("a budget is a share between 0% and 100%: '99.9%'", token.place)
        if condition.metric.unit != "%":
            raise self.wrong(
                "a budget is of a share of errors: cherrypy.request.server_error.ratio", token.place
            )
        condition.allowed = 100.0 - share

    def absent(self, condition: Condition) -> None:
        condition.absent = True

    def at(self, condition: Condition) -> None:
        if not self.take("word", "least"):
            raise self.wrong("'at least' is wanted here", self.token.place)
        condition.least = self.number(condition)

    def until(self, condition: Condition) -> None:
        token = self.need("operator", "an operator such as <")
        if token.text not in OPERATORS:
            raise self.wrong(f"{token.text!r} compares nothing: write ==", token.place)
        condition.until = (token.text, self.number(condition))

    def held(self, condition: Condition) -> None:
        condition.held = self.time()

    def clear(self, condition: Condition) -> None:
        condition.clear = self.time()

    def severity(self, condition: Condition) -> None:
        token = self.need("word", "a severity")
        if token.text not in SEVERITIES:
            raise self.wrong(
                f"a severity is one of {', '.join(SEVERITIES)}, not {token.text!r}", token.place
            )
        condition.severity = token.text

    def limit(self, condition: Condition) -> None:
        token = self.need("operator", "an operator")
        if condition.operator:
            raise self.wrong("there is a limit already", token.place)
        if token.text not in OPERATORS:
            raise self.wrong(f"{token.text!r} compares nothing: write ==", token.place)
        condition.operator = token.text
        number = self.token
        if number.kind == "number" and number.unit == "x":
            self.next += 1
            condition.limit = float(number.text)
            self.past(condition)
        else:
            condition.limit = self.number(condition)
            if self.take("word", "x"):
                self.past(condition)

    def past(self, condition: Condition) -> None:
        condition.ago = self.time("how long ago: '24h ago' or '7d ago'")
        if not self.take("word", "ago"):
            raise self.wrong("'ago' is wanted here", self.token.place)

    def number(self, condition: Condition) -> float:
        """A limit in the unit of the metric."""
        token = self.need("number", "a number")
        value = float(token.text)
        if not token.unit:
            return value
        unit = "1" if condition.divisor else condition.metric.unit
        units = LIMITS.get("d" if unit == "d" else unit, {})
        factor = units.get(token.unit)
        if factor is None:
            can = f"can be in {', '.join(units)}" if units else "is a plain number"
            raise self.wrong(
                f"{token.unit!r} is no unit of {condition.metric.name}: its limit {can}",
                token.place,
            )
        return value * factor

    def time(self, what: str = "a time such as '5m'") -> float:
        token = self.need("number", what)
        if token.unit not in UNITS or float(token.text) <= 0:
            raise self.wrong("a time is a number and one of s, m, h, d, w: '5m'", token.place)
        return float(token.text) * UNITS[token.unit]

    def finish(self, condition: Condition) -> None:
        """Fill in what was not said, and see whether it makes sense."""
        end = self.token.place
        metric = condition.metric
        if not condition.operator and not condition.absent:
            raise self.wrong("a limit is wanted, such as '> 5', or 'absent'", end)
        if condition.operator and condition.absent:
            raise self.wrong("either a limit or 'absent'", end)
        if condition.absent and condition.by:
            raise self.wrong("'absent' has no 'by': nobody knows what might be there", end)
        if not condition.stat:
            condition.stat = USUAL[metric.kind]
        if condition.stat == "buckets":
            raise self.wrong("'buckets' are no number", end)
        if not condition.over:
            glance = metric.kind == GAUGE and not metric.derived and not condition.absent
            condition.over = (GLANCE if glance else WINDOW,)
        if len(condition.over) > 1 and condition.allowed is None:
            raise self.wrong("two windows are for a budget", end)
        if max(condition.over) > 35 * 86400.0:
            raise self.wrong("a window is at most 35 days", end)
        if condition.until and condition.until[0][0] == condition.operator[:1]:
            raise self.wrong("'until' is the way back: it compares the other way round", end)
        if condition.divisor:
            try:
                check(condition.divisor[0], condition.by)
            except ValueError as error:
                raise self.wrong(str(error), end) from error


_CLAUSES: dict[str, Callable[[Any, Condition], None]] = {
    "over": _Reader.over,
    "by": _Reader.by,
    "budget": _Reader.budget,
    "absent": _Reader.absent,
    "at": _Reader.at,
    "until": _Reader.until,
    "for": _Reader.held,
    "clear": _Reader.clear,
    "as": _Reader.severity,
}
