"""What the framework adds to a raw WSGI application, in microseconds a request, in one process.

    python benchmarks/framework_micro.py [seconds]

Each line is the median of several short runs, in processor time, of the whole call: the application is called with an
environment, the body iterated and closed. No server and no socket take part.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cherrypy


def environ(path: str = "/", query: str = "", **more: Any) -> dict[str, Any]:
    """Return the environment of a browser-like GET request."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "ACTUAL_SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "localhost:8080",
        "HTTP_USER_AGENT": "benchmark",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **more,
    }


class User:
    @cherrypy.expose
    def index(self) -> str:
        return "user"

    @cherrypy.expose
    def default(self, number: str, tab: str = "", **rest: str) -> str:
        return f"{number} {tab} {len(rest)}"


class Root:
    user = User()

    @cherrypy.expose
    def index(self) -> str:
        return "Hello World!"

    @cherrypy.expose
    def headers(self) -> bytes:
        cherrypy.response.headers["Content-Type"] = "application/json"
        return b'{"a": 1}'

    @cherrypy.expose
    def notfound(self) -> str:
        raise cherrypy.NotFound()


def raw(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer as little as a WSGI application can."""
    body = b"Hello World!"
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: None


def once(app: Any, env: dict[str, Any], count: int) -> float:
    """Return the microseconds of one call, over `count` calls."""
    began = time.thread_time()
    for _ in range(count):
        response = app(env, start_response)
        for _chunk in response:
            pass
        close = getattr(response, "close", None)
        if close is not None:
            close()
    return (time.thread_time() - began) / count * 1e6


def measure(app: Any, env: dict[str, Any], seconds: float) -> float:
    once(app, env, 200)
    count = max(100, int(seconds / 7 / (once(app, env, 200) / 1e6)))
    return median(once(app, env, count) for _ in range(7))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.7
    cherrypy.config.update({"log.screen": False})
    cherrypy.tree.mount(Root(), "")
    floor = measure(raw, environ(), seconds)
    print(f"{'raw WSGI':34} {floor:8.2f} us")
    for title, env in (
        ("hello world", environ("/")),
        ("path and query", environ("/user/42", "tab=posts&x=1&y=2")),
        ("own content type, bytes", environ("/headers")),
        ("404 by exception", environ("/notfound")),
    ):
        took = measure(cherrypy.tree, env, seconds)
        print(f"{title:34} {took:8.2f} us   {took - floor:8.2f} on top")


if __name__ == "__main__":
    main()
