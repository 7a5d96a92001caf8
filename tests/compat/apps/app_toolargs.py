"""Arguments of the built-in tools that the other apps leave at their defaults."""

import json
import os

from compat_kit import R

import cherrypy


def upper_json(*args, **kwargs):
    """An own handler of json_out: asks the page, and says that it was here."""
    value = cherrypy.serving.request._json_inner_handler(*args, **kwargs)
    return json.dumps({"own": value}).encode()


def own_processor(entity):
    """An own processor of json_in: takes anything for a text."""
    cherrypy.serving.request.json = {"raw": entity.fp.read().decode()}


class Root:
    made = 0

    @cherrypy.expose
    @cherrypy.tools.autovary(ignore={"Content-Disposition", "Accept-Language"})
    def vary(self):
        cherrypy.request.headers.get("Accept-Language")
        cherrypy.request.headers.get("X-Seen")
        return "vary"

    @cherrypy.expose
    @cherrypy.tools.caching(invalid_methods=("PUT",), delay=600)
    def cached(self):
        Root.made += 1
        return f"made {Root.made}"

    @cherrypy.expose
    @cherrypy.tools.gzip(compress_level=1, mime_types=["text/*"])
    def quick(self):
        return "abcdefghij" * 100

    @cherrypy.expose
    @cherrypy.tools.gzip(compress_level=9, mime_types=["text/*"])
    def small(self):
        return "abcdefghij" * 100

    @cherrypy.expose
    @cherrypy.tools.json_in(processor=own_processor, content_type=["application/x-own"])
    def read(self):
        return repr(cherrypy.request.json)

    @cherrypy.expose
    @cherrypy.tools.json_in(force=False)
    def read_maybe(self):
        return repr(getattr(cherrypy.request, "json", "none"))

    @cherrypy.expose
    @cherrypy.tools.json_out(handler=upper_json, content_type="application/x-own")
    def written(self, a="1"):
        return {"a": a}

    @cherrypy.expose
    @cherrypy.tools.log_tracebacks(severity=30)
    def warns(self):
        raise ValueError("logged as a warning")

    @cherrypy.expose
    @cherrypy.tools.referer(
        pattern=r"http://[^/]*compat\.test", error=409, message="Come from <elsewhere>."
    )
    def referred(self):
        return "accepted"


class Slash:
    @cherrypy.expose
    def index(self):
        return "index"

    @cherrypy.expose
    def page(self):
        return "page"


def setup(folder):
    files = os.path.join(folder, "files", "here")
    os.makedirs(files, exist_ok=True)
    for name in ("page.txt", "data.own", "secret.key"):
        with open(os.path.join(files, name), "w") as file:
            file.write(f"content of {name}\n")
        os.utime(os.path.join(files, name), (1e9, 1e9))
    own = {"own": "application/x-own"}
    static = {
        "tools.staticdir.on": True,
        "tools.staticdir.root": os.path.join(folder, "files"),
        "tools.staticdir.dir": "here",
    }
    cherrypy.tree.mount(
        Root(),
        "",
        {
            "/typed": static | {"tools.staticdir.content_types": own},
            "/matching": static | {"tools.staticdir.match": r"\.txt$"},
            "/other/deeper": static | {"tools.staticdir.section": "/other"},
            "/one": {
                "tools.staticfile.on": True,
                "tools.staticfile.root": files,
                "tools.staticfile.filename": "data.own",
                "tools.staticfile.content_types": own,
            },
            "/only": {
                "tools.staticfile.on": True,
                "tools.staticfile.filename": os.path.join(files, "secret.key"),
                "tools.staticfile.match": r"\.txt$",
            },
        },
    )
    mount = cherrypy.tree.mount
    mount(Slash(), "/kept", {"/": {"tools.trailing_slash.missing": False}})
    mount(
        Slash(),
        "/both",
        {"/": {"tools.trailing_slash.missing": False, "tools.trailing_slash.extra": True}},
    )


def posted(kind, body):
    return {"method": "POST", "headers": {"Content-Type": kind}, "body": body}


GZIP = {"Accept-Encoding": "gzip"}

REQUESTS = [
    R("vary", "/vary", headers={"Accept-Language": "de"}),
    R("cached", "/cached"),
    R("cached again", "/cached"),
    R("cached put", "/cached", "PUT", body=b""),
    R("cached after put", "/cached"),
    R("cached post", "/cached", "POST", body=b""),
    R("gzip quick", "/quick", headers=GZIP),
    R("gzip small", "/small", headers=GZIP),
    R("json own processor", "/read", **posted("application/x-own", b"no json")),
    R("json own processor, other type", "/read", **posted("application/json", b"{}")),
    R("json not forced", "/read_maybe", **posted("text/plain", b"text")),
    R("json not forced, json", "/read_maybe", **posted("application/json", b'{"a": 1}')),
    R("json own handler", "/written?a=2"),
    R("json own handler, error", "/written?b=2"),
    R("log tracebacks", "/warns"),
    R("referer wrong", "/referred", headers={"Referer": "http://evil.test/"}),
    R("referer missing", "/referred"),
    *(
        R(f"static {path}", path)
        for path in (
            "/typed/data.own",
            "/typed/page.txt",
            "/matching/page.txt",
            "/matching/secret.key",
            "/other/deeper/page.txt",
            "/other/page.txt",
            "/one",
            "/only",
        )
    ),
    *(R(f"slash {path}", path) for path in ("/kept", "/kept/page/", "/both", "/both/page/")),
]
