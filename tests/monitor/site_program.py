"""The site whose processes the tests of several processes start: python site_program.py PORT SOCKET DASHBOARD.

With a file named by SITE_PULSE, a thread writes the time there, PULSE seconds apart as long as the system
lets it: where they are further apart, the system had not run the process.
"""

from __future__ import annotations

import gc
import logging
import os
import struct
import sys
import threading
import time

import cherrypy

#: Seconds between two pulses, and what each is: a monotonic time, the same clock in all processes.
PULSE = 0.01
MOMENT = struct.Struct("!d")


def work_hard(until: float) -> int:
    rounds = 0
    while time.monotonic() < until:
        rounds += sum(range(1000)) > 0
    return rounds


logging.getLogger("shop.orders").setLevel(logging.WARNING)


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return str(os.getpid())

    @cherrypy.expose
    def slow(self) -> str:
        time.sleep(0.05)
        return "slow"

    @cherrypy.expose
    def settings(self) -> str:
        settings = cherrypy.engine.monitor.settings
        return f"level_is {settings['level']} without {settings['metrics.exclude']}"

    @cherrypy.expose
    def hold(self, seconds: str = "30") -> str:
        time.sleep(float(seconds))
        return "held"

    @cherrypy.expose
    def busy(self, seconds: str = "1") -> str:
        return str(work_hard(time.monotonic() + float(seconds)))

    @cherrypy.expose
    def held(self) -> str:
        levels = [logging.getLogger(name).level for name in ("shop.orders", "shop.bills")]
        return f"paused {cherrypy.engine.monitor.held.paused} levels {levels}"

    @cherrypy.expose
    def litter(self) -> str:
        gc.disable()  # until somebody asks for it
        for _ in range(500):
            one: list[object] = []
            one.append(one)
        return "made"

    @cherrypy.expose
    def broken(self, words: str = "as it was asked") -> str:
        raise ValueError(words)

    @cherrypy.expose
    def stream(self):
        yield "a"
        yield "b"

    stream._cp_config = {"response.stream": True}


def pulse(path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(MOMENT.pack(time.monotonic()))
            time.sleep(PULSE)


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
    if "SITE_PULSE" in os.environ:
        threading.Thread(target=pulse, args=[os.environ["SITE_PULSE"]], daemon=True).start()
    cherrypy.engine.signals.subscribe()
    cherrypy.tree.mount(Root())
    cherrypy.engine.start()
    print("ready", flush=True)
    cherrypy.engine.block()
