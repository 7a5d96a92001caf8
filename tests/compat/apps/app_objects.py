"""Object dispatch: index, default, arguments and their refusals, what is exposed, odd paths."""

from compat_kit import R, form

import cherrypy


class Leaf:
    exposed = True

    def __call__(self, *args, **kwargs):
        return f"leaf {args} {sorted(kwargs.items())}"


@cherrypy.expose
class ExposedClass:
    def __init__(self, *args, **kwargs):
        self.args = args

    def __call__(self):
        return "called"

    def __iter__(self):
        return iter([b"iterated ", repr(self.args).encode()])


class CallableObject:
    @cherrypy.expose
    def __call__(self, a="none"):
        return f"callable object {a}"

    exposed = True


class Sub:
    @cherrypy.expose
    def index(self, **kw):
        return "sub index " + repr(sorted(kw.items()))

    @cherrypy.expose
    def page(self, a, b="B"):
        return f"page {a} {b}"

    @cherrypy.expose
    def default(self, *args):
        return f"sub default {args}"

    def hidden(self):
        return "never"

    text = "never"

    @cherrypy.expose
    def dotted_name_txt(self):
        return "dots became underscores"


class NoDefault:
    @cherrypy.expose
    def index(self):
        return "no default index"

    @cherrypy.expose
    def add(self, x, y):
        return str(int(x) + int(y))


class NoIndex:
    @cherrypy.expose
    def other(self):
        return "other"


class IndexWithArgs:
    @cherrypy.expose
    def index(self, *args, **kw):
        return f"index got {args} {sorted(kw)}"


class Numbered:
    def __init__(self, n):
        self.n = n

    @cherrypy.expose
    def index(self):
        return f"numbered {self.n}"

    def __getattr__(self, name):
        if name.startswith("dyn"):
            return Numbered(name[3:])
        raise AttributeError(name)


def bare(*args, **kw):
    return f"bare function {args} {kw}"


bare.exposed = True


class Root:
    @cherrypy.expose
    def index(self):
        return "root index"

    @cherrypy.expose
    def default(self, *args, **kw):
        return f"root default {args} {sorted(kw.items())}"

    @cherrypy.expose
    def echo(self, *args, **kw):
        return f"{args} {sorted(kw.items())} {cherrypy.request.path_info}"

    @cherrypy.expose
    def strict(self, thing):
        return f"thing {thing}"

    @cherrypy.expose
    def two(self, a, b):
        return f"{a},{b}"

    @cherrypy.expose
    def optional(self, a=1, *, b=2):
        return f"{a},{b}"

    @cherrypy.expose
    def kwonly(self, *, k):
        return f"k={k}"

    @cherrypy.expose
    def typeerror(self):
        len(5)

    @cherrypy.expose
    def inner_typeerror(self, a):
        def needs(x, y):
            return x

        return needs(1)

    @cherrypy.expose
    def lambda_default(self, x=None):
        return repr(x)

    @staticmethod
    @cherrypy.expose
    def static(x="s"):
        return f"static {x}"

    @classmethod
    @cherrypy.expose
    def klass(cls, x="c"):
        return f"{cls.__name__} {x}"

    @cherrypy.expose
    def show(self, **kw):
        r = cherrypy.request
        return "|".join(
            str(x)
            for x in (
                r.method,
                r.script_name,
                r.path_info,
                r.query_string,
                r.request_line,
                r.is_index,
                r.scheme,
                r.base,
                sorted(r.params.items()),
                r.protocol,
                r.server_protocol,
                cherrypy.url(),
                cherrypy.url(qs="a=1"),
            )
        )

    @cherrypy.expose
    def urls(self, path="", qs="", relative=None):
        if relative == "server":
            return cherrypy.url(path, qs, relative="server")
        return cherrypy.url(path, qs, relative=bool(relative))

    @cherrypy.expose
    def grow(self):
        def grown(self):
            return "grown"

        grown.exposed = True
        type(self).grown = grown
        return "ok"

    @cherrypy.expose
    def shrink(self):
        del type(self).grown
        return "ok"

    @cherrypy.expose(["unicodé"])
    def unicode(self):
        return "unicode path"

    sub = Sub()
    nodefault = NoDefault()
    noindex = NoIndex()
    indexargs = IndexWithArgs()
    leaf = Leaf()
    cls = ExposedClass
    call = CallableObject()
    number = Numbered(1)
    fn = staticmethod(bare)
    self_ref = property(lambda self: self.sub)


class Plain:
    """No default at the top, so that everything unknown is a 404."""

    @cherrypy.expose
    def index(self):
        return "plain index"

    @cherrypy.expose
    def remount(self, text):
        class Other:
            @cherrypy.expose
            def index(self):
                return text

        cherrypy.tree.mount(Other(), "/plain/late")
        return "mounted"

    @cherrypy.expose
    def unmount(self):
        del cherrypy.tree.apps["/plain/late"]
        return "gone"

    @cherrypy.expose
    def script(self):
        return f"{cherrypy.tree.script_name()!r} {cherrypy.request.app.script_name!r}"

    def unexposed(self):
        return "never"


def setup(folder):
    cherrypy.tree.mount(Root(), "")
    cherrypy.tree.mount(Plain(), "/plain")
    cherrypy.tree.mount(Sub(), "/plain/deeper")
    hidden_args = {"/": {"request.show_mismatched_params": False}}
    cherrypy.tree.mount(NoDefault(), "/quiet", hidden_args)


REQUESTS = [
    R("index", "/"),
    R("index by name", "/index"),
    R("index with positional", "/index/x"),
    R("root default", "/whatever/you/like?x=1"),
    R("sub without slash", "/sub"),
    R("sub with query without slash", "/sub?q=1"),
    R("sub index", "/sub/"),
    R("sub index query", "/sub/?b=2&a=1"),
    R("sub double slash", "//sub//"),
    R("slashes inside", "/sub///page///x"),
    R("sub page positional", "/sub/page/1"),
    R("sub page both positional", "/sub/page/1/2"),
    R("sub page too many", "/sub/page/1/2/3"),
    R("sub page keyword", "/sub/page?a=1&b=2"),
    R("sub page duplicated", "/sub/page/1?a=2"),
    R("sub page missing", "/sub/page"),
    R("sub page unknown keyword", "/sub/page/1?zzz=2"),
    R("sub page trailing slash", "/sub/page/1/"),
    R("sub default", "/sub/un/known"),
    R("sub hidden goes to default", "/sub/hidden"),
    R("sub attribute goes to default", "/sub/text"),
    R("dots", "/sub/dotted.name.txt"),
    R("dots and dashes", "/sub/dotted-name.txt"),
    R("nodefault unknown", "/nodefault/zzz"),
    R("nodefault add", "/nodefault/add?x=1&y=2"),
    R("nodefault add missing", "/nodefault/add?x=1"),
    R("nodefault add missing both", "/nodefault/add"),
    R("nodefault add extra", "/nodefault/add/1/2/3"),
    R("noindex", "/noindex/"),
    R("noindex no slash", "/noindex"),
    R("index with args", "/indexargs/a/b?c=d"),
    R("leaf", "/leaf/x/y?z=1"),
    R("leaf bare", "/leaf"),
    R("exposed class", "/cls/a/b"),
    R("callable object", "/call?a=2"),
    R("callable object slash", "/call/"),
    R("dynamic attribute", "/number/dynabc/"),
    R("dynamic nested", "/number/dyn1/dyn2/"),
    R("function as attribute", "/fn/1?x=2"),
    R("property as node", "/self_ref/page/1"),
    R("strict ok", "/strict?thing=1"),
    R("strict positional", "/strict/1"),
    R("strict missing", "/strict"),
    R("strict unexpected", "/strict?thing=1&x=2"),
    R("strict two unexpected", "/strict?thing=1&x=2&y=3"),
    R("strict repeated", "/strict?thing=1&thing=2"),
    R("strict positional and keyword", "/strict/1?thing=2"),
    R("strict too many", "/strict/1/2"),
    R("strict body", "/strict", **form(thing="posted")),
    R("strict body unexpected", "/strict", **form(thing="1", extra="2")),
    R("strict query and body", "/strict?thing=1", **form(thing="2")),
    R("strict body and position", "/strict/1", **form(thing="2")),
    R("strict post missing", "/strict", **form()),
    R("two", "/two/1/2"),
    R("two mixed", "/two/1?b=2"),
    R("two one missing", "/two/1"),
    R("two missing and unexpected", "/two/1?c=2"),
    R("optional", "/optional?b=3"),
    R("kwonly", "/kwonly?k=3"),
    R("kwonly missing", "/kwonly"),
    R("kwonly extra", "/kwonly?k=1&l=2"),
    R("typeerror inside", "/typeerror"),
    R("typeerror deeper", "/inner_typeerror/1"),
    R("static method", "/static?x=1"),
    R("class method", "/klass/2"),
    R("quiet missing", "/quiet/add?x=1"),
    R("quiet unexpected", "/quiet/add?x=1&y=2&z=3"),
    R("echo empty value", "/echo?a=&b"),
    R("echo repeated", "/echo?a=1&a=2&b=3"),
    R("echo plus", "/echo?a=1+2&b=%2B"),
    R("echo semicolon", "/echo?a=1;b=2"),
    R("echo imagemap", "/echo?12,34"),
    R("echo unicode query", "/echo?a=%C3%A9"),
    R("echo bad utf-8 query", "/echo?a=%E9"),
    R("echo slash escaped", "/echo/a%2Fb/c"),
    R("echo slash escaped lower", "/echo/a%2fb"),
    R("echo percent escaped", "/echo/100%25"),
    R("echo space", "/echo/a%20b+c"),
    R("echo unicode path", "/echo/%C3%A9%E2%82%AC"),
    R("echo latin-1 path", "/echo/%E9"),
    R("echo question mark escaped", "/echo/a%3Fb?c=d"),
    R("echo hash escaped", "/echo/a%23b"),
    R("echo punctuation", "/echo/a;b=c,d!e$f&g'(h)*i@j:k"),
    R("echo dot dot", "/echo/../x"),
    R("echo tilde", "/echo/~me"),
    R("echo bad escape", "/echo/%zz"),
    R("echo key only", "/echo?=x"),
    R("echo ampersands", "/echo?&&a=1&&"),
    R("echo empty segments", "/echo//a//b/"),
    R("echo raw utf-8 path", "/echo/\u00e9\u20ac"),
    R("echo raw utf-8 query", "/echo?a=\u00e9"),
    R("unicode handler", "/unicod%C3%A9"),
    R("show", "/show?x=1&y=%20"),
    R(
        "show absolute",
        raw=b"GET http://other.test/show?x=1 HTTP/1.1\r\nHost: other.test\r\n"
        b"Connection: close\r\n\r\n",
    ),
    R("show 1.0", "/show", http="1.0", headers={"Host": "<none>"}),
    R("urls plain", "/urls?path=/abc&qs=a%3D1"),
    R("urls relative path", "/urls?path=abc"),
    R("urls parent", "/urls?path=../abc"),
    R("urls dots", "/urls?path=./a/./b/../c"),
    R("urls relative", "/urls?path=/abc/d&relative=1"),
    R("urls server", "/urls?path=/abc/d&relative=server"),
    R("urls none", "/urls"),
    R("before growing", "/grown"),
    R("grow", "/grow"),
    R("after growing", "/grown"),
    R("shrink", "/shrink"),
    R("after shrinking", "/grown"),
    R("plain without slash", "/plain"),
    R("plain", "/plain/"),
    R("plain unknown", "/plain/unknown"),
    R("plain unknown markup", "/plain/%3Cscript%3E"),
    R("plain unknown unicode", "/plain/%E2%82%AC"),
    R("plain unexposed", "/plain/unexposed"),
    R("plain private", "/plain/__class__"),
    R("plain dunder call", "/plain/__init__"),
    R("plain inherited", "/plain/__class__/__name__"),
    R("plain script", "/plain/script"),
    R("plain before late mount", "/plain/late/"),
    R("plain mount", "/plain/remount?text=one"),
    R("plain after late mount", "/plain/late/"),
    R("plain remount", "/plain/remount?text=two"),
    R("plain after remount", "/plain/late/"),
    R("plain unmount", "/plain/unmount"),
    R("plain after unmount", "/plain/late/"),
    R("longest script name", "/plain/deeper/page/1"),
    R("script name is a whole segment", "/plaintext"),
    R("post index", "/", **form(a="1")),
    R("unknown method", "/echo", "FROBNICATE"),
    R("delete", "/echo", "DELETE"),
    R("options", "/echo", "OPTIONS"),
    R("head", "/echo", "HEAD"),
    R("head unknown", "/plain/nope", "HEAD"),
]
