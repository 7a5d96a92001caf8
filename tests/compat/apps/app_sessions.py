"""Sessions in memory and in files, and the tools that stand on them."""

import os

from compat_kit import R, form

import cherrypy


class Root:
    @cherrypy.expose
    def index(self):
        return f"{sorted(cherrypy.session.items())}"

    @cherrypy.expose
    def count(self):
        cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
        return str(cherrypy.session["n"])

    @cherrypy.expose
    def put(self, key, value):
        cherrypy.session[key] = value
        return "put"

    @cherrypy.expose
    def members(self):
        s = cherrypy.session
        s["a"] = 1
        s.setdefault("b", 2)
        s.update({"c": 3})
        popped = s.pop("c")
        default = s.pop("zzz", "none")
        del s["b"]
        try:
            s["nothing"]
        except KeyError as e:
            missing = f"KeyError {e}"
        return repr(
            (
                popped,
                default,
                missing,
                "a" in s,
                len(s),
                s.get("q"),
                list(s.keys()),
                list(s.values()),
                list(s.items()),
                s.loaded,
                s.missing,
                s.timeout,
                s.locked,
                len(s.id),
                len(s.originalid or ""),
                s.regenerated,
            )
        )

    @cherrypy.expose
    def delete(self):
        cherrypy.session.delete()
        return "deleted"

    @cherrypy.expose
    def clear(self):
        cherrypy.session.clear()
        return "cleared"

    @cherrypy.expose
    def expire(self):
        cherrypy.lib.sessions.expire()
        return "expired"

    @cherrypy.expose
    def regenerate(self):
        before = cherrypy.session.id
        cherrypy.tools.sessions.regenerate()
        return str(before != cherrypy.session.id)

    @cherrypy.expose
    def untouched(self):
        return "never touched"

    @cherrypy.expose
    def read(self):
        return str(cherrypy.session.get("n"))

    @cherrypy.expose
    def fail(self):
        cherrypy.session["n"] = "lost or kept"
        raise cherrypy.HTTPError(409)

    @cherrypy.expose
    def redirect(self):
        cherrypy.session["redirected"] = True
        raise cherrypy.HTTPRedirect("/")

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self):
        def content():
            yield str(cherrypy.session.get("n"))

        cherrypy.session["streamed"] = 1
        return content()

    @cherrypy.expose
    def unlock(self):
        cherrypy.session["u"] = 1
        cherrypy.session.release_lock()
        return "released"

    @cherrypy.expose
    def kind(self):
        return f"{type(cherrypy.serving.session).__name__} {cherrypy.tools.sessions._point}"

    @cherrypy.expose
    @cherrypy.config(**{"tools.sessions.on": False})
    def off(self):
        return str(hasattr(cherrypy.serving, "session"))

    @cherrypy.expose
    @cherrypy.config(**{"tools.sessions.locking": "explicit"})
    def explicit(self):
        before = cherrypy.session.locked
        cherrypy.session.acquire_lock()
        cherrypy.session["e"] = 1
        return f"{before} {cherrypy.session.locked}"

    @cherrypy.expose
    @cherrypy.config(**{"tools.sessions.locking": "early"})
    def early(self):
        return f"{cherrypy.session.locked}"

    @cherrypy.expose
    def known_id(self):
        return "x"


class Guarded:
    @cherrypy.expose
    def index(self, **kw):
        return f"Hi {cherrypy.request.login} {cherrypy.session.get('username')} {sorted(kw)}"


def check(username, password):
    if username != "test" or password != "password":
        return "Wrong login/password"


def setup(folder):
    files = os.path.join(folder, "sessions")
    os.mkdir(files)
    cherrypy.tree.mount(Root(), "", {"/": {"tools.sessions.on": True}})
    cherrypy.tree.mount(
        Root(),
        "/file",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.storage_class": cherrypy.lib.sessions.FileSession,
                "tools.sessions.storage_path": files,
                "tools.sessions.name": "fsid",
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/old",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.storage_type": "file",
                "tools.sessions.storage_path": files,
                "tools.sessions.name": "osid",
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/named",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.name": "own",
                "tools.sessions.path": "/named",
                "tools.sessions.domain": "compat.test",
                "tools.sessions.secure": True,
                "tools.sessions.httponly": True,
                "tools.sessions.timeout": 5,
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/passing",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.persistent": False,
                "tools.sessions.name": "pass",
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/short",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.timeout": 0.01,
                "tools.sessions.name": "short",
                "tools.sessions.clean_freq": 0.01,
            }
        },
    )
    cherrypy.tree.mount(
        Root(),
        "/header",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.sessions.path_header": "X-Path",
                "tools.sessions.name": "head",
            }
        },
    )
    cherrypy.tree.mount(
        Guarded(),
        "/guarded",
        {
            "/": {
                "tools.sessions.on": True,
                "tools.session_auth.on": True,
                "tools.sessions.name": "auth",
                "tools.session_auth.check_username_and_password": check,
            }
        },
    )


def jar(name, path, jar="a", **kw):
    return R(name, path, jar=jar, **kw)


def story(prefix, label):
    steps = (
        "count",
        "count",
        "read",
        "members",
        "count",
        "regenerate",
        "count",
        "fail",
        "read",
        "redirect",
        "",
        "stream",
        "unlock",
        "explicit",
        "early",
        "kind",
        "off",
        "clear",
        "read",
        "count",
        "delete",
        "read",
        "count",
        "expire",
        "read",
    )
    return [jar(f"{label} {i} {s}", f"{prefix}/{s}", label) for i, s in enumerate(steps)]


REQUESTS = [
    *story("", "ram"),
    *story("/file", "file"),
    jar("old 1", "/old/count", "old"),
    jar("old 2", "/old/count", "old"),
    R("untouched", "/untouched"),
    R("untouched twice", "/untouched"),
    R("unknown id", "/count", headers={"Cookie": "session_id=" + "a" * 40}),
    R("hostile id", "/file/count", headers={"Cookie": "fsid=../../../etc/passwd"}),
    R("hostile id with nul", "/file/count", headers={"Cookie": "fsid=%00/x"}),
    R("empty id", "/count", headers={"Cookie": "session_id="}),
    jar("named 1", "/named/count", "named"),
    jar("named 2", "/named/count", "named"),
    jar("passing 1", "/passing/count", "passing"),
    jar("passing 2", "/passing/count", "passing"),
    jar("short 1", "/short/count", "short"),
    jar("short 2", "/short/count", "short"),
    jar("short 3", "/short/count", "short", wait=1.0),
    R("path header", "/header/count", headers={"X-Path": "/behind/proxy"}),
    jar("separate", "/count", "b"),
    jar("guarded", "/guarded/", "g"),
    jar(
        "guarded wrong",
        "/guarded/do_login",
        "g",
        **form(username="test", password="no", from_page="/guarded/"),
    ),
    jar(
        "guarded login",
        "/guarded/do_login",
        "g",
        **form(username="test", password="password", from_page="/guarded/?a=1"),
    ),
    jar("guarded in", "/guarded/?a=1", "g"),
    jar("guarded get login", "/guarded/do_login", "g"),
    jar("guarded screen", "/guarded/login_screen", "g"),
    jar("guarded logout", "/guarded/do_logout", "g", **form(from_page="/guarded/")),
    jar("guarded out", "/guarded/", "g"),
]
