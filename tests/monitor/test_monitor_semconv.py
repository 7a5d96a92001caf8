"""OpenTelemetry's semantic conventions: what bears one of their names is what they say it is."""

from __future__ import annotations

import functools
import importlib
import pathlib
import warnings
from typing import Any

import opentelemetry.semconv as official
import pytest

from cherrypy.monitor.exporters import otlp
from cherrypy.monitor.exporters.series import Family
from cherrypy.monitor.histograms import SECONDS, Spread
from cherrypy.monitor.metrics import METRICS, Metric

#: Names of theirs that we use for what they have under another.
OTHERWISE = {"system.cpu.load_average"}
#: Attributes that we add to metrics of theirs.
ADDED = {"app"}

#: Their instruments -> what the protocol calls such data.
DATA = {
    "counter": ("sum", True),
    "up_down_counter": ("sum", False),
    "histogram": ("histogram", None),
    "observable_gauge": ("gauge", None),
    "gauge": ("gauge", None),
}


class Meter:
    """Notes what would be made of it."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}

    def __getattr__(self, word: str) -> Any:
        def create(name: str, *callbacks: Any, unit: str = "", **more: Any) -> None:
            self.made[name] = (word.removeprefix("create_"), unit)

        return create


@functools.cache
def conventions() -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Their metrics, with kind and unit, and the names of all attributes."""
    base = pathlib.Path(official.__path__[0])
    meter, attributes = Meter(), set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of their names are of old
        for path in base.rglob("*.py"):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            module = importlib.import_module(f"{official.__name__}.{name}")
            for word, value in vars(module).items():
                if word.startswith("create_") and callable(value):
                    try:
                        value(meter)
                    except TypeError:  # it is asked, by callbacks
                        value(meter, [])
                elif "attributes" in name and word.isupper() and isinstance(value, str):
                    attributes.add(value)
    return meter.made, attributes


THEIRS = [name for name in METRICS if not name.startswith("cherrypy.")]


def test_there_is_enough_to_compare_with() -> None:
    made, attributes = conventions()
    assert len(made) > 300
    assert len(attributes) > 500
    assert len(THEIRS) > 25


@pytest.mark.parametrize("name", sorted(set(THEIRS) - OTHERWISE))
def test_a_metric_with_an_official_name(name: str) -> None:
    made, attributes = conventions()
    metric = METRICS[name]
    kind, unit = made[name]
    assert metric.unit == unit
    assert set(metric.labels) - ADDED <= attributes
    told = told_of(metric)
    data = told.keys() & {"sum", "gauge", "histogram"}
    assert data == {DATA[kind][0]}
    if DATA[kind][1] is not None:
        assert told["sum"].get("isMonotonic", False) is DATA[kind][1]


def told_of(metric: Metric) -> dict[str, Any]:
    value = Spread(metric.scale) if metric.kind == "histogram" else 1.0
    labels = tuple("x" for _ in metric.labels)
    return otlp._metric(Family(metric, metric.labels, [(labels, value)]), {})


def test_ours_are_none_of_theirs() -> None:
    made, _ = conventions()
    assert {name for name in METRICS if name.startswith("cherrypy.")} & set(made) == set()


def test_bounds_are_those_that_they_advise() -> None:
    """Of `http.server.request.duration`; in the text of the conventions, of which the package has none."""
    assert (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5),
        *(0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ) == SECONDS
