"""Tutorial 4: a site of several objects.

An object that is an attribute of another one is a folder of it: the tree of objects is the map
of the site.

    python -m cherrypy.tutorial.tut04_complex_site
"""

import os

import cherrypy

CONF = os.path.join(os.path.dirname(__file__), "tutorial.conf")

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>{title}</title>
<h1>{title}</h1>
<p>{text}</p>
<p><a href="{link}">{words}</a></p>
"""


class Jam:
    @cherrypy.expose
    def index(self) -> str:
        # "../" is where it always is: one folder up.
        return PAGE.format(title="Jam", text="Of cherries.", link="../", words="Back to the shop")


class Shop:
    def __init__(self) -> None:
        self.jam = Jam()  # "/shop/jam/"

    @cherrypy.expose
    def index(self) -> str:
        return PAGE.format(title="The shop", text="Open today.", link="jam/", words="Have some jam")

    # "/shop/hours": a page without a folder of its own, so without a slash at the end.
    @cherrypy.expose
    def hours(self) -> str:
        return PAGE.format(title="Hours", text="From 8 to 6.", link="./", words="Back to the shop")


class Home:
    @cherrypy.expose
    def index(self) -> str:
        return PAGE.format(title="Home", text="Welcome.", link="shop/", words="To the shop")


# Objects may be put in place at any time, even while the site is being served.
home = Home()
home.shop = Shop()  # type: ignore[attr-defined]  # "/shop/": an attribute that the class does not name


if __name__ == "__main__":
    cherrypy.quickstart(home, config=CONF)
