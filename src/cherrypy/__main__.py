"""`python -m cherrypy`: start the engine with the given configuration and modules."""

from cherrypy.daemon import run

if __name__ == "__main__":
    run()
