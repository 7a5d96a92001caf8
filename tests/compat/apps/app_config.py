"""Configuration: layers, _cp_config, decorators, sections, namespaces, files, environments."""

import io

from compat_kit import R, form

import cherrypy


def read(*keys):
    return "|".join(f"{k}={cherrypy.request.config.get(k)!r}" for k in keys)


class Root:
    _cp_config = {"foo": "this", "bar": "that"}

    def __init__(self):
        cherrypy.config.namespaces["mine"] = self.namespace

    def namespace(self, key, value):
        cherrypy.response.headers["X-Mine"] = f"{key}={value}"

    @cherrypy.expose(alias=("global_", "xyz"))
    def index(self, key):
        return repr(cherrypy.request.config.get(key, None))

    @cherrypy.expose
    def plain(self):
        return "plain"

    @cherrypy.expose
    @cherrypy.config(**{"request.show_tracebacks": True})
    def traceback(self):
        raise ValueError("shown")

    @cherrypy.expose
    def mine(self):
        return "namespaced"

    mine._cp_config = {"mine.key": "value"}

    @cherrypy.expose
    def change(self, to):
        type(self)._cp_config["foo"] = to
        return "changed"

    @cherrypy.expose
    def change_global(self, to):
        cherrypy.config["level"] = to
        return "changed"

    @cherrypy.expose
    def update_global(self, to):
        cherrypy.config.update({"level": to})
        return "changed"

    @cherrypy.expose
    def change_app(self, to):
        cherrypy.request.app.config["/"]["level"] = to
        return "changed"

    @cherrypy.expose
    def merge_app(self, to):
        cherrypy.request.app.merge({"/": {"level": to}})
        return "changed"

    @cherrypy.expose
    def find(self, path, key):
        return repr(cherrypy.request.app.find_config(path, key, "default"))


@cherrypy.config(foo="class decorated", baz="that2")
class Foo:
    @cherrypy.expose
    def index(self, key):
        return repr(cherrypy.request.config.get(key, None))

    @cherrypy.expose
    @cherrypy.config(**{"response.headers.X-silly": "sillyval"})
    def silly(self):
        return "silly"

    @cherrypy.expose
    def bar(self, key):
        return repr(cherrypy.request.config.get(key, None))

    bar._cp_config = {"foo": "method", "bax": None}

    nex = bar


class Another:
    @cherrypy.expose
    def index(self, key):
        return str(cherrypy.request.config.get(key, None))


class Attributes:
    @cherrypy.expose
    def index(self, *a, **kw):
        r = cherrypy.request
        return repr(
            (
                r.show_mismatched_params,
                r.body.maxbytes,
                r.attr,
                r.process_request_body,
                r.methods_with_bodies,
            )
        )

    @cherrypy.expose
    def attr(self):
        return getattr(cherrypy.request, "attr", "none")

    @cherrypy.expose
    def status(self):
        return "made here"


class FromFile:
    @cherrypy.expose
    def index(self, key):
        return repr(cherrypy.request.config.get(key, None))

    @cherrypy.expose
    def app(self, section, key):
        return repr(cherrypy.request.app.config[section].get(key))

    @cherrypy.expose
    def dispatch(self):
        return "file dispatch"


CONF = b"""
[global]
in_global: 'kept'

[/]
neg: -1234
filename: os.path.join("/a", "hello.py")
thing1: cherrypy.lib.httputil.response_codes[404][0]
thing2: __import__('cherrypy.tutorial', globals(), locals(), ['']).__name__
complex: 3+2j
mul: 6*3
ones: "11"
twos: "22"
stradd: %%(ones)s + %%(twos)s + "33"
tuple: (1, 'two', [3, {'four': None}])
text: 'caf\xc3\xa9'
boolean: True
call: str(42)
joined: ", ".join(['a', 'b'])
sub: [1, 2, 3][1]
tools.response_headers.on: True
tools.response_headers.headers: [('X-File', 'yes')]

[/dispatch]
tools.response_headers.headers: [('X-File', 'section')]

[own.section]
a: 1
"""

REFUSED = {
    "bare": "[/]\nkey: hello\n",
    "open": "[/]\nkey: 'hello\n",
    "noequals": "[/]\nkey\n",
    "nosection": "key: 1\n",
    "import": "[/]\nkey: nomodule.nothing\n",
}


class Refused:
    @cherrypy.expose
    def default(self, which):
        try:
            config = cherrypy.lib.reprconf.Config(io.StringIO(REFUSED[which]))
        except Exception as e:
            return f"{type(e).__name__}: {str(e)[:40]}"
        return repr(dict(config))


def setup(folder):
    cherrypy.config.update({"level": "global", "only_global": 1, "environment": "production"})
    cherrypy.config.update({"log.screen": False, "request.show_tracebacks": False})
    root = Root()
    root.foo = Foo()
    root.foo.another = Another()
    root.attributes = Attributes()
    root.refused = Refused()
    app = cherrypy.tree.mount(
        root,
        "",
        {
            "/": {"level": "app", "app_only": 2},
            "/foo": {"foo": "app section", "bar": "section"},
            "/foo/another": {"deep": "section three"},
            "/attributes": {
                "request.attr": "set by config",
                "request.body.maxbytes": 12345,
                "request.show_mismatched_params": False,
                "response.headers.X-Conf": "c",
                "request.methods_with_bodies": ("POST", "PUT", "PROPPATCH"),
            },
            "/attributes/attr": {"request.attr": "deeper"},
            "/attributes/status": {"response.status": 202},
            "/attributes/unread": {"request.process_request_body": False},
        },
    )
    app.merge({"/foo": {"merged": True}})
    # %% only for the eye of %-formatting: the file holds one sign
    cherrypy.tree.mount(FromFile(), "/file", io.StringIO(CONF.decode().replace("%%", "%")))
    path = f"{folder}/site.conf"
    with open(path, "w") as f:
        f.write("[global]\nfrom_file_name: 7\nserver.thread_pool: 4\n[/ignored]\nx: 1\n")
    cherrypy.config.update(path)


REQUESTS = [
    *(
        R(f"layers {path} {key}", f"{path}?key={key}")
        for path, key in (
            ("/", "foo"),
            ("/", "bar"),
            ("/", "level"),
            ("/", "only_global"),
            ("/", "app_only"),
            ("/", "nothing"),
            ("/xyz", "foo"),
            ("/global_", "bar"),
            ("/foo/", "foo"),
            ("/foo/", "bar"),
            ("/foo/", "baz"),
            ("/foo/", "merged"),
            ("/foo/bar", "foo"),
            ("/foo/bar", "bar"),
            ("/foo/bar", "bax"),
            ("/foo/nex", "foo"),
            ("/foo/another/", "foo"),
            ("/foo/another/", "deep"),
            ("/foo/another/", "level"),
            ("/", "from_file_name"),
            ("/", "environment"),
            ("/", "tools.log_tracebacks.on"),
            ("/", "server.thread_pool"),
            ("/", "log.screen"),
            ("/", "engine.autoreload.on"),
            ("/", "checker.on"),
            ("/", "tools.trailing_slash.on"),
            ("/", "tools.log_headers.on"),
            ("/", "request.show_mismatched_params"),
        )
    ),
    R("response header by config", "/foo/silly"),
    R("traceback by config", "/traceback"),
    R("own namespace", "/mine"),
    R("own namespace elsewhere", "/plain"),
    R("attributes", "/attributes/"),
    R("attributes mismatched", "/attributes/attr?x=1"),
    R("attributes deeper", "/attributes/attr"),
    R("attributes status", "/attributes/status"),
    R(
        "attributes new body method",
        "/attributes/",
        "PROPPATCH",
        body=b"a=1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    R("change class config", "/change?to=changed"),
    R("after changing class config", "/?key=foo"),
    R("change global by item", "/change_global?to=item"),
    R("after global by item", "/foo/another/?key=level"),
    R("change app by item", "/change_app?to=appitem"),
    R("after app by item", "/?key=level"),
    R("merge app", "/merge_app?to=merged"),
    R("after merge", "/?key=level"),
    R("update global", "/update_global?to=updated"),
    R("find config", "/find?path=/foo/another/x/y&key=deep"),
    R("find config up", "/find?path=/foo/another&key=bar"),
    R("find config default", "/find?path=/&key=none"),
    *(
        R(f"file {key}", f"/file/?key={key}")
        for key in (
            "neg",
            "filename",
            "thing1",
            "thing2",
            "complex",
            "mul",
            "stradd",
            "tuple",
            "text",
            "boolean",
            "call",
            "joined",
            "sub",
            "in_global",
        )
    ),
    R("file section", "/file/dispatch"),
    R("file own section", "/file/app?section=own.section&key=a"),
    *(R(f"refused {which}", f"/refused/{which}") for which in REFUSED),
    R("post to config", "/plain", **form()),
]
