"""The command line of the benchmarks; scripts/bench makes the environments and calls it."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from . import costs, load, report, servers, websocket
from .workloads import CONTENDERS, WORKLOADS

ALL = (*WORKLOADS, "websocket", *report.COSTS)


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description=report.__doc__)
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s")
    parser.add_argument("--rounds", type=int, help="turns of each contender (3)")
    parser.add_argument("--seconds", type=float, help="length of a turn (4)")
    parser.add_argument("--only", type=names, default=[], metavar="hello,raw,import")
    parser.add_argument("--contenders", type=names, default=[], metavar="kirsch,cherrypy")
    parser.add_argument("--connections", type=int, default=5000, help="idle ones (5000)")
    parser.add_argument(
        "--merge", action="store_true", help="with --only: put these sections into the kept results"
    )
    parser.add_argument("--output", default=None, metavar="FOLDER", help="for the results")
    chosen = parser.parse_args()
    for name in chosen.only:
        if name not in ALL:
            parser.error(f"no workload {name}; there are {', '.join(ALL)}")
    for name in chosen.contenders:
        if not {name, f"raw:{name}", f"ws:{name}"} & CONTENDERS.keys():
            parser.error(f"no contender {name}; there are {', '.join(CONTENDERS)}")
    if chosen.merge and (not chosen.only or chosen.contenders or chosen.quick):
        parser.error("--merge is for whole sections, chosen with --only, of the usual length")
    if not shutil.which("wrk"):
        parser.error("wrk is not installed")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    chosen.seconds = chosen.seconds or (2.0 if chosen.quick else 4.0)
    return chosen


class Run:
    """One run: what was chosen, and what has been measured so far."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.results: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "machine": report.machine(),
            "options": {"rounds": chosen.rounds, "seconds": chosen.seconds},
            "workloads": {},
            "costs": {},
            "absent": {},
        }

    def wanted(self, contender: str) -> bool:
        names = self.chosen.contenders
        return not names or contender in names or contender.removeprefix("raw:") in names

    def workload(self, name: str) -> None:
        """All rounds of one workload: A B C A B C."""
        workload = WORKLOADS[name]
        turns: dict[str, list[dict[str, Any]]] = {}
        out: set[str] = set()
        for _ in range(self.chosen.rounds):
            for contender in filter(self.wanted, workload.contenders):
                if contender in out:
                    continue
                try:
                    result = load.turn(contender, workload, self.chosen.seconds)
                except servers.Unavailable as error:
                    out.add(contender)
                    self.results["absent"][contender] = str(error)
                    self.say(f"{name:10} {contender:20} left out: {error}")
                    continue
                turns.setdefault(contender, []).append(asdict(result))
                self.say(
                    f"{name:10} {contender:20} {result.rate:10,.0f}/s"
                    f"  p50 {result.p50:7.2f} ms  p99 {result.p99:7.2f} ms  errors {result.errors}"
                )
        self.results["workloads"][name] = turns

    def websocket(self) -> None:
        """All rounds of WebSockets."""
        turns: dict[str, list[dict[str, float]]] = {}
        for number in range(self.chosen.rounds):
            for name in filter(self.wanted, websocket.CONTENDERS):
                if f"ws:{name}" in self.results["absent"]:
                    continue
                try:
                    found = websocket.turn(name, self.chosen.seconds / 2, number == 0)
                except servers.Unavailable as error:
                    self.results["absent"][f"ws:{name}"] = str(error)
                    self.say(f"websocket  {name:20} left out: {error}")
                    continue
                turns.setdefault(name, []).append(found)
                figures = "  ".join(f"{key} {value:.2f}" for key, value in found.items())
                self.say(f"websocket  {name:20} {figures}")
        self.results["websocket"] = turns

    def cost(self, name: str) -> None:
        """What it costs to be there, for us and for CherryPy."""
        measure: Callable[[str], Any] = {
            "import": lambda who: asdict(costs.importing(who, 2 * self.chosen.rounds + 1)),
            "memory": costs.memory_after_start,
            "idle": lambda who: asdict(costs.idle(who, self.chosen.connections)),
        }[name]
        rows = self.results["costs"][name] = {}
        for who in filter(self.wanted, ("kirsch", "cherrypy")):
            try:
                rows[who] = measure(who)
            except (servers.Unavailable, OSError) as error:
                self.results["absent"][f"{who} ({name})"] = str(error)
            self.say(f"{name:10} {who:20} {rows.get(who, 'left out')}")

    @staticmethod
    def say(line: str) -> None:
        print(line, flush=True)


def main() -> int:
    chosen = options()
    servers.FILES.mkdir(parents=True, exist_ok=True)
    (servers.FILES / "ten.txt").write_text("0123456789" * 1024)
    run = Run(chosen)
    for name in WORKLOADS:
        if not chosen.only or name in chosen.only:
            run.workload(name)
    if not chosen.only or "websocket" in chosen.only:
        run.websocket()
    for name in report.COSTS:
        if not chosen.only or name in chosen.only:
            run.cost(name)
    # A partial run must not pass for a whole one.
    whole = chosen.merge or not (chosen.only or chosen.contenders or chosen.quick)
    default = servers.TOP / "benchmarks" if whole else servers.CACHE
    folder = default if chosen.output is None else servers.Path(chosen.output)
    folder.mkdir(parents=True, exist_ok=True)
    results = run.results
    if chosen.merge:
        results = report.merged(json.loads((folder / "results.json").read_text()), results)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(report.markdown(results))
    print()
    for what, goal, figure, reached in report.goals(run.results):
        verdict = {True: "reached", False: "NOT REACHED", None: "not measured"}[reached]
        print(f"{what:22} {goal:32} {figure:>24}  {verdict}")
    shown = os.path.relpath(folder)
    print(f"\nWritten: RESULTS.md and results.json in {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
