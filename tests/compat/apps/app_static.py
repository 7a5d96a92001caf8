"""Static files, downloads, ranges, validators, expiry."""

import io
import os

from compat_kit import R

import cherrypy
from cherrypy.lib import static

TEXT = b"Hello, world\r\n"
WHEN = 1_600_000_000


class Generated:
    """A file-like object that can neither tell nor seek."""

    def __init__(self):
        self.left = [b"fee", b"fie", b""]

    def read(self, n=-1):
        return self.left.pop(0)


class Root:
    folder = ""

    @cherrypy.expose
    def index(self):
        return "dynamic index"

    @cherrypy.expose
    def dynamic(self):
        return "dynamic"

    @cherrypy.expose
    def bigfile(self):
        return static.serve_file(os.path.join(self.folder, "static/big.bin"))

    @cherrypy.expose
    def served(self, name="index.html", kind=None, disposition=None, as_name=None):
        return static.serve_file(
            os.path.join(self.folder, "static", name), kind, disposition, as_name
        )

    @cherrypy.expose
    def relative(self):
        return static.serve_file("relative.txt")

    @cherrypy.expose
    def download(self, name="index.html", as_name=None):
        return static.serve_download(os.path.join(self.folder, "static", name), as_name)

    @cherrypy.expose
    def fileobj(self):
        return static.serve_fileobj(io.BytesIO(b"fileobj"), content_type="text/plain")

    @cherrypy.expose
    def fileobj_name(self):
        return static.serve_fileobj(io.BytesIO(b"named"), disposition="attachment", name="né.txt")

    @cherrypy.expose
    def fileobj_generated(self):
        return static.serve_fileobj(Generated(), content_type="text/plain")

    @cherrypy.expose
    def fileobj_open(self):
        f = open(os.path.join(self.folder, "static/index.html"), "rb")  # noqa: SIM115  closed with the response
        return static.serve_fileobj(f)

    @cherrypy.expose
    def ranges(self, header, length):
        return repr(cherrypy.lib.httputil.get_ranges(header, int(length)))

    @cherrypy.expose
    @cherrypy.tools.etags(autotags=True)
    def autotag(self, text="same"):
        return text

    @cherrypy.expose
    @cherrypy.tools.etags()
    def etag(self):
        cherrypy.response.headers["ETag"] = '"own"'
        return "own etag"

    @cherrypy.expose
    @cherrypy.tools.etags(autotags=True)
    def autotag_error(self):
        raise cherrypy.HTTPError(410)

    @cherrypy.expose
    @cherrypy.tools.etags(autotags=True)
    def autotag_status(self):
        cherrypy.response.status = 202
        return "not tagged"

    @cherrypy.expose
    def since(self):
        cherrypy.response.headers["Last-Modified"] = cherrypy.lib.httputil.HTTPDate(WHEN)
        cherrypy.lib.cptools.validate_since()
        return "modified"

    class Expires:
        @cherrypy.expose
        def specific(self):
            cherrypy.response.headers["Etag"] = "validated"
            return "specific"

        @cherrypy.expose
        def cacheable(self):
            cherrypy.response.headers["Etag"] = "validated"
            return "cacheable"

        @cherrypy.expose
        def dynamic(self):
            return "dynamic"

        @cherrypy.expose
        def wrong(self):
            cherrypy.response.headers["Etag"] = "validated"
            return "wrong"

    expires = Expires()


def setup(folder):
    Root.folder = folder
    base = os.path.join(folder, "static")
    os.makedirs(os.path.join(base, "sub", "deep"))
    os.makedirs(os.path.join(folder, "secret"))
    files = {
        "static/index.html": TEXT,
        "static/plain.txt": b"0123456789",
        "static/unknown.xyzzy": b"?",
        "static/noextension": b"none",
        "static/style.css": b"a{}",
        "static/data.json": b"{}",
        "static/big.bin": b"\x00\x01" * 20000,
        "static/empty.txt": b"",
        "static/sub/index.html": b"sub index",
        "static/sub/has space.txt": b"space",
        "static/sub/n\u00e9.txt": b"accent",
        "secret/password.txt": b"secret",
        "static/file.js": b"1",
        "static/archive.tar.gz": b"gz",
        "static/sub/x.xhtml": b"<x/>",
        "static/pic.png": b"png",
    }
    for name, data in files.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, (WHEN, WHEN))
    cherrypy.tree.mount(
        Root(),
        "",
        {
            "/": {"tools.staticdir.root": folder},
            "/static": {"tools.staticdir.on": True, "tools.staticdir.dir": "static"},
            "/absolute": {
                "tools.staticdir.on": True,
                "tools.staticdir.dir": base,
                "tools.staticdir.root": None,
            },
            "/indexed": {
                "tools.staticdir.on": True,
                "tools.staticdir.dir": "static",
                "tools.staticdir.index": "index.html",
            },
            "/typed": {
                "tools.staticdir.on": True,
                "tools.staticdir.dir": "static",
                "tools.staticdir.content_types": {"xyzzy": "text/xyzzy", "js": "text/own"},
            },
            "/matched": {
                "tools.staticdir.on": True,
                "tools.staticdir.dir": "static",
                "tools.staticdir.match": r"\.txt$",
            },
            "/error": {"tools.staticdir.on": True, "error_page.404": page},
            "/style.css": {
                "tools.staticfile.on": True,
                "tools.staticfile.filename": os.path.join(base, "style.css"),
            },
            "/rooted.css": {
                "tools.staticfile.on": True,
                "tools.staticfile.root": base,
                "tools.staticfile.filename": "style.css",
            },
            "/gone.css": {
                "tools.staticfile.on": True,
                "tools.staticfile.filename": os.path.join(base, "gone.css"),
            },
            "/expires/specific": {"tools.expires.on": True, "tools.expires.secs": 3600},
            "/expires/cacheable": {"tools.expires.on": True, "tools.expires.secs": 0},
            "/expires/dynamic": {
                "tools.expires.on": True,
                "tools.expires.secs": 60,
                "tools.expires.force": False,
            },
            "/expires/wrong": {
                "tools.expires.on": True,
                "tools.expires.secs": 0,
                "tools.expires.force": True,
            },
        },
    )
    cherrypy.tree.mount(
        None,
        "/rootless",
        {
            "/": {
                "tools.staticdir.on": True,
                "tools.staticdir.dir": base,
                "tools.staticdir.index": "index.html",
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/zip",
        {
            "/": {"tools.gzip.on": True},
            "/static": {"tools.staticdir.on": True, "tools.staticdir.dir": base},
        },
    )


def page(status, message, traceback, version):
    return f"own page: {message[:60]}"


DATE = "Sun, 13 Sep 2020 12:26:40 GMT"

REQUESTS = [
    *(
        R(f"static {p}", f"/static/{p}")
        for p in (
            "index.html",
            "plain.txt",
            "unknown.xyzzy",
            "noextension",
            "style.css",
            "data.json",
            "empty.txt",
            "file.js",
            "archive.tar.gz",
            "pic.png",
            "big.bin",
            "sub/index.html",
            "sub/has%20space.txt",
            "sub/n%C3%A9.txt",
            "sub/x.xhtml",
            "missing.txt",
            "sub",
            "sub/",
            "",
            "../secret/password.txt",
            "%2e%2e/secret/password.txt",
            "..%2fsecret/password.txt",
            "sub/../plain.txt",
            "%00",
            "plain.txt%00.html",
            "plain.txt/",
            "/plain.txt",
            "sub/deep",
        )
    ),
    R("static dir no slash", "/static"),
    R("static head", "/static/plain.txt", "HEAD"),
    R("static post", "/static/plain.txt", "POST", body=b""),
    R("static options", "/static/plain.txt", "OPTIONS"),
    R("dynamic beside", "/dynamic"),
    R("absolute", "/absolute/plain.txt"),
    R("indexed", "/indexed/"),
    R("indexed sub", "/indexed/sub/"),
    R("indexed no slash", "/indexed"),
    R("indexed sub no slash", "/indexed/sub"),
    R("indexed deep", "/indexed/sub/deep/"),
    R("typed", "/typed/unknown.xyzzy"),
    R("typed js", "/typed/file.js"),
    R("matched", "/matched/plain.txt"),
    R("not matched", "/matched/index.html"),
    R("misconfigured", "/error/x"),
    R("file", "/style.css"),
    R("file rooted", "/rooted.css"),
    R("file gone", "/gone.css"),
    R("rootless", "/rootless/plain.txt"),
    R("rootless index", "/rootless/"),
    R("rootless missing", "/rootless/zzz"),
    R("served", "/served"),
    R("served kind", "/served?kind=text/own"),
    R("served attachment", "/served?disposition=attachment"),
    R("served inline name", "/served?disposition=inline&as_name=x.txt"),
    R("served unicode name", "/served?disposition=attachment&as_name=n%C3%A9%22x.txt"),
    R("served missing", "/served?name=zzz"),
    R("served folder", "/served?name=sub"),
    R("served relative", "/relative"),
    R("download", "/download"),
    R("download name", "/download?as_name=other.bin"),
    R("bigfile", "/bigfile"),
    *(
        R(n.replace("_", " "), "/" + n)
        for n in ("fileobj", "fileobj_name", "fileobj_generated", "fileobj_open")
    ),
    R("fileobj range", "/fileobj", headers={"Range": "bytes=1-2"}),
    *(
        R(f"range {r}", "/static/plain.txt", headers={"Range": r})
        for r in (
            "bytes=2-5",
            "bytes=2-",
            "bytes=-3",
            "bytes=0-0",
            "bytes=0-100",
            "bytes=20-30",
            "bytes=-0",
            "bytes=-100",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=",
            "items=0-1",
            "bytes=0-1,4-5",
            "bytes=0-1,20-30",
            "bytes=20-,30-",
            "bytes = 1 - 2",
            "bytes=4-5,0-1",
            "bytes=1-2,",
            "nonsense",
        )
    ),
    R("range empty file", "/static/empty.txt", headers={"Range": "bytes=0-"}),
    R("range 1.0", "/static/plain.txt", http="1.0", headers={"Range": "bytes=2-5"}),
    R("range head", "/static/plain.txt", "HEAD", headers={"Range": "bytes=2-5"}),
    R(
        "range if-range stale",
        "/static/plain.txt",
        headers={"Range": "bytes=2-5", "If-Range": "Sun, 13 Sep 2015 12:26:40 GMT"},
    ),
    R(
        "range if-range current",
        "/static/plain.txt",
        headers={"Range": "bytes=2-5", "If-Range": DATE},
    ),
    R("modified since same", "/static/plain.txt", headers={"If-Modified-Since": DATE}),
    R(
        "modified since older",
        "/static/plain.txt",
        headers={"If-Modified-Since": "Sun, 13 Sep 2015 12:26:40 GMT"},
    ),
    R(
        "unmodified since older",
        "/static/plain.txt",
        headers={"If-Unmodified-Since": "Sun, 13 Sep 2015 12:26:40 GMT"},
    ),
    R("unmodified since same", "/static/plain.txt", headers={"If-Unmodified-Since": DATE}),
    R("modified since garbage", "/static/plain.txt", headers={"If-Modified-Since": "yesterday"}),
    R("since", "/since", headers={"If-Modified-Since": DATE}),
    R("since other", "/since", headers={"If-Modified-Since": "Sun, 13 Sep 2015 12:26:40 GMT"}),
    R("since post", "/since", "POST", body=b"", headers={"If-Modified-Since": DATE}),
    *(
        R(f"get_ranges {h}", "/ranges?length=10&header=" + h.replace("=", "%3D"))
        for h in (
            "bytes=0-4",
            "bytes=-3",
            "bytes=3-",
            "bytes=8-20",
            "bytes=12-",
            "bytes=4-2",
            "bytes=0-1,3-4",
            "pages=1-2",
            "bytes=x",
            "bytes=--1",
            "bytes=-20",
            "bytes=1-1-1",
        )
    ),
    R("etag auto", "/autotag"),
    R("etag auto matches", "/autotag", headers={"If-None-Match": "{{ETag}}"}),
    R("etag auto star", "/autotag", headers={"If-None-Match": "*"}),
    R("etag auto again", "/autotag"),
    R("etag auto if-match", "/autotag", headers={"If-Match": "{{ETag}}"}),
    R("etag auto if-match star", "/autotag", headers={"If-Match": "*"}),
    R("etag auto if-match other", "/autotag", headers={"If-Match": '"other"'}),
    R("etag auto list", "/autotag", headers={"If-None-Match": '"x", "y"'}),
    R("etag auto post if-none-match", "/autotag", "POST", body=b"", headers={"If-None-Match": "*"}),
    R("etag auto head", "/autotag", "HEAD"),
    R("etag error", "/autotag_error"),
    R("etag status", "/autotag_status"),
    R("etag own", "/etag"),
    R("etag own matches", "/etag", headers={"If-None-Match": '"own"'}),
    R("etag own weak", "/etag", headers={"If-None-Match": 'W/"own"'}),
    R("etag own in list", "/etag", headers={"If-None-Match": '"x", "own"'}),
    R("etag own if-match", "/etag", headers={"If-Match": '"x"'}),
    *(R(f"expires {n}", f"/expires/{n}") for n in ("specific", "cacheable", "dynamic", "wrong")),
    R("expires 1.0", "/expires/wrong", http="1.0"),
    R("zip static", "/zip/static/index.html", headers={"Accept-Encoding": "gzip"}),
    R("zip png", "/zip/static/pic.png", headers={"Accept-Encoding": "gzip"}),
    R(
        "zip range",
        "/zip/static/plain.txt",
        headers={"Accept-Encoding": "gzip", "Range": "bytes=1-2"},
    ),
]
