"""The edges of the small tools: odd arguments, odd paths, odd fields."""

from compat_kit import R

import cherrypy


def page(text, **config):
    """A page with a configuration, whose keys are those of one tool with `__` for the dot."""

    def handler(self, *args, **params):
        for name, value in params.items():
            if name.startswith("set_"):
                cherrypy.response.headers[name[4:].replace("_", "-")] = value
        return f"{text} {args} {sorted(params)}"

    handler._cp_config = {f"tools.{key.replace('__', '.')}": value for key, value in config.items()}
    return cherrypy.expose(handler)


def fails(text, **config):
    def handler(self, *args, **params):
        raise ValueError(text)

    handler._cp_config = {f"tools.{key.replace('__', '.')}": value for key, value in config.items()}
    return cherrypy.expose(handler)


class Root:
    default = page("default")

    redirect_inner = page("x", redirect__on=True, redirect__url="/default?a=1")
    redirect_outer = page(
        "x", redirect__on=True, redirect__url="/default?a=1", redirect__internal=False
    )
    redirect_relative = page(
        "x", redirect__on=True, redirect__url="other", redirect__internal=False
    )
    redirect_absolute = page(
        "x", redirect__on=True, redirect__url="http://other.test/a b?c#d", redirect__internal=False
    )
    redirect_empty = page("x", redirect__on=True, redirect__internal=False)
    redirect_query = page("x", redirect__on=True, redirect__url="?q=1", redirect__internal=False)

    err_inner = fails("x", err_redirect__on=True, err_redirect__url="/default?b=2")
    err_outer = fails(
        "x", err_redirect__on=True, err_redirect__url="/default?b=2", err_redirect__internal=False
    )
    err_relative = fails("x", err_redirect__on=True, err_redirect__url="beside")

    refer = page("x", referer__on=True, referer__pattern="http://good", referer__error=401)
    refer_not = page("x", referer__on=True, referer__pattern="http://evil", referer__accept=False)
    refer_missing = page(
        "x", referer__on=True, referer__pattern="http://good", referer__accept_missing=True
    )
    refer_empty = page("x", referer__on=True, referer__pattern="")
    refer_message = page("x", referer__on=True, referer__pattern="x", referer__message="")

    accept_none = page("x", accept__on=True)
    accept_empty = page("x", accept__on=True, accept__media=[])
    accept_text = page("x", accept__on=True, accept__media="text/html")
    accept_many = page(
        "x", accept__on=True, accept__media=["text/html", "text/plain", "application/json"]
    )
    accept_tuple = page("x", accept__on=True, accept__media=("text/html", "image/png"))

    allow_none = page("x", allow__on=True)
    allow_text = page("x", allow__on=True, allow__methods="put")
    allow_lower = page("x", allow__on=True, allow__methods=["post", "options"])
    allow_empty = page("x", allow__on=True, allow__methods=[])

    fields = page(
        "x",
        response_headers__on=True,
        response_headers__headers=[("X-A", "1"), ("X-A", "2"), ("x-b", "é")],
    )
    fields_none = page("x", response_headers__on=True)
    fields_overwrite = page(
        "x",
        response_headers__on=True,
        response_headers__headers=[("Content-Type", "text/plain"), ("Set-Cookie", "a=b")],
    )
    fields_error = fails("x", response_headers__on=True, response_headers__headers=[("X-A", "1")])

    expires_zero = page("x", expires__on=True)
    expires_hour = page("x", expires__on=True, expires__secs=3600)
    expires_negative = page("x", expires__on=True, expires__secs=-3600, expires__force=True)
    expires_force = page("x", expires__on=True, expires__secs=60, expires__force=True)
    expires_zero_force = page("x", expires__on=True, expires__secs=0, expires__force=True)

    tag = page("x", etags__on=True)
    tag_auto = page("x", etags__on=True, etags__autotags=True)
    tag_auto_error = fails("x", etags__on=True, etags__autotags=True)


class Pages:
    @cherrypy.expose
    def index(self, **params):
        return f"index {sorted(params.items())}"

    @cherrypy.expose
    def page(self, **params):
        return f"page {sorted(params.items())}"


class Typed:
    @cherrypy.expose
    @cherrypy.tools.params()
    def whole(self, n: int = 0, flag: bool = False, text: str = ""):
        return f"{n!r} {flag!r} {text!r}"

    @cherrypy.expose
    @cherrypy.tools.params(exception=(KeyError, ValueError), error=404)
    def several(self, n: int = 0):
        return repr(n)

    @cherrypy.expose
    @cherrypy.tools.params()
    def untyped(self, n=0):
        return repr(n)


def setup(folder):
    mount = cherrypy.tree.mount
    mount(Root(), "")
    mount(Typed(), "/typed")
    for name, settings in {
        "slash": {},
        "slash_status": {"status": 302},
        "slash_extra": {"extra": True},
        "slash_extra_status": {"extra": True, "status": 307},
        "slash_neither": {"missing": False},
    }.items():
        config = {f"tools.trailing_slash.{key}": value for key, value in settings.items()}
        pages = Pages()
        pages.below = Pages()
        mount(pages, f"/{name}", {"/": config})


def asked(path, field, *values):
    return [R(f"{path} {field} {value}", f"/{path}", headers={field: value}) for value in values]


GOOD, EVIL = "http://good.test/x", "http://evil.test/"

REQUESTS = [
    *(R(name, f"/{name}") for name in vars(Root) if not name.startswith("_") and name != "default"),
    *(R(f"{name} posted", f"/{name}?c=3", "POST", body=b"") for name in ("redirect_inner", "redirect_outer", "err_inner")),
    *(R(f"{name} query", f"/{name}?c=3") for name in ("redirect_inner", "redirect_outer", "err_inner", "err_outer")),
    R("redirect over 1.0", "/redirect_outer", http="1.0"),
    *asked("refer", "Referer", GOOD, EVIL, "", "http://good", " http://good", "HTTP://GOOD"),
    *asked("refer_not", "Referer", GOOD, EVIL, ""),
    *asked("refer_missing", "Referer", GOOD, EVIL),
    *asked("refer_empty", "Referer", "x", ""),
    *asked(
        "accept_many", "Accept", "text/plain", "text/*", "*/*", "image/*", "text/html;q=0", "text/plain;q=0.5, text/html;q=0.4",
        "application/json;q=0.9, text/*;q=0.1", "text/html;level=1", "TEXT/HTML", "text/plain, */*;q=0.1", "*/*;q=0",
    ),
    *asked("accept_text", "Accept", "text/html", "text/plain", "text/*;q=0.001"),
    *asked("accept_tuple", "Accept", "image/png", "image/*", "text/plain"),
    *(R(f"{name} {method}", f"/{name}", method, **({"body": b""} if method in ("POST", "PUT") else {}))
      for name in ("allow_none", "allow_text", "allow_lower", "allow_empty")
      for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE")),
    *(R(f"{name} with a tag", f"/{name}?set_ETag=x") for name in ("expires_zero", "expires_hour", "expires_force")),
    *(R(f"{name} with a date", f"/{name}?set_Last_Modified=Thu,+01+Jan+1970+00:00:00+GMT") for name in ("expires_zero", "expires_hour")),
    R("expires kept", "/expires_hour?set_ETag=x&set_Expires=Thu,+01+Jan+1970+00:00:00+GMT"),
    R("expires forced over", "/expires_force?set_ETag=x&set_Expires=Thu,+01+Jan+1970+00:00:00+GMT"),
    R("expires over 1.0", "/expires_zero?set_ETag=x", http="1.0"),
    *(R(f"{name} {field} {value}", f"/{name}?set_ETag=%22x%22", headers={field: value})
      for name in ("tag", "tag_auto")
      for field in ("If-Match", "If-None-Match")
      for value in ('"x"', '"y"', "*", '"y", "x"', 'W/"x"', "x", "")),
    *(R(f"tag {field} posted", "/tag?set_ETag=%22x%22", "POST", headers={field: '"x"'}, body=b"")
      for field in ("If-Match", "If-None-Match")),
    R("tag missing If-Match", "/tag", headers={"If-Match": '"x"'}),
    R("tag missing If-Match star", "/tag", headers={"If-Match": "*"}),
    R("tag missing If-None-Match star", "/tag", headers={"If-None-Match": "*"}),
    *(R(f"{app}{path}", f"/{app}{path}")
      for app in ("slash", "slash_status", "slash_extra", "slash_extra_status", "slash_neither")
      for path in ("", "/", "/page", "/page/", "/below", "/below/", "/below?a=1&b=%20", "/page/?a=%C3%BC", "/below/page/")),
    R("slash posted", "/slash/below?x=1", "POST", body=b""),
    *(R(f"typed {path}", f"/typed/{path}")
      for path in ("whole?n=5&flag=&text=x", "whole?flag=0", "whole?n=", "whole?n=+5", "whole?n=1_000", "whole?n=%D9%A3",
                   "several?n=x", "several/7", "untyped?n=5", "untyped?n=5&n=6", "whole?n=" + "9" * 400)),
]  # fmt: skip
