"""The site of the tests as gunicorn loads it: `gunicorn gunicorn_program:application`."""

from __future__ import annotations

import os

from site_program import Root, configure

import cherrypy

configure(os.environ["SITE_SOCKET"], "127.0.0.1:0")
cherrypy.server.unsubscribe()
cherrypy.engine.autoreload.unsubscribe()
cherrypy.tree.mount(Root())
cherrypy.engine.start()
application = cherrypy.tree
