"""The page about libraries: its samples run, and its table is that of the instruments."""

from __future__ import annotations

import re

import pytest

from cherrypy.monitor.instruments import databases, external, logs, statements
from cherrypy.monitor.instruments.table import INSTRUMENTS
from docs_kit import check_program, page, programs, samples

PAGE = "monitoring/libraries"


@pytest.mark.parametrize("source", programs(PAGE))
def test_samples(source):
    check_program(source)


def test_the_table_names_every_library_and_no_other():
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \|[^|]*\|$", page(PAGE), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {name for row in INSTRUMENTS for name in row.libraries}


def test_the_limits_are_those_of_the_code():
    text = " ".join(page(PAGE).split())
    assert (
        f"{external.MOST_HOSTS} hosts, {databases.MOST_ADDRESSES} database servers, "
        f"{logs.MOST_LOGGERS} loggers, {statements.MOST} fingerprints, of which the "
        f"{statements.SHOWN} that took"
    ) in text
    assert len(samples(PAGE)) == 4
