"""The samples of a page, from top to bottom, in a process that has what a reader has: the package and docs/samples.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tutorial_kit import FOLDER, MODULES, Tutorial

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


def test_the_program_of_the_readme() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    first = "import cherrypy\n"
    assert program.startswith(first)
    port = 'cherrypy.config.update({"server.socket_port": 0})\n'  # 8080 may be somebody else's
    served = Tutorial("README.md", "-c", first + port + program.removeprefix(first))
    try:
        assert served.ask("/").text == "Hello, world!"
        assert served.ask("/?name=Zoe").text == "Hello, Zoe!"
    finally:
        assert served.end() == 0


def test_the_package_lists_its_tutorials() -> None:
    command = [sys.executable, "-m", "cherrypy.tutorial"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    where, *rest = done.stdout.splitlines()
    assert where.endswith(str(FOLDER.resolve()))
    lines = [line.split("#") for line in rest]
    started = [command.split(".")[-1].strip() for command, _ in lines]
    assert started == [*MODULES, "showcase"]
    assert all(len(about) > 5 for _, about in lines)
