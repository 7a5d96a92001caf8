"""Tutorial 2: several pages, and what is no page.

Each exposed method is a page, at the address that has its name: `plums` is "/plums".

    python -m cherrypy.tutorial.tut02_expose_methods
"""

import os

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 2</title>
<p>{}</p>
<p><a href="/">The orchard</a> · <a href="/cherries">Cherries</a> · <a href="/plums">Plums</a></p>
"""


class Orchard:
    trees = {"cherries": 12, "plums": 7}

    @cherrypy.expose
    def index(self) -> str:
        return PAGE.format("What would you like to see?")

    @cherrypy.expose
    def cherries(self) -> str:
        return PAGE.format(self.count("cherries"))

    # A page may have more names than that of its method.
    @cherrypy.expose(["prunes", "damsons"])
    def plums(self) -> str:
        return PAGE.format(self.count("plums"))

    # Not exposed: a method for us, not for visitors. "/count" is 404 Not Found.
    def count(self, fruit: str) -> str:
        return f"There are {self.trees[fruit]} trees with {fruit}."


if __name__ == "__main__":
    cherrypy.quickstart(Orchard(), config=CONF)
