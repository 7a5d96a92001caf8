"""The workloads in Litestar."""

from typing import Any

from litestar import Litestar, MediaType, get


@get("/", media_type=MediaType.TEXT)
async def hello() -> str:
    return "Hello World!"


@get("/user/{number:str}", media_type=MediaType.TEXT)
async def user(number: str, tab: str, x: int, y: int) -> str:
    return f"user {number} tab {tab} sum {x + y}"


@get("/json")
async def json() -> dict[str, Any]:
    return {"message": "Hello World!", "numbers": [1, 2, 3], "ok": True}


app = Litestar([hello, user, json], logging_config=None)
