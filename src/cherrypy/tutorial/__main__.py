"""`python -m cherrypy.tutorial`: say which tutorials there are, where, and how to start them."""

from __future__ import annotations

import ast
from pathlib import Path


def listing() -> str:
    """Return where they are and a line for each: how it is started, and what it is about."""
    folder = Path(__file__).resolve().parent
    lines = [f"The tutorials are in {folder}"]
    for path in sorted(folder.glob("tut*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        about = doc.partition(":")[2].partition("\n")[0].strip()
        lines.append(f"python -m cherrypy.tutorial.{path.stem:28}# {about}")
    lines.append(f"python -m cherrypy.tutorial.{'showcase':28}# everything, on a site of its own.")
    return "\n".join(lines)


if __name__ == "__main__":
    print(listing())
