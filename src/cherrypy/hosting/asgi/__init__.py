"""ASGI applications beside the pages of the site: `cherrypy.tree.graft_asgi`."""
