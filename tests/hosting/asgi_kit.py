"""What the tests of ASGI applications share: small applications, and the way into the tree."""

from __future__ import annotations

import json

import pytest

from cherrypy.websocket.client import Refused, connect


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


def serve_sockets(site, app, path="/api", start=True):
    """Graft an application that wants no lifespan; what serves it."""
    graft = site.tree.graft_asgi(app, path, lifespan="off")
    if start:
        site.start()
    return graft


async def accept(receive, send, **more):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **more})


def opened(site, path="/api"):
    """The WebSockets that an application has not ended yet."""
    return list(site.tree.apps[path].sockets)


def call(site, path="/api", **options):
    host, port = site.address
    client = connect(f"ws://{host}:{port}{path}", **options)
    site.clients.append(client)
    return client


async def echo(receive, send):
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    return message


async def echoes(scope, receive, send):
    await accept(receive, send)
    await echo(receive, send)


def refused(site, path="/api", **options):
    with pytest.raises(Refused) as caught:
        call(site, path, **options)
    return caught.value
