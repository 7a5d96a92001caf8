"""The table of rooms in docs/architecture.md: each module and the sentence it opens with.

usage: python tests/house/rooms.py      writes the table anew
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "architecture.md"
MARKS = re.compile(r"(<!-- rooms:[^\n]*-->\n).*?(<!-- end of rooms -->)", re.DOTALL)

#: Beside the house: they use it like any program.
OUTSIDE = ("cherrypy/test", "cherrypy/testing", "cherrypy/tutorial")


def rooms() -> dict[str, list[tuple[str, str]]]:
    """`{package: [(module, first sentence)]}`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((TOP / "src").rglob("*.py")):
        name = path.relative_to(TOP / "src")
        if name.name == "__init__.py" or str(name).startswith(OUTSIDE):
            continue
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        sentence = " ".join(doc.split("\n\n")[0].split())
        package = ".".join(name.parts[:-1])
        found.setdefault(package, []).append((name.stem, sentence))
    return found


def table() -> str:
    """The rooms as Markdown."""
    lines = []
    for package, modules in sorted(rooms().items()):
        lines += [f"### `{package}`", "", "| module | holds |", "|---|---|"]
        lines += [f"| `{name}` | {sentence.replace('|', '/')} |" for name, sentence in modules]
        lines.append("")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with its table as it ought to be."""
    return MARKS.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
