"""MethodDispatcher, RoutesDispatcher, VirtualHost (both), XML-RPC, and a dispatcher of one's own."""

from compat_kit import R, form

import cherrypy


class Resource:
    exposed = True

    def __init__(self, name="r"):
        self.name = name
        self.data = {"1": "one"}

    def GET(self, key=None):
        if key is None:
            return f"{self.name}: {sorted(self.data)}"
        if key not in self.data:
            raise cherrypy.NotFound()
        return self.data[key]

    def PUT(self, key):
        self.data[key] = cherrypy.request.body.read()
        cherrypy.response.status = 201
        return "put"

    def DELETE(self, key):
        del self.data[key]
        cherrypy.response.status = 204

    def POST(self, **kw):
        return f"posted {sorted(kw.items())}"


class HeadToo(Resource):
    def HEAD(self):
        cherrypy.response.headers["X-Head"] = "own"

    def OPTIONS(self):
        cherrypy.response.headers["X-Options"] = "own"
        return "options"


class NotExposed:
    def GET(self):
        return "never"


class MethodRoot(Resource):
    sub = Resource("sub")
    head = HeadToo()
    hidden = NotExposed()

    @cherrypy.expose
    def plain(self):
        return "function under a method dispatcher"


class VerbRoot:
    exposed = True

    @cherrypy.tools.response_headers(headers=[("X-Verb", "get")])
    def GET(self):
        return "get with config"

    def POST(self):
        return "post without"

    def PATCH(self):
        return "patch"


class RoutesRoot:
    def index(self):
        return "routes index"

    def show(self, id, **kw):
        return f"show {id} {sorted(kw.items())}"

    def hello(self, name="x", **kw):
        return f"hello {name} {sorted(kw.items())}"

    @cherrypy.tools.response_headers(headers=[("X-Routed", "yes")])
    def conf(self):
        return "conf"


class City:
    def __init__(self, name):
        self.name = name

    @cherrypy.expose
    @cherrypy.config(
        **{
            "tools.response_headers.on": True,
            "tools.response_headers.headers": [("Content-Language", "en-GB")],
        }
    )
    def index(self, **kw):
        return f"Welcome to {self.name}, pop. {len(self.name)}"

    def update(self, **kw):
        self.name = kw.get("name", self.name)
        return "OK"


class Vhost:
    @cherrypy.expose
    def index(self):
        return "vhost root"

    @cherrypy.expose
    def dom4(self):
        return "dom4"

    @cherrypy.expose
    def vmethod(self, value):
        return f"you sent {value}"


class Domain:
    def __init__(self, name):
        self.name = name

    @cherrypy.expose
    def index(self):
        return f"domain {self.name}"

    @cherrypy.expose
    def vmethod(self, value):
        return f"{self.name} sent {value}"

    @cherrypy.expose
    def url(self):
        return cherrypy.url("next")


class Rpc(cherrypy._cptools.XMLRPCController):
    @cherrypy.expose
    def add(self, a, b):
        return a + b

    @cherrypy.expose
    def kinds(self):
        return [1, "a", 2.5, True, {"k": ["v"]}]

    @cherrypy.expose
    def fail(self):
        raise Exception("bare words")

    @cherrypy.expose
    def fault(self):
        from xmlrpc.client import Fault

        raise Fault(666, "custom Fault response")

    @cherrypy.expose
    def none(self):
        return None

    @cherrypy.expose
    def uni(self, x):
        return x + "€"

    def hidden(self):
        return "never"


class RpcTool:
    """The dispatcher and the tool, without the controller."""

    @cherrypy.expose
    def default(self, *a, **kw):
        return "rpc default"

    @cherrypy.expose
    def echo(self, *a):
        return list(a)

    class Sub:
        @cherrypy.expose
        def name(self):
            return "nested"

    sub = Sub()


class Own(cherrypy.dispatch.Dispatcher):
    def find_handler(self, path):
        handler, vpath = super().find_handler(path.replace("/own", ""))
        cherrypy.response.headers["X-Found"] = f"{getattr(handler, '__name__', None)} {vpath}"
        return handler, vpath


class OwnRoot:
    @cherrypy.expose
    def a(self, *args):
        return f"a {args}"


def callable_dispatch(path_info):
    """Any callable may be a dispatcher."""
    cherrypy.request.config = cherrypy.config.copy()
    cherrypy.request.handler = lambda: "dispatched " + path_info


def mount(root, name, dispatch, **config):
    cherrypy.tree.mount(root, name, {"/": {"request.dispatch": dispatch, **config}})


def setup(folder):
    cherrypy.tree.mount(OwnRoot(), "")
    mount(MethodRoot(), "/rest", cherrypy.dispatch.MethodDispatcher())
    mount(VerbRoot(), "/verbs", cherrypy.dispatch.MethodDispatcher())
    mount(OwnRoot(), "/own", Own())
    mount(None, "/any", callable_dispatch)

    d = cherrypy.dispatch.RoutesDispatcher()
    d.connect("index", "/", RoutesRoot(), action="index")
    d.connect("show", "/show/:id", RoutesRoot(), action="show")
    d.connect("hello", "/hello/{name}", RoutesRoot(), action="hello", fixed="f")
    d.connect("conf", "/conf", RoutesRoot(), action="conf")
    d.connect("postonly", "/post", RoutesRoot(), action="hello", conditions={"method": ["POST"]})
    d.connect(
        "hounslow",
        "/city/hounslow",
        City("Hounslow"),
        action="index",
        conditions={"method": ["GET"]},
    )
    mount(None, "/routes", d)

    root = Vhost()
    root.mydom2 = Domain("2")
    root.mydom3 = Domain("3")
    mount(
        root,
        "/vh",
        cherrypy.dispatch.VirtualHost(
            **{"www.mydom2.com": "/mydom2", "www.mydom3.com": "/mydom3", "www.mydom4.com": "/dom4"}
        ),
    )
    mount(Rpc(), "/rpc", cherrypy.dispatch.XMLRPCDispatcher(), **{"tools.xmlrpc.allow_none": 0})
    mount(
        RpcTool(),
        "/rpctool",
        cherrypy.dispatch.XMLRPCDispatcher(),
        **{"tools.xmlrpc.on": True, "tools.xmlrpc.allow_none": True},
    )

    # Whole applications by host name, in WSGI.
    one = cherrypy.Application(Domain("wsgi one"), "/wsgivh")
    default = cherrypy.Application(Domain("wsgi default"), "/wsgivh")
    vhost = cherrypy._cpwsgi.VirtualHost(default, {"one.test": one})
    cherrypy.tree.graft(vhost, "/wsgivh")


def call(method, *params):
    from xmlrpc.client import dumps

    return {
        "method": "POST",
        "headers": {"Content-Type": "text/xml"},
        "body": dumps(params, method, allow_none=True).encode(),
    }


REQUESTS = [
    R("rest collection", "/rest/"),
    R("rest get", "/rest/1"),
    R("rest get unknown", "/rest/2"),
    R("rest put", "/rest/5", "PUT", body=b"five", headers={"Content-Type": "text/plain"}),
    R("rest put has stored", "/rest/5"),
    R("rest delete", "/rest/5", "DELETE"),
    R("rest deleted", "/rest/5"),
    R("rest post", "/rest/", **form(a="1")),
    R("rest head", "/rest/", "HEAD"),
    R("rest sub", "/rest/sub"),
    R("rest sub key", "/rest/sub/1"),
    R("rest own head", "/rest/head", "HEAD"),
    R("rest own options", "/rest/head", "OPTIONS"),
    R("rest not exposed", "/rest/hidden"),
    R("rest method not allowed", "/rest/", "PATCH"),
    R("rest options", "/rest/", "OPTIONS"),
    R("rest unknown method", "/rest/", "FROBNICATE"),
    R("rest put missing", "/rest/", "PUT", body=b""),
    R("rest function", "/rest/plain"),
    R("rest too many", "/rest/1/2"),
    R("verb with config", "/verbs/"),
    R("verb without config", "/verbs/", **form()),
    R("verb patch", "/verbs/", "PATCH", body=b"x"),
    R("verb delete", "/verbs/", "DELETE"),
    R("own dispatcher", "/own/own/a/b"),
    R("own dispatcher unknown", "/own/zzz"),
    R("callable dispatcher", "/any/thing"),
    R("routes index", "/routes/"),
    R("routes show", "/routes/show/42?x=1"),
    R("routes hello", "/routes/hello/you"),
    R("routes unknown", "/routes/unknown"),
    R("routes config", "/routes/conf"),
    R("routes condition", "/routes/post"),
    R("routes condition met", "/routes/post", **form(a="1")),
    R("routes city", "/routes/city/hounslow"),
    R("vhost default", "/vh/"),
    R("vhost 2", "/vh/", headers={"Host": "www.mydom2.com"}),
    R("vhost 3 method", "/vh/vmethod?value=x", headers={"Host": "www.mydom3.com"}),
    R("vhost 4", "/vh/", headers={"Host": "www.mydom4.com"}),
    R("vhost port", "/vh/", headers={"Host": "www.mydom2.com:80"}),
    R("vhost url", "/vh/url", headers={"Host": "www.mydom2.com"}),
    R("vhost forwarded", "/vh/", headers={"X-Forwarded-Host": "www.mydom2.com"}),
    R("wsgi vhost default", "/wsgivh/"),
    R("wsgi vhost one", "/wsgivh/", headers={"Host": "one.test"}),
    R("rpc add", "/rpc/", **call("add", 1, 2)),
    R("rpc kinds", "/rpc/", **call("kinds")),
    R("rpc unicode", "/rpc/", **call("uni", "é")),
    R("rpc unknown", "/rpc/", **call("nothing")),
    R("rpc hidden", "/rpc/", **call("hidden")),
    R("rpc exception", "/rpc/", **call("fail")),
    R("rpc fault", "/rpc/", **call("fault")),
    R("rpc none", "/rpc/", **call("none")),
    R("rpc wrong arguments", "/rpc/", **call("add", 1)),
    R("rpc malformed", "/rpc/", "POST", body=b"not xml", headers={"Content-Type": "text/xml"}),
    R("rpc get", "/rpc/"),
    R("rpc tool", "/rpctool/", **call("echo", 1, "x", None)),
    R("rpc tool nested", "/rpctool/", **call("sub.name")),
    R("rpc tool RPC2", "/rpctool/RPC2", **call("echo", 5)),
]
