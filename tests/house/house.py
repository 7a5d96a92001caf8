"""What the tests about the repository share: its files, as Git knows them."""

from __future__ import annotations

import subprocess
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


@cache
def files(*patterns: str) -> tuple[Path, ...]:
    """Everything under version control (or about to be) that matches one of the patterns, still on disk."""
    names = [n for n in _names() if not patterns or any(fnmatch(n, one) for one in patterns)]
    return tuple(TOP / name for name in names)


@cache
def _names() -> tuple[str, ...]:
    listing = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    # A container may check out as one user and test as another; Git would refuse to look.
    command = ["git", "-c", "safe.directory=*", "-C", str(TOP), *listing]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    return tuple(name for name in done.stdout.decode().split("\0") if (TOP / name).is_file())


def shown(path: Path) -> str:
    return str(path.relative_to(TOP))
