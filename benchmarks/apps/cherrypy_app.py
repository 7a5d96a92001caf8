"""The application under measurement: an ordinary CherryPy program, the same file for CherryPy 18.10 and for us.

usage: cherrypy_app.py PORT [default|wsgi|native|tls]     with the folder of static files in $BENCH_FILES

'wsgi' goes through WSGI whatever the server would do by itself; 'tls' finds its certificate and key in
$BENCH_CERTIFICATE and $BENCH_KEY.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import cherrypy

BIG = b"x" * (1 << 20)


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "Hello World!"

    @cherrypy.expose
    def user(self, number: str, tab: str, x: str, y: str) -> str:
        return f"user {number} tab {tab} sum {int(x) + int(y)}"

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json(self) -> dict[str, object]:
        return {"message": "Hello World!", "numbers": [1, 2, 3], "ok": True}

    @cherrypy.expose
    @cherrypy.config(**{"tools.sessions.on": True})
    def session(self) -> str:
        cherrypy.session["count"] = count = cherrypy.session.get("count", 0) + 1
        return f"count {count > 0}"

    @cherrypy.expose
    def big(self) -> bytes:
        return BIG


def through_wsgi(environ: Any, start_response: Any) -> Any:
    return cherrypy.tree(environ, start_response)


def main() -> None:
    port, kind = int(sys.argv[1]), ([*sys.argv, "default"])[2]
    cherrypy.config.update(
        {
            "server.socket_host": "127.0.0.1",
            "server.socket_port": port,
            "server.socket_timeout": 120,
            "server.socket_queue_size": 1024,
            "engine.autoreload.on": False,
            "log.screen": False,
            "checker.on": False,
        }
    )
    if kind == "native":
        from cherrypy._cpnative_server import CPHTTPServer

        cherrypy.server.httpserver = CPHTTPServer(cherrypy.server)
    elif kind == "wsgi":
        from cherrypy._cpwsgi_server import CPWSGIServer

        cherrypy.server.httpserver = CPWSGIServer(cherrypy.server)
        cherrypy.server.httpserver.wsgi_app = through_wsgi
    elif kind == "tls":
        cherrypy.config.update(
            {
                "server.ssl_module": "builtin",
                "server.ssl_certificate": os.environ["BENCH_CERTIFICATE"],
                "server.ssl_private_key": os.environ["BENCH_KEY"],
            }
        )
    static = {"tools.staticdir.on": True, "tools.staticdir.dir": os.environ["BENCH_FILES"]}
    cherrypy.tree.mount(Root(), "/", {"/static": static})
    # No signal handlers: the harness ends the process, and both frameworks treat SIGTERM alike without them.
    cherrypy.engine.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
