"""What measures the recorder: it says what it is to say, of real servers as well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "monitor.py"

#: It starts eight servers, one pair after the other, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


def measured(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_served_requests_are_measured_with_few_rounds() -> None:
    done = measured("2", "--served", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    recorder = said["pages"]["/"]["on"]["added"]
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    places = {0: {"anywhere"}, 1: {"together"}}.get(processors, {"apart", "together"})
    assert said["served"].keys() == places
    for row in said["served"].values():
        for what in ("processor", "client"):
            one = row[what]
            # A request that goes over a socket takes more than one that does not, and no second.
            assert said["pages"]["/"]["on"]["plain"] < one["plain"] < 1e5
            assert one["from"] <= one["added"] <= one["to"]
            assert one["share"] == pytest.approx(recorder / one["plain"])
        # Who is idle does next to nothing; the monitor looks at itself each second.
        assert 0 < row["idle"]["off"] < row["idle"]["on"] < 1000


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        (["--help"], 0, "--served"),
        (["1"], 2, "two rounds are the least"),
        (["many"], 2, "invalid int value"),
    ],
)
def test_what_it_takes(words: list[str], status: int, answer: str) -> None:
    done = measured(*words)
    assert done.returncode == status
    assert answer in done.stdout + done.stderr
