"""Event streams of all kinds."""

from __future__ import annotations

from typing import Any

import cherrypy
from cherrypy.lib import sse


class Pages:
    """Streams of all kinds."""

    def __init__(self) -> None:
        self.room = sse.Room("news")
        self.streams: list[sse.Stream] = []
        self.ended: list[str] = []
        self.options: dict[str, Any] = {}

    @cherrypy.expose
    def index(self) -> str:
        return "hello"

    @cherrypy.expose
    def news(self) -> Any:
        cherrypy.request.hooks.attach("on_end_request", self.note_end)
        return sse.stream(self.room, **self.options)

    @cherrypy.expose
    def bus(self, channel: str = "tidings") -> Any:
        return sse.stream(channel=channel, **self.options)

    @cherrypy.expose
    def own(self) -> Any:
        stream = sse.stream(**self.options)
        stream.send("early")
        self.streams.append(stream)
        return stream

    @cherrypy.expose
    def made(self) -> Any:
        return sse.stream(iter(["one", sse.Event("two", id="2"), {"three": 3}]))

    def note_end(self) -> None:
        self.ended.append(cherrypy.request.path_info)
