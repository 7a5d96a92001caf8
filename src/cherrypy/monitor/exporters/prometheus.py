"""What Prometheus scrapes: its text format 0.0.4, and OpenMetrics 1.0 for those who ask for it.

What the application itself measures with the package prometheus_client follows as that writes it.
"""

from __future__ import annotations

import math
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from ..histograms import Spread
from ..metrics import HISTOGRAM
from .series import Family, Told, families, resource
from .words import factor, family_name, label_name, sample_name, unit

if TYPE_CHECKING:
    from ..plugin import Monitor

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def answer(monitor: Monitor, accept: str | None = None) -> tuple[str, bytes]:
    """Return the content type and the body of an answer to a scrape.

    accept
        The field `Accept` of the request.
    """
    with Told("prometheus"):
        openmetrics = wants_openmetrics(accept)
        theirs, taken = _applications(monitor, openmetrics)
        lines: list[str] = []
        for family in families(monitor):
            if family_name(family.metric) not in taken:
                _write(lines, family, openmetrics)
        if "target_info" not in taken and "target" not in taken:
            _write_target(lines, resource(monitor), openmetrics)
        text = "".join(lines) + theirs
        if openmetrics:
            text += "# EOF\n"
    return OPENMETRICS if openmetrics else TEXT, text.encode("utf-8", "replace")


def wants_openmetrics(accept: str | None) -> bool:
    """Whether a field `Accept` puts OpenMetrics before the text format, or asks for no other."""
    best = {"openmetrics": 0.0, "text": 0.0}
    for part in (accept or "").split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(1.0, max(0.0, float(value)))
                except ValueError:
                    quality = 0.0
            elif (
                name.strip() == "version"
                and "openmetrics" in kind
                and value[:2] not in ("1.", "0.")
            ):
                quality = 0.0
        if kind == "application/openmetrics-text":
            best["openmetrics"] = max(best["openmetrics"], quality)
        elif kind in ("text/plain", "text/*", "*/*"):
            best["text"] = max(best["text"], quality)
    return best["openmetrics"] > 0 and best["openmetrics"] >= best["text"]


# -- ours ------------------------------------------------------------------------------------------


def _write(lines: list[str], family: Family, openmetrics: bool) -> None:
    metric = family.metric
    name = sample_name(metric)
    shown = family_name(metric) if openmetrics else name
    lines.append(f"# HELP {shown} {_help(metric.help, openmetrics)}\n")
    lines.append(f"# TYPE {shown} {metric.kind}\n")
    if openmetrics and unit(metric):
        lines.append(f"# UNIT {shown} {unit(metric)}\n")
    labels = [label_name(label) for label in family.labels]
    for values, value in family.rows:
        pairs = [
            f'{label}="{_escaped(text)}"'
            for label, text in zip(labels, values, strict=True)
            if text
        ]
        if metric.kind == HISTOGRAM:
            _write_spread(lines, name, pairs, value)
        else:
            lines.append(f"{name}{_braces(pairs)} {number(value * factor(metric))}\n")


def _write_spread(lines: list[str], name: str, pairs: list[str], spread: Spread) -> None:
    count = spread.count
    bounds = [repr(float(bound)) for bound in spread.scale.bounds]
    for bound, within in zip(bounds, spread.cumulative(), strict=True):
        lines.append(f"{name}_bucket{_braces([*pairs, _le(bound)])} {within}\n")
    lines.append(f"{name}_bucket{_braces([*pairs, _le('+Inf')])} {count}\n")
    lines.append(f"{name}_count{_braces(pairs)} {count}\n")
    lines.append(f"{name}_sum{_braces(pairs)} {number(spread.total)}\n")


def _write_target(lines: list[str], attributes: dict[str, str], openmetrics: bool) -> None:
    shown, kind = ("target", "info") if openmetrics else ("target_info", "gauge")
    lines.append(f"# HELP {shown} Who tells all this.\n# TYPE {shown} {kind}\n")
    pairs = [f'{label_name(name)}="{_escaped(text)}"' for name, text in attributes.items()]
    lines.append(f"target_info{_braces(pairs)} 1\n")


def _le(bound: str) -> str:
    return f'le="{bound}"'


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str, openmetrics: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if openmetrics else text


def number(value: float) -> str:
    """Return a number as both formats write it."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return repr(value)


# -- the application's -----------------------------------------------------------------------------


def _applications(monitor: Monitor, openmetrics: bool) -> tuple[str, set[str]]:
    """Return what the application's own registry says, and the names of its families."""
    client: Any = sys.modules.get("prometheus_client")
    if client is None or not hasattr(client, "REGISTRY"):
        return "", set()
    try:
        registry = client.REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            from importlib import import_module

            multiprocess: Any = import_module("prometheus_client.multiprocess")
            registry = client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        write = client.generate_latest
        if openmetrics:
            from importlib import import_module

            write = import_module("prometheus_client.openmetrics.exposition").generate_latest
        text = str(write(registry).decode())
    except Exception as error:
        monitor.broken("prometheus_client of the application", error)
        return "", set()
    if openmetrics:
        text = text.removesuffix("# EOF\n")
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    return text, names | {name.removesuffix("_total") for name in names}
