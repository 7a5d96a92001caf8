"""Tutorial 1: the smallest site there is.

A site is an object, and its pages are methods. This site has one page.

    python -m cherrypy.tutorial.tut01_helloworld

Then open http://127.0.0.1:8080/, and end the program with Ctrl-C.
"""

import os

import cherrypy

# Where to listen, and the like: a file beside this one, the same for all the tutorials.
CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 1</title>
<p>Hello world!</p>
"""


class HelloWorld:
    # Visitors may only call what is exposed. Without this line the page would not exist for them.
    @cherrypy.expose
    def index(self) -> str:
        # "index" is the page at the object's own address: here "/". What it returns is sent.
        return PAGE


if __name__ == "__main__":
    # Put an object at the top of the site, start the server, and serve until Ctrl-C.
    cherrypy.quickstart(HelloWorld(), config=CONF)
