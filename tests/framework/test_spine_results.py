"""The short ways of the request path say what the tools themselves would have said."""

from __future__ import annotations

from typing import Any

import pytest
from spine_kit import call, environ, mount, without_hooks

import cherrypy
from cherrypy.framework.response import Response
from cherrypy.framework.serving import serving

RESULTS: dict[str, Any] = {
    "ascii": "plain",
    "empty": "",
    "umlaut": "äöü €",
    "surrogate": "\ud800",
    "bytes": b"\xff\x00",
    "no bytes": b"",
    "one": [b"one"],
    "one empty": [b""],
    "two": [b"one", b"two"],
    "text in a list": ["ä"],
    "none": None,
    "tuple": (b"a", "b"),
    "other": bytearray(b"array"),
}
TYPES = (
    None, "", "text/html", "text/plain", "TEXT/plain", "text/html;charset=latin-1",
    "text/a, text/b", "application/json", "image/png",
)  # fmt: skip


def root(result: Any, content_type: str | None, look: bool) -> Any:
    class Root:
        @cherrypy.expose
        def index(self) -> Any:
            if content_type is not None:
                cherrypy.response.headers["Content-Type"] = content_type
            elif look:
                cherrypy.response.headers.get("X")
            return result

    return Root()


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("fields", [{}, {"HTTP_ACCEPT_CHARSET": "iso-8859-1, utf-8;q=0.5"}])
def test_results_are_encoded_as_by_the_tool(
    name: str, content_type: str | None, fields: dict[str, str]
) -> None:
    without_hooks()
    for look in (False, True):
        page = root(RESULTS[name], content_type, look)
        short = call(mount(page, {}), **fields)
        # With an argument the tool runs itself.
        full = call(mount(page, {"tools.encode.errors": "strict"}), **fields)
        assert (short.status, short.body) == (full.status, full.body)
        assert {**dict(short.headers), "Date": ""} == {**dict(full.headers), "Date": ""}


def test_a_hook_sees_the_fields_of_a_response_nobody_has_touched() -> None:
    without_hooks()
    seen: list[Any] = []

    def look() -> None:
        seen.append(dict(cherrypy.response.headers))

    page = root("text", None, False)
    answer = call(mount(page, {"hooks.before_finalize": look}))
    assert seen[0]["Content-Type"] == "text/html;charset=utf-8"
    assert "Content-Length" not in seen[0]
    assert answer["Content-Length"] == "4"
    seen.clear()
    answer = call(mount(page, {"hooks.on_end_resource": look}))
    assert seen == [dict(answer.headers)]


def test_promised_cookies_are_cookies() -> None:
    from http.cookies import Morsel

    def make(name: str, value: str) -> Any:
        morsel: Any = Morsel()
        morsel.set(name, value, value)
        morsel["path"] = "/"
        return morsel

    def fields(response: Response) -> list[str]:
        response.body = b"x"
        response.finalize()
        return [value for name, value in response.pairs() if name == "Set-Cookie"]

    unseen, seen = Response(), Response()
    for response in (unseen, seen):
        response.promise_cookie("a", "0", "; Path=/", make)
        response.promise_cookie("a", "1", "; Path=/", make)
        response.promise_cookie("b", "x\r\ny", "; Path=/", make)
    assert list(seen.cookie) == ["a", "b"]
    seen.promise_cookie("a", "2", "; Path=/", make)
    assert fields(unseen) == ["a=1; Path=/", "b=xy; Path=/"]
    assert fields(seen) == ["a=2; Path=/", "b=xy; Path=/"]


def test_the_cookies_of_a_response_that_went_out_are_no_fields() -> None:
    without_hooks()
    seen: list[Any] = []

    class Root:
        @cherrypy.expose
        def index(self) -> str:
            cherrypy.response.cookie["a"] = "1"
            return "text"

    def look() -> None:
        seen.append(list(serving.response.headers))

    answer = call(mount(Root(), {"hooks.on_end_resource": look}))
    assert answer.all("Set-Cookie") == ["a=1"]
    assert "Set-Cookie" not in seen[0]


def test_hooks_added_by_hooks_run() -> None:
    without_hooks()
    ran: list[str] = []

    def add() -> None:
        for point in ("before_handler", "before_finalize", "on_end_resource", "on_end_request"):
            cherrypy.request.hooks.attach(point, lambda point=point: ran.append(point))

    call(mount(root("x", None, False), {"hooks.on_start_resource": add}))
    assert ran == ["before_handler", "before_finalize", "on_end_resource", "on_end_request"]


@pytest.mark.parametrize("result", ["text", [b"text"], ""])
def test_a_response_whose_end_is_awaited_is_known_whole(result: Any) -> None:
    without_hooks()
    ended: list[int] = []
    conf = {"hooks.on_end_request": lambda: ended.append(1)}
    tree = mount(root(result, None, False), conf)
    body = tree(environ("/"), lambda status, fields, exc_info=None: None)
    if result:
        assert body
        assert len(body) == 1
        assert next(iter(body)) == b"text"
    assert ended == []
    body.close()
    body.close()
    assert ended == [1]


def test_several_pieces_are_not_called_one() -> None:
    without_hooks()
    conf = {"hooks.on_end_request": lambda: None, "response.stream": True}
    tree = mount(root([b"a", b"b"], None, False), conf)
    body = tree(environ("/"), lambda status, fields, exc_info=None: None)
    assert not hasattr(body, "__len__")
    assert b"".join(body) == b"ab"
    body.close()
