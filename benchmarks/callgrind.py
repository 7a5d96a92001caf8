"""Instructions of the processor, as valgrind's callgrind counts them: hardly any noise in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

LINE = re.compile(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(\S+)")
LONGEST = 600  # seconds that a run may take


def count(arguments: list[str]) -> Counter[str]:
    """Count the instructions of a process of this Python, by function of the interpreter.

    arguments
        Its own, a script first.

    Raises subprocess.CalledProcessError when it fails, and subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [sys.executable, *arguments]
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, env=env, stderr=subprocess.DEVNULL, check=True, timeout=LONGEST)
        annotate = ["callgrind_annotate", "--threshold=100", str(out)]
        text = subprocess.run(
            annotate, capture_output=True, text=True, check=True, timeout=LONGEST
        ).stdout
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        if (found := LINE.match(line)) and found[2] != "PROGRAM":
            counts[found[2].rpartition("/")[2]] += int(found[1].replace(",", ""))
    return counts
