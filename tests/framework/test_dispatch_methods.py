"""Dispatch on verbs."""

from __future__ import annotations

from framework_asking import ask

from cherrypy.framework.application import Application
from cherrypy.framework.dispatch import Dispatcher, MethodDispatcher

CONFIG = {"/": {"request.dispatch": MethodDispatcher()}}


class Resource:
    exposed = True
    LIMIT = 5

    def GET(self, *args):
        return f"GET {args}"

    def PUT(self, name):
        return f"PUT {name}"

    PUT._cp_config = {"marker": 1}


class Root:
    thing = Resource()


def test_the_verb_is_the_method():
    assert ask(Root(), "/thing/1", config=CONFIG).text == "GET ('1',)"
    answer = ask(Root(), "/thing/1", body=b"", method="PUT", config=CONFIG)
    assert answer.text == "PUT 1"
    assert answer.config["marker"] == 1


def test_allow_names_the_verbs_and_nothing_else():
    assert ask(Root(), "/thing", config=CONFIG).headers["Allow"] == "GET, HEAD, PUT"


def test_head_is_get():
    assert ask(Root(), "/thing", method="HEAD", config=CONFIG).code == 200


def test_other_verbs_are_not_allowed():
    for method in ("DELETE", "LIMIT", "get", "__CLASS__"):
        answer = ask(Root(), "/thing", method=method, config=CONFIG)
        assert answer.code == (200 if method == "get" else 405), method
        assert answer.headers["Allow"] == "GET, HEAD, PUT"


def test_no_resource():
    assert ask(Root(), "/other", config=CONFIG).code == 404


def test_verbs_of_the_instance_count():
    root = Root()
    root.thing = Resource()
    root.thing.DELETE = lambda *args: "gone"
    answer = ask(root, "/thing", method="DELETE", config=CONFIG)
    assert (answer.text, answer.headers["Allow"]) == ("gone", "DELETE, GET, HEAD, PUT")


def test_what_find_handler_returns_is_asked_for_the_verb(monkeypatch):
    original = Dispatcher.find_handler

    class Proxy:
        def __init__(self, target):
            self.target = target

        def __dir__(self):
            return dir(self.target)

        def __getattr__(self, name):
            if name == "GET":
                return lambda *args: "through the proxy"
            return getattr(self.target, name)

    def wrapped(self, path):
        found, vpath = original(self, path)
        return Proxy(found), vpath

    monkeypatch.setattr(Dispatcher, "find_handler", wrapped)
    answer = ask(Root(), "/thing", config=CONFIG)
    assert (answer.text, answer.headers["Allow"]) == ("through the proxy", "GET, HEAD, PUT")


def test_the_config_of_a_verb_has_a_plan():
    app = Application(Root(), "", CONFIG)

    def put():
        return ask(app, "/thing/1", body=b"", method="PUT")

    answer, again = put(), put()
    assert answer.request._plan is again.request._plan
    assert again.request._plan.config == again.config
    Resource.PUT._cp_config["marker"] = 2
    try:
        assert put().config["marker"] == 2
    finally:
        Resource.PUT._cp_config["marker"] = 1
