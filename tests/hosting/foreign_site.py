"""The site that foreign WSGI servers host in `test_hosting_foreign`; gunicorn imports it by name."""

import os
import sys

import cherrypy

#: Requests that have ended, by their `on_end_request` hook.
ENDED: list[str] = []


def note_end():
    ENDED.append(cherrypy.request.path_info)


class Pages:
    # A hook and no tool of its own: what is put in the toolbox stays there for all other tests.
    _cp_config = {"hooks.on_end_request": note_end}

    @cherrypy.expose
    def index(self, name="nobody"):
        return f"{name} at {cherrypy.url()}"

    @cherrypy.expose
    def form(self, **params):
        return repr(sorted(params.items()))

    @cherrypy.expose
    def size(self):
        return str(len(cherrypy.request.body.read()))

    @cherrypy.expose
    def upload(self, file):
        return f"{file.filename} {len(file.file.read())}"

    @cherrypy.expose
    def stream(self, endless=None):
        def chunks():
            yield "first"
            while endless:
                yield "x" * 10_000
            yield "last"

        return chunks()

    stream._cp_config = {"response.stream": True}

    @cherrypy.expose
    def file(self):
        return cherrypy.lib.static.serve_file(os.path.abspath(__file__), "text/x-python")

    @cherrypy.expose
    def elsewhere(self):
        raise cherrypy.HTTPRedirect("form?to=here")

    @cherrypy.expose
    def inside(self):
        raise cherrypy.InternalRedirect("/form", "from=inside")

    @cherrypy.expose
    def count(self):
        seen = cherrypy.session["seen"] = cherrypy.session.get("seen", 0) + 1
        return str(seen)

    count._cp_config = {"tools.sessions.on": True}

    @cherrypy.expose
    def broken(self):
        raise LookupError("a secret")

    @cherrypy.expose
    def facts(self):
        request = cherrypy.request
        return f"{request.remote.ip} {request.scheme} {request.script_name!r} {request.path_info!r}"

    @cherrypy.expose
    def ended(self):
        return " ".join(ENDED)


if "gunicorn" in sys.modules:  # a process of our own
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
CONFIG = {"/": {"tools.gzip.on": True, "tools.gzip.mime_types": ["text/html"]}}

#: For the whole site; and for wherever the server says that it is.
application = cherrypy.Application(Pages(), "", CONFIG)
anywhere = cherrypy.Application(Pages(), None, CONFIG)

tree = cherrypy._cptree.Tree()
tree.mount(Pages(), "/deep/down", CONFIG)
