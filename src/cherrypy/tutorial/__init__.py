"""Applications to learn from: ten tutorials, a file each, and the showcase.

`python -m cherrypy.tutorial.tut01_helloworld` serves the first of the tutorials, each of which shows one thing
more than the one before; docs/tutorial.md walks through them. `python -m cherrypy.tutorial.showcase` serves the
application that shows everything.
"""
