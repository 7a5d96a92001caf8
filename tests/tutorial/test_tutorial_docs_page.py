"""docs/tutorial.md: its programs are the tutorials', and its command lines answer as printed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tutorial_kit import FOLDER, MODULES, Tutorial

from docs_kit import check_program, page

START = "$ python -m cherrypy.tutorial."
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def chapters() -> dict[str, list[tuple[str, str]]]:
    """`{module: [(language, text of a block)]}`."""
    found = {}
    for chapter in re.split(r"^## ", page("tutorial"), flags=re.MULTILINE):
        blocks = FENCED.findall(chapter)
        if blocks and blocks[0][1].startswith(START):
            found[blocks[0][1].removeprefix(START).strip()] = blocks[1:]
    return found


CHAPTERS = chapters()


def test_a_chapter_for_each_tutorial() -> None:
    assert tuple(CHAPTERS) == MODULES
    table = re.findall(r"^\| \[`(\w+)`\]", page("tutorial"), re.MULTILINE)
    assert tuple(table) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_the_programs_are_excerpts(module: str) -> None:
    source = (FOLDER / f"{module}.py").read_text("utf-8")
    conf = (FOLDER / "tutorial.conf").read_text("utf-8")
    blocks = CHAPTERS[module]
    assert any(language == "python" for language, _ in blocks)
    for language, text in blocks:
        if language != "console":
            assert "\n" + text in (source if language == "python" else conf)


def steps(module: str) -> list[tuple[str, list[str]]]:
    """The command lines of a chapter, each with the lines it answers."""
    found: list[tuple[str, list[str]]] = []
    for language, text in CHAPTERS[module]:
        for line in text.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_the_command_lines(serve: Callable[[str], Tutorial], module: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    tutorial = serve(module)
    commands = steps(module)
    assert any(command.startswith("curl") for command, _ in commands)
    for command, promised in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace("http://127.0.0.1:8080", tutorial.url)],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        answer = done.stdout.replace(tutorial.url, "http://127.0.0.1:8080").splitlines()
        answer = [line.rstrip() for line in answer]
        assert answer == promised, command


def test_the_program_at_the_end() -> None:
    text = page("tutorial").partition("\n## Your own\n")[2]
    (program,) = [block for language, block in FENCED.findall(text) if language == "python"]
    check_program(program)
