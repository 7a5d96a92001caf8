"""The grammar of alerts: what can be written, and what is said of what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from cherrypy.monitor import table
from cherrypy.monitor.alerts.grammar import Condition, Unreadable, read
from cherrypy.monitor.alerts.rules import DEFAULTS, read_rules
from cherrypy.monitor.metrics import METRICS

assert table


def said(condition: Condition) -> dict[str, Any]:
    """What a condition says beyond the usual."""
    plain = Condition(condition.metric, over=condition.over, stat=condition.stat)
    return {
        name: value
        for name, value in vars(condition).items()
        if name in ("metric", "stat", "over") or value != getattr(plain, name)
    }


RESPONSES = METRICS["cherrypy.responses"]
QUEUE = METRICS["cherrypy.time.queue"]
EXPIRY = METRICS["cherrypy.server.tls.certificate.expiry"]
RATIO = METRICS["cherrypy.request.server_error.ratio"]
MEMORY = METRICS["process.memory.usage"]
FILES, MOST = METRICS["process.unix.file_descriptor.count"], METRICS["cherrypy.process.fd.limit"]
LOG = METRICS["cherrypy.log.records"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "cherrypy.responses{class=5xx} rate > 1 for 60s",
            {
                "metric": RESPONSES,
                "where": {"class": "5xx"},
                "stat": "rate",
                "over": (60.0,),
                "operator": ">",
                "limit": 1.0,
                "held": 60.0,
            },
        ),
        (
            'it waits: cherrypy.time.queue{app="/a b"} p99 over 5m >= 250ms clear 10m as critical',
            {
                "name": "it waits",
                "metric": QUEUE,
                "where": {"app": "/a b"},
                "stat": "p99",
                "over": (300.0,),
                "operator": ">=",
                "limit": 0.25,
                "clear": 600.0,
                "severity": "critical",
            },
        ),
        (
            "cherrypy.server.tls.certificate.expiry by listener < 2w",
            {
                "metric": EXPIRY,
                "stat": "value",
                "over": (10.0,),
                "by": ("listener",),
                "operator": "<",
                "limit": 14.0,
            },
        ),
        (
            "process.memory.usage by worker > 1.5GiB until < 1GiB",
            {
                "metric": MEMORY,
                "stat": "value",
                "over": (10.0,),
                "by": ("worker",),
                "operator": ">",
                "limit": 1.5 * 2**30,
                "until": ("<", 2.0**30),
            },
        ),
        (
            "process.unix.file_descriptor.count / cherrypy.process.fd.limit by worker > 80%",
            {
                "metric": FILES,
                "divisor": (MOST, {}),
                "stat": "value",
                "over": (10.0,),
                "by": ("worker",),
                "operator": ">",
                "limit": 0.8,
            },
        ),
        (
            "cherrypy.log.records{level=error} delta over 10m > 3 x 24h ago at least 20",
            {
                "metric": LOG,
                "where": {"level": "error"},
                "stat": "delta",
                "over": (600.0,),
                "operator": ">",
                "limit": 3.0,
                "ago": 86400.0,
                "least": 20.0,
            },
        ),
        (
            "cherrypy.request.throughput < 0.5x 7d ago",
            {
                "metric": METRICS["cherrypy.request.throughput"],
                "stat": "value",
                "over": (60.0,),
                "operator": "<",
                "limit": 0.5,
                "ago": 7 * 86400.0,
            },
        ),
        (
            "cherrypy.request.server_error.ratio budget 99.9% over 1h and 5m > 14.4",
            {
                "metric": RATIO,
                "stat": "value",
                "over": (3600.0, 300.0),
                "allowed": pytest.approx(0.1),
                "operator": ">",
                "limit": 14.4,
            },
        ),
        (
            "cherrypy.requests absent over 10m as info",
            {
                "metric": METRICS["cherrypy.requests"],
                "stat": "rate",
                "over": (600.0,),
                "absent": True,
                "severity": "info",
            },
        ),
    ],
)
def test_what_can_be_written(text: str, wanted: dict[str, Any]) -> None:
    assert said(read(text)) == wanted


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "the name of a metric is wanted here, and the rule ends"),
        ("cherrypy.respnses > 1", 1, "Did you mean 'cherrypy.responses'?"),
        ("cherrypy.responses{clas=5xx} > 1", 19, "Did you mean 'class'?"),
        ("cherrypy.responses{class:5xx} > 1", 20, "labels are written {class=5xx"),
        ("cherrypy.responses rat > 1", 20, "Did you mean 'rate'?"),
        ("cherrypy.responses p95 > 1", 20, "A counter has the figures rate, delta"),
        ("cherrypy.responses rate", 24, "a limit is wanted"),
        ("cherrypy.responses rate >", 26, "a number is wanted here, and the rule ends"),
        ("cherrypy.responses rate = 1", 25, "write =="),
        ("cherrypy.responses rate > one", 27, "a number is wanted here, not 'one'"),
        ("cherrypy.responses rate > 1s", 27, "its limit is a plain number"),
        ("cherrypy.time.queue > 1GB", 23, "its limit can be in ms, s, m, h, d, w"),
        ("cherrypy.responses > 1 > 2", 24, "there is a limit already"),
        ("cherrypy.responses > 1 for ever", 28, "a time such as '5m' is wanted here, not 'ever'"),
        ("cherrypy.responses > 1 for 5 minutes", 28, "a time is a number and one of s, m, h, d, w"),
        ("cherrypy.responses > 1 fro 5m", 24, "Did you mean 'for'?"),
        ("cherrypy.responses > 1 as fatal", 27, "one of info, warning, critical, not 'fatal'"),
        ("cherrypy.responses > 3x 24h", 28, "'ago' is wanted here"),
        ("cherrypy.responses > 1 at most 5", 27, "'at least' is wanted here"),
        ("cherrypy.responses > 1 by code", 27, "cherrypy.responses has no label 'code'"),
        ("cherrypy.responses budget 99.9% > 1", 27, "a budget is of a share of errors"),
        ("cherrypy.request.error.ratio budget 120% > 1", 37, "between 0% and 100%"),
        ("cherrypy.request.error.ratio over 5m and 1h > 1", 48, "two windows are for a budget"),
        ("cherrypy.responses absent > 1", 30, "either a limit or 'absent'"),
        ("cherrypy.responses absent by class", 35, "'absent' has no 'by'"),
        ("cherrypy.responses > 5 until > 4", 33, "compares the other way round"),
        ("cherrypy.responses / cherrypy.time.queue > 4", 42, "two gauges or two counters"),
        ("cherrypy.responses > 1 for 5m ; drop", 31, "';' means nothing here"),
        ("cherrypy.responses over 90d > 1", 32, "a window is at most 35 days"),
        ("x" * 2000, 1001, "longer than 1000 characters"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(text)
    assert words in str(caught.value)
    assert f"column {column}:" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_default_rules_can_be_read() -> None:
    rules, wrong = read_rules([])
    assert not wrong
    assert [rule.source for rule in rules] == list(DEFAULTS)
    assert read_rules([], defaults=False) == ([], [])


def test_a_rule_of_the_same_name_is_in_the_place_of_a_default() -> None:
    rules, _ = read_rules(["server errors: cherrypy.request.server_error.ratio > 50%"])
    assert [rule.condition.limit for rule in rules if rule.name == "server errors"] == [50.0]
    assert len(rules) == len(DEFAULTS)
    rules, _ = read_rules(["a: cherrypy.responses > 1", "a: cherrypy.responses > 2"], False)
    assert [rule.name for rule in rules] == ["a", "a'"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (7, "monitor.alerts[1]: a rule is a text or a dict, not 7."),
        ({"rul": ""}, "monitor.alerts[1]: a rule has no 'rul'; it may have"),
        ({"rul": ""}, "Did you mean 'rule'?"),
        ({"name": "x"}, "monitor.alerts[1]: a rule needs its text"),
        ("cherrypy.responses > x", "monitor.alerts[1]: 'cherrypy.responses > x', column 22:"),
        ({"rule": "cherrypy.responses > 1", "webhook": "ftp://x"}, "webhook: a URL that begins"),
        ({"rule": "cherrypy.responses > 1", "command": "rm -rf /"}, "command: a list of words"),
        ({"rule": "cherrypy.responses > 1", "mail": "a@b\nBcc: c@d"}, "mail: an address, not"),
    ],
)
def test_a_wrong_entry_is_said_with_its_place_and_the_others_apply(entry: Any, words: str) -> None:
    rules, wrong = read_rules(["cherrypy.responses > 1", entry, "cherrypy.responses > 2"], False)
    assert [rule.condition.limit for rule in rules] == [1.0, 2.0]
    assert len(wrong) == 1
    assert words in wrong[0]


def test_rules_are_bounded() -> None:
    rules, wrong = read_rules(
        [f"r{number}: cherrypy.responses > 1" for number in range(500)], False
    )
    assert len(rules) == 200
    assert wrong == ["monitor.alerts has more than 200 rules: the rest do not apply."]
    assert read_rules(42)[1] == ["monitor.alerts is a list of rules, not 42."]
