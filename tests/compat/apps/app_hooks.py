"""Hooks and tools: points, order, failsafe, own tools, handler tools and wrappers, toolboxes."""

from cherrypy._cptools import HandlerTool, HandlerWrapperTool, Tool, Toolbox
from compat_kit import R, form

import cherrypy

POINTS = (
    "on_start_resource",
    "before_request_body",
    "before_handler",
    "before_finalize",
    "on_end_resource",
    "on_end_request",
    "before_error_response",
    "after_error_response",
)
TRAIL = []


def noting(point):
    def note(**kw):
        TRAIL.append(point)

    return note


def mark(text, **kw):
    old = cherrypy.response.headers.get("X-Marks", "")
    cherrypy.response.headers["X-Marks"] = f"{old}{text},"


def upper(handler_free=False):
    cherrypy.response.body = [b"".join(cherrypy.response.body).upper()]


def failing(how="error"):
    if how == "error":
        raise cherrypy.HTTPError(402, "from a hook")
    if how == "redirect":
        raise cherrypy.HTTPRedirect("/hooked")
    if how == "value":
        raise ValueError("from a hook")
    if how == "notfound":
        raise cherrypy.NotFound("/somewhere")


def early(text="early", really=True):
    if really:
        cherrypy.response.body = text.encode()
    return really


def wrapping(next_handler, *args, **kwargs):
    return "<" + str(next_handler(*args, **kwargs)) + ">"


class Counter(Tool):
    """A tool class of one's own, with arguments and two hooks."""

    def __init__(self):
        super().__init__("before_handler", self.count, priority=30)

    def count(self, start=0):
        cherrypy.request.counted = start + 1

    def _setup(self):
        super()._setup()
        cherrypy.request.hooks.attach("before_finalize", self.tell, priority=70)

    def tell(self):
        cherrypy.response.headers["X-Counted"] = str(cherrypy.request.counted)


class Duck:
    """Not a Tool at all."""

    _name = "duck"

    def _setup(self):
        conf = cherrypy.request.toolmaps["tools"].get("duck", {})
        cherrypy.request.hooks.attach(
            "before_finalize",
            lambda: cherrypy.response.headers.__setitem__("X-Duck", repr(sorted(conf.items()))),
        )


class Instance:
    """A callable with its own priority and failsafe."""

    priority = 5
    failsafe = True

    def __call__(self):
        mark("instance")


cherrypy.tools.mark1 = Tool("before_finalize", mark, priority=10)
cherrypy.tools.mark2 = Tool("before_finalize", mark, priority=90)
cherrypy.tools.mark3 = Tool("before_finalize", mark)
cherrypy.tools.instance = Tool("before_finalize", Instance())
cherrypy.tools.upper = Tool("before_finalize", upper)
cherrypy.tools.failing = Tool("before_handler", failing)
cherrypy.tools.failing_late = Tool("before_finalize", failing)
cherrypy.tools.failing_end = Tool("on_end_resource", failing)
cherrypy.tools.failing_request = Tool("on_end_request", failing)
cherrypy.tools.failing_start = Tool("on_start_resource", failing)
cherrypy.tools.early = HandlerTool(early)
cherrypy.tools.wrap = HandlerWrapperTool(wrapping)
cherrypy.tools.counter = Counter()
cherrypy.tools.duck = Duck()
mybox = Toolbox("mybox")
mybox.mark = Tool("before_finalize", mark)


@cherrypy.tools.register("before_finalize", priority=60)
def registered(value="default"):
    cherrypy.response.headers["X-Registered"] = value


@cherrypy.tools.register("before_finalize", name="renamed")
def some_function():
    cherrypy.response.headers["X-Renamed"] = "yes"


for point in POINTS:
    setattr(cherrypy.tools, "note_" + point, Tool(point, noting(point)))


def on(*names, **args):
    conf = {f"tools.{name}.on": True for name in names}
    conf.update({k.replace("__", "."): v for k, v in args.items()})
    return cherrypy.config(**conf)


class Root:
    @cherrypy.expose
    def index(self):
        return "index"

    @cherrypy.expose
    def hooked(self):
        return "hooked page"

    @cherrypy.expose
    @on(*("note_" + p for p in POINTS))
    def trail(self, how="", **kw):
        TRAIL.append("handler")
        if how:
            failing(how)
        return "trail"

    @cherrypy.expose
    def tell(self):
        told, TRAIL[:] = " ".join(TRAIL), []
        return told

    @cherrypy.expose
    @on(
        "mark1",
        "mark2",
        "mark3",
        "instance",
        tools__mark1__text="one",
        tools__mark2__text="two",
        tools__mark3__text="three",
    )
    def order(self):
        return "order"

    @cherrypy.expose
    @on(
        "mark1",
        "mark2",
        tools__mark1__text="one",
        tools__mark1__priority=95,
        tools__mark2__text="two",
    )
    def reorder(self):
        return "priority by config"

    @cherrypy.expose
    @cherrypy.tools.upper()
    @cherrypy.tools.mark1(text="decorated")
    def decorated(self):
        return "decorated"

    @cherrypy.expose
    @on("failing")
    def fails(self):
        return "never"

    @cherrypy.expose
    @on("failing", tools__failing__how="redirect")
    def redirects(self):
        return "never"

    @cherrypy.expose
    @on("failing", tools__failing__how="value")
    def breaks(self):
        return "never"

    @cherrypy.expose
    @on("failing", tools__failing__how="notfound")
    def missing(self):
        return "never"

    @cherrypy.expose
    @on(
        "failing_late", "mark1", "mark2", "instance", tools__mark1__text="a", tools__mark2__text="b"
    )
    def late(self):
        return "failed in finalize"

    @cherrypy.expose
    @on("failing_end")
    def end(self):
        return "failed at the end of the resource"

    @cherrypy.expose
    @on("failing_request", tools__failing_request__how="value")
    def request_end(self):
        return "failed when all was sent"

    @cherrypy.expose
    @on("failing_start")
    def start(self):
        return "never"

    @cherrypy.expose
    @on("early")
    def early(self):
        return "never"

    @cherrypy.expose
    @on("early", tools__early__really=False)
    def not_early(self):
        return "handler ran"

    as_handler = cherrypy.tools.early.handler(text="as a handler")

    @cherrypy.expose
    @on("wrap")
    def wrapped(self, x="1"):
        return f"wrapped {x}"

    @cherrypy.expose
    @on("counter", tools__counter__start=41)
    def counted(self):
        return str(cherrypy.request.counted)

    @cherrypy.expose
    @on("duck", tools__duck__a=1, tools__duck__b="x")
    def duck(self):
        return "duck"

    @cherrypy.expose
    @on("registered", "renamed", tools__registered__value="configured")
    def registered(self):
        return "registered"

    @cherrypy.expose
    @cherrypy.config(**{"mybox.mark.on": True, "mybox.mark.text": "box"})
    def boxed(self):
        return "boxed"

    @cherrypy.expose
    @on("wrong", tools__upper__on=False)
    def wrong(self):
        return "a tool that does not exist"

    @cherrypy.expose
    @on("upper", tools__upper__nonsense=1)
    def wrong_argument(self):
        return "wrong argument"

    @cherrypy.expose
    @cherrypy.config(**{"hooks.before_finalize": lambda: mark("lambda")})
    def by_config(self):
        return "hook by config"

    @cherrypy.expose
    def attached(self):
        cherrypy.request.hooks.attach("before_finalize", mark, text="attached", priority=1)
        cherrypy.request.hooks.attach("on_end_resource", mark, text="too late")
        return "attached"

    @cherrypy.expose
    def hook_objects(self):
        hook = cherrypy._cprequest.Hook(mark, priority=3, text="x")
        other = cherrypy._cprequest.Hook(upper)
        return f"{hook.priority} {other.priority} {hook < other} {hook.failsafe} {hook.kwargs}"

    @cherrypy.expose
    def points(self):
        return " ".join(sorted(cherrypy.request.hooks))

    @cherrypy.expose
    def on_attribute(self):
        try:
            cherrypy.tools.gzip.on
        except AttributeError as e:
            first = str(e)
        try:
            cherrypy.tools.gzip.on = True
        except AttributeError as e:
            return f"{first}|{e}"

    @cherrypy.expose
    def tool_members(self):
        t = cherrypy.tools.mark1
        return f"{t._name} {t._point} {t._priority} {t.namespace} {t.__name__ if 0 else ''}"

    @cherrypy.expose
    def header_list(self):
        def late():
            cherrypy.response.header_list.append((b"X-Late", b"pair"))

        cherrypy.request.hooks.attach("on_end_resource", late)
        return "header list"

    @cherrypy.expose
    def replaced_handler(self):
        cherrypy.request.marker = 1
        return "original"

    @cherrypy.expose
    def attributes(self):
        seen = hasattr(cherrypy.request, "mine")
        cherrypy.request.mine = 1
        return str(seen)

    @cherrypy.expose
    def late_tool(self):
        def shout():
            cherrypy.response.headers["X-Shout"] = "yes"

        cherrypy.tools.shout = Tool("before_finalize", shout)
        cherrypy.request.app.merge({"/hooked": {"tools.shout.on": True}})
        return "registered late"

    @cherrypy.expose
    def toolbox_call(self):
        cherrypy.tools.response_headers.callable(headers=[("X-Called", "directly")])
        return "called directly"

    @cherrypy.expose
    @on("note_on_end_request")
    def streamed(self):
        cherrypy.response.stream = True

        def content():
            yield b"a"
            TRAIL.append("yielded")
            yield b"b"

        return content()


def swap():
    cherrypy.request.handler = lambda *a, **k: "swapped"


def setup(folder):
    app = cherrypy.tree.mount(
        Root(),
        "",
        {
            "/": {},
            "/replaced_handler": {"hooks.before_handler": swap},
        },
    )
    app.toolboxes["mybox"] = mybox


REQUESTS = [
    *(
        R(name, "/" + name)
        for name in (
            "index",
            "hooked",
            "order",
            "reorder",
            "decorated",
            "fails",
            "redirects",
            "breaks",
            "missing",
            "late",
            "end",
            "request_end",
            "start",
            "early",
            "not_early",
            "as_handler",
            "wrapped",
            "counted",
            "duck",
            "registered",
            "boxed",
            "wrong",
            "wrong_argument",
            "by_config",
            "attached",
            "hook_objects",
            "points",
            "on_attribute",
            "tool_members",
            "header_list",
            "replaced_handler",
            "toolbox_call",
        )
    ),
    R("wrapped with argument", "/wrapped?x=2"),
    R("late tool", "/late_tool"),
    R("after late tool", "/hooked"),
    R("attributes first", "/attributes"),
    R("attributes second", "/attributes"),
    R("trail", "/trail"),
    R("trail told", "/tell", wait=0.05),
    R("trail posted", "/trail", **form(a="1")),
    R("trail posted told", "/tell", wait=0.05),
    R("trail error", "/trail?how=error"),
    R("trail error told", "/tell", wait=0.05),
    R("trail redirect", "/trail?how=redirect"),
    R("trail redirect told", "/tell", wait=0.05),
    R("trail value", "/trail?how=value"),
    R("trail value told", "/tell", wait=0.05),
    R("trail unknown path", "/trail/zzz"),
    R("trail unknown path told", "/tell", wait=0.05),
    R("streamed", "/streamed"),
    R("streamed told", "/tell", wait=0.05),
]
