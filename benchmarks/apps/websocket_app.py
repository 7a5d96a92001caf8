"""An echo and a room, with each library as its documentation has it; plain HTTP under / says that it is there.

usage: websocket_app.py PORT kirsch|ws4py|websockets|aiohttp; or `asgi` of this module in an ASGI server

/echo sends back what comes. A message "COUNT SIZE PAUSE" to /room has the server send so many messages
of that size to everybody in it, with a pause in seconds between them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

HELLO = "Hello World!"
tasks: set[Any] = set()  # a loop keeps no hold of its own on tasks


def orders(text: str) -> tuple[int, str, float]:
    count, size, pause = text.split()
    return int(count), "x" * int(size), float(pause)


def in_thread(send: Any, text: str) -> None:
    """Carry orders out in a thread, as one does who must not hold up the server."""

    def run() -> None:
        count, message, pause = orders(text)
        for _ in range(count):
            send(message)
            time.sleep(pause)

    threading.Thread(target=run, daemon=True).start()


def in_task(send: Any, text: str) -> None:
    """Carry orders out in a task of the loop."""

    async def run() -> None:
        count, message, pause = orders(text)
        for _ in range(count):
            await send(message)
            await asyncio.sleep(pause)

    task = asyncio.ensure_future(run())
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def cherrypy_site(port: int, echo: Any, member: Any, prepare: Any = None) -> None:
    import cherrypy

    cherrypy.config.update(
        {
            "environment": "embedded",
            "server.socket_host": "127.0.0.1",
            "server.socket_port": port,
            "server.socket_queue_size": 1024,
            "log.screen": False,
        }
    )
    if prepare is not None:
        prepare(cherrypy)

    class Root:
        @cherrypy.expose
        def index(self) -> str:
            return HELLO

        @cherrypy.expose
        def echo(self) -> None:
            pass

        @cherrypy.expose
        def room(self) -> None:
            pass

    tool = "tools.websocket."
    settings = {
        f"/{name}": {f"{tool}on": True, f"{tool}handler_cls": handler}
        for name, handler in (("echo", echo), ("room", member))
    }
    cherrypy.tree.mount(Root(), "/", settings)
    cherrypy.server.subscribe()
    cherrypy.engine.start()
    threading.Event().wait()


def kirsch(port: int) -> None:
    from cherrypy.websocket import Room, WebSocket

    room = Room()

    class Echo(WebSocket):
        def received_message(self, message: Any) -> None:
            self.send(message)

    class Member(WebSocket):
        def opened(self) -> None:
            room.join(self)

        def received_message(self, message: Any) -> None:
            in_thread(room.send, str(message))

    cherrypy_site(port, Echo, Member)


def ws4py(port: int) -> None:
    from ws4py.server.cherrypyserver import WebSocketPlugin, WebSocketTool
    from ws4py.websocket import WebSocket

    def prepare(cherrypy: Any) -> None:
        WebSocketPlugin(cherrypy.engine).subscribe()
        cherrypy.tools.websocket = WebSocketTool()

    class Echo(WebSocket):  # type: ignore[misc]  # of a package without types
        def received_message(self, message: Any) -> None:
            self.send(message.data, message.is_binary)

    class Member(WebSocket):  # type: ignore[misc]  # the same
        def received_message(self, message: Any) -> None:
            import cherrypy

            text = message.data.decode()
            in_thread(lambda data: cherrypy.engine.publish("websocket-broadcast", data), text)

    cherrypy_site(port, Echo, Member, prepare)


def websockets(port: int) -> None:
    from websockets.asyncio.server import broadcast, serve

    members: set[Any] = set()

    async def say(message: str) -> None:
        broadcast(members, message)

    async def handler(ws: Any) -> None:
        if ws.request.path == "/echo":
            async for message in ws:
                await ws.send(message)
            return
        members.add(ws)
        try:
            async for message in ws:
                in_task(say, message)
        finally:
            members.discard(ws)

    def hello(connection: Any, request: Any) -> Any:
        return connection.respond(200, HELLO) if request.path == "/" else None

    async def main() -> None:
        async with serve(
            handler, "127.0.0.1", port, compression=None, process_request=hello
        ) as server:
            await server.serve_forever()

    asyncio.run(main())


def aiohttp(port: int) -> None:
    from aiohttp import web

    members: set[Any] = set()

    async def say(message: str) -> None:
        for ws in list(members):
            await ws.send_str(message)

    async def index(request: Any) -> Any:
        return web.Response(text=HELLO)

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is web.WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    async def room(request: Any) -> Any:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        members.add(ws)
        try:
            async for message in ws:
                in_task(say, message.data)
        finally:
            members.discard(ws)
        return ws

    app = web.Application()
    app.add_routes([web.get("/", index), web.get("/echo", echo), web.get("/room", room)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


senders: set[Any] = set()  # of the members of `asgi`


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same for an ASGI server."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": HELLO.encode()})
        return
    if scope["type"] != "websocket":
        return

    async def say(message: str) -> None:
        for one in list(senders):
            await one({"type": "websocket.send", "text": message})

    await receive()
    await send({"type": "websocket.accept"})
    echo = scope["path"] == "/echo"
    if not echo:
        senders.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            if not echo:
                in_task(say, event["text"])
            elif event.get("text") is None:
                await send({"type": "websocket.send", "bytes": event["bytes"]})
            else:
                await send({"type": "websocket.send", "text": event["text"]})
    finally:
        senders.discard(send)


def main() -> None:
    port, name = int(sys.argv[1]), sys.argv[2]
    if name == "kirsch+c":  # the sources, in the environment of those who bring C along
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    {
        "kirsch": kirsch,
        "kirsch+c": kirsch,
        "ws4py": ws4py,
        "websockets": websockets,
        "aiohttp": aiohttp,
    }[name](port)


if __name__ == "__main__":
    main()
