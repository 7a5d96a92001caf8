"""The page on alerts: its samples run, its tables are those of the code."""

from __future__ import annotations

import ast
import re

import pytest

from cherrypy.monitor.alerts import actions, rules, watching
from cherrypy.monitor.alerts.grammar import OPERATORS, WORDS
from docs_kit import check_program, page, programs, samples


@pytest.mark.parametrize("source", programs("monitoring/alerts"))
def test_samples_run_as_they_stand(source: str) -> None:
    check_program(source)


def test_the_rules_of_the_configuration_can_be_read() -> None:
    (source,) = samples("monitoring/alerts", "ini")
    found = re.search(r"alerts: (\[.*?\])", source, re.DOTALL)
    assert found is not None
    read, wrong = rules.read_rules(ast.literal_eval(found[1]), defaults=False)
    assert not wrong
    assert len(read) == 3


def test_the_table_of_emergencies() -> None:
    text = page("monitoring/alerts")
    for rule in rules.DEFAULTS:
        name, _, rest = rule.partition(": ")
        assert f"| {name} | `{rest}` |" in text


def test_every_word_is_on_the_page() -> None:
    text = page("monitoring/alerts")
    for word in (*WORDS, *OPERATORS):
        assert f"`{word}" in text, word


def test_the_figures_of_the_page() -> None:
    text = page("monitoring/alerts")
    assert f"There may be {rules.MOST} rules, and {watching.MOST} alerts of each" in text
    assert f"a queue of {actions.WAITING} alerts" in text
    assert f"One attempt takes {actions.LIMIT:g} s at most" in text
    assert f"After {actions.COMMAND_LIMIT:g} s it is ended" in text
    first, second = actions.PAUSES
    assert f"tried again after {first:g} s and {second:g} s" in text
    assert f"{watching.CLEAR:g} s at least and {watching.LONGEST_CLEAR / 60:g} min at most" in text
