"""The measurements as RESULTS.md: rates, ratios, and whether each goal is reached."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import websocket
from .workloads import OURS, WORKLOADS, Workload

Results = dict[str, Any]


def machine() -> dict[str, Any]:
    """What the numbers depend on; neither names nor paths."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def merged(kept: Results, new: Results) -> Results:
    """The kept results with the sections of a later run in place of their own; each says when that was."""
    both = {**kept, "absent": {**kept["absent"], **new["absent"]}}
    facts = {"date": new["date"], "load_before": new["machine"]["load_before"], **new["options"]}
    again = dict(kept.get("again", {}))
    for part in ("workloads", "costs"):
        both[part] = {**kept[part], **new[part]}
        again.update(dict.fromkeys(new[part], facts))
    both["workloads"] = {
        name: both["workloads"][name] for name in WORKLOADS if name in both["workloads"]
    }
    if "websocket" in new:
        both["websocket"] = new["websocket"]
        again["websocket"] = facts
    return {**both, "again": again}


def _again(results: Results, name: str) -> Iterator[str]:
    """A line about a section that was measured later than the others."""
    facts = results.get("again", {}).get(name)
    if facts:
        yield (
            f"Measured by itself on {facts['date']}: load {facts['load_before']} before,"
            f" {facts['rounds']} round{'s' * (facts['rounds'] > 1)} of {facts['seconds']:g} s."
        )
        yield ""


def median(results: Results, workload: str, contender: str, key: str = "rate") -> float | None:
    turns = results["workloads"].get(workload, {}).get(contender)
    return statistics.median(turn[key] for turn in turns) if turns else None


def _verdict(reached: bool | None) -> str:
    return {True: "**reached**", False: "not reached", None: "not measured"}[reached]


def goals(results: Results) -> Iterator[tuple[str, str, str, bool | None]]:
    """(what, the goal, the figure, reached or None) for each goal that was asked about in this run."""
    for name in results["workloads"]:
        yield from _workload_goals(results, WORKLOADS[name])
    costs = results["costs"]
    if "import" in costs:
        ours = costs["import"].get("kirsch")
        yield (
            "`import cherrypy`",
            "< 100 ms, < 160 modules",
            f"{ours['milliseconds']:.0f} ms, {ours['modules']} modules" if ours else "",
            ours and ours["milliseconds"] < 100 and ours["modules"] < 160,
        )
    if "memory" in costs:
        ours = costs["memory"].get("kirsch")
        figure = f"{ours / 2**20:.1f} MB" if ours else ""
        yield "memory after start", "≤ 26 MB", figure, ours and ours <= 26 * 2**20
    if "idle" in costs:
        ours = costs["idle"].get("kirsch")
        yield from _idle_goals(ours) if ours else [("idle keep-alives", "", "", None)]
    if "websocket" in results:
        yield from websocket.goals(results)


def _workload_goals(
    results: Results, workload: Workload
) -> Iterator[tuple[str, str, str, bool | None]]:
    ours = workload.contenders[0]
    rate = median(results, workload.name, ours)
    for other, ratio in workload.rules:
        theirs = median(results, workload.name, other)
        measured = rate is not None and theirs
        have = rate / theirs if rate is not None and theirs else 0.0
        yield (
            workload.name,
            f"≥ {ratio:g} × {other}",
            f"{have:.2f} ×" if measured else "",
            have >= ratio if measured else None,
        )
    if workload.name == "hello":
        p99 = median(results, "hello", ours, "p99")
        figure = f"{p99:.1f} ms" if p99 is not None else ""
        yield "hello", "p99 < 5 ms", figure, None if p99 is None else p99 < 5


def _idle_goals(ours: dict[str, Any]) -> Iterator[tuple[str, str, str, bool | None]]:
    what = f"{ours['wanted']:,} idle keep-alives"
    added = ours["latency_after"] - ours["latency_before"]
    extra = ours["threads_after"] - ours["threads_before"]
    yield what, "all stay open", f"{ours['open']:,}", ours["open"] == ours["wanted"]
    yield what, "< 8 KiB each", f"{ours['bytes_each'] / 1024:.2f} KiB", ours["bytes_each"] < 8192
    yield what, "< 5 ms added to a new request", f"{added:+.2f} ms", added < 5
    yield what, "no extra threads", f"{extra:+d}", extra <= 0
    yield what, "idle CPU < 0.2 %", f"{ours['idle_cpu']:.2f} %", ours["idle_cpu"] < 0.2


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _table(results: Results, workload: Workload) -> Iterator[str]:
    base = workload.base
    reference = median(results, workload.name, base)
    yield f"| contender | requests/s | × {base.removeprefix('raw:')} | p50 ms | p99 ms | errors |"
    yield "|---|---:|---:|---:|---:|---:|"
    rows = [(median(results, workload.name, name) or 0.0, name) for name in workload.contenders]
    for rate, name in sorted(rows, reverse=True):
        if not rate:
            why = results["absent"].get(name)
            if why:
                yield f"| {name.removeprefix('raw:')} | – | | | | {why} |"
            continue
        shown = name.removeprefix("raw:")
        if name in OURS:
            shown = f"**{shown}**"
        ratio = _number(rate / reference, 1) if reference else "–"
        p50, p99 = (median(results, workload.name, name, key) for key in ("p50", "p99"))
        errors = sum(turn["errors"] for turn in results["workloads"][workload.name][name])
        yield f"| {shown} | {rate:,.0f} | {ratio} | {_number(p50, 2)} | {_number(p99, 1)} | {errors} |"


def markdown(results: Results) -> str:
    """The whole of RESULTS.md."""
    facts, options = results["machine"], results["options"]
    lines = [
        "# Results",
        "",
        (
            f"Made by `scripts/bench` on {results['date']}. {facts['processor']}, {facts['cores']} cores,"
            f" Linux {facts['kernel']}, Python {facts['python']}, load {facts['load_before']} before."
            f" Medians of {options['rounds']} rounds of {options['seconds']:g} s; contenders take turns;"
            " server on one core, `wrk -t1 -c64` on another. [How it is measured](../docs/benchmarks.md)."
        ),
        "",
        "## Goals",
        "",
        "| work | goal | measured | |",
        "|---|---|---:|---|",
    ]
    lines += [
        f"| {what} | {goal} | {figure} | {_verdict(reached)} |"
        for what, goal, figure, reached in goals(results)
    ]
    for name in results["workloads"]:
        lines += ["", f"## {WORKLOADS[name].title}", "", *_again(results, name)]
        lines += _table(results, WORKLOADS[name])
    if "websocket" in results:
        lines += ["", "## WebSockets", "", *_again(results, "websocket"), *websocket.table(results)]
    for name, title in COSTS.items():
        if name in results["costs"]:
            lines += ["", f"## {title}", "", *_again(results, name)]
            lines += _cost(name, results["costs"][name])
    if results["absent"]:
        lines += ["", "## Not measured", ""]
        lines += [f"* {name}: {why}" for name, why in sorted(results["absent"].items())]
    return "\n".join(lines) + "\n"


COSTS = {
    "import": "`import cherrypy`",
    "memory": "Memory after start",
    "idle": "Idle keep-alive connections",
}


def _cost(name: str, rows: dict[str, Any]) -> Iterator[str]:
    if name == "import":
        yield from ("| | ms | modules |", "|---|---:|---:|")
        for who, row in rows.items():
            yield f"| {who} | {row['milliseconds']:.0f} | {row['modules']} |"
    elif name == "memory":
        yield from ("| | MB |", "|---|---:|")
        for who, value in rows.items():
            yield f"| {who} | {value / 2**20:.1f} |"
    else:
        yield "| | open | KiB each | new request before, after (ms) | threads | idle CPU % |"
        yield "|---|---:|---:|---:|---:|---:|"
        for who, row in rows.items():
            yield (
                f"| {who} | {row['open']:,} of {row['wanted']:,} | {row['bytes_each'] / 1024:.2f}"
                f" | {row['latency_before']:.2f}, {row['latency_after']:.2f}"
                f" | {row['threads_before']} → {row['threads_after']} | {row['idle_cpu']:.2f} |"
            )
            for note in row["notes"]:
                yield f"| | {note} | | | | |"
