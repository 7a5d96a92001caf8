"""The page on the history: its samples run, and its table says what is kept."""

from __future__ import annotations

import pytest

from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.levels import BESIDE, MOST_BYTES
from cherrypy.monitor.history.query import POINTS
from cherrypy.monitor.settings import SETTINGS
from docs_kit import check_program, page, programs


@pytest.mark.parametrize("source", programs("monitoring/history"))
def test_samples_run_as_they_stand(source: str) -> None:
    check_program(source)


def words(seconds: float) -> str:
    """A time as the page has it."""
    for size, unit in ((172800.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / min(size, 86400.0):g} {unit}"
    return f"{seconds:g} s"


def test_the_table_of_what_is_kept() -> None:
    text = page("monitoring/history")

    with_file, without = History(store=Nowhere()), History()
    for (step, filed), (_, kept) in zip(with_file.resolutions, without.resolutions, strict=True):
        assert f"| {words(step)} | {words(filed)} | {words(kept)} |" in text


class Nowhere:
    """A store that has nothing."""

    opened = True

    def load(self, history: History) -> None:
        """Nothing to give."""


def test_the_figures_of_the_page() -> None:
    text = page("monitoring/history")
    assert f"{SETTINGS['store.max_bytes'].default // 2**20} MiB" in text
    assert f"the last {BESIDE} frames" in text
    assert f"at most {MOST_BYTES // 2**20} MB" in text
    assert f"as short as {POINTS} steps allow" in text
