"""WSGI: foreign applications grafted, middleware in the pipeline, Application called by hand."""

import io
import sys
import threading

from compat_kit import R, form

import cherrypy


def raw(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    lines = [
        f"{k}: {environ.get(k)}"
        for k in (
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "PATH_INFO",
            "QUERY_STRING",
            "SERVER_PROTOCOL",
            "wsgi.url_scheme",
            "wsgi.version",
            "wsgi.multithread",
            "wsgi.multiprocess",
            "wsgi.run_once",
            "CONTENT_TYPE",
            "CONTENT_LENGTH",
            "HTTP_X_OWN",
            "REMOTE_ADDR",
            "HTTP_HOST",
            "ACTUAL_SERVER_PROTOCOL",
            "REQUEST_URI",
            "SERVER_NAME",
            "REMOTE_USER",
        )
    ]
    lines.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    return ["\n".join(lines).encode()]


def text(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    return ["Hello world!"]


def writer(environ, start_response):
    write = start_response("200 OK", [("Content-type", "text/plain")])
    write(b"written ")
    return [b"and returned"]


def fails(environ, start_response):
    raise ValueError("grafted failure")


def fails_late(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    yield b"some"
    raise ValueError("late")


def restarted(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    try:
        raise ValueError()
    except ValueError:
        start_response("503 Sorry", [("Content-type", "text/x")], sys.exc_info())
    return [b"replaced"]


def empty(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    return []


def nobody(environ, start_response):
    start_response("204 No Content", [])
    return []


def wrapper(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file wrapped"), 4)


class Closer:
    closed = []

    def __init__(self, chunks):
        self.chunks = iter(chunks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.chunks)

    def close(self):
        Closer.closed.append("closed")


def closing(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    return Closer([b"a", b"b"])


def many_headers(environ, start_response):
    start_response(
        "200 OK",
        [
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Content-type", "text/plain"),
            ("Content-Length", "2"),
        ],
    )
    return [b"ok"]


class Upper:
    """Middleware with an argument."""

    def __init__(self, nextapp, suffix=""):
        self.nextapp = nextapp
        self.suffix = suffix

    def __call__(self, environ, start_response):
        def own_start(status, headers, exc_info=None):
            headers = [h for h in headers if h[0].lower() != "content-length"]
            return start_response(status, [*headers, ("X-Upper", self.suffix)], exc_info)

        answer = self.nextapp(environ, own_start)
        try:
            yield b"".join(answer).upper()
        finally:
            if hasattr(answer, "close"):
                answer.close()


class Blind:
    """Middleware that answers for some paths itself."""

    def __init__(self, nextapp):
        self.nextapp = nextapp

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/blocked":
            start_response("403 Blocked", [("Content-Type", "text/plain")])
            return [b"blocked by middleware"]
        return self.nextapp(environ, start_response)


def apart(run):
    """In a thread of its own: what is being served belongs to the thread."""
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


class Root:
    @cherrypy.expose
    def index(self, **kw):
        return f"root {sorted(kw.items())}"

    @cherrypy.expose
    def environ(self):
        e = cherrypy.request.wsgi_environ
        return repr((e["REQUEST_METHOD"], e["SCRIPT_NAME"], e["PATH_INFO"], e["wsgi.version"]))

    @cherrypy.expose
    def boom(self):
        raise ValueError("x")

    @cherrypy.expose
    def closed(self):
        return repr(Closer.closed)

    @cherrypy.expose
    def byhand(self, path="/", method="GET", query="", key="PATH_INFO"):
        """Call an Application as WSGI says."""
        app = cherrypy.Application(Inner(), "/inner")
        seen = []

        def start(status, headers, exc_info=None):
            seen.append((status, sorted(h for h in headers if h[0] != "Date")))

        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "/inner",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "inner.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "10.0.0.1",
            "REMOTE_PORT": "1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(b""),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "HTTP_HOST": "inner.test",
            "REMOTE_USER": "someone",
        }

        def run():
            body = app(environ, start)
            seen.append(b"".join(body))
            body.close()

        apart(run)
        return repr(seen)

    @cherrypy.expose
    def in_process(self):
        """A request without a server."""
        app = cherrypy.tree.apps["/piped"]
        local = cherrypy.lib.httputil.Host("127.0.0.1", 50000, "")
        remote = cherrypy.lib.httputil.Host("127.0.0.1", 50001, "")
        seen = []

        def run():
            request, response = app.get_serving(local, remote, "http", "HTTP/1.1")
            request.run("GET", "/piped/", "a=1", "HTTP/1.1", [("Host", "x")], io.BytesIO())
            seen.extend(
                (
                    response.output_status,
                    b"".join(response.body),
                    sorted(k for k, v in response.header_list),
                )
            )
            app.release_serving()

        apart(run)
        return repr(seen)

    @cherrypy.expose
    def tree_call(self):
        seen = []
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/nothing/here",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": 0,
            "wsgi.multiprocess": 0,
            "wsgi.run_once": 0,
        }
        body = cherrypy._cptree.Tree()(environ, lambda s, h, e=None: seen.append((s, h)))
        return repr((seen, list(body)))

    @cherrypy.expose
    def apps(self):
        return repr(sorted(cherrypy.tree.apps)) + repr(cherrypy.tree.script_name("/raw/x"))


class Inner:
    @cherrypy.expose
    def index(self, **kw):
        r = cherrypy.request
        return f"inner {sorted(kw.items())} {r.base} {r.login} {r.remote.ip} {cherrypy.url()}"

    @cherrypy.expose
    def page(self):
        return "inner page"


def setup(folder):
    tree = cherrypy.tree
    tree.mount(Root(), "")
    for name, app in (
        ("raw", raw),
        ("text", text),
        ("writer", writer),
        ("fails", fails),
        ("late", fails_late),
        ("restarted", restarted),
        ("empty", empty),
        ("nobody", nobody),
        ("wrapper", wrapper),
        ("closing", closing),
        ("many", many_headers),
        ("raw/deeper", text),
    ):
        tree.graft(app, "/" + name)
    app = tree.mount(Root(), "/piped", {"/": {"wsgi.upper.suffix": "unused"}})
    app.wsgiapp.pipeline.append(("upper", Upper))
    app.wsgiapp.config["upper"] = {"suffix": "set"}
    tree.mount(
        Root(),
        "/configured",
        {"/": {"wsgi.pipeline": [("blind", Blind), ("upper", Upper)], "wsgi.upper.suffix": "conf"}},
    )
    scriptless = cherrypy.Application(Inner(), script_name=None)
    tree.graft(scriptless, "/scriptless")
    tree.mount(cherrypy.Application(Inner(), "/premade"), "/premade")
    tree.graft(Upper(cherrypy.Application(Inner(), "/wrapped")), "/wrapped")


REQUESTS = [
    R("raw", "/raw"),
    R("raw path", "/raw/a%20b/%C3%A9?q=1", headers={"X-Own": "o"}),
    R("raw posted", "/raw/", **form(a="1")),
    R("raw 1.0", "/raw", http="1.0"),
    R(
        "raw twice",
        raw=b"GET /raw HTTP/1.1\r\nHost: x\r\nX-Own: 1\r\nX-Own: 2\r\n"
        b"X_Own: 3\r\nConnection: close\r\n\r\n",
    ),
    *(
        R(n, "/" + n)
        for n in (
            "text",
            "writer",
            "fails",
            "late",
            "restarted",
            "empty",
            "nobody",
            "wrapper",
            "closing",
            "closed",
            "many",
            "raw/deeper",
            "rawer",
            "environ",
            "apps",
            "tree_call",
            "in_process",
        )
    ),
    R("head grafted", "/many", "HEAD"),
    R("piped", "/piped/"),
    R("piped error", "/piped/boom"),
    R("piped missing", "/piped/missing"),
    R("configured", "/configured/"),
    R("configured blocked", "/configured/blocked"),
    R("scriptless", "/scriptless/"),
    R("scriptless page", "/scriptless/page"),
    R("scriptless redirect", "/scriptless"),
    R("premade", "/premade/"),
    R("wrapped", "/wrapped/"),
    R("by hand", "/byhand"),
    R("by hand missing", "/byhand?path=/zzz"),
    R("by hand head", "/byhand?method=HEAD"),
    R("by hand query", "/byhand?query=a%3D1"),
]
