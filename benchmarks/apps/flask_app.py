"""The workloads in Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello World!"


@app.get("/user/<number>")
def user(number: str) -> str:
    query = request.args
    return f"user {number} tab {query['tab']} sum {int(query['x']) + int(query['y'])}"


@app.get("/json")
def json() -> dict[str, Any]:
    return {"message": "Hello World!", "numbers": [1, 2, 3], "ok": True}
