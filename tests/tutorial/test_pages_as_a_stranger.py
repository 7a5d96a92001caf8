"""The samples of a page, from top to bottom, in a process that has what a reader has: the package and docs/samples.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs_kit import DOCS, page, samples

#: Pages whose samples build on each other.
PAGES = ["bodies", "config", "dispatch", "logging", "requests", "security", "static", "tools"]


@pytest.mark.parametrize("name", PAGES)
def test_the_samples_of_a_page(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", "\n".join(samples(name))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(DOCS)},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_index_says_where_the_samples_get_it_from() -> None:
    assert "(samples.py)" in page("index")
