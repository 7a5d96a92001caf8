"""Tutorial 10: errors, and the pages that say so.

python -m cherrypy.tutorial.tut10_http_errors
"""

import os

import cherrypy

HERE = os.path.dirname(os.path.abspath(__file__))
CONF = os.path.join(HERE, "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 10</title>
<ul>
<li><a href="/nowhere">A page that is not there</a></li>
<li><a href="/closed">A page that is closed</a></li>
<li><a href="/broken">A page with a bug</a></li>
<li><a href="/moved">A page that has moved</a></li>
</ul>
"""


# A page of our own for "404 Not Found", with %(status)s, %(message)s and the like in it. For any
# other error there is one that comes with the framework; "error_page.default" would replace that.
@cherrypy.config(**{"error_page.404": os.path.join(HERE, "custom_error.html")})
class Errors:
    @cherrypy.expose
    def index(self) -> str:
        return PAGE

    # An HTTPError is an answer: the status, and what to tell the visitor. Raise it anywhere.
    @cherrypy.expose
    def closed(self) -> str:
        raise cherrypy.HTTPError(403, "The garden is closed in winter.")

    # Any other exception is "500 Internal Server Error". The traceback goes to the log; visitors
    # see it too only where "request.show_tracebacks" is on, which is for developers.
    @cherrypy.expose
    def broken(self) -> str:
        cherries: list[str] = []
        return cherries[0]

    # Redirects are raised as well. This one does not come back: bookmarks may follow it.
    @cherrypy.expose
    def moved(self) -> str:
        raise cherrypy.HTTPRedirect("/", 301)


if __name__ == "__main__":
    cherrypy.quickstart(Errors(), config=CONF)
