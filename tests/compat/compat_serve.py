"""Serve one app of the corpus: ``python compat_serve.py <app>``, until standard input ends."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps"))

from compat_kit import digest_of

import cherrypy

CONFIG = {
    "server.socket_host": "127.0.0.1",
    "server.socket_port": 0,
    "engine.autoreload.on": False,
    "checker.on": False,
    "log.screen": False,
    "request.show_tracebacks": False,
}


def main(name: str) -> None:
    app = importlib.import_module(name)
    cherrypy.config.update(CONFIG)
    app.setup(os.environ["COMPAT_FOLDER"])
    # An orphan with a stuck engine must not outlive its test run for long.
    threading.Timer(120, os._exit, (9,)).start()
    cherrypy.engine.start()
    port = cherrypy.server.bound_addr[1]
    print(json.dumps({"port": port, "digest": digest_of(app.REQUESTS)}), flush=True)
    sys.stdin.buffer.read()
    cherrypy.engine.exit()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
