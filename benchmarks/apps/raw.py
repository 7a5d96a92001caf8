"""The smallest WSGI application, and how to serve it with the servers that are started from Python.

usage: raw.py PORT kirsch|cheroot|waitress|bjoern [flask|falcon]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "12")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", HEADERS)
    return [b"Hello World!"]


def kirsch(application: Any, port: int) -> None:
    import kirsch

    kirsch.serve(application, f"127.0.0.1:{port}", backlog=1024)


def cheroot(application: Any, port: int) -> None:
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), application, request_queue_size=1024, timeout=120).safe_start()


def waitress(application: Any, port: int) -> None:
    import waitress

    waitress.serve(application, host="127.0.0.1", port=port, threads=10, backlog=1024, _quiet=True)


def bjoern(application: Any, port: int) -> None:
    import bjoern

    bjoern.run(application, "127.0.0.1", port)


SERVERS = {"kirsch": kirsch, "cheroot": cheroot, "waitress": waitress, "bjoern": bjoern}


def main() -> None:
    application: Any = app
    if sys.argv[3:] == ["flask"]:
        from flask_app import app as application
    elif sys.argv[3:] == ["falcon"]:
        from falcon_app import app as application
    SERVERS[sys.argv[2]](application, int(sys.argv[1]))


if __name__ == "__main__":
    main()
