"""The pages: an exposed method each, found by its name in the path."""

from __future__ import annotations

import os
import random
import string
import time
from collections.abc import Iterator

import cherrypy

from .board import Board
from .chat import Chat
from .live import Live
from .settings import HERE
from .uploads import Upload
from .views import Markup, escape, fill, join, page, rows

FRUITS = ("cherry", "plum", "apricot", "sloe", "damson")


def choices(chosen: str) -> Markup:
    """The options of the form, the last choice still chosen."""
    return join(
        Markup(f"<option{' selected' if fruit == chosen else ''}>{escape(fruit)}</option>")
        for fruit in FRUITS
    )


class Session:
    """/session: a number that is yours alone."""

    @cherrypy.expose
    def index(self) -> str:
        count = cherrypy.session.get("count", 0)
        return page("/session/", "session.html", Session, count=count, id=cherrypy.session.id[:8])

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def add(self) -> None:
        cherrypy.session["count"] = cherrypy.session.get("count", 0) + 1
        raise cherrypy.HTTPRedirect("/session/", 303)

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def reset(self) -> None:
        cherrypy.lib.sessions.expire()
        raise cherrypy.HTTPRedirect("/session/", 303)


class Stream:
    """/stream: an answer that is sent while it is being made."""

    @cherrypy.expose
    def index(self) -> str:
        return page("/stream/", "stream.html", Stream.lines, script="stream.js")

    @cherrypy.expose
    def lines(self, count: str = "24", pause: str = "0.15") -> Iterator[str]:
        wanted, seconds = min(int(count), 200), min(float(pause), 1.0)
        cherrypy.response.headers["Content-Type"] = "text/plain;charset=utf-8"
        cherrypy.response.headers["Cache-Control"] = "no-store"

        def each() -> Iterator[str]:
            started = time.perf_counter()
            for number in range(1, wanted + 1):
                passed = time.perf_counter() - started
                yield f"{number:3}  {passed:6.2f} s  {'●' * number}\n"
                time.sleep(seconds)

        return each()


class Errors:
    """/errors: things going wrong, politely."""

    @cherrypy.expose
    def index(self) -> str:
        return page("/errors/", "errors.html", Errors)

    @cherrypy.expose
    def crash(self) -> str:
        return str(1 / 0)

    @cherrypy.expose
    def teapot(self) -> str:
        raise cherrypy.HTTPError(418, "I am a teapot, short and stout.")

    @cherrypy.expose
    def secret(self) -> str:
        raise cherrypy.HTTPError(403, "This door is closed, and it will stay closed.")

    @cherrypy.expose
    def moved(self) -> str:
        raise cherrypy.HTTPRedirect("/errors/")


class Showcase:
    """The home page, and what hangs below it."""

    def __init__(self) -> None:
        self.upload = Upload()
        self.session = Session()
        self.live = Live()
        self.stream = Stream()
        self.chat = Chat()
        self.board = Board()
        self.errors = Errors()

    @cherrypy.expose
    def index(self) -> str:
        return page("/", "home.html", version=cherrypy.__version__)

    @cherrypy.expose
    def dashboard(self) -> None:
        """What the monitor has seen is on a port of its own: the next free one, if that is taken."""
        shown = getattr(cherrypy.engine.monitor, "dashboard", None)
        if shown is None or not shown.url.startswith("http"):
            raise cherrypy.HTTPError(404, "The dashboard is off.")
        raise cherrypy.HTTPRedirect(shown.url + "/", 303)

    @cherrypy.expose
    def form(self, name: str = "", fruit: str = "cherry", count: str = "3") -> str:
        answer, problem = "", ""
        if cherrypy.request.method == "POST":
            if not name.strip():
                problem = "Please tell us your name."
            elif not count.isdecimal() or not 1 <= int(count) <= 99:
                problem = "How many? A number from 1 to 99."
            else:
                plural = fruit if count == "1" else fruit.replace("y", "ie") + "s"
                answer = fill("greeting.html", name=name.strip(), count=count, fruit=plural)
        return page(
            "/form",
            "form.html",
            Showcase.form,
            name=name,
            count=count,
            options=choices(fruit),
            problem=fill("problem.html", text=problem) if problem else "",
            answer=answer,
        )

    @cherrypy.expose(["generer", "generar"])
    def generate(self, length: str = "12") -> str:
        size = min(int(length), 128) if length.isdecimal() else 12
        word = "".join(random.choices(string.ascii_letters + string.digits, k=size))
        called = cherrypy.request.path_info.strip("/")
        return page(
            "/generate", "generate.html", Showcase.generate, word=word, called=called, length=size
        )

    @cherrypy.expose
    def files(self) -> str:
        folder = os.path.join(HERE, "static")
        listing = [
            (fill("link.html", href=f"/static/{name}", text=name), f"{size:,} bytes")
            for name in sorted(os.listdir(folder))
            if (size := os.path.getsize(os.path.join(folder, name)))
        ]
        return page("/files", "files.html", script="files.js", rows=rows(listing))

    @cherrypy.expose
    def request(self, **params: str) -> str:
        request = cherrypy.request
        facts = [
            ("Request line", request.request_line),
            ("From", f"{request.remote.ip}, port {request.remote.port}"),
            ("To", cherrypy.url(qs=request.query_string)),
            ("Path", request.path_info),
            ("Query", request.query_string or "none"),
            ("Scheme, protocol", f"{request.scheme}, {request.server_protocol}"),
        ]
        return page(
            "/request",
            "request.html",
            Showcase.request,
            facts=rows(facts),
            headers=rows(sorted(request.headers.items())),
            params=rows(params.items()) or rows([("none", "try the form below")]),
        )
