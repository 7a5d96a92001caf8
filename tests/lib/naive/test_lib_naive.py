"""Each promise is kept by ours, and broken by what one writes in an afternoon: so its check is none that always passes."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promises
import pytest
from promises import CLAUSES, PAGE, Row, with_table

from cherrypy.lib import sessionreads

# Those that start processes and servers take a second or two, but not where many others work.
pytestmark = pytest.mark.timeout(180)

ROWS = promises.rows()
EACH = pytest.mark.parametrize("row", [row for rows in ROWS.values() for row in rows], ids=str)


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where anybody gets, and no knowledge of pages."""
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    with tempfile.TemporaryDirectory(prefix="promise-") as name:
        os.chmod(name, 0o777)
        yield Path(os.path.realpath(name))


def _close(made: Any) -> None:
    for file in getattr(made, "open_ones", ()):
        file.close()


@EACH
def test_ours_keeps_it(row: Row, ground: Path) -> None:
    row.check(row.ours(ground))


@EACH
def test_the_naive_one_breaks_it(row: Row, ground: Path) -> None:
    """By the very failure that is meant, and not for another reason."""
    naive = row.naive(ground)
    try:
        with pytest.raises(AssertionError, match=row.says):
            row.check(naive)
    finally:
        _close(naive)


# ------------------------------------------------------------------------------ the table itself


@pytest.mark.parametrize("area", CLAUSES)
def test_every_clause_has_a_row(area: str) -> None:
    named = {clause for row in ROWS[area] for clause in row.clauses}
    assert named == set(CLAUSES[area])


def test_every_row_is_one_of_its_own() -> None:
    every = [row for rows in ROWS.values() for row in rows]
    assert [
        name for name, count in Counter(row.promise for row in every).items() if count > 1
    ] == []
    assert [row.promise for row in every if not row.naively or not row.says] == []
    # What a check says of one naive implementation tells which row it was.
    pairs = Counter((row.check, row.naive) for row in every)
    assert max(pairs.values()) == 1


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_table(page), "run: python tests/lib/naive/promises.py"
