"""A dashboard of Grafana on a data source of Prometheus, made from the table of metrics.

First what one looks at first; then a folded row for each group of metrics, with a panel for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from .. import table
from ..metrics import COUNTER, HISTOGRAM, METRICS, Metric
from .words import family_name, label_name, sample_name, unit

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WHERE = 'job=~"$job",instance=~"$instance"'
_WINDOW = "$__rate_interval"

#: Our units -> Grafana's.
_UNITS = {
    "s": "s",
    "By": "bytes",
    "%": "percent",
    "d": "s",
    "{request}/min": "reqpm",
    "{request}": "reqps",
    "1": "short",
}

Query = tuple[str, str]  # an expression, and the words of its legend


def name_of(metric: str) -> str:
    """The name of a metric's samples in Prometheus."""
    return sample_name(METRICS[metric])


def _rate(metric: str, by: str = "", where: str = "") -> str:
    inner = f"rate({name_of(metric)}{{{_WHERE}{where}}}[{_WINDOW}])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    """The expression of a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    inner = f"rate({name_of(metric)}_bucket{{{_WHERE}{where}}}[{_WINDOW}])"
    return f"histogram_quantile({share}, sum by ({labels}) ({inner}))"


# -- panels ----------------------------------------------------------------------------------------


class _Board:
    """Gives panels their numbers and their places: 24 columns, three panels a line."""

    def __init__(self) -> None:
        self.number = 0
        self.top = 0
        self.column = 0

    def panel(self, title: str, unit: str, queries: list[Query], **more: Any) -> dict[str, Any]:
        self.number += 1
        place = {"h": 8, "w": 8, "x": 8 * self.column, "y": self.top}
        self.column += 1
        if self.column == 3:
            self.line()
        custom = {"fillOpacity": 10, "showPoints": "never", **more.pop("custom", {})}
        return {
            "id": self.number,
            "type": "timeseries",
            "title": title,
            "description": more.pop("description", ""),
            "datasource": _SOURCE,
            "gridPos": place,
            "fieldConfig": {
                "defaults": {"unit": unit, "min": 0, "custom": custom},
                "overrides": [],
            },
            "options": {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": _SOURCE,
                    "expr": expression,
                    "legendFormat": legend,
                    "editorMode": "code",
                    "range": True,
                }
                for index, (expression, legend) in enumerate(queries)
            ],
        }

    def line(self) -> None:
        """Go on below."""
        if self.column:
            self.column = 0
            self.top += 8

    def row(self, title: str, folded: bool) -> dict[str, Any]:
        self.line()
        self.number += 1
        place = {"h": 1, "w": 24, "x": 0, "y": self.top}
        self.top += 1
        return {
            "id": self.number,
            "type": "row",
            "title": title,
            "collapsed": folded,
            "gridPos": place,
            "panels": [],
        }


def _overview(board: _Board) -> Iterator[dict[str, Any]]:
    duration, stacked = "http.server.request.duration", {"stacking": {"mode": "normal"}}
    number = f"{name_of(duration)}_count"
    total = f"sum(rate({number}{{{_WHERE}}}[{_WINDOW}]))"

    def share(codes: str) -> str:
        some = f'{number}{{{_WHERE},http_response_status_code=~"{codes}"}}'
        return f"100 * (sum(rate({some}[{_WINDOW}])) or vector(0)) / {total}"

    quantiles = [(quantile(q, duration), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)]
    by_class = [(_rate("cherrypy.responses", "class"), "{{class}}")]
    routes = f"topk(8, sum by (http_route) (rate({number}{{{_WHERE}}}[{_WINDOW}])))"
    slowest = f"topk(8, {quantile(0.95, duration, 'http_route')})"
    layers = [
        (f"sum(rate({name_of(metric)}_sum{{{_WHERE}}}[{_WINDOW}]))", metric.rpartition(".")[2])
        for metric in METRICS
        if metric.startswith("cherrypy.time.")
    ]
    yield board.panel("Requests a minute", "reqpm", [(f"60 * {total}", "requests")])
    yield board.panel("Response times", "s", quantiles)
    yield board.panel(
        "Errors", "percent", [(share("[45].."), "4xx and 5xx"), (share("5.."), "5xx")]
    )
    yield board.panel("Responses by class", "reqps", by_class, custom=stacked)
    yield board.panel("Where the time goes", "s", layers, custom=stacked)
    yield board.panel("Most asked routes", "reqps", [(routes, "{{http_route}}")])
    yield board.panel("Slowest routes, p95", "s", [(slowest, "{{http_route}}")])
    satisfied = _rate("cherrypy.apdex.requests", where=',group="satisfied"')
    tolerated = _rate("cherrypy.apdex.requests", where=',group="tolerating"')
    apdex = f"({satisfied} + {tolerated} / 2) / {_rate('cherrypy.apdex.requests')}"
    yield board.panel("Apdex", "short", [(apdex, "apdex")])
    log = [(f"60 * {_rate('cherrypy.log.records', 'level')}", "{{level}}")]
    yield board.panel("Log records a minute", "short", log, custom=stacked)


def _metric_panel(board: _Board, metric: Metric) -> dict[str, Any]:
    labels = [label_name(label) for label in metric.labels]
    shown = [label for label in labels if label not in ("app", "url_scheme")][:2]
    if metric.merge == "each":
        shown = [*shown[:1], "worker"]
    by, legend = ", ".join(shown), " ".join(f"{{{{{label}}}}}" for label in shown)
    kind = _UNITS.get(metric.unit, "short")
    if metric.kind == HISTOGRAM:
        first, words = (shown[0], f"{{{{{shown[0]}}}}} ") if shown else ("", "")
        queries = [
            (quantile(q, metric.name, first), f"{words}p{q * 100:g}") for q in (0.5, 0.95, 0.99)
        ]
        kind = _UNITS.get(metric.unit, "short") if metric.unit in ("s", "By") else "short"
    elif metric.kind == COUNTER:
        queries = [(_rate(metric.name, by), legend or "a second")]
        kind = {"By": "Bps", "s": "percentunit", "{request}": "reqps"}.get(metric.unit, "cps")
    else:
        over = {"max": "max", "min": "min", "last": "max"}.get(metric.merge, "sum")
        inner = f"{name_of(metric.name)}{{{_WHERE}}}"
        queries = [(f"{over} by ({by}) ({inner})" if by else f"{over}({inner})", legend or "now")]
        kind = kind if metric.unit != "{request}" else "short"
        kind = "percentunit" if unit(metric) == "ratio" else kind
    title = family_name(metric).removeprefix("cherrypy_").replace("_", " ")
    return board.panel(title, kind, queries, description=metric.help)


def groups() -> list[tuple[str, list[Metric]]]:
    """Return the metrics by what they are about, with a sentence for each group."""
    found = []
    for name in table.__all__:
        module: ModuleType = import_module(f"{table.__name__}.{name}")
        words = (module.__doc__ or name).strip().splitlines()[0].rstrip(".")
        found.append((words, [one for one in vars(module).values() if isinstance(one, Metric)]))
    return found


def dashboard(title: str = "CherryPy") -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    board = _Board()
    panels = [board.row("Overview", False), *_overview(board)]
    for words, metrics in groups():
        row = board.row(words, True)
        row["panels"] = [_metric_panel(board, metric) for metric in metrics]
        panels.append(row)
    return {
        "title": title,
        "uid": "kirsch-" + "".join(c if c.isalnum() else "-" for c in title.lower())[:30],
        "tags": ["cherrypy", "kirsch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                _variable("job", f"label_values({name_of('cherrypy.requests')}, job)"),
                _variable(
                    "instance",
                    f'label_values({name_of("cherrypy.requests")}{{job=~"$job"}}, instance)',
                ),
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
