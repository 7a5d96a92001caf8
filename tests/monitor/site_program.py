"""The site whose processes the tests of several processes start: python site_program.py PORT SOCKET DASHBOARD."""

from __future__ import annotations

import os
import sys
import time

import cherrypy


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return str(os.getpid())

    @cherrypy.expose
    def slow(self) -> str:
        time.sleep(0.05)
        return "slow"

    @cherrypy.expose
    def stream(self):
        yield "a"
        yield "b"

    stream._cp_config = {"response.stream": True}


def configure(socket: str, dashboard: str) -> None:
    cherrypy.config.update(
        {
            "environment": "production",
            "log.screen": True,
            "engine.monitor.on": True,
            "engine.monitor.socket": socket,
            "engine.monitor.dashboard.listen": dashboard,
        }
    )


if __name__ == "__main__":
    port, socket, dashboard = sys.argv[1:4]
    configure(socket, dashboard)
    cherrypy.config.update({"server.socket_port": int(port), "server.socket_host": "127.0.0.1"})
    cherrypy.engine.signals.subscribe()
    cherrypy.tree.mount(Root())
    cherrypy.engine.start()
    print("ready", flush=True)
    cherrypy.engine.block()
