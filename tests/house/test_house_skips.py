"""The hook in tests/conftest.py: in CI a skip is a failure, unless the platform rules the test out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"


def outcome(folder: Path, test: str, ci: str) -> tuple[int, str]:
    """Run one test file beside a copy of the conftest; the exit status and what was printed."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_one.py").write_text(test)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-c", os.devnull]
        + ["--rootdir", str(folder), str(folder)],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return run.returncode, run.stdout


SKIP = "import pytest\ndef test_it():\n    pytest.skip('no Redis')\n"
MODULE = "import pytest\npytest.importorskip('surely_not_there')\ndef test_it(): pass\n"
PLATFORM = (
    "import pytest\n@pytest.mark.skipif(True, reason='only on Windows')\ndef test_it(): 1/0\n"
)


@pytest.mark.parametrize(
    ("test", "ci", "fails"),
    [
        (SKIP, "", False),
        (SKIP, "true", True),
        (MODULE, "true", True),
        (PLATFORM, "true", False),
    ],
    ids=["at home", "in CI", "a whole module in CI", "another platform in CI"],
)
def test_skips(tmp_path: Path, test: str, ci: str, fails: bool) -> None:
    status, printed = outcome(tmp_path, test, ci)
    assert ("skipped in CI" in printed) is fails, printed
    # 0: passed or skipped; 5: nothing was collected (a module skipped as a whole)
    assert (status not in (0, 5)) is fails, printed
