"""`python -m cherrypy.tutorial`: say which tutorials there are, and how to start them."""

from __future__ import annotations

import ast
from pathlib import Path


def listing() -> str:
    """Return a line for each tutorial: how it is started, and what it is about."""
    lines = []
    for path in sorted(Path(__file__).parent.glob("tut*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        about = doc.partition(":")[2].partition("\n")[0].strip()
        lines.append(f"python -m cherrypy.tutorial.{path.stem:28}# {about}")
    lines.append(f"python -m cherrypy.tutorial.{'showcase':28}# everything, on a site of its own.")
    return "\n".join(lines)


if __name__ == "__main__":
    print(listing())
