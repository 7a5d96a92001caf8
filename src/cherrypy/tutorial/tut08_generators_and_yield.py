"""Tutorial 8: pages that are sent while they are being made.

A page may yield its pieces. They are put together and sent as one, unless `response.stream` says
that each shall go out at once.

    python -m cherrypy.tutorial.tut08_generators_and_yield
"""

import os
import time
from collections.abc import Iterator

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

HEAD = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 8</title>
"""


class Kitchen:
    @cherrypy.expose
    def index(self) -> Iterator[str]:
        yield HEAD
        yield "<ul>\n"
        for step in ("Wash the cherries", "Stone them", "Cook them"):
            yield f"<li>{step}</li>\n"
        yield '</ul>\n<p><a href="/cook">Watch us cook</a></p>\n'

    # The pieces leave one by one, half a second apart. Nobody knows yet how long it will be, so
    # there is no Content-Length: the answer goes out in chunks.
    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def cook(self) -> Iterator[str]:
        yield HEAD
        for minute in range(1, 6):
            yield f"<p>Minute {minute}: it simmers.</p>\n"
            time.sleep(0.5)
        yield "<p>Done.</p>\n"


if __name__ == "__main__":
    cherrypy.quickstart(Kitchen(), config=CONF)
