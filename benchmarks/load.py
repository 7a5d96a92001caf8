"""wrk: its command, its script for sessions, and its report read back."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import servers
from .workloads import Workload

CONNECTIONS = 64
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass
class Result:
    """One turn of one contender."""

    rate: float  # requests a second
    p50: float  # milliseconds
    p99: float
    errors: int


def parse(report: str) -> Result:
    """Read what `wrk --latency` printed."""

    def latency(percent: int) -> float:
        found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", report, re.MULTILINE)
        return float(found[1]) * _UNITS[found[2]] if found else float("nan")

    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    return Result(
        rate=float(rate[1]) if rate else 0.0,
        p50=latency(50),
        p99=latency(99),
        errors=(int(errors[1]) if errors else 0)
        + (sum(map(int, sockets.groups())) if sockets else 0),
    )


def _script(cookies: list[str], path: str) -> str:
    """Lua for wrk: the requests are made once and take turns."""
    rows = "\n".join(
        f'  r[{i}] = wrk.format("GET", "{path}", {{["Cookie"] = "{cookie}"}})'
        for i, cookie in enumerate(cookies)
    )
    return (
        f"local r, i = {{}}, 0\nfunction init(args)\n{rows}\nend\n"
        f"function request()\n  i = (i + 1) % {len(cookies)}\n  return r[i]\nend\n"
    )


def turn(name: str, workload: Workload, seconds: float) -> Result:
    """Start the contender, warm it up, load it for `seconds`, end it."""
    with (
        servers.running(name, workload.path, workload.answer, workload.tls) as (port, _pid),
        tempfile.TemporaryDirectory() as folder,
    ):
        command = [*servers.pinned(1), "wrk", "-t1", f"-c{CONNECTIONS}", "--latency"]
        if workload.cookies:
            cookies = [servers.fetch(port, workload.path)[2] for _ in range(CONNECTIONS)]
            script = Path(folder, "requests.lua")
            script.write_text(_script(cookies, workload.path))
            command += ["-s", str(script)]
        url = f"http{'s' if workload.tls else ''}://127.0.0.1:{port}{workload.path}"
        for duration in (1, seconds):  # the first is the warm-up
            done = subprocess.run(
                [*command, f"-d{duration:g}s", url],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds + 30,
                check=True,
            )
        return parse(done.stdout)
