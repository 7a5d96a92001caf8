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

#: Modules of `cherrypy.monitor.table`, in the order of the page, and the headings of their metrics.
GROUPS = (
    ("requests", "Requests and responses"),
    ("times", "Where the time goes"),
    ("stores", "Databases, models, other services, messages"),
    ("servers", "HTTP servers"),
    ("toolbox", "Sessions, caches, tools"),
    ("sockets", "WebSockets and event streams"),
    ("logs", "Logs"),
    ("process", "Process and interpreter"),
    ("bus", "Bus, plugins, work in the background"),
    ("itself", "The monitor itself"),
)


def metrics_of(module: Any) -> list[Any]:
    """The metrics that a module declares, in its order."""
    from cherrypy.monitor.metrics import Metric

    return [value for value in vars(module).values() if isinstance(value, Metric)]


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
    from importlib import import_module

    lines = []
    for name, heading in GROUPS:
        module = import_module(f"cherrypy.monitor.table.{name}")
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
