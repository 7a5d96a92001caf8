"""Record what the real CherryPy answers: run by the Python that has it installed.

    /path/to/venv-with-cherrypy/bin/python tests/compat/record.py [app ...]

Every app is asked twice, by two processes; what is not the same twice is refused.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import tempfile
from typing import Any

from compat_kit import APPS, EXPECTED, R, Served, Talk, digest_of

sys.path.insert(0, str(APPS))


def ask(app: str, requests: list[R]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        served = Served(app, sys.executable, folder)
        try:
            talk = Talk(served.address)
            return [talk.ask(request) for request in requests]
        finally:
            served.close()


def text(value: object) -> object:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def main(names: list[str]) -> int:
    import cherrypy

    if "kirsch" in sys.modules:
        sys.exit("This is kirsch: record with the real CherryPy.")
    table = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    known = sorted(p.stem for p in APPS.glob("*.py"))
    unstable = 0
    for app in names or known:
        requests: list[R] = importlib.import_module(app).REQUESTS
        assert len({r.name for r in requests}) == len(requests), f"{app}: a name occurs twice"
        first, second = ask(app, requests), ask(app, requests)
        for request, a, b in zip(requests, first, second, strict=True):
            if a != b:
                unstable += 1
                print(f"NOT STABLE {app}/{request.name}\n  {a}\n  {b}")
            if a["end"] == "timeout":
                print(f"TIMEOUT {app}/{request.name}: {a}")
        table[app] = {
            "digest": digest_of(requests),
            "requests": [
                {k: text(v) for k, v in dataclasses.asdict(r).items()} | {"expected": a}
                for r, a in zip(requests, first, strict=True)
            ],
        }
        print(f"{app}: {len(requests)}")
    table = {k: table[k] for k in sorted(table) if k in known}
    EXPECTED.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    print(sum(len(v["requests"]) for v in table.values()), "requests,", cherrypy.__version__)
    return unstable


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
