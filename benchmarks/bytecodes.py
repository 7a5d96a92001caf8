"""How many bytecodes of Python a request takes, function by function: the same on every machine, however busy.

    python benchmarks/bytecodes.py [PATH] [LINES]      PATH / by default; LINES of the table, 15 by default

What is counted is a request to the application of the benchmarks, from the gateway of the default server to its
answer: all that the framework does. The server around it (receiving, parsing, sending) is not in it.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import cherrypy

sys.path.insert(0, str(Path(__file__).resolve().parent / "apps"))

import cherrypy_app

ROUNDS = 10


def call(path: str) -> None:
    """Ask the application as the server does, and take the answer."""
    app = cherrypy.tree.direct(path)
    assert app is not None
    path, _, query = path.partition("?")
    fields = {"HTTP_HOST": "127.0.0.1:8080"}
    local, remote = ("127.0.0.1", 8080), ("127.0.0.1", 50000)
    _, _, body = app.respond("GET", path, query, fields, io.BytesIO(), local, remote)
    close = getattr(body, "close", None)
    if close is not None:
        close()


def count(path: str) -> Counter[str]:
    """Count the bytecodes of ROUNDS requests by function."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            code = frame.f_code
            counts[f"{Path(code.co_filename).stem}.{code.co_name}"] += 1
        return trace

    sys.settrace(trace)
    for _ in range(ROUNDS):
        call(path)
    sys.settrace(None)
    return counts


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "/"
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    cherrypy.config.update({"log.screen": False})
    with tempfile.TemporaryDirectory() as files:
        Path(files, "ten.txt").write_text("0123456789" * 1000)
        static = {"tools.staticdir.on": True, "tools.staticdir.dir": os.path.realpath(files)}
        cherrypy.tree.mount(cherrypy_app.Root(), "", {"/static": static})
        for _ in range(20):  # until everything is known that is remembered
            call(path)
        counts = count(path)
    ours = {name: n for name, n in counts.items() if not name.startswith("bytecodes.")}
    print(f"{sum(ours.values()) / ROUNDS:8.0f}  {path}, of which:")
    for name, n in sorted(ours.items(), key=lambda item: -item[1])[:lines]:
        print(f"{n / ROUNDS:8.0f}  {name}")


if __name__ == "__main__":
    main()
