"""The documentation's promises about the repository: links lead somewhere, pages are listed, the index is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rooms import PAGE, with_table

from house import TOP, files, shown

LINK = re.compile(r"(?<!\\)\[[^\]\[]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    return list(files("*.md"))


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub and its like make of a page's headings."""
    made = set()
    fenced = False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and (heading := re.match(r"#+\s+(.*)", line)):
            words = re.sub(r"[^\w\- ]", "", heading[1].lower())
            made.add(words.strip().replace(" ", "-"))
    return made


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (
            fragment and target.suffix == ".md" and fragment not in anchors(target)
        ):
            broken.append(link)
    assert broken == []


def test_the_index_lists_every_page() -> None:
    index = TOP / "docs" / "index.md"
    listed = {(index.parent / link).resolve() for link in LINK.findall(index.read_text("utf-8"))}
    missing = [
        shown(page)
        for page in pages()
        if page.is_relative_to(TOP / "docs") and page != index and page not in listed
    ]
    assert missing == []


def test_the_readme_names_the_two_commands_and_they_exist() -> None:
    text = (TOP / "README.md").read_text("utf-8")
    for command in ("scripts/demo", "scripts/test"):
        assert command in text
        assert (TOP / command).stat().st_mode & 0o100


def test_every_extra_is_justified() -> None:
    """docs/dependencies.md speaks of each library that pyproject.toml names."""
    project = (TOP / "pyproject.toml").read_text("utf-8")
    block = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    names = set(re.findall(r'"([A-Za-z][\w.-]*?)(?:\[|>=|")', block)) - {"kirsch"}
    assert len(names) > 10
    text = (TOP / "docs" / "dependencies.md").read_text("utf-8").lower()
    assert {name for name in names if name.lower() not in text} == set()


def test_the_architecture_names_every_room() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_table(page), "run: python tests/house/rooms.py"
