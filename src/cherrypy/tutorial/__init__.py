"""Applications to learn from; `python -m cherrypy.tutorial.showcase` serves the one that shows everything."""
