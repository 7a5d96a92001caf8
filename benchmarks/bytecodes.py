"""How many bytecodes of Python a request takes, function by function: the same on every machine, however busy.

    python benchmarks/bytecodes.py [PATH] [LINES]      PATH / by default; LINES of the table, 15 by default

What is counted is a request to the application of the benchmarks, from the gateway of the default server to its
answer: all that the framework does. The server around it (receiving, parsing, sending) is not in it. A request comes
alone, or is one of sixteen that the server takes up at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import cherrypy

sys.path.insert(0, str(Path(__file__).resolve().parent / "apps"))

import cherrypy_app

from cherrypy.framework.exchange import Asked, Origin, answer

ROUNDS = 16
FIELDS = {"HTTP_HOST": "127.0.0.1:8080"}
ORIGIN = Origin(("127.0.0.1", 8080), ("127.0.0.1", 50000), "http")


def call(path: str, turn: object) -> None:
    """Ask the application as the server does, and take the answer."""
    app = cherrypy.tree.direct(path, turn)
    assert app is not None
    path, _, query = path.partition("?")
    asked = Asked("GET", path, query, FIELDS, 1)
    _, _, body = answer(app, asked, io.BytesIO(), ORIGIN, None, "HTTP/1.1", True, turn)
    close = getattr(body, "close", None)
    if close is not None:
        close()


def count(path: str, turns: list[object]) -> Counter[str]:
    """Count the bytecodes of a request in each of the turns, by function."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            code = frame.f_code
            counts[f"{Path(code.co_filename).stem}.{code.co_name}"] += 1
        return trace

    sys.settrace(trace)
    for turn in turns:
        call(path, turn)
    sys.settrace(None)
    for name in [
        name for name in counts if name.startswith("bytecodes.") or name == "exchange.__init__"
    ]:
        del counts[name]  # what is only here
    return counts


@contextlib.contextmanager
def mounted() -> Iterator[None]:
    """The application of the benchmarks, with a folder of static files."""
    cherrypy.config.update({"log.screen": False})
    with tempfile.TemporaryDirectory() as files:
        Path(files, "ten.txt").write_text("0123456789" * 1000)
        static = {"tools.staticdir.on": True, "tools.staticdir.dir": os.path.realpath(files)}
        cherrypy.tree.mount(cherrypy_app.Root(), "", {"/static": static})
        yield


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "/"
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    with mounted():
        for _ in range(20):  # until everything is known that is remembered
            call(path, object())
        alone = count(path, [object() for _ in range(ROUNDS)])
        joined = count(path, [object()] * ROUNDS)
    print("   alone  of many")
    print(f"{alone.total() / ROUNDS:8.0f} {joined.total() / ROUNDS:8.0f}  {path}, of which:")
    for name, n in alone.most_common(lines):
        print(f"{n / ROUNDS:8.0f} {joined[name] / ROUNDS:8.0f}  {name}")


if __name__ == "__main__":
    main()
