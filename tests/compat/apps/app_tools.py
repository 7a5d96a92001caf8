"""The remaining built-in tools: authentication, negotiation, headers, proxies, parameters."""

from compat_kit import R, form

import cherrypy
from cherrypy.lib import auth_basic, auth_digest


class Root:
    @cherrypy.expose
    def index(self, **kw):
        return f"index {sorted(kw.items())}"

    @cherrypy.expose
    def user(self):
        return f"{cherrypy.request.login}"

    @cherrypy.expose
    @cherrypy.tools.accept(media="application/atom+xml")
    def feed(self):
        return "feed"

    @cherrypy.expose
    def select(self):
        chosen = cherrypy.lib.cptools.accept(["text/html", "text/plain"])
        return f"chose {chosen}"

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["GET"])
    def get_only(self):
        return "got"

    @cherrypy.expose
    @cherrypy.tools.allow(methods=("GET", "HEAD", "POST"))
    def three(self):
        return "got"

    @cherrypy.expose
    @cherrypy.tools.autovary()
    def vary(self, also=""):
        cherrypy.request.headers.get("Accept-Language")
        return "vary"

    @cherrypy.expose
    @cherrypy.tools.autovary()
    @cherrypy.tools.gzip(mime_types=["text/html"])
    @cherrypy.tools.etags(autotags=True)
    def vary_more(self):
        return "vary more"

    @cherrypy.expose
    @cherrypy.tools.err_redirect(url="/errpage")
    def err(self):
        raise NameError()

    @cherrypy.expose
    @cherrypy.tools.err_redirect(url="/errpage", internal=False)
    def err_external(self):
        raise NameError()

    @cherrypy.expose
    def errpage(self):
        return "error page"

    @cherrypy.expose
    @cherrypy.tools.flatten()
    def flat(self):
        return ("a" + str(x) if x else iter(["b", "c"]) for x in range(3))

    @cherrypy.expose
    @cherrypy.tools.flatten()
    def flat_deep(self):
        def inner():
            yield b"1"
            yield (b for b in (b"2", b"3"))

        yield b"0"
        yield inner()

    @cherrypy.expose
    @cherrypy.tools.ignore_headers(headers=("X-Ignored", "Range"))
    def ignoring(self):
        return str([h for h in ("X-Ignored", "X-Seen", "Range") if h in cherrypy.request.headers])

    @cherrypy.expose
    @cherrypy.tools.params()
    def params(self, count: int, ratio: float = 1.0, other="x"):
        return f"{count!r} {ratio!r} {other!r}"

    @cherrypy.expose
    @cherrypy.tools.params(error=418)
    def params_teapot(self, count: int):
        return repr(count)

    @cherrypy.expose
    @cherrypy.tools.params(exception=KeyError)
    def params_other(self, count: int):
        return repr(count)

    @cherrypy.expose
    def where(self):
        r = cherrypy.request
        return f"{r.base} {r.remote.ip} {r.scheme} {cherrypy.url('x')} {r.remote.name}"

    @cherrypy.expose
    def go(self):
        raise cherrypy.HTTPRedirect("elsewhere")

    @cherrypy.expose
    @cherrypy.tools.response_headers(headers=[("X-One", "1"), ("Content-Type", "text/own")])
    def headed(self):
        return "headed"

    @cherrypy.expose
    @cherrypy.tools.response_headers(headers=[("X-One", "1")])
    def headed_error(self):
        raise cherrypy.HTTPError(400)

    @cherrypy.expose
    @cherrypy.tools.referer(pattern=r"http://[^/]*compat\.test")
    def referred(self):
        return "accepted"

    @cherrypy.expose
    @cherrypy.tools.referer(pattern=r"http://[^/]*compat\.test", accept=False, accept_missing=True)
    def not_referred(self):
        return "accepted"

    @cherrypy.expose
    @cherrypy.tools.log_headers()
    @cherrypy.tools.log_hooks()
    @cherrypy.tools.log_tracebacks()
    def logging(self):
        return "logged"

    @cherrypy.expose
    @cherrypy.tools.redirect(url="/forced")
    def forced(self):
        return "never"

    @cherrypy.expose
    @cherrypy.tools.redirect(url="/errpage", internal=True)
    def forced_inside(self):
        return "never"


class Slash:
    @cherrypy.expose
    def index(self, **kw):
        return f"slash index {sorted(kw)}"

    @cherrypy.expose
    def page(self, **kw):
        return f"slash page {sorted(kw)}"

    class Sub:
        @cherrypy.expose
        def index(self):
            return "sub"

    sub = Sub()


USERS = {"user": "secret", "é": "ü"}


def conf(**kw):
    return {"/": {"tools." + k.replace("__", "."): v for k, v in kw.items()}}


def setup(folder):
    root = Root
    mount = cherrypy.tree.mount
    mount(root(), "")
    checker = auth_basic.checkpassword_dict(USERS)
    mount(
        root(),
        "/basic",
        conf(
            auth_basic__on=True, auth_basic__realm="wonderland", auth_basic__checkpassword=checker
        ),
    )
    mount(
        root(),
        "/basic_latin",
        conf(
            auth_basic__on=True,
            auth_basic__realm="wonderland",
            auth_basic__checkpassword=checker,
            auth_basic__accept_charset="ISO-8859-1",
        ),
    )
    mount(
        root(),
        "/basic_own",
        conf(
            auth_basic__on=True,
            auth_basic__realm="r",
            auth_basic__checkpassword=lambda realm, user, password: user == realm,
        ),
    )
    mount(
        root(),
        "/basic_quoted",
        conf(auth_basic__on=True, auth_basic__realm='a"b', auth_basic__checkpassword=checker),
    )
    mount(
        root(),
        "/digest",
        conf(
            auth_digest__on=True,
            auth_digest__realm="localhost",
            auth_digest__get_ha1=auth_digest.get_ha1_dict_plain(USERS),
            auth_digest__key="a565c27146791cfb",
            auth_digest__accept_charset="UTF-8",
        ),
    )
    mount(
        root(),
        "/digest_latin",
        conf(
            auth_digest__on=True,
            auth_digest__realm="localhost",
            auth_digest__get_ha1=auth_digest.get_ha1_dict_plain(USERS),
            auth_digest__key="a565c27146791cfb",
            auth_digest__accept_charset="ISO-8859-1",
        ),
    )
    mount(root(), "/proxy", conf(proxy__on=True))
    mount(root(), "/proxy_base", conf(proxy__on=True, proxy__base="http://www.mydomain.test"))
    mount(root(), "/proxy_port", conf(proxy__on=True, proxy__base="https://www.x.test:8443/"))
    mount(root(), "/proxy_local", conf(proxy__on=True, proxy__local="Base"))
    mount(root(), "/proxy_scheme", conf(proxy__on=True, proxy__scheme="X-Own-Scheme"))
    mount(root(), "/proxy_remote", conf(proxy__on=True, proxy__remote="X-Real-IP"))
    mount(Slash(), "/slash")
    mount(Slash(), "/noslash", conf(trailing_slash__on=False))
    mount(Slash(), "/extra", conf(trailing_slash__on=True, trailing_slash__extra=True))
    mount(Slash(), "/status", conf(trailing_slash__on=True, trailing_slash__status=302))


def basic(text, charset="utf-8"):
    import base64

    return {"Authorization": "Basic " + base64.b64encode(text.encode(charset)).decode()}


F = "X-Forwarded-"

REQUESTS = [
    R("basic none", "/basic/user"),
    R("basic right", "/basic/user", headers=basic("user:secret")),
    R("basic wrong", "/basic/user", headers=basic("user:no")),
    R("basic unknown", "/basic/user", headers=basic("nobody:secret")),
    R("basic unicode", "/basic/user", headers=basic("é:ü")),
    R("basic latin", "/basic/user", headers=basic("é:ü", "latin-1")),
    R("basic colon", "/basic/user", headers=basic("user:a:b")),
    R("basic no colon", "/basic/user", headers=basic("user")),
    R("basic empty", "/basic/user", headers={"Authorization": "Basic"}),
    R("basic not base64", "/basic/user", headers={"Authorization": "Basic §§§"}),
    R("basic bad base64", "/basic/user", headers={"Authorization": "Basic abc"}),
    R("basic other scheme", "/basic/user", headers={"Authorization": "Bearer abc"}),
    R(
        "basic lower",
        "/basic/user",
        headers={"Authorization": basic("user:secret")["Authorization"].lower()},
    ),
    R(
        "basic lower scheme",
        "/basic/user",
        headers={"Authorization": basic("user:secret")["Authorization"].replace("B", "b", 1)},
    ),
    R("basic latin challenge", "/basic_latin/user"),
    R("basic latin right", "/basic_latin/user", headers=basic("é:ü", "latin-1")),
    R("basic own", "/basic_own/user", headers=basic("r:x")),
    R("basic quoted realm", "/basic_quoted/user"),
    R("digest none", "/digest/user"),
    R("digest right", "/digest/user", digest=("user", "secret")),
    R("digest wrong", "/digest/user", digest=("user", "no")),
    R("digest unknown", "/digest/user", digest=("nobody", "x")),
    R("digest unicode", "/digest/user", digest=("é", "ü")),
    R("digest garbage", "/digest/user", headers={"Authorization": "Digest garbage"}),
    R("digest fields missing", "/digest/user", headers={"Authorization": 'Digest username="x"'}),
    R("digest other scheme", "/digest/user", headers=basic("user:secret")),
    R(
        "digest old nonce",
        "/digest/user",
        headers={
            "Authorization": (
                'Digest username="user", realm="localhost", nonce="1:abc", uri="/digest/user", '
                'algorithm=MD5, response="x", qop=auth, nc=00000001, cnonce="c"'
            )
        },
    ),
    R(
        "digest unknown algorithm",
        "/digest/user",
        headers={
            "Authorization": (
                'Digest username="user", realm="localhost", nonce="1:abc", uri="/digest/user", '
                'algorithm=FOO, response="x", qop=auth, nc=00000001, cnonce="c"'
            )
        },
    ),
    R("digest latin", "/digest_latin/user"),
    *(
        R(f"accept {a}", "/feed", headers={"Accept": a})
        for a in (
            "application/atom+xml",
            "application/*",
            "*/*",
            "text/html",
            "text/*, image/png",
            "application/atom+xml;q=0",
            "",
            "*/*;q=0.1, text/x",
        )
    ),
    R("accept none", "/feed"),
    *(
        R(f"select {a}", "/select", headers={"Accept": a})
        for a in (
            "text/html",
            "text/plain",
            "text/html, text/plain;q=0.5",
            "text/*",
            "text/plain, text/*;q=0.5",
            "*/*",
            "image/png",
            "text/html;level=1",
        )
    ),
    R("allow get", "/get_only"),
    R("allow head", "/get_only", "HEAD"),
    R("allow post", "/get_only", **form()),
    R("allow three", "/three", "DELETE"),
    R("vary", "/vary"),
    R("vary accept", "/vary", headers={"Accept": "*/*"}),
    R("vary more", "/vary_more"),
    R("err redirect", "/err"),
    R("err redirect external", "/err_external"),
    R("flatten", "/flat"),
    R("flatten deep", "/flat_deep"),
    R(
        "ignore headers",
        "/ignoring",
        headers={"X-Ignored": "1", "X-Seen": "2", "Range": "bytes=0-1"},
    ),
    R("params", "/params?count=3"),
    R("params both", "/params?count=3&ratio=2.5&other=4"),
    R("params bad", "/params?count=x"),
    R("params bad float", "/params?count=1&ratio=x"),
    R("params missing", "/params"),
    R("params repeated", "/params?count=1&count=2"),
    R("params teapot", "/params_teapot?count=x"),
    R("params other exception", "/params_other?count=x"),
    R("params positional", "/params/7"),
    R("proxy none", "/proxy/where"),
    R("proxy host", "/proxy/where", headers={F + "Host": "www.example.test"}),
    R("proxy host list", "/proxy/where", headers={F + "Host": "a.test, b.test"}),
    R("proxy for", "/proxy/where", headers={F + "For": "192.168.0.20"}),
    R("proxy for list", "/proxy/where", headers={F + "For": "192.168.0.20, 10.0.0.1"}),
    R("proxy proto", "/proxy/where", headers={F + "Proto": "https"}),
    R("proxy ssl", "/proxy/where", headers={"X-Forwarded-Ssl": "on"}),
    R("proxy redirect", "/proxy/go", headers={F + "Host": "www.example.test"}),
    R("proxy base", "/proxy_base/where"),
    R("proxy base forwarded", "/proxy_base/where", headers={F + "Host": "www.example.test"}),
    R("proxy port", "/proxy_port/where"),
    R("proxy local", "/proxy_local/where", headers={"Base": "local.test"}),
    R("proxy scheme", "/proxy_scheme/where", headers={"X-Own-Scheme": "https"}),
    R("proxy remote", "/proxy_remote/where", headers={"X-Real-IP": "1.2.3.4"}),
    R("unproxied", "/where", headers={F + "Host": "evil.test", F + "For": "1.1.1.1"}),
    R("headed", "/headed"),
    R("headed error", "/headed_error"),
    R("referer right", "/referred", headers={"Referer": "http://www.compat.test/x"}),
    R("referer wrong", "/referred", headers={"Referer": "http://evil.test/"}),
    R("referer missing", "/referred"),
    R("referer denied", "/not_referred", headers={"Referer": "http://www.compat.test/x"}),
    R("referer other", "/not_referred", headers={"Referer": "http://other.test/"}),
    R("referer allowed missing", "/not_referred"),
    R("logging", "/logging"),
    R("redirect tool", "/forced"),
    R("redirect tool internal", "/forced_inside"),
    *(
        R(f"slash {p}", p)
        for p in (
            "/slash",
            "/slash/",
            "/slash/page",
            "/slash/page/",
            "/slash/sub",
            "/slash/sub/",
            "/slash?a=1",
            "/noslash",
            "/noslash/",
            "/noslash/sub",
            "/extra/page",
            "/extra/page/",
            "/extra/page/?a=1",
            "/extra/sub",
            "/status/sub",
        )
    ),
    R("slash post", "/slash/sub", **form(a="1")),
    R("host header rfc 2047", "/where", headers={"Host": "=?iso-8859-1?q?foo=0Abar?="}),
    R("host header absent", "/where", http="1.0", headers={"Host": "<none>"}),
]
