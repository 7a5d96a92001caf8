"""What the tests of ASGI applications share: small applications, and the way into the tree."""

from __future__ import annotations

import json


async def body_of(receive):
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


async def say(send, body, status=200, *headers):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


def http_only(app):
    """An application that takes no part in the lifespan, as the specification lets it."""

    async def wrapped(scope, receive, send):
        if scope["type"] == "http":
            await app(scope, receive, send)

    return wrapped


def serve(site, app, path="/api"):
    site.tree.graft_asgi(http_only(app), path)
    return site.start()


async def show_scope(scope, receive, send):
    plain = {
        key: value.decode() if isinstance(value, bytes) else value for key, value in scope.items()
    }
    plain["headers"] = [
        [name.decode(), value.decode("latin-1")] for name, value in scope["headers"]
    ]
    await say(send, json.dumps(plain).encode())
