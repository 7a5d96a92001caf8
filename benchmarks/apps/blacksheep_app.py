"""The workloads in BlackSheep."""

from __future__ import annotations

from blacksheep import Application, Response, get, json, text

app = Application()


@get("/")
async def hello() -> Response:
    return text("Hello World!")


@get("/user/{number}")
async def user(number: str, tab: str, x: int, y: int) -> Response:
    return text(f"user {number} tab {tab} sum {x + y}")


@get("/json")
async def as_json() -> Response:
    return json({"message": "Hello World!", "numbers": [1, 2, 3], "ok": True})
