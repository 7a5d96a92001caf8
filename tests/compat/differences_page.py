"""The tables of docs/compatibility.md: every wanted difference, as `differences.py` has it.

usage: python tests/compat/differences_page.py      writes the tables anew
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from compat_kit import EXPECTED
from differences import DIFFERENCES, RULES, TOLERATED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
MARKS = re.compile(r"(<!-- differences:[^\n]*-->\n).*?(<!-- end of differences -->)", re.DOTALL)

#: What the apps of the corpus are about.
AREAS = {
    "app_wire": "On the wire",
    "app_bodies": "Request bodies",
    "app_objects": "From a path to a page",
    "app_tools": "Tools",
    "app_toolargs": "Arguments of tools",
    "app_tooledges": "Edges of tools",
    "app_responses": "Responses",
    "app_errors": "Errors and redirects",
    "app_encoding": "Encodings and caching",
    "app_static": "Static files and ranges",
    "app_sessions": "Sessions",
    "app_config": "Configuration",
    "app_wsgi": "WSGI",
}


def statuses(answers: Any) -> str:
    told = [str(answer["status"]) for answer in answers if "status" in answer]
    return ", ".join(told) or "none"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def rows(app: str, recorded: Any) -> list[str]:
    """A row for each reason: what was asked, the status then and now, and why."""
    gathered: dict[tuple[str, str], list[str]] = {}
    for key, wanted in DIFFERENCES.items():
        if not key.startswith(f"{app}/"):
            continue
        name = key.partition("/")[2]
        asked = recorded[app]["requests"]
        theirs = [i for i in asked if i["name"] == name or fnmatchcase(i["name"], name)]
        before = statuses(theirs[0]["expected"]["answers"])
        after = statuses(wanted.answers)
        change = "" if after in ("none", before) else f"{before}, now {after}"
        gathered.setdefault((wanted.reason, change), []).append(f"`{name.strip()}`")
    return [
        f"| {cell(reason)} | {change} | {', '.join(names)} |"
        for (reason, change), names in gathered.items()
    ]


def first_line(function: Any) -> str:
    return str(function.__doc__).strip().splitlines()[0].rstrip(".")


def tables() -> str:
    """All differences as Markdown."""
    recorded = json.loads(EXPECTED.read_text("utf-8"))
    lines = ["### In every answer", ""]
    lines += [f"* {first_line(one)}." for one in (*RULES, *TOLERATED)]
    for app, title in AREAS.items():
        head = ["| what is different | status | requests of the corpus |", "|---|---|---|"]
        lines += ["", f"### {title}", "", *head, *rows(app, recorded)]
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """The page with its tables as they ought to be."""
    return MARKS.sub(lambda found: f"{found[1]}\n{tables()}\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
