"""Every metric that is declared is produced by somebody."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import cherrypy.monitor
from cherrypy.monitor import table
from cherrypy.monitor.metrics import METRICS, Metric

HERE = Path(cherrypy.monitor.__file__).parent

#: Made elsewhere in this house, by rooms that are still to come; whatever of these is produced all the
#: same is to be taken off.
ELSEWHERE = {
    "logs": "the instruments of libraries",
    "stores": "the instruments of libraries",
    "SERVER_WORKER_RESTARTS": "the room of processes",
    "MONITOR_STORE_BYTES": "history",
    "MONITOR_EXPORT_DURATION": "exporters",
    "MONITOR_EXPORT_FAILURES": "exporters",
    "MONITOR_ALERTS_FIRING": "alerts",
}


def declared() -> list[tuple[str, str, Metric]]:
    found = []
    for name in table.__all__:
        module: ModuleType = getattr(table, name)
        found += [
            (name, attribute, metric)
            for attribute, metric in vars(module).items()
            if isinstance(metric, Metric)
        ]
    return found


def source() -> str:
    paths = [path for path in HERE.rglob("*.py") if path.parent.name != "table"]
    return "\n".join(path.read_text("utf-8") for path in paths)


SOURCE = source()


def test_all_are_declared_in_the_table() -> None:
    assert {metric.name for _, _, metric in declared()} == set(METRICS)


@pytest.mark.parametrize(
    ("group", "attribute", "metric"), declared(), ids=lambda value: getattr(value, "name", None)
)
def test_a_metric_is_produced(group: str, attribute: str, metric: Metric) -> None:
    if metric.derived or group in ELSEWHERE or attribute in ELSEWHERE:
        return
    if group == "times" and attribute.startswith("TIME_"):
        assert attribute.removeprefix("TIME_") in SOURCE  # a layer: by its number
        return
    uses = re.findall(rf"\b{attribute}\b(?:\.add|\.observe)?", SOURCE)
    assert uses, f"nothing counts {metric.name}"
    direct = any(use.endswith((".add", ".observe")) for use in uses)
    given = re.search(
        rf"(?:sample|self\.add|self\.spread|, |\[)\s*\(?\s*\w*\.?{attribute}\b", SOURCE
    )
    assert direct or given, f"{metric.name} is named, and nothing counts it"
