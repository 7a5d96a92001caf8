"""Tutorial 3: forms, sent with GET and with POST.

What a form holds, and what follows the "?" in an address, become arguments of the method.

    python -m cherrypy.tutorial.tut03_get_and_post
"""

import os
from html import escape

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

HEAD = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 3</title>
"""

# GET asks, and changes nothing: the answer may be bookmarked, and asked for again.
# POST does something, so browsers ask before they send it twice.
FORMS = """
<form action="/search" method="get">
<p><label>Look for <input name="fruit"></label> <button>Search</button></p>
</form>
<form action="/order" method="post">
<p><label>Your name <input name="name"></label>
<label>How many? <input name="count" value="1"></label> <button>Order</button></p>
</form>
"""

FRUITS = ("cherry", "damson", "plum", "sour cherry")


class Market:
    @cherrypy.expose
    def index(self) -> str:
        return HEAD + FORMS

    # "/search?fruit=cherry" calls search(fruit="cherry"), "/search" takes the default.
    @cherrypy.expose
    def search(self, fruit: str = "") -> str:
        found = ", ".join(one for one in FRUITS if fruit in one) or "nothing"
        # Never put into a page what somebody else wrote without escape(): it could be a program.
        return HEAD + f"<p>{escape(fruit) or 'Everything'}: {found}.</p>" + FORMS

    # The tool "allow" answers any other method with 405 Method Not Allowed.
    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def order(self, name: str, count: str) -> str:
        # Arguments are text. What is no number is the visitor's mistake, hence 400 Bad Request.
        with cherrypy.HTTPError.handle(ValueError, 400, "How many? Please give a number."):
            kilos = int(count)
        return HEAD + f"<p>Thank you, {escape(name)}: {kilos} kg, coming up.</p>"


if __name__ == "__main__":
    cherrypy.quickstart(Market(), config=CONF)
