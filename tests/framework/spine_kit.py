"""Calling applications in process: what the tests of the spine share."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from typing import Any

import cherrypy.lib.toolbox  # noqa: F401 - the default tools register themselves
from cherrypy.framework.application import Application
from cherrypy.framework.request import Request
from cherrypy.framework.site import site
from cherrypy.framework.tree import Tree


@dataclass
class Answer:
    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    error: BaseException | None = None
    calls: int = 0

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


def environ(path: str = "/", query: str = "", method: str = "GET", **more: Any) -> dict[str, Any]:
    body = more.pop("body", b"")
    env: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "127.0.0.9",
        "REMOTE_PORT": "1234",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body:
        env["CONTENT_LENGTH"] = str(len(body))
        env["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    env.update(more)
    return {key: value for key, value in env.items() if value is not None}


def call(app: Any, path: str = "/", query: str = "", **more: Any) -> Answer:
    """Call a WSGI application as a server does and return what came out."""
    answer = Answer()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        answer.status, answer.headers = status, headers
        answer.calls += 1
        return lambda data: None

    try:
        response = app(environ(path, query, **more), start_response)
        try:
            for chunk in response:
                assert type(chunk) is bytes
                answer.chunks.append(chunk)
        finally:
            if hasattr(response, "close"):
                response.close()
    except BaseException as exc:
        answer.error = exc
    answer.body = b"".join(answer.chunks)
    return answer


def mount(root: Any, config: dict[str, Any] | None = None, at: str = "") -> Tree:
    """Return a tree of its own with one application."""
    tree = Tree()
    tree.mount(root, at, {"/": config} if config is not None else None)
    return tree


def app_of(tree: Tree) -> Application:
    return next(iter(tree.apps.values()))


def without_hooks() -> None:
    """Forget hooks that other tests have left to all requests."""
    for hooks in Request.hooks.values():
        hooks.clear()


site.log.screen = False
