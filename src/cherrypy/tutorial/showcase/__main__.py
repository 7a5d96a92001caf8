"""`python -m cherrypy.tutorial.showcase [--host H] [--port N]`: serve the showcase until Ctrl-C."""

from __future__ import annotations

import argparse

import cherrypy

from .pages import Showcase
from .settings import APPLICATION, SITE


def main() -> None:
    parser = argparse.ArgumentParser("python -m cherrypy.tutorial.showcase", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="TCP port (%(default)s)")
    parser.add_argument(
        "--dashboard", default="127.0.0.1:9191", help="where it listens, or off (%(default)s)"
    )
    chosen = parser.parse_args()
    cherrypy.config.update(SITE)
    cherrypy.config.update({"server.socket_host": chosen.host, "server.socket_port": chosen.port})
    watched = False if chosen.dashboard == "off" else chosen.dashboard
    cherrypy.config.update({"monitor.dashboard.listen": watched})
    cherrypy.quickstart(Showcase(), "/", APPLICATION)


if __name__ == "__main__":
    main()
