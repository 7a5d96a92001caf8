"""A notice board and a market: what happens is told at once to everybody, and no thread waits for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import cherrypy
from cherrypy.lib import sse

from .views import page

LONGEST = 140  # characters of a note
FRUITS = {"cherry": 7.9, "plum": 3.4, "apricot": 5.2, "quince": 4.6}  # what a kilogram costs

board = sse.Room("board", history=12)


def price(fruit: str, at: float) -> float:
    """What it costs at a time: the same for all, and nobody has to remember anything."""
    waves = ((0.031, 0.05), (0.173, 0.02), (0.61, 0.012))
    usual = FRUITS[fruit]
    swing = sum(height * math.sin(at * speed + usual * 10) for speed, height in waves)
    return round(usual * (1 + swing), 2)


class Board:
    """/board: two event streams, and a form that others see."""

    @cherrypy.expose
    def index(self) -> str:
        handlers = (Board.notes, Board.pin, Board.market, prices)
        return page("/board/", "board.html", *handlers, script="board.js")

    @cherrypy.expose
    def notes(self) -> sse.Stream:
        return sse.stream(board, recent=12, retry=2)

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    @cherrypy.tools.csrf(token=False)
    @cherrypy.tools.json_out()
    def pin(self, text: str, fruit: str = "cherry") -> dict[str, int]:
        text = " ".join(text.split())[:LONGEST]
        if not text or fruit not in FRUITS:
            raise cherrypy.HTTPError(400, "A note needs words, and a fruit we know.")
        note = {"text": text, "fruit": fruit, "at": time.time()}
        return {"readers": board.send(note, event="note")}

    @cherrypy.expose
    def market(self) -> sse.Stream:
        return sse.stream(prices())


async def prices() -> AsyncIterator[Any]:
    now = time.time()
    past = {fruit: [price(fruit, now - back) for back in range(60, 0, -1)] for fruit in FRUITS}
    yield sse.Event(past, event="past")
    while True:
        now = time.time()
        told: dict[str, Any] = {fruit: price(fruit, now) for fruit in FRUITS}
        yield sse.Event({"prices": told, "streams": sse.limits.open})
        await asyncio.sleep(1)
