"""`python -m cherrypy doctor`: what is unsafe in a configuration. Law: nothing in it is executed."""
