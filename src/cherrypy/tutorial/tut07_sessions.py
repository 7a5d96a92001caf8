"""Tutorial 7: sessions, what a site remembers of one visitor.

The visitor's browser keeps a cookie with a long random number, the server what belongs to it.

    python -m cherrypy.tutorial.tut07_sessions
"""

import os

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 7</title>
<p>Cherries in your basket: {}</p>
<form action="/add" method="post"><p><button>One more</button></p></form>
<form action="/empty" method="post"><p><button>Empty it</button></p></form>
"""


# Tools are switched on by configuration, and this is one way to write it: for a class, and with
# that for all its pages.
@cherrypy.config(**{"tools.sessions.on": True})
class Basket:
    @cherrypy.expose
    def index(self) -> str:
        # The session is a dict; a new visitor's is empty.
        return PAGE.format(cherrypy.session.get("cherries", 0))

    # What changes something is for POST only: links, and programs that follow them, send GET.
    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def add(self) -> None:
        cherrypy.session["cherries"] = cherrypy.session.get("cherries", 0) + 1
        # Then the browser goes back and asks for the page: reloading it will not add another one.
        raise cherrypy.HTTPRedirect("/", 303)

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def empty(self) -> None:
        cherrypy.session.clear()
        raise cherrypy.HTTPRedirect("/", 303)


if __name__ == "__main__":
    cherrypy.quickstart(Basket(), config=CONF)
