"""The encode and gzip tools, their negotiation and refusals; the caching tool."""

from compat_kit import R, form

import cherrypy

EURO = "köttbullar €"


class Root:
    @cherrypy.expose
    def index(self, **kw):
        return EURO

    @cherrypy.expose
    def utf8(self):
        return EURO.encode()

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.text_only": False, "tools.encode.add_charset": True})
    def utf8_charset(self):
        cherrypy.response.headers["Content-Type"] = "text/plain"
        return EURO.encode()

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.encoding": "utf-16"})
    def forced(self):
        return EURO

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.encoding": "us-ascii"})
    def forced_fails(self):
        return EURO

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.encoding": "us-ascii", "tools.encode.errors": "replace"})
    def forced_replaced(self):
        return EURO

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.default_encoding": "iso-8859-1"})
    def default_latin(self):
        return "köttbullar"

    @cherrypy.expose
    def json(self):
        cherrypy.response.headers["Content-Type"] = "application/json"
        return EURO

    @cherrypy.expose
    @cherrypy.config(**{"tools.encode.text_only": False})
    def json_charset(self):
        cherrypy.response.headers["Content-Type"] = "application/json"
        return EURO

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self):
        yield "kött"
        yield "bullar"

    @cherrypy.expose
    def notfound(self):
        raise cherrypy.NotFound()

    @cherrypy.expose
    def image(self):
        cherrypy.response.headers["Content-Type"] = "image/gif"
        return b"GIF" * 100

    @cherrypy.expose
    @cherrypy.config(**{"tools.gzip.mime_types": ["application/*", "image/svg+xml"]})
    def mime(self, kind):
        cherrypy.response.headers["Content-Type"] = kind
        return b"x" * 300

    @cherrypy.expose
    def encoded(self):
        cherrypy.response.headers["Content-Encoding"] = "own"
        return b"already"

    @cherrypy.expose
    def empty(self):
        return ""

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def noshow(self):
        def content():
            raise IndexError()
            yield "x"

        return content()

    @cherrypy.expose
    def generator(self):
        yield "g" * 100
        yield "h" * 100


class Cached:
    count = 0

    @cherrypy.expose
    def index(self, **kw):
        Cached.count += 1
        return f"visit {Cached.count}"

    @cherrypy.expose
    def peek(self):
        return str(Cached.count)

    @cherrypy.expose
    @cherrypy.config(
        **{
            "tools.response_headers.on": True,
            "tools.response_headers.headers": [("Vary", "Our-Varying-Header")],
        }
    )
    def varying(self):
        Cached.varyings = getattr(Cached, "varyings", 0) + 1
        return f"varying {Cached.varyings}"

    @cherrypy.expose
    def error(self):
        Cached.errors = getattr(Cached, "errors", 0) + 1
        raise cherrypy.HTTPError(404, f"error {Cached.errors}")

    @cherrypy.expose
    @cherrypy.config(**{"tools.caching.delay": 1})
    def short(self):
        Cached.shorts = getattr(Cached, "shorts", 0) + 1
        return f"short {Cached.shorts}"

    @cherrypy.expose
    @cherrypy.config(**{"tools.caching.maxobj_size": 10})
    def large(self):
        Cached.larges = getattr(Cached, "larges", 0) + 1
        return f"large {Cached.larges} " + "x" * 5000

    @cherrypy.expose
    def nocache(self):
        Cached.nocaches = getattr(Cached, "nocaches", 0) + 1
        cherrypy.response.headers["Cache-Control"] = "no-cache"
        return f"nocache {Cached.nocaches}"

    @cherrypy.expose
    def clear(self):
        cherrypy._cache.clear()
        return "cleared"

    @cherrypy.expose
    def stored(self):
        return str(sorted(len(v) for v in cherrypy._cache.store.values()) and "some")

    @cherrypy.expose
    @cherrypy.tools.gzip(mime_types=["text/html"])
    def zipped(self):
        Cached.zippeds = getattr(Cached, "zippeds", 0) + 1
        return f"zipped {Cached.zippeds}"


def setup(folder):
    cherrypy.tree.mount(Root(), "", {"/": {"tools.encode.on": True}})
    cherrypy.tree.mount(Root(), "/gz", {"/": {"tools.gzip.on": True, "tools.encode.on": True}})
    cherrypy.tree.mount(Root(), "/off", {"/": {"tools.encode.on": False}})
    cherrypy.tree.mount(
        Cached(),
        "/cached",
        {
            "/": {"tools.caching.on": True},
            "/peek": {"tools.caching.on": False},
            "/clear": {"tools.caching.on": False},
            "/stored": {"tools.caching.on": False},
        },
    )


def charset(value, path="/"):
    return R(f"charset {path} {value}", path, headers={"Accept-Charset": value})


def coding(value, path="/gz/"):
    return R(f"coding {path} {value}", path, headers={"Accept-Encoding": value})


REQUESTS = [
    R("default", "/"),
    charset("utf-8"),
    charset("utf-16;q=0.5,utf-8;q=0.4"),
    charset("iso-8859-1"),
    charset("us-ascii"),
    charset("us-ascii, ISO-8859-1, x-mac-ce"),
    charset("*;q=1, utf-7;q=0.2"),
    charset("*"),
    charset("iso-8859-1, *"),
    charset("utf-8;q=0"),
    charset(""),
    charset("nonsense"),
    charset("utf-8", "/forced"),
    charset("utf-16", "/forced"),
    charset("iso-8859-1, *;q=0", "/stream"),
    charset("utf-8, iso-8859-1;q=0.2", "/default_latin"),
    *(
        R(n, "/" + n)
        for n in (
            "utf8",
            "utf8_charset",
            "forced",
            "forced_fails",
            "forced_replaced",
            "default_latin",
            "json",
            "json_charset",
            "stream",
            "notfound",
            "image",
            "encoded",
            "empty",
            "generator",
        )
    ),
    R("off", "/off/"),
    R("off bytes", "/off/utf8"),
    coding("gzip"),
    coding("x-gzip"),
    coding("gzip;q=0"),
    coding("identity"),
    coding("*"),
    coding("*;q=0"),
    coding("identity;q=0"),
    coding("deflate"),
    coding("gzip;q=0.5, identity;q=0.9"),
    coding("GZIP"),
    coding(""),
    coding("br, gzip"),
    coding("gzip", "/gz/image"),
    coding("gzip", "/gz/notfound"),
    coding("gzip", "/gz/encoded"),
    coding("gzip", "/gz/empty"),
    coding("gzip", "/gz/stream"),
    coding("gzip", "/gz/generator"),
    coding("gzip", "/gz/noshow"),
    coding("gzip", "/gz/mime?kind=application/json"),
    coding("gzip", "/gz/mime?kind=image/svg%2Bxml"),
    coding("gzip", "/gz/mime?kind=text/plain"),
    R("gzip without header", "/gz/"),
    R("gzip head", "/gz/", "HEAD", headers={"Accept-Encoding": "gzip"}),
    R("cache first", "/cached/"),
    R("cache second", "/cached/"),
    R("cache peek", "/cached/peek"),
    R("cache query", "/cached/?a=1"),
    R("cache query again", "/cached/?a=1"),
    R("cache head", "/cached/", "HEAD"),
    R("cache post", "/cached/", **form()),
    R("cache after post", "/cached/"),
    R("cache put", "/cached/", "PUT", body=b""),
    R("cache after put", "/cached/"),
    R("cache no-cache", "/cached/", headers={"Cache-Control": "no-cache"}),
    R("cache pragma", "/cached/", headers={"Pragma": "no-cache"}),
    R("cache max-age 0", "/cached/", headers={"Cache-Control": "max-age=0"}),
    R("cache max-age long", "/cached/", headers={"Cache-Control": "max-age=1000"}),
    R("cache max-age bad", "/cached/", headers={"Cache-Control": "max-age=x"}),
    R(
        "cache modified since",
        "/cached/",
        headers={"If-Modified-Since": "Sun, 13 Sep 2099 12:26:40 GMT"},
    ),
    R("cache varying a", "/cached/varying", headers={"Our-Varying-Header": "a"}),
    R("cache varying b", "/cached/varying", headers={"Our-Varying-Header": "b"}),
    R("cache varying a again", "/cached/varying", headers={"Our-Varying-Header": "a"}),
    R("cache error", "/cached/error"),
    R("cache error again", "/cached/error"),
    R("cache large", "/cached/large"),
    R("cache large again", "/cached/large"),
    R("cache nocache", "/cached/nocache"),
    R("cache nocache again", "/cached/nocache"),
    R("cache zipped", "/cached/zipped", headers={"Accept-Encoding": "gzip"}),
    R("cache zipped again", "/cached/zipped", headers={"Accept-Encoding": "gzip"}),
    R("cache zipped identity", "/cached/zipped"),
    R("cache short", "/cached/short"),
    R("cache short again", "/cached/short"),
    R("cache short later", "/cached/short", wait=1.2),
    R("cache stored", "/cached/stored"),
    R("cache clear", "/cached/clear"),
    R("cache after clear", "/cached/"),
]
