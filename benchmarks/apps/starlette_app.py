"""The workloads in Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello World!")


async def user(request: Request) -> PlainTextResponse:
    query, number = request.query_params, request.path_params["number"]
    return PlainTextResponse(
        f"user {number} tab {query['tab']} sum {int(query['x']) + int(query['y'])}"
    )


async def json(request: Request) -> JSONResponse:
    return JSONResponse({"message": "Hello World!", "numbers": [1, 2, 3], "ok": True})


app = Starlette(routes=[Route("/", hello), Route("/user/{number}", user), Route("/json", json)])
