"""What the tests about the repository share: its files, as Git knows them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


@cache
def files(*patterns: str) -> tuple[Path, ...]:
    """Everything under version control (or about to be) that matches, still on disk."""
    command = ["git", "-C", str(TOP), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            [*command, "-z", "--", *patterns], capture_output=True, timeout=30, check=True
        )
        names = [name for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive: no Git there
        found = (
            path for pattern in patterns or ("**/*",) for path in TOP.rglob(pattern.strip("*/"))
        )
        names = [str(path.relative_to(TOP)) for path in found]
    return tuple(path for name in names if (path := TOP / name).is_file())


def shown(path: Path) -> str:
    return str(path.relative_to(TOP))
