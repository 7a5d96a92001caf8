"""The reference of metrics, docs/monitoring/metrics.md: every metric with its labels and its sentence.

usage: python tests/house/metrics.py      writes the tables anew
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "monitoring" / "metrics.md"
MARKS = re.compile(r"(<!-- metrics:[^\n]*-->\n).*?(<!-- end of metrics -->)", re.DOTALL)


def row(metric: Any) -> str:
    """A line of the table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    if metric.merge == "each":
        labels += (", " if labels else "") + "`worker`"
    kind = metric.kind + (" (derived)" if metric.derived else "")
    text = metric.help.replace("|", "/")
    return f"| `{metric.name}` | {kind} | {metric.unit} | {labels} | {metric.level} | {text} |"


def table() -> str:
    """All groups as Markdown."""
    from cherrypy.monitor.table import GROUPS, metrics_of

    lines = []
    for module, heading in GROUPS:
        lines += [f"## {heading}", ""]
        lines += [
            "| metric | kind | unit | labels | level | what it is |",
            "|---|---|---|---|---|---|",
        ]
        lines += [row(metric) for metric in metrics_of(module)]
        lines.append("")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with its tables as they ought to be."""
    return MARKS.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
