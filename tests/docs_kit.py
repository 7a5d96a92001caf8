"""The samples of the documentation: how they are found, and run as programs of their own.

A sample says in comments what it prints: at the end of the line of a `print(...)`, or, for what is printed in another
place, in lines `# prints first: ...` and `# prints: ...` (or `# prints last: ...`), before and after all others.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.append(str(DOCS))  # for docs/samples.py, which samples import
INLINE = re.compile(r"print\(.*\)+ +# (.*)")


def page(name: str) -> str:
    """The text of `docs/<name>.md`."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def samples(name: str, language: str = "python") -> list[str]:
    """The fenced blocks of a page, in a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", page(name), re.DOTALL | re.MULTILINE)
    assert found, f"docs/{name}.md has no samples of {language}"
    return found


def programs(*names: str) -> list[object]:
    """All samples of some pages, as the parameters of a test of its own for each."""
    return [
        pytest.param(source, id=f"{name}-{number}")
        for name in names
        for number, source in enumerate(samples(name))
    ]


def promises(source: str) -> list[str]:
    """The lines that a sample says it prints."""
    first, inline, later = [], [], []
    for line in source.splitlines():
        if said := re.match(r"# prints first: (.*)", line):
            first.append(said[1])
        elif said := re.match(r"# prints(?: last)?: (.*)", line):
            later.append(said[1])
        elif said := INLINE.search(line):
            inline.append(said[1])
    return first + inline + later


def check_program(source: str, *, silent: bool = False) -> str:
    """Run a sample, with warnings as errors, and compare what it prints with what it says it does.

    silent: it may print nothing at all. Returns what it wrote to its standard error.
    """
    promised = promises(source)
    assert promised or silent, "a sample that promises nothing shows nothing"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", source],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised, done.stderr
    return done.stderr
