"""Runs the Autobahn test suite's fuzzing client against a WebSocket echo server.

    python3 scripts/autobahn.py --url ws://127.0.0.1:9000/             # every case: 517
    python3 scripts/autobahn.py --url ... --no-perf --no-deflate       # 247 quick cases
    python3 scripts/autobahn.py --url ... --cases '1.*,7.*' --json out.json

Cases run in groups, one process a group, so that a hang costs one group's results and not all. Exit status: 0 all
passed, strictly; 1 something failed, is unimplemented, non-strict, or did not run; 2 the suite cannot be set up.

The suite is Python 2 code in every release (that of autobahntestsuite 25.10 installs on Python 3, and does not
import), so this makes an environment of Python 2.7 with pinned versions in the work directory, once.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

# What pip resolved for Python 2.7, pinned so that the same suite comes back.
PINS = [
    "autobahntestsuite==0.8.2",
    "autobahn==0.10.9",
    "Twisted==20.3.0",
    "txaio==2.1.0",
    "zope.interface==5.5.2",
    "cryptography==3.3.2",
    "pyOpenSSL==21.0.0",
    "service-identity==21.1.0",
    "klein==20.6.0",
    "Werkzeug==1.0.1",
    "Jinja2==2.11.3",
    "MarkupSafe==1.1.1",
    "attrs==21.4.0",
    "Automat==22.10.0",
    "hyperlink==21.0.0",
    "incremental==22.10.0",
    "constantly==15.1.0",
    "PyHamcrest==1.10.1",
    "Tubes==0.2.1",
    "six==1.17.0",
    "idna==2.10",
    "cffi==1.15.1",
    "unittest2==1.1.0",
    "ujson==2.0.3",
    "wsaccel==0.6.6",
]

GOOD = ("OK", "INFORMATIONAL")
CLASSES = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED", "UNIMPLEMENTED")
SPOILED = {"FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"}
LIST = """
import json
from autobahntestsuite.case import Cases, CaseCategories, CaseSubCategories, CaseBasename, CaseSetname
from autobahntestsuite.caseset import CaseSet
cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
print(json.dumps(cases.parseSpecCases({"cases": ["*"], "exclude-cases": []})))
"""


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        say(f"{command[0]} failed:", done.stdout[-2000:], done.stderr[-2000:])
        raise SystemExit(2)
    return done.stdout


def find_python2() -> str:
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(root.glob("versions/2.7*/bin/python2.7"))
    for one in (*map(str, found), shutil.which("python2.7"), shutil.which("python2")):
        if one and os.path.exists(one):
            return one
    say("The suite needs Python 2.7, and none was found on PATH or under pyenv.")
    raise SystemExit(2)


def wstest(work: Path) -> Path:
    """The suite's program, installed when it is not there."""
    program, ready = work / "py27/bin/wstest", work / "py27/.ready"
    if ready.exists():
        return program
    python2 = find_python2()
    say("Setting up the suite ...")
    work.mkdir(parents=True, exist_ok=True)
    boot = work / "boot"
    if not (boot / "bin/virtualenv").exists():
        run(sys.executable, "-m", "venv", boot)
        # The last one that makes environments of Python 2.7.
        run(boot / "bin/pip", "install", "-q", "virtualenv<20.22")
    shutil.rmtree(work / "py27", ignore_errors=True)
    run(boot / "bin/virtualenv", "-q", "-p", python2, work / "py27")
    run(work / "py27/bin/pip", "install", "-q", *PINS)
    run(program, "--help")
    ready.write_text("\n".join(PINS))
    return program


def natural(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def grouped(cases: list[str]) -> dict[str, list[str]]:
    """12.2.7 goes to group 12.2, 9.4.1 to 9.4, all the quick ones to one."""
    groups: dict[str, list[str]] = {}
    for case in sorted(cases, key=natural):
        first, second = case.split(".")[:2]
        name = f"{first}.{second}" if first in ("9", "12", "13") else "1-8,10"
        groups.setdefault(name, []).append(case)
    return groups


def run_group(
    program: Path, url: str, agent: str, cases: list[str], folder: Path, stall: float
) -> dict[str, Any]:
    """One process over these cases: the reports by case."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": agent, "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    log = folder / "wstest.log"
    command = [str(program), "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
    with log.open("wb") as writing:
        process = subprocess.Popen(
            command, stdout=writing, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait(process, log, stall)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    index = folder / "index.json"
    reports: dict[str, Any] = {}
    if index.exists():
        for found in json.loads(index.read_text()).values():
            reports.update(found)
    return reports


def wait(process: subprocess.Popen[bytes], log: Path, stall: float) -> None:
    """Wait for its end, or for `stall` seconds without a new case."""
    size, since = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        now = log.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > stall:
            say(f"  nothing new for {stall:g} s: given up")
            return


def verdict(report: dict[str, Any] | None) -> str:
    """One of CLASSES; how TCP ended counts as well."""
    if report is None:
        return "FAILED"
    behaviour, ending = report["behavior"], report["behaviorClose"]
    if behaviour not in CLASSES or (ending in SPOILED and behaviour != "UNIMPLEMENTED"):
        return "FAILED"
    return str(behaviour)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--agent", default="kirsch", help="the name in the report")
    parser.add_argument("--workdir", type=Path, default=Path(".cache/autobahn"))
    parser.add_argument("--cases", default="*", help="patterns, such as '1.*,7.7.*'")
    parser.add_argument("--no-perf", action="store_true", help="without 9.*")
    parser.add_argument("--no-deflate", action="store_true", help="without 12.* and 13.*")
    parser.add_argument("--stall", type=float, default=150, help="seconds without a new case")
    parser.add_argument("--json", type=Path, help="where to write the verdicts")
    chosen = parser.parse_args()
    program = wstest(chosen.workdir)
    every = json.loads(run(program.with_name("python"), "-W", "ignore", "-c", LIST))
    left_out = ["9.*"] * chosen.no_perf + ["12.*", "13.*"] * chosen.no_deflate
    cases = [
        case
        for case in every
        if any(fnmatch.fnmatch(case, one.strip()) for one in chosen.cases.split(","))
        and not any(fnmatch.fnmatch(case, one) for one in left_out)
    ]
    if not cases:
        say("No case matches.")
        raise SystemExit(2)
    began = time.monotonic()
    top = (
        chosen.workdir / "reports" / f"{re.sub(r'[^A-Za-z0-9]+', '_', chosen.agent)}-{os.getpid()}"
    )
    reports: dict[str, Any] = {}
    for name, members in grouped(cases).items():
        found = run_group(program, chosen.url, chosen.agent, members, top / name, chosen.stall)
        reports.update(found)
        passed = time.monotonic() - began
        say(f"  group {name:6} {len(found)}/{len(members)} cases, at {passed:.0f} s")
    verdicts = {case: verdict(reports.get(case)) for case in sorted(cases, key=natural)}
    shutil.rmtree(top, ignore_errors=True)
    counts = Counter(verdicts.values())
    print(f"{chosen.agent}: {len(cases)} cases in {time.monotonic() - began:.0f} s")
    print(" / ".join(f"{name} {counts[name]}" for name in CLASSES))
    for name in CLASSES:
        if name != "OK" and counts[name]:
            print(f"{name}: " + ", ".join(case for case, one in verdicts.items() if one == name))
    if chosen.json:
        chosen.json.write_text(json.dumps({"counts": dict(counts), "cases": verdicts}, indent=1))
    raise SystemExit(0 if all(one in GOOD for one in verdicts.values()) else 1)


if __name__ == "__main__":
    main()
