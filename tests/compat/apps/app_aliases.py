"""Aliases: every form of expose, inside class bodies and out, names with dots; popargs."""

from compat_kit import R, form

import cherrypy


class Words:
    @cherrypy.expose(["generer", "generar"])
    def generate(self, length=8):
        return "x" * int(length)

    @cherrypy.expose("single")
    def one(self):
        return "one"

    @cherrypy.expose(alias="byname")
    def named(self):
        return "named"

    @cherrypy.expose(alias=["l1", "l2"])
    def listed(self):
        return "listed"

    @cherrypy.expose()
    def parens(self):
        return "parens"

    @cherrypy.expose("with.dots.txt")
    def dotted(self):
        return "dotted"

    @cherrypy.expose(["robots.txt", "a.b"])
    def several(self):
        return "several"

    def late(self):
        return "late"

    cherrypy.expose(late, "late_alias")

    def later(self):
        return "later"

    cherrypy.expose(later, ["la1", "la.2"])

    def latest(self):
        return "latest"

    latest.exposed = True

    @cherrypy.expose("unicodé")
    def uni(self):
        return "unicode alias"

    @cherrypy.expose("aliased")
    def default(self, *a):
        return f"default {a}"


@cherrypy.expose
class Exposed:
    def __call__(self):
        return "instance"

    def __init__(self, *a):
        self.a = a

    def __iter__(self):
        yield b"class "
        yield repr(self.a).encode()


class Child(Words):
    def generate(self, length=8):
        return "not exposed here"

    @cherrypy.expose
    def one(self):
        return "child one"


class Mixin:
    klass = Exposed
    instance = Exposed()


# --- _cp_dispatch and popargs


class Item:
    def __init__(self, name):
        self.name = name

    @cherrypy.expose
    def index(self, **kw):
        return f"item {self.name} {sorted(kw.items())}"

    @cherrypy.expose
    def edit(self, **kw):
        return f"edit {self.name} {sorted(kw.items())}"


class Manual:
    """Takes the first segment itself."""

    def _cp_dispatch(self, vpath):
        if vpath[0] == "none":
            return None
        if vpath[0] == "self":
            vpath.pop(0)
            return self
        if vpath[0] == "params":
            cherrypy.request.params["taken"] = vpath.pop(0)
            return self
        if vpath[0] == "longer":
            vpath.insert(0, "more")
            return self
        if vpath[0] == "error":
            raise cherrypy.HTTPError(418, "from dispatch")
        if vpath[0] == "redirect":
            raise cherrypy.HTTPRedirect("/elsewhere")
        return Item(vpath.pop(0))

    @cherrypy.expose
    def index(self, **kw):
        return f"manual index {sorted(kw.items())}"

    @cherrypy.expose
    def known(self):
        return "known"


@cherrypy.popargs("year", "month")
class Blog:
    @cherrypy.expose
    def index(self, year=None, month=None, **kw):
        return f"blog {year} {month} {sorted(kw.items())}"

    @cherrypy.expose
    def about(self, year=None, month=None):
        return f"about {year} {month}"

    @cherrypy.popargs("day")
    class Day:
        @cherrypy.expose
        def index(self, **kw):
            return f"day {sorted(kw.items())}"

        @cherrypy.expose
        def notes(self, year=None, month=None, day=None):
            return f"notes {year} {month} {day}"

    days = Day()


@cherrypy.popargs("name", handler=Item)
class ByHandler:
    @cherrypy.expose
    def index(self):
        return "handler index"


@cherrypy.popargs("a", "b", handler=lambda a, b=None: Item(f"{a}-{b}"))
class TwoByHandler:
    @cherrypy.expose
    def index(self, **kw):
        return "two by handler"


class Decorated:
    @cherrypy.expose
    def index(self, **kw):
        return f"decorated {sorted(kw.items())}"


Decorated = cherrypy.popargs("artist")(Decorated)


def setup(folder):
    root = Words()
    root.mixin = Mixin()
    root.child = Child()
    cherrypy.tree.mount(root, "")
    for name, node in (
        ("manual", Manual()),
        ("blog", Blog()),
        ("byhandler", ByHandler()),
        ("two", TwoByHandler()),
        ("deco", Decorated()),
    ):
        cherrypy.tree.mount(node, "/" + name)


REQUESTS = [
    *(
        R(f"alias {name}", f"/{name}")
        for name in (
            "generate",
            "generer",
            "generar",
            "single",
            "one",
            "byname",
            "named",
            "l1",
            "l2",
            "listed",
            "parens",
            "with.dots.txt",
            "with_dots_txt",
            "dotted",
            "robots.txt",
            "a.b",
            "several",
            "late",
            "late_alias",
            "later",
            "la1",
            "la.2",
            "latest",
            "unicod%C3%A9",
            "aliased",
            "nothing",
        )
    ),
    R("alias with argument", "/generer?length=3"),
    R("alias positional", "/generar/4"),
    R("child alias", "/child/generer"),
    R("child overridden alias", "/child/single"),
    R("child overridden", "/child/one"),
    R("child unexposed", "/child/generate"),
    R("exposed class", "/mixin/klass/a"),
    R("exposed instance", "/mixin/instance"),
    R("manual index", "/manual/"),
    R("manual item", "/manual/abc/"),
    R("manual item edit", "/manual/abc/edit?x=1"),
    R("manual none", "/manual/none"),
    R("manual self", "/manual/self"),
    R("manual self known", "/manual/self/known"),
    R("manual params", "/manual/params"),
    R("manual longer", "/manual/longer"),
    R("manual error", "/manual/error"),
    R("manual redirect", "/manual/redirect"),
    R("manual known", "/manual/known"),
    R("blog", "/blog/"),
    R("blog year", "/blog/2026/"),
    R("blog year month", "/blog/2026/11"),
    R("blog year month more", "/blog/2026/11/zz"),
    R("blog about", "/blog/about"),
    R("blog year about", "/blog/2026/about"),
    R("blog both about", "/blog/2026/11/about"),
    R("blog days", "/blog/days/"),
    R("blog days day", "/blog/2026/11/days/5/notes"),
    R("blog days index", "/blog/2026/11/days/5/"),
    R("blog query", "/blog/2026?x=1"),
    R("blog year twice", "/blog/2026?year=7"),
    R("blog posted", "/blog/2026/about", **form()),
    R("handler", "/byhandler/"),
    R("handler item", "/byhandler/nirvana/"),
    R("handler edit", "/byhandler/nirvana/edit"),
    R("handler unknown", "/byhandler/nirvana/unknown"),
    R("two handlers", "/two/x/y/"),
    R("two handlers one", "/two/x/"),
    R("decorated", "/deco/someone"),
    R("decorated index", "/deco/"),
]
