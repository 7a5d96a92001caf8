"""A site that reads whatever a peer sends: ``python rubbish_site.py`` prints its port and serves."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cherrypy
from cherrypy.lib import auth_basic, auth_digest

CHECK = auth_basic.checkpassword_dict({"u": "p"})


class Calls(cherrypy._cptools.XMLRPCController):
    @cherrypy.expose
    def echo(self, *args: Any) -> str:
        return repr(args)[:100]


class Root:
    calls = Calls()

    @cherrypy.expose
    def cpu(self) -> str:
        """Seconds of processor time that this process has used."""
        return repr(time.process_time())

    @cherrypy.expose
    def form(self, *args: Any, **params: Any) -> str:
        return f"{len(params)} parameters"

    @cherrypy.expose
    def raw(self, *args: Any, **params: Any) -> str:
        """Looks at every fact of a request."""
        request = cherrypy.request
        facts = [request.base, request.remote.ip, request.params, dict(request.headers)]
        facts += [request.cookie, cherrypy.url(), request.body.read()[:10], request.body.parts]
        return str(len(repr(facts)))

    @cherrypy.expose
    @cherrypy.tools.json_in()
    def json(self) -> str:
        return type(cherrypy.request.json).__name__

    @cherrypy.expose
    @cherrypy.tools.auth_basic(realm="r", checkpassword=CHECK)
    def basic(self) -> str:
        return "in"

    @cherrypy.expose
    @cherrypy.tools.auth_digest(
        realm="r", get_ha1=auth_digest.get_ha1_dict_plain({"u": "p"}), key="k"
    )
    def digest(self) -> str:
        return "in"

    @cherrypy.expose
    def cookies(self) -> str:
        return str(len(cherrypy.request.cookie))

    @cherrypy.expose
    @cherrypy.tools.sessions()
    def session(self) -> str:
        cherrypy.session["n"] = 1
        return cherrypy.session.id

    @cherrypy.expose
    @cherrypy.tools.accept(media=["text/html", "text/plain"])
    def accept(self) -> str:
        return "accepted"

    @cherrypy.expose
    @cherrypy.tools.encode(encoding=None)
    @cherrypy.tools.gzip()
    def coded(self) -> str:
        return "é" * 100

    @cherrypy.expose
    @cherrypy.tools.compress()
    def compressed(self) -> str:
        return "é" * 10000

    @cherrypy.expose
    @cherrypy.tools.etags(autotags=True)
    @cherrypy.tools.caching()
    def tagged(self) -> str:
        return "tagged"

    @cherrypy.expose
    @cherrypy.tools.referer(pattern="http://[^/]*good")
    def referred(self) -> str:
        return "welcome"

    @cherrypy.expose
    @cherrypy.tools.proxy(forwarded="Forwarded", prefix="X-Forwarded-Prefix")
    def proxied(self) -> str:
        return cherrypy.url("/x")

    @cherrypy.expose
    @cherrypy.tools.decode(encoding=["utf-8", "latin-1"])
    def decoded(self, **params: Any) -> str:
        return str(len(params))

    @cherrypy.expose
    @cherrypy.tools.params()
    def number(self, n: int = 0) -> str:
        return str(n)

    @cherrypy.expose
    @cherrypy.tools.autovary()
    @cherrypy.tools.ignore_headers(headers=["Range"])
    def vary(self) -> str:
        return str(len(dict(cherrypy.request.headers)))

    @cherrypy.expose
    def redirected(self, to: str = "") -> None:
        raise cherrypy.HTTPRedirect(to)

    @cherrypy.expose
    @cherrypy.tools.redirect(url="elsewhere", internal=False)
    def away(self, *args: str) -> None:
        """Goes to what lies beside it."""

    @cherrypy.expose
    @cherrypy.tools.err_redirect(url="/form", internal=True)
    def inside(self, *args: str) -> None:
        raise ValueError

    @cherrypy.expose
    def echoed(self, value: str = "", name: str = "X-Echo") -> str:
        """Sends back, in a field, what was sent."""
        cherrypy.response.headers[name] = value
        return "sent"

    @cherrypy.expose
    def refused(self, message: str = "") -> None:
        raise cherrypy.HTTPError(418, message)

    @cherrypy.expose
    def download(self, name: str = "") -> Any:
        return cherrypy.lib.static.serve_file(__file__, "text/plain", "attachment", name)

    @cherrypy.expose
    def status(self, value: str = "200") -> str:
        cherrypy.response.status = value
        return "status"

    @cherrypy.expose
    def body(self, kind: str = "") -> Any:
        return {
            "bytearray": bytearray(b"body"),
            "memoryview": memoryview(b"body"),
            "list of bytearrays": [bytearray(b"bo"), bytearray(b"dy")],
            "list of memoryviews": [memoryview(b"bo"), memoryview(b"dy")],
            "generator": (part for part in (bytearray(b"bo"), memoryview(b"dy"))),
            "sliced": memoryview(b"b-o-d-y-")[::2],
        }[kind]

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def streamed(self, kind: str = "") -> Any:
        return self.body(kind)


class Methods:
    exposed = True

    def GET(self, *path: str) -> str:
        return str(len(path))


def folder() -> Iterator[tuple[str, dict[str, Any]]]:
    here = str(Path(__file__).parent)
    yield "/static", {"tools.staticdir.on": True, "tools.staticdir.dir": here}
    yield "/calls", {"request.dispatch": cherrypy.dispatch.XMLRPCDispatcher()}


def main() -> None:
    cherrypy.config.update(
        {
            "server.socket_host": "127.0.0.1",
            "server.socket_port": 0,
            "engine.autoreload.on": False,
            "checker.on": False,
            "log.screen": False,
            "request.show_tracebacks": False,
        }
    )
    cherrypy.tree.mount(Root(), "", dict(folder()))
    method = {"/": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()}}
    cherrypy.tree.mount(Methods(), "/methods", method)
    # An orphan must not outlive its test run for long.
    threading.Timer(300, os._exit, (9,)).start()
    cherrypy.engine.start()
    print(cherrypy.server.bound_addr[1], flush=True)
    sys.stdin.buffer.read()
    cherrypy.engine.exit()
    os._exit(0)


if __name__ == "__main__":
    main()
