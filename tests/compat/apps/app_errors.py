"""HTTPError, HTTPRedirect, NotFound, InternalRedirect, and error pages of every kind."""

import os

from compat_kit import R, form

import cherrypy


def page(status, message, traceback, version):
    return f"callable: {status} | {message} | {type(traceback).__name__}"


def page_bytes(status, message, traceback, version):
    return b"bytes page"


def page_list(status, message, traceback, version):
    return ["list ", "page"]


def page_fails(status, message, traceback, version):
    raise ValueError("page <failed>")


def page_none(**kw):
    return None


def page_headers(**kw):
    cherrypy.response.headers["Content-Type"] = "application/json"
    return '{"error": "' + kw["status"] + '"}'


def handle_error():
    cherrypy.response.status = 502
    cherrypy.response.body = [b"handled by error_response"]


class Root:
    @cherrypy.expose
    def index(self, **kw):
        return f"index {sorted(kw.items())}"

    @cherrypy.expose
    def error(self, status="500", message=None):
        raise cherrypy.HTTPError(int(status) if status.isdigit() else status, message)

    @cherrypy.expose
    def error_default(self):
        raise cherrypy.HTTPError()

    @cherrypy.expose
    def error_tuple(self):
        raise cherrypy.HTTPError("404 Own Reason", "own message")

    @cherrypy.expose
    def error_bytes(self):
        raise cherrypy.HTTPError(b"404 x", "message")

    @cherrypy.expose
    def notfound(self, path=None):
        raise cherrypy.NotFound(path)

    @cherrypy.expose
    def value(self):
        raise ValueError("the <message> & more")

    @cherrypy.expose
    def key(self):
        return {}["nothing é €"]

    @cherrypy.expose
    def exit(self):
        raise cherrypy.CherryPyException("bare")

    @cherrypy.expose
    def set_response(self):
        cherrypy.HTTPError(409, "by set_response").set_response()
        return cherrypy.response.body

    @cherrypy.expose
    def handle(self):
        with cherrypy.HTTPError.handle(KeyError, 404, "no such key"):
            {}["x"]

    @cherrypy.expose
    def handle_other(self):
        with cherrypy.HTTPError.handle((KeyError, ValueError), "410 Gone", "gone"):
            int("x")

    @cherrypy.expose
    def members(self):
        e = cherrypy.HTTPError("404 Own", "m")
        n = cherrypy.NotFound("/p")
        r = cherrypy.HTTPRedirect(["/a", "/b"], 302)
        return repr(
            (
                e.code,
                e.reason,
                e.status,
                e._message,
                e.args,
                str(n),
                n.args,
                r.urls,
                r.status,
                str(r),
                r.encoding,
                r.args,
            )
        )

    @cherrypy.expose
    def bad_status(self, status):
        try:
            cherrypy.HTTPError(int(status) if status.lstrip("-").isdigit() else status)
        except Exception as e:
            return f"{type(e).__name__}: {e}"
        return "accepted"

    @cherrypy.expose
    def bad_redirect(self, status):
        try:
            cherrypy.HTTPRedirect("/x", int(status))
        except Exception as e:
            return f"{type(e).__name__}: {e}"
        return "accepted"

    @cherrypy.expose
    def redirect(self, to="/index", status=None):
        raise cherrypy.HTTPRedirect(to, int(status) if status else None)

    @cherrypy.expose
    def redirect_list(self):
        raise cherrypy.HTTPRedirect(["/one", "http://two.test/"])

    @cherrypy.expose
    def redirect_many(self, status):
        raise cherrypy.HTTPRedirect(["/one", "/two"], int(status))

    @cherrypy.expose
    def redirect_unicode(self):
        raise cherrypy.HTTPRedirect("/é€?x=é")

    @cherrypy.expose
    def redirect_encoding(self):
        raise cherrypy.HTTPRedirect("/é", encoding="latin-1")

    @cherrypy.expose
    def redirect_called(self):
        return repr(str(cherrypy.HTTPRedirect("/")))

    @cherrypy.expose
    def internal(self, to="/index", qs=None):
        if qs is None:
            raise cherrypy.InternalRedirect(to)
        raise cherrypy.InternalRedirect(to, qs)

    @cherrypy.expose
    def internal_prev(self):
        if cherrypy.request.prev:
            return f"prev {cherrypy.request.prev.path_info} {cherrypy.request.prev.query_string}"
        raise cherrypy.InternalRedirect("/prev", "b=2")

    @cherrypy.expose
    def prev(self, **kw):
        p = cherrypy.request.prev
        return f"{p.path_info}?{p.query_string} {p.closed} {sorted(kw.items())}"

    @cherrypy.expose
    def internal_loop(self, n="0"):
        raise cherrypy.InternalRedirect("/internal_loop")

    @cherrypy.expose
    def internal_relative(self):
        raise cherrypy.InternalRedirect("index")

    @cherrypy.expose
    def internal_post(self, **kw):
        raise cherrypy.InternalRedirect("/index", "from=internal")

    @cherrypy.expose
    def internal_missing(self):
        raise cherrypy.InternalRedirect("/does/not/exist")

    @cherrypy.expose
    def get_error_page(self):
        return cherrypy._cperror.get_error_page(404, message="asked for")

    @cherrypy.expose
    def format_exc(self):
        return repr(cherrypy._cperror.format_exc((None, None, None)))

    @cherrypy.expose
    def own_status_then_error(self):
        cherrypy.response.status = 201
        cherrypy.response.headers["Content-Encoding"] = "x"
        cherrypy.response.headers["Last-Modified"] = "y"
        cherrypy.response.headers["X-Own"] = "kept"
        raise cherrypy.HTTPError(403)


def mount(name, **config):
    cherrypy.tree.mount(
        Root(), "/" + name, {"/": {k.replace("__", "."): v for k, v in config.items()}}
    )


def setup(folder):
    path = os.path.join(folder, "page.html")
    with open(path, "w", encoding="utf-8") as f:
        f.write("file é: %(status)s, %(message)s, %(version)s.")
    broken = os.path.join(folder, "broken.html")
    with open(broken, "w") as f:
        f.write("file: %(nothing)s %")
    cherrypy.tree.mount(Root(), "")
    mount("file", error_page__default=path)
    mount("code", **{"error_page.404": path, "error_page.500": page})
    mount("callable", error_page__default=page)
    mount("bytes", error_page__default=page_bytes)
    mount("list", error_page__default=page_list)
    mount("none", error_page__default=page_none)
    mount("headers", error_page__default=page_headers)
    mount("fails", error_page__default=page_fails)
    mount("nofile", error_page__default=os.path.join(folder, "does-not-exist"))
    mount("broken", error_page__default=broken)
    mount("shown", request__show_tracebacks=True)
    mount("handled", request__error_response=handle_error)
    mount("both", **{"error_page.404": page, "error_page.default": path})
    cherrypy.tree.apps["/shown"].config["/"]["error_page.400"] = page


STATUSES = (
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    408,
    409,
    410,
    411,
    412,
    413,
    414,
    415,
    416,
    417,
    418,
    422,
    426,
    428,
    429,
    431,
    451,
    500,
    501,
    502,
    503,
    504,
    505,
    599,
)
OWN = (
    "file",
    "code",
    "callable",
    "bytes",
    "list",
    "none",
    "headers",
    "fails",
    "nofile",
    "broken",
    "shown",
    "handled",
    "both",
)

REQUESTS = [
    *(R(f"error {s}", f"/error?status={s}") for s in STATUSES),
    R("error message", "/error?status=404&message=own"),
    R("error markup", "/error?status=404&message=%3Cb%3E%26"),
    R("error unicode", "/error?status=404&message=%E2%82%AC"),
    R("error reason", "/error?status=404%20Own%20Reason"),
    R("error head", "/error?status=404", "HEAD"),
    *(
        R(name.replace("_", " "), "/" + name)
        for name in (
            "error_default",
            "error_tuple",
            "error_bytes",
            "notfound",
            "value",
            "key",
            "exit",
            "set_response",
            "handle",
            "handle_other",
            "members",
            "redirect_list",
            "redirect_unicode",
            "redirect_encoding",
            "redirect_called",
            "internal",
            "internal_prev",
            "internal_loop",
            "internal_relative",
            "internal_missing",
            "get_error_page",
            "format_exc",
            "own_status_then_error",
        )
    ),
    R("notfound path", "/notfound?path=/else"),
    *(
        R(f"bad status {s}", f"/bad_status?status={s}")
        for s in ("200", "399", "400", "599", "600", "999", "x", "-1")
    ),
    *(R(f"bad redirect {s}", f"/bad_redirect?status={s}") for s in (299, 300, 399, 400)),
    *(
        R(f"redirect {s}", f"/redirect?status={s}")
        for s in (300, 301, 302, 303, 304, 305, 306, 307, 308)
    ),
    R("redirect default", "/redirect"),
    R("redirect 1.0", "/redirect", http="1.0"),
    R("redirect post", "/redirect", **form(to="/x")),
    R("redirect relative", "/redirect?to=relative"),
    R("redirect up", "/redirect?to=../up"),
    R("redirect query", "/redirect?to=%3Fa%3D1%26b%3D2"),
    R("redirect absolute", "/redirect?to=http://other.test/%3Cx%3E"),
    R("redirect quote", "/redirect?to=/a%22b%27c"),
    R("redirect empty", "/redirect?to="),
    R("redirect newline", "/redirect?to=/x%0d%0aSet-Cookie:%20a=b"),
    R("redirect mounted", "/file/redirect?to=relative"),
    R("redirect fragment", "/redirect?to=/x%23y"),
    R("redirect head", "/redirect", "HEAD"),
    R("redirect list 300", "/redirect_many?status=300"),
    R("redirect list 305", "/redirect_many?status=305"),
    R("redirect list 307", "/redirect_many?status=307"),
    R("internal with qs", "/internal?to=/index&qs=a%3D1"),
    R("internal with inline qs", "/internal?to=/index%3Fz%3D3"),
    R("internal mounted", "/file/internal?to=/index"),
    R("internal post", "/internal_post", **form(a="1")),
    *(R(f"{own} 404", f"/{own}/error?status=404&message=m") for own in OWN),
    *(R(f"{own} 500", f"/{own}/value") for own in OWN),
    *(R(f"{own} unknown path", f"/{own}/zzz") for own in OWN),
    R("shown 400", "/shown/error?status=400"),
    R("callable markup", "/callable/error?status=404&message=%3Cb%3E"),
]
