"""Pages that are coroutines, of all kinds."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import cherrypy


def thread() -> str:
    return threading.current_thread().name


class Gate:
    """What coroutines wait for, on whichever loop, and a test opens."""

    def __init__(self) -> None:
        self.entered = 0
        self.cancelled = 0
        self.ended = 0
        self.is_open = False

    async def wait(self) -> None:
        self.entered += 1
        try:
            while not self.is_open:
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1


@cherrypy.expose
class Resource:
    """For MethodDispatcher."""

    async def GET(self, number: str = "0") -> str:
        await asyncio.sleep(0)
        return f"got {number}"

    async def POST(self, a: str) -> str:
        await asyncio.sleep(0)
        return f"posted {a} {cherrypy.request.body.params}"


class CallablePage:
    """An object that is a page."""

    exposed = True

    async def __call__(self, *args: str, **kwargs: str) -> str:
        await asyncio.sleep(0)
        return f"called {args} {kwargs}"


class Pages:
    def __init__(self) -> None:
        self.gate = Gate()
        self.callable = CallablePage()
        self.notes: list[Any] = []
        self.resource = Resource()

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    async def sleep(self, seconds: str = "0.5") -> str:
        await asyncio.sleep(float(seconds))
        return "slept"

    @cherrypy.expose
    async def wait(self, name: str = "nobody") -> str:
        cherrypy.response.headers["X-Name"] = name
        await self.gate.wait()
        headers = cherrypy.serving.response.headers
        return f"{cherrypy.request.params['name']} {headers['X-Name']} {cherrypy.url()}"

    @cherrypy.expose
    async def arguments(self, first: str, *rest: str, key: str = "none") -> str:
        await asyncio.sleep(0)
        return repr((first, rest, key))

    @cherrypy.expose
    async def default(self, *path: str) -> str:
        return "default " + "/".join(path)

    @cherrypy.expose
    async def fails(self, how: str) -> str:
        await asyncio.sleep(0)
        if how == "http":
            raise cherrypy.HTTPError(418, "teapot")
        if how == "redirect":
            raise cherrypy.HTTPRedirect("/sleep")
        if how == "inside":
            raise cherrypy.InternalRedirect("/arguments/a", "key=b")
        if how == "inside-sync":
            raise cherrypy.InternalRedirect("/")
        if how == "cancels":
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one
            await asyncio.sleep(0)
        if how == "exits":
            raise SystemExit(3)
        if how == "type":
            raise TypeError("not the arguments")
        raise ValueError("of the page")

    @cherrypy.expose
    async def seen(self) -> str:
        """Who sees the request: tasks, callbacks, threads."""
        loop = asyncio.get_running_loop()
        path = cherrypy.request.path_info
        found = [await asyncio.create_task(self.look()), *await asyncio.gather(self.look())]
        found.append(await asyncio.to_thread(lambda: cherrypy.request.path_info))
        future: asyncio.Future[str] = loop.create_future()
        loop.call_later(0.01, lambda: future.set_result(cherrypy.request.path_info))
        found.append(await future)
        assert found == [path] * 4, found
        return path

    async def look(self) -> str:
        await asyncio.sleep(0.01)
        return str(cherrypy.serving.request.path_info)

    @cherrypy.expose
    async def threads(self) -> str:
        self.notes.append(("page", thread()))
        for point in ("before_finalize", "on_end_resource", "on_end_request"):
            cherrypy.request.hooks.attach(point, self.note, at=point)
        await asyncio.sleep(0)
        return "x"

    def note(self, at: str) -> None:
        self.notes.append((at, thread(), cherrypy.request.path_info))

    @cherrypy.expose
    @cherrypy.tools.json_out()
    async def json(self) -> Any:
        await asyncio.sleep(0)
        return {"a": 1}

    @cherrypy.expose
    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    async def both(self) -> Any:
        await asyncio.sleep(0)
        return cherrypy.request.json

    @cherrypy.expose
    async def count(self) -> str:
        await asyncio.to_thread(cherrypy.session.load)
        number = cherrypy.session.get("n", 0)
        await asyncio.sleep(0.01)
        cherrypy.session["n"] = number + 1
        return str(number + 1)

    @cherrypy.expose
    async def hasty(self) -> str:
        number = cherrypy.session.get("n", 0)
        await asyncio.sleep(0.2)
        cherrypy.session["n"] = number + 1
        return str(number + 1)
