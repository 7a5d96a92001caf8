"""The reference of metrics says what the code declares, and the code declares it in whole sentences."""

from __future__ import annotations

import pkgutil

import metrics as reference
import pytest

from cherrypy.monitor import table
from cherrypy.monitor.metrics import COUNTER, GAUGE, HISTOGRAM, METRICS


def test_the_page_has_every_metric_as_it_is_declared() -> None:
    page = reference.PAGE.read_text("utf-8")
    assert page == reference.with_table(page), "run: python tests/house/metrics.py"
    for name in METRICS:
        assert page.count(f"\n| `{name}` | ") == 1, name


def test_every_group_is_on_the_page() -> None:
    groups = {module.__name__.rpartition(".")[2] for module, _ in table.GROUPS}
    assert groups == {name for _, name, _ in pkgutil.iter_modules(table.__path__)}
    held = [metric for module, _ in table.GROUPS for metric in table.metrics_of(module)]
    assert sorted(map(str, held)) == sorted(map(str, METRICS.values()))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name: str) -> None:
    metric = METRICS[name]
    assert metric.kind in (COUNTER, GAUGE, HISTOGRAM)
    assert metric.help[0].isupper(), metric.help
    assert metric.help[-1] == ".", metric.help
    assert 15 < len(metric.help) < 220, metric.help
    assert metric.level in (0, 1, 2)
    assert metric.unit
    for label in metric.labels:
        assert label == label.lower()
        assert label.replace(".", "").replace("_", "").isalpha(), label
