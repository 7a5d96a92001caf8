"""The program of the tests about Redis: a site with a shared room, and with broadcasts on the bus.

Arguments: the URL of Redis, and further settings of `engine.websocket` as name=literal. It ends when its standard input
does.
"""

from __future__ import annotations

import ast
import sys
import threading
import time
from typing import Any

import cherrypy
from cherrypy.websocket import Room, WebSocket, WebSocketPlugin

lobby = Room("lobby", shared=True)
private = Room("lobby")


class Member(WebSocket):
    def opened(self) -> None:
        lobby.join(self)
        self.send("in")

    def received_message(self, message: Any) -> None:
        lobby.send(message, but=self)


class Loner(WebSocket):
    def opened(self) -> None:
        private.join(self)
        self.send("in")


class Anybody(WebSocket):
    def opened(self) -> None:
        self.send("in")

    def received_message(self, message: Any) -> None:
        cherrypy.engine.publish("websocket-broadcast", message)


class Root:
    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=Member, max_message=1 << 23, max_output=1 << 24)
    def room(self) -> None:
        pass

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=Loner)
    def alone(self) -> None:
        pass

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=Anybody)
    def anybody(self) -> None:
        pass

    @cherrypy.expose
    def say(self, text: str, times: str = "1", size: str = "0") -> str:
        """Send to the room; how many here got it, and the seconds it took."""
        filler = "x" * int(size)
        began = time.monotonic()
        for number in range(int(times)):
            sent = lobby.send(f"{text} {number}{filler}")
        return f"{sent} {time.monotonic() - began}"

    @cherrypy.expose
    def quiet(self, text: str) -> str:
        return str(private.send(text))

    @cherrypy.expose
    def connected(self) -> str:
        return str(cherrypy.engine.websocket.connected)

    @cherrypy.expose
    def threads(self) -> str:
        return str(sum("redis" in thread.name for thread in threading.enumerate()))

    @cherrypy.expose
    def again(self) -> str:
        """Stop the plugin and start it again."""
        cherrypy.engine.websocket.stop()
        left = self.threads()
        cherrypy.engine.websocket.start()
        return f"{left} {self.threads()}"


def main() -> None:
    url, *more = sys.argv[1:]
    settings = {"redis": url}
    for entry in more:
        name, _, value = entry.partition("=")
        settings[name] = ast.literal_eval(value)
    cherrypy.config.update(
        {
            "server.socket_port": 0,
            "server.shutdown_timeout": 1,
            "engine.autoreload.on": False,
            "log.access_file": "",
            **{f"engine.websocket.{name}": value for name, value in settings.items()},
        }
    )
    WebSocketPlugin(cherrypy.engine).subscribe()
    cherrypy.tree.mount(Root())
    cherrypy.engine.start()
    sys.stdin.read()
    cherrypy.engine.exit()
    cherrypy.engine.block()


if __name__ == "__main__":
    main()
