"""What the framework adds to a raw WSGI application, in microseconds a request, in one process.

    python benchmarks/framework_micro.py [seconds]

Each line is the median of several short runs, in processor time, of the whole call: the application is called with an
environment, the body iterated and closed. No server and no socket take part.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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


MEBIBYTE = bytes(1 << 20)


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
    def header(self) -> str:
        cherrypy.response.headers["X-Own"] = "value"
        return "Hello World!"

    @cherrypy.expose
    def cookie(self) -> str:
        cherrypy.response.cookie["name"] = "value"
        return "Hello World!"

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json(self) -> dict[str, Any]:
        return {"hello": "world", "n": [1, 2, 3]}

    @cherrypy.expose
    @cherrypy.tools.sessions()
    def count(self) -> str:
        session = cherrypy.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @cherrypy.expose
    def big(self) -> bytes:
        return MEBIBYTE

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


def cookie_of(app: Any, env: dict[str, Any]) -> str:
    """Return the cookie that the application sets, as a client sends it back."""
    fields: list[tuple[str, str]] = []
    body = app(env, lambda status, headers, exc_info=None: fields.extend(headers))
    getattr(body, "close", lambda: None)()
    return dict(fields)["Set-Cookie"].partition(";")[0]


def pages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is measured of the pages of `Root`: a title and an environment."""
    yield "hello world", environ("/")
    yield "path and query", environ("/user/42", "tab=posts&x=1&y=2")
    yield "own content type, bytes", environ("/headers")
    yield "own field", environ("/header")
    yield "own cookie", environ("/cookie")
    yield "json_out", environ("/json")
    yield "session, new", environ("/count")
    cookie = cookie_of(cherrypy.tree, environ("/count"))
    yield "session, known", environ("/count", HTTP_COOKIE=cookie)
    yield "1 MiB of bytes", environ("/big")
    yield "404 by exception", environ("/notfound")


def files(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the same of an application that serves `folder` as /static."""
    for size in (10, 1024):
        with open(os.path.join(folder, f"{size}.bin"), "wb") as file:
            file.write(bytes(size * 1024))
    yield "static file, 10 KiB", environ("/static/10.bin")
    yield "static file, 1 MiB, iterated", environ("/static/1024.bin")
    yield (
        "static file, 1 MiB, given away",
        environ("/static/1024.bin", **{"wsgi.file_wrapper": Given}),
    )


class Given:
    """What a server makes of a file that it sends by itself."""

    def __init__(self, file: Any, block: int = 0) -> None:
        self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


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
    with tempfile.TemporaryDirectory() as folder:
        static = {"tools.staticdir.on": True, "tools.staticdir.dir": folder}
        site = cherrypy.Application(Root(), "", {"/static": static})
        for app, found in ((cherrypy.tree, pages()), (site, files(folder))):
            for title, env in found:
                took = measure(app, env, seconds)
                print(f"{title:34} {took:8.2f} us   {took - floor:8.2f} on top")


if __name__ == "__main__":
    main()
