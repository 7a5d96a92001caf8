"""Dispatch by URL patterns."""

from __future__ import annotations

import sys

import pytest
from framework_asking import ask

from cherrypy.framework.dispatch import RoutesDispatcher

pytest.importorskip("routes")


class Cities:
    _cp_config = {"who": "controller"}

    def __init__(self, **names):
        self.names = names

    def index(self, **kwargs):
        return f"index {sorted(kwargs.items())}"

    def show(self, city, **kwargs):
        return f"show {city}"

    show._cp_config = {"who": "action"}


def dispatch(**options):
    dispatcher = RoutesDispatcher(**options)
    dispatcher.connect("cities", "/cities", Cities(), action="index")
    dispatcher.connect("city", "/city/{city}", Cities, action="show")
    dispatcher.connect("page", "/page", lambda **kwargs: "page")
    dispatcher.connect("bad", "/bad", Cities(), action="nothing")
    return {"/": {"request.dispatch": dispatcher, "who": "/", "root": 1}}


class Nothing:
    pass


def test_routes():
    config = dispatch()
    assert ask(Nothing(), "/cities", "a=1", config=config).text == "index [('a', '1')]"
    assert ask(Nothing(), "/city/ulm", config=config).text == "show ulm"
    assert ask(Nothing(), "/page", config=config).text == "page"
    assert ask(Nothing(), "/other", config=config).code == 404
    assert ask(Nothing(), "/bad", config=config).code == 404


def test_full_result():
    text = ask(Nothing(), "/cities", config=dispatch(full_result=True)).text
    assert text == "index [('action', 'index'), ('controller', 'cities')]"


def test_config_of_the_page_itself_comes_last():
    config = dispatch()
    assert ask(Nothing(), "/city/ulm", config=config).config["who"] == "action"
    assert ask(Nothing(), "/city/ulm", config=config).config["root"] == 1
    config["/city/ulm"] = {"who": "section"}
    config["/city"] = {"who": "above", "above": 1}
    answer = ask(Nothing(), "/city/ulm", config=config)
    assert (answer.config["who"], answer.config["above"]) == ("section", 1)
    assert ask(Nothing(), "/city/bonn", config=config).config["who"] == "action"


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "routes", None)
    with pytest.raises(ImportError, match="pip install routes"):
        RoutesDispatcher()
