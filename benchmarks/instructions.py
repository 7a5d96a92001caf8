"""How many instructions of the processor a request takes, by function of the interpreter: hardly any noise in it.

    python benchmarks/instructions.py [PATH] [LINES]      PATH / by default; LINES of the table, 15 by default

Needs valgrind, whose callgrind counts. Two runs, of a hundred requests and of two thousand more, and what they differ
in: all else is the same. A request is one of sixteen that the server takes up at once, and is what `bytecodes.py` counts.
"""

from __future__ import annotations

import shutil
import sys

import bytecodes
import callgrind

FEW, MORE = 100, 2000


def serve(path: str, requests: int) -> None:
    """Ask the application so many times; what is counted."""
    with bytecodes.mounted():
        turn = object()
        for number in range(requests):
            if number % bytecodes.ROUNDS == 0:
                turn = object()
            bytecodes.call(path, turn)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "/"
    if "--serve" in sys.argv:
        serve(path, int(sys.argv[-1]))
        return
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is needed: apt-get install valgrind")
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    counts, few = (
        callgrind.count([__file__, path, "--serve", str(requests)])
        for requests in (FEW + MORE, FEW)
    )
    counts.subtract(few)
    print(f"{counts.total() / MORE:8.0f}  {path}, of which:")
    for name, n in counts.most_common(lines):
        print(f"{n / MORE:8.0f}  {name}")


if __name__ == "__main__":
    main()
