"""A chat: everybody who has the page open, and no thread for any of them."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import Any

import cherrypy
from cherrypy.websocket import Message, Room, WebSocket

from .views import page

LONGEST = 400  # characters of a line

lobby = Room("lobby")
past: deque[dict[str, Any]] = deque(maxlen=30)  # what those who come later get to read
numbers = itertools.count(1)


class Visitor(WebSocket):
    """One end of the conversation. The server calls it when something happens."""

    name = "Somebody"

    def opened(self) -> None:
        self.number = next(numbers)
        self.send_json({"you": self.number, "past": list(past)})
        lobby.join(self)
        self.tell_how_many()

    def received_message(self, message: Message) -> None:
        text = str(message).strip()[:LONGEST]
        if text:
            line = {"from": self.number, "name": self.name, "text": text, "at": time.time()}
            past.append(line)
            lobby.send_json({"line": line})

    def closed(self, code: int, reason: str | None = None) -> None:
        self.tell_how_many()

    def tell_how_many(self) -> None:
        names = sorted(visitor.name for visitor in lobby)
        lobby.send_json({"people": names[:50], "count": len(names)})


class Chat:
    """/chat: a page, and the conversation behind it."""

    @cherrypy.expose
    def index(self) -> str:
        return page("/chat/", "chat.html", Visitor, Chat.talk, script="chat.js")

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=Visitor, max_message=4096)
    def talk(self, name: str = "") -> None:
        visitor = cherrypy.request.ws_handler
        visitor.name = name.strip()[:24] or Visitor.name
