"""Tutorial 6: addresses that nobody wrote a method for.

The names in a path lead from object to object, as far as they go. What is left of it becomes the
positional arguments of the page found there, or, if no page was found, of the method `default`.

    python -m cherrypy.tutorial.tut06_default_method
"""

import calendar
import os

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 6</title>
<pre>{}</pre>
<p><a href="/2026/7">July 2026</a> · <a href="/leap/2028">Is 2028 a leap year?</a></p>
"""


class Calendar:
    @cherrypy.expose
    def index(self) -> str:
        return PAGE.format("Choose a month.")

    # "/leap/2028" calls leap("2028"); "/leap" and "/leap/2028/7" do not fit, and are 404.
    @cherrypy.expose
    def leap(self, year: str) -> str:
        with cherrypy.HTTPError.handle(ValueError, 404, "There is no such year."):
            answer = "yes" if calendar.isleap(int(year)) else "no"
        return PAGE.format(answer)

    # "/2026/7" is no other method's, so it calls default("2026", "7"), and "/2026" takes January.
    @cherrypy.expose
    def default(self, year: str, month: str = "1") -> str:
        with cherrypy.HTTPError.handle((ValueError, IndexError), 404, "There is no such month."):
            text = calendar.month(int(year), int(month))
        return PAGE.format(text)


if __name__ == "__main__":
    cherrypy.quickstart(Calendar(), config=CONF)
