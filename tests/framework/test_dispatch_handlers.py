"""Page handlers: arguments, and the answers when they do not fit."""

from __future__ import annotations

import pytest
from framework_asking import ask, expose

from cherrypy.framework.dispatch import LateParamPageHandler, PageHandler
from cherrypy.framework.serving import serving

FORM = "application/x-www-form-urlencoded"


class Root:
    @expose
    def one(self, x):
        return f"one {x}"

    @expose
    def two(self, x, y):
        return f"two {x} {y}"

    @expose
    def opt(self, x=1, *, z=2):
        return f"opt {x} {z}"

    @expose
    def need(self, *, z):
        return f"need {z}"

    @expose
    def some(self, x, *rest, **more):
        return f"some {x} {rest} {sorted(more.items())}"

    @expose
    def pos(self, x, /):
        return f"pos {x}"

    @expose
    def none(self):
        return "none"

    @expose
    def broken(self):
        raise TypeError("inside")

    @expose
    def deeper(self, x):
        return self.one()


@pytest.mark.parametrize(
    ("path", "query", "body", "code", "text"),
    [
        ("/one/1", "", None, 200, "one 1"),
        ("/one", "x=1", None, 200, "one 1"),
        ("/one", "x=1", b"x=2", 200, "one ['1', '2']"),
        ("/opt", "z=3&x=4", None, 200, "opt 4 3"),
        ("/need", "z=3", None, 200, "need 3"),
        ("/some/1/2", "a=3", None, 200, "some 1 ('2',) [('a', '3')]"),
        ("/one", "", None, 404, "Missing parameters: x"),
        ("/two", "", None, 404, "Missing parameters: x,y"),
        ("/need", "", None, 404, "Missing parameters: z"),
        ("/pos", "x=1", None, 404, "Missing parameters: x"),
        ("/one/1/2", "", None, 404, "Nothing matches the given URI"),
        ("/one/1", "x=2", None, 404, "Multiple values for parameters: x"),
        ("/one/1", "", b"x=2", 400, "Multiple values for parameters: x"),
        ("/one", "x=1&y=2&z=3", None, 404, "Unexpected query string parameters: y, z"),
        ("/one", "x=1", b"y=2", 400, "Unexpected body parameters: y"),
        ("/one", "x=1&q=1", b"y=2", 404, "Unexpected query string parameters: q"),
        ("/none", "self=1", None, 404, "Unexpected query string parameters: self"),
        ("/some", "self=1&x=2", None, 404, "Unexpected query string parameters: self"),
        ("/broken", "", None, 500, None),
        ("/deeper/1", "", None, 500, None),
    ],
)
def test_fit(path, query, body, code, text):
    answer = ask(Root(), path, query, body, body and FORM)
    assert answer.code == code
    if text is not None:
        assert answer.text == text


def test_mismatches_need_not_be_shown():
    config = {"/": {"request.show_mismatched_params": False}}
    answer = ask(Root(), "/one", config=config)
    assert (answer.code, answer.text) == (404, "Nothing matches the given URI")
    answer = ask(Root(), "/none", "", b"x=1", FORM, config=config)
    assert answer.code == 400
    assert "x" not in answer.text.split()


def test_arguments_live_on_the_request():
    request, _ = make()
    try:
        handler = PageHandler(lambda *args, **kwargs: (args, kwargs), 1, x=2)
        assert (request.args, request.kwargs) == ((1,), {"x": 2})
        handler.args, handler.kwargs = (3,), {"y": 4}
        assert handler() == ((3,), {"y": 4})
    finally:
        serving.clear()


def test_late_parameters_are_those_of_the_call():
    request, _ = make()
    try:
        request.params = {}
        handler = LateParamPageHandler(lambda *args, **kwargs: (args, kwargs), 1, y=2)
        request.params["x"] = 3
        assert handler() == ((1,), {"x": 3, "y": 2})
        handler.kwargs["x"] = 4  # a fresh dict each time
        assert request.params == {"x": 3}
        handler.kwargs = {"z": 5}
        assert handler.kwargs == {"x": 3, "z": 5}
    finally:
        serving.clear()


def test_replacing_call_on_the_class_is_seen(monkeypatch):
    original = PageHandler.__call__
    calls = []

    def watched(self):
        calls.append(self.callable.__name__)
        return original(self)

    monkeypatch.setattr(PageHandler, "__call__", watched)
    assert ask(Root(), "/one/1").text == "one 1"
    assert calls == ["one"]


def make():
    from cherrypy.framework.application import Application
    from kirsch.http.hosts import Host

    return Application(Root()).get_serving(
        Host("127.0.0.1", 80), Host("127.0.0.1", 1), "http", "HTTP/1.1"
    )
