"""The server that scripts/autobahn asks: an echo under /, as an application would write it. Prints its port."""

from __future__ import annotations

import cherrypy
from cherrypy.websocket import EchoWebSocket


class Root:
    """One page."""

    @cherrypy.expose
    @cherrypy.tools.websocket(
        handler_cls=EchoWebSocket, compression=True, max_message=32 << 20, max_output=64 << 20
    )
    def index(self) -> None:
        """Nothing is sent but what comes."""


if __name__ == "__main__":
    cherrypy.config.update({"environment": "embedded", "server.socket_port": 0})
    cherrypy.tree.mount(Root())
    cherrypy.engine.signals.subscribe()
    cherrypy.server.subscribe()
    cherrypy.engine.start()
    print(cherrypy.server.bound_addr[1], flush=True)
    cherrypy.engine.block()
