"""expose, popargs, url and friends."""

from __future__ import annotations

from typing import Any

import pytest
from spine_kit import call, mount

from cherrypy.framework.helpers import classproperty, expose, normalize_path, popargs, url
from cherrypy.framework.serving import request, serving


def test_expose_and_its_aliases() -> None:
    class Page:
        def one(self) -> None: ...

        one = expose(one, "b.c")

        @expose(alias=["x", "y.z"])
        def two(self) -> None: ...

        @expose(["q", "r"])
        def three(self) -> None: ...

        @expose("single")
        def four(self) -> None: ...

        @expose()
        def five(self) -> None: ...

        @expose
        class Inner: ...

    for name in ("one", "b_c", "two", "x", "y_z", "three", "q", "r", "four", "single", "five"):
        assert getattr(Page, name).exposed is True, name
    assert Page.x is Page.two
    assert Page.Inner.exposed is True  # type: ignore[attr-defined]  # set by expose

    class Callable:
        def __call__(self) -> None: ...

    thing = Callable()
    assert expose(thing) is thing
    assert thing.exposed is True  # type: ignore[attr-defined]  # set by expose


def test_popargs() -> None:
    @popargs("year", "month")
    class Calendar:
        @expose
        def index(self, year: Any = None, month: Any = None) -> str:
            return f"{year} {month}"

        @expose
        def other(self, year: Any = None) -> str:
            return f"other {year}"

    class Detail:
        @expose
        def index(self, number: Any = None) -> str:
            return f"detail {number}"

    @popargs("number", handler=Detail())
    class Things:
        @expose
        def index(self) -> str:
            return "things"

    class Root:
        cal = Calendar()
        things = Things()

    tree = mount(Root())
    assert call(tree, "/cal/").text == "None None"
    assert call(tree, "/cal/2000/").text == "2000 None"
    assert call(tree, "/cal/2000/5/").text == "2000 5"
    assert call(tree, "/cal/2000/other/").code in (301, 200)
    assert call(tree, "/cal/1/2/3").code == 404
    assert call(tree, "/things/").text == "things"
    assert call(tree, "/things/7/").text == "detail 7"


@pytest.mark.parametrize(
    ("at", "path", "args", "expected"),
    [
        ("", "/page", {}, "http://localhost/page"),
        ("", "/page", {"path": "x"}, "http://localhost/x"),
        ("", "/page", {"path": "../x"}, "http://localhost/x"),
        ("", "/sub/page", {"path": "x", "qs": "a=b"}, "http://localhost/sub/x?a=b"),
        ("", "/sub/page", {"path": "/x", "qs": {"a": "b c"}}, "http://localhost/x?a=b+c"),
        ("", "/sub/page", {"path": "../x"}, "http://localhost/x"),
        ("", "/page", {"path": "/x/../y/"}, "http://localhost/y"),
        ("/app", "/app/page", {"path": "/x"}, "http://localhost/app/x"),
        ("/app", "/app/page", {"path": "/x", "script_name": "/z"}, "http://localhost/z/x"),
        ("/app", "/app/page", {"path": "/x", "base": "https://h"}, "https://h/app/x"),
        ("/app", "/app/page", {"path": "x", "relative": "server"}, "/app/x"),
        ("/app", "/app/sub/page", {"path": "/x", "relative": True}, "../x"),
        ("/app", "/app/sub/page", {"path": "/sub/q", "relative": True}, "q"),
    ],
)
def test_urls(at: str, path: str, args: dict[str, Any], expected: str) -> None:
    class Page:
        @expose
        def page(self) -> str:
            return url(**args)

    class Root(Page):
        sub = Page()

    assert call(mount(Root(), at=at), path).text == expected


def test_urls_beside_an_index() -> None:
    class Sub:
        @expose
        def index(self) -> str:
            return url("x")

    class Root:
        sub = Sub()

    assert call(mount(Root()), "/sub/").text == "http://localhost/sub/x"


def test_normalize_path() -> None:
    for path, expected in (
        ("", ""),
        ("/", "/"),
        ("/a/../b", "/b"),
        ("../x", "x"),
        ("/a/./b", "/a/b"),
        ("/../../x", "/x"),
    ):
        assert normalize_path(path) == expected


def test_classproperty() -> None:
    class Thing:
        @classproperty
        def title(cls) -> str:
            return cls.__name__

    assert Thing.title == Thing().title == "Thing"


def test_the_proxies_show_what_is_being_served() -> None:
    class Holder:
        data: dict[str, int]

    class Page:
        @expose
        def index(self) -> str:
            request.mine = 5
            assert serving.request.mine == 5
            del request.mine
            assert not hasattr(serving.request, "mine")
            assert "path_info" in vars(request)
            assert "run" in dir(request)
            assert bool(request)
            return "ok"

    assert call(mount(Page())).text == "ok"


def test_a_relative_url_outside_a_request_is_host_and_path() -> None:
    serving.clear()
    base = "http://127.0.0.1:8080"
    assert url("/foo/bar", base=base, relative=True).endswith("127.0.0.1:8080/foo/bar")
    assert not url("/foo/bar", base=base, relative=True).startswith(".")
