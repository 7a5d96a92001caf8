"""Hooks and tools: order, failures, templates that are never stale, shortcuts that are never seen."""

from __future__ import annotations

from typing import Any

import pytest
from spine_kit import app_of, call, mount

import cherrypy.lib.toolbox as _cptools
from cherrypy.framework.errors import HTTPError, HTTPRedirect
from cherrypy.framework.helpers import expose
from cherrypy.framework.hooks import Hook, HookMap, hookpoints
from cherrypy.framework.request import Request
from cherrypy.framework.serving import request, response, serving
from cherrypy.framework.site import site
from cherrypy.framework.tools import (
    ErrorTool,
    HandlerTool,
    HandlerWrapperTool,
    Tool,
    Toolbox,
    _getargs,
)

log: list[Any] = []


@pytest.fixture(autouse=True)
def clean() -> Any:
    log.clear()
    known = set(vars(site.tools))
    yield
    for name in set(vars(site.tools)) - known:
        delattr(site.tools, name)


def noting(name: str, **attributes: Any) -> Any:
    def note(**kwargs: Any) -> None:
        log.append((name, kwargs) if kwargs else name)

    note.__dict__.update(attributes)
    return note


def failing(exc: BaseException) -> Any:
    def fail() -> None:
        log.append("fail")
        raise exc

    return fail


class Root:
    @expose
    def index(self) -> str:
        log.append("handler")
        return "hi"

    @expose
    def error(self) -> str:
        log.append("handler")
        raise ValueError("a secret")

    @expose
    def redirect(self) -> str:
        raise HTTPRedirect("/x")


ALL = {f"hooks.{point}": noting(point) for point in hookpoints}
BEFORE = ["on_start_resource", "before_request_body", "before_handler"]
ERROR = ["on_end_resource", "before_error_response", "after_error_response", "on_end_request"]


def stages(path: str, **more: Any) -> list[Any]:
    log.clear()
    call(mount(Root(), {**ALL, **more}), path)
    return log[:]


def test_the_order_of_the_stages() -> None:
    end = ["before_finalize", "on_end_resource", "on_end_request"]
    assert stages("/") == [*BEFORE, "handler", *end]
    assert stages("/error") == [*BEFORE, "handler", *ERROR]
    assert stages("/redirect") == [*BEFORE, *end]
    assert stages("/nowhere") == [*BEFORE, *end]


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("on_start_resource", ["fail", *ERROR]),
        ("before_handler", [*BEFORE[:2], "fail", *ERROR]),
        ("before_finalize", [*BEFORE, "handler", "fail", *ERROR]),
        ("on_end_resource", [*BEFORE, "handler", "before_finalize", "fail", *ERROR[1:]]),
    ],
)
def test_an_error_in_a_hook(point: str, expected: list[str]) -> None:
    assert stages("/", **{f"hooks.{point}": failing(ValueError())}) == expected


def test_answers_raised_in_hooks() -> None:
    tree = mount(Root(), {"hooks.before_handler": failing(HTTPError(404, "none"))})
    assert call(tree).code == 404
    tree = mount(Root(), {"hooks.before_finalize": failing(HTTPError(404, "none"))})
    assert call(tree).code == 500  # it is raised again when the 404 is finalized
    tree = mount(Root(), {"hooks.before_error_response": failing(HTTPRedirect("http://h/q"))})
    assert call(tree, "/error")["Location"] == "http://h/q"


def test_the_last_resort_says_nothing_of_the_inside() -> None:
    tree = mount(Root(), {"hooks.before_error_response": failing(ValueError("a secret"))})
    answer = call(tree, "/error")
    assert answer.body == b"Unrecoverable error in the server.\n"
    assert answer["Content-Type"] == "text/plain"


def test_an_error_at_the_end_of_the_request_is_only_logged(caplog: Any) -> None:
    assert call(mount(Root(), {"hooks.on_end_request": failing(ValueError("late"))})).code == 200
    assert [r.getMessage() for r in caplog.records if r.exc_info] != []


def test_failsafe_hooks_run_after_a_failure() -> None:
    def setup() -> None:
        attach = serving.request.hooks.attach
        attach("before_handler", noting("skipped"), priority=30)
        attach("before_handler", noting("first"), priority=1)
        attach("before_handler", failing(ValueError("one")), priority=10)
        attach("before_handler", noting("safe"), failsafe=True, priority=40)
        attach("before_handler", noting("marked", failsafe=True, priority=50))

    call(mount(Root(), {"hooks.on_start_resource": setup}))
    assert log == ["first", "fail", "safe", "marked"]


def test_hooks_of_a_request_are_listed_and_private() -> None:
    class Page:
        @expose
        def index(self) -> str:
            hooks = request.hooks
            text = str(
                [(h.callback.__name__, h.priority) for h in hooks["before_handler"]]
                + [(h.callback.__name__, h.priority) for h in hooks["before_error_response"]]
            )
            hooks["before_error_response"].clear()
            hooks["before_handler"][0].kwargs["x"] = 1
            return text

    tree = mount(Page())
    expected = str(
        [
            ("trailing_slash", 60),
            ("ResponseEncoder", 70),
            ("log_traceback", 50),
            ("log_request_headers", 50),
        ]
    )
    assert [call(tree).text for _ in range(2)] == [expected, expected]


def test_hooks_of_all_requests() -> None:
    hook = Hook(noting("everywhere"))
    Request.hooks["before_handler"].append(hook)
    try:
        call(mount(Root()))
        site.tools.other = Tool("before_handler", noting("tool"), priority=10)
        call(mount(Root(), {"tools.other.on": True}))
    finally:
        Request.hooks["before_handler"].remove(hook)
    call(mount(Root()))
    assert log == ["everywhere", "handler", "tool", "everywhere", "handler", "handler"]


def test_hook_maps() -> None:
    hooks = HookMap(hookpoints)
    hooks.attach("before_handler", len, priority=3)
    copy = hooks.copy()
    assert copy == hooks
    assert copy["before_handler"] is not hooks["before_handler"]
    assert repr(HookMap()) == "cherrypy._cprequest.HookMap(points=[])"
    assert repr(Hook(len, a=1)) == (
        "cherrypy._cprequest.Hook(callback=<built-in function len>, failsafe=False, "
        "priority=50, a=1)"
    )
    assert min(Hook(len, priority=9), Hook(max, priority=1)).callback is max
    with pytest.raises(KeyError):
        hooks.attach("nowhere", len)
    with pytest.raises(KeyError):
        hooks.run("nowhere")


# ------------------------------------------------------------------------------------ tools


def test_a_tool_with_arguments_and_priority() -> None:
    site.tools.late = Tool("before_handler", noting("late"), priority=80)
    site.tools.early = Tool("before_handler", noting("early"))

    class Page:
        @expose
        @site.tools.early(a=1)
        def index(self) -> str:
            return "x"

    conf = {"tools.late.on": True, "tools.late.b": 2, "tools.early.priority": 90}
    call(mount(Page(), conf))
    assert log == [("late", {"b": 2}), ("early", {"a": 1})]


def test_nothing_of_a_tool_is_frozen() -> None:
    conf: dict[str, Any] = {"tools.mine.on": True}
    tree = mount(Root(), conf)
    assert call(tree).code == 500  # there is no such tool yet
    site.tools.mine = Tool("before_handler", noting("one"))
    call(tree)
    site.tools.mine.callable = noting("two")
    call(tree)
    site.tools.mine = Tool("before_finalize", noting("three"))
    call(tree)
    app_of(tree).config["/"]["tools.mine.on"] = False
    call(tree)
    app_of(tree).config["/"]["tools.mine.on"] = True
    site.tools.mine._point = "on_end_resource"
    call(tree)
    delattr(site.tools, "mine")
    assert call(tree).code == 500
    assert log == [
        *("one", "handler"),
        *("two", "handler"),
        *("handler", "three"),
        "handler",
        *("handler", "three"),
    ]


def test_configuration_changed_between_requests_is_seen() -> None:
    tree = mount(Root(), {})
    section = app_of(tree).config["/"]
    call(tree)
    section["hooks.before_handler"] = noting("hook")
    call(tree)
    section["response.headers.X-Y"] = "z"
    assert call(tree)["X-Y"] == "z"
    assert log == ["handler", "hook", "handler", "hook", "handler"]


def test_a_request_may_change_its_own_configuration() -> None:
    class Page:
        @expose
        def index(self) -> str:
            request.config["tools.encode.on"] = False
            request.toolmaps["tools"]["encode"]["on"] = False
            return "x"

    tree = mount(Page())
    assert call(tree).code == call(tree).code == 200


def test_tools_that_set_up_themselves_keep_their_place() -> None:
    class Own(Tool):
        def _setup(self) -> None:
            log.append("setup")
            conf = self._merged_args()
            serving.request.hooks.attach("before_handler", noting("own", priority=50), **conf)

    site.tools.own = Own("before_handler", None)
    site.tools.a = Tool("before_handler", noting("a"))
    site.tools.b = Tool("before_handler", noting("b"))
    conf = {"tools.a.on": True, "tools.own.on": True, "tools.own.x": 1, "tools.b.on": True}
    tree = mount(Root(), conf)
    for _ in range(2):
        log.clear()
        assert call(tree).code == 200
        assert log == ["setup", "a", ("own", {"x": 1}), "b", "handler"]


def test_any_object_with_a_setup_may_be_a_tool() -> None:
    class Thing:
        _name = "thing"

        def _setup(self) -> None:
            serving.request.hooks.attach("on_end_request", noting("thing"))

    site.tools.thing = Thing()
    call(mount(Root(), {"tools.thing.on": True}))
    assert log == ["handler", "thing"]


def test_a_shape_of_hooks_of_ones_own() -> None:
    class Both(Tool):
        def hooks(self, conf: dict[str, Any]) -> Any:
            yield "before_handler", noting("before"), None, conf
            yield "on_end_request", noting("after"), None, {}

    site.tools.both = Both("before_handler", None)
    tree = mount(Root(), {"tools.both.on": True, "tools.both.x": 1})
    for _ in range(2):
        log.clear()
        call(tree)
        assert log == [("before", {"x": 1}), "handler", "after"]


def test_handler_tools() -> None:
    def page(text: str = "tool") -> bool:
        response.body = text
        return bool(text)

    site.tools.page = HandlerTool(page)

    class Page(Root):
        other = site.tools.page.handler(text="other")
        none = site.tools.page.handler(text="")

    assert call(mount(Page(), {"tools.page.on": True})).text == "tool"
    assert call(mount(Page(), {"tools.page.on": True, "tools.page.text": ""})).text == "hi"
    assert call(mount(Page()), "/other").text == "other"
    assert call(mount(Page()), "/none").code == 404


def test_handler_wrapper_tools() -> None:
    @HandlerWrapperTool
    def shout(next_handler: Any, *args: Any, **kwargs: Any) -> str:
        return str(next_handler(*args, **kwargs)).upper()

    site.tools.shout = shout
    assert call(mount(Root(), {"tools.shout.on": True})).text == "HI"


def test_error_tools() -> None:
    def mine(text: str = "sorry") -> None:
        response.status = 503
        response.body = text.encode()

    site.tools.sorry = ErrorTool(mine)
    conf = {"tools.sorry.on": True, "tools.sorry.text": "so sorry"}
    answer = call(mount(Root(), conf), "/error")
    assert (answer.code, answer.body) == (503, b"so sorry")


def test_a_toolbox_of_ones_own() -> None:
    box = Toolbox("mine")

    @box.register("before_handler", priority=40, name="greet")
    def hello(name: str = "") -> None:
        log.append("hello " + name)

    tree = mount(Root(), {"mine.greet.on": True, "mine.greet.name": "you"})
    app = app_of(tree)
    app.toolboxes = {**app.toolboxes, "mine": box}
    call(tree)
    assert log == ["hello you", "handler"]
    assert box.greet._priority == 40


def test_tools_cannot_be_read_or_set_on() -> None:
    for act in (lambda t: t.on, lambda t: setattr(t, "on", True)):
        with pytest.raises(AttributeError, match="cannot be turned on directly"):
            act(site.tools.encode)
    with pytest.raises(TypeError, match="does not accept positional arguments"):
        site.tools.encode("x")


def test_decorating_a_class_leaves_its_base_alone() -> None:
    class Base:
        _cp_config = {"a": 1}

    class Derived(Base):
        pass

    site.tools.gzip(mime_types=["x"])(Derived)
    assert Base._cp_config == {"a": 1}
    assert Derived._cp_config == {
        "a": 1,
        "tools.gzip.on": True,
        "tools.gzip.mime_types": ["x"],
    }


def test_the_names_of_arguments() -> None:
    def function(a: Any, b: int = 1, *c: Any, **d: Any) -> None:
        pass

    class Callable:
        def __call__(self, x: Any) -> None:
            pass

    assert _getargs(function) == ("a", "b")
    assert _getargs(Callable()) == ("self", "x")
    assert Tool("before_handler", function, name="f").a is None
    assert _cptools._attr_error.startswith("CherryPy Tools cannot")


def test_only_an_index_without_its_slash_is_redirected() -> None:
    class Sub:
        @expose
        def index(self) -> str:
            return "sub"

    root = Root()
    root.sub = Sub()  # type: ignore[attr-defined]  # roots grow attributes
    answer = call(mount(root), "/sub", "a=1")
    assert (answer.code, answer["Location"]) == (301, "http://localhost/sub/?a=1")
    assert call(mount(root), "/sub/").text == "sub"
    assert call(mount(root, {"tools.trailing_slash.on": False}), "/sub").text == "sub"
    extra = mount(root, {"tools.trailing_slash.extra": True})
    assert call(extra, "/error/")["Location"] == "http://localhost/error"


def test_namespaces_of_ones_own() -> None:
    Request.namespaces["mine"] = lambda k, v: log.append((k, v))
    try:
        tree = mount(Root(), {"mine.key": "value"})
        call(tree)
    finally:
        del Request.namespaces["mine"]
    call(tree)
    assert log == [("key", "value"), "handler", "handler"]


def test_hooks_by_dotted_name() -> None:
    conf = {"hooks.before_handler": "builtins.breakpoint_that_is_not_there"}
    assert call(mount(Root(), conf)).code == 500
    assert call(mount(Root(), {"hooks.before_handler": "time.time"})).code == 200
