"""Tutorial 5: pages that look alike, by inheritance.

Pages are methods and sites are objects, so what pages have in common goes where Python puts it:
into a base class.

    python -m cherrypy.tutorial.tut05_derived_objects
"""

import os

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")


class Page:
    """What all pages share: how they begin and end, and the page itself."""

    title = "A page"
    text = ""

    def header(self) -> str:
        return f'<!DOCTYPE html>\n<html lang="en">\n<title>{self.title}</title>\n<h1>{self.title}</h1>\n'

    def footer(self) -> str:
        return '<p><a href="/">Home</a> · <a href="/cherries/">Cherries</a></p>\n'

    # Exposed once, here: whatever derives from Page has it.
    @cherrypy.expose
    def index(self) -> str:
        return self.header() + f"<p>{self.text}</p>\n" + self.footer()


class Cherries(Page):
    # Often another word here and there is enough.
    title = "Cherries"
    text = "Red, round, and gone by August."


class Home(Page):
    title = "Home"
    text = "All that grows here."

    def __init__(self) -> None:
        self.cherries = Cherries()

    # A method that replaces an inherited page says for itself that it is exposed: it may be that
    # a subclass does not want the page.
    @cherrypy.expose
    def index(self) -> str:
        return super().index() + "<p>Picked this morning.</p>\n"


if __name__ == "__main__":
    cherrypy.quickstart(Home(), config=CONF)
