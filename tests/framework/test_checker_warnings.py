"""The checker: what it warns of, and what it leaves alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import cherrypy.lib.toolbox  # noqa: F401 - fills the default toolbox
from cherrypy.framework.application import Application
from cherrypy.framework.checker import Checker
from cherrypy.framework.config import Config
from cherrypy.framework.site import site
from cherrypy.framework.tree import Tree


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setattr(site, "tree", Tree())
    monkeypatch.setattr(site, "config", Config())

    def run(config, script_name="", site_config=None, checker=None):
        app = Application(object(), script_name)
        app.config = config
        site.tree.apps[script_name] = app
        dict.update(site.config, site_config or {})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (checker or Checker())()
        return [str(warning.message) for warning in caught]

    return run


def test_nothing_to_say(check, tmp_path):
    config = {
        "/": {
            "tools.staticdir.on": True,
            "tools.staticdir.dir": str(tmp_path),
            "tools.gzip.on": True,
            "request.show_tracebacks": True,
            "log.screen": False,
            "wsgi.pipeline": [],
            "hooks.before_handler": print,
            "error_page.404": "x.html",
            "mine": 1,
        }
    }
    more = {"server.socket_timeout": 2.5, "server.socket_host": None, "engine.autoreload.on": 1}
    assert check(config, site_config=more) == []


@pytest.mark.parametrize(
    ("config", "script_name", "words"),
    [
        ({"/app/x": {"a": 1}}, "/app", "start with its script name: '/app/x'"),
        ({"/": {"server.socket_port": 1}}, "/app", "[/] server.socket_port = 1"),
        ({}, "", "The Application mounted at '' has an empty config."),
        ({"[/x]": {"a": 1}}, "", "extraneous brackets: '[/x]'"),
        ({"/": {"tool.x": 1}}, "", "the 'tool' config namespace is unknown"),
        ({"/": {"tools.nosuch.on": 1}}, "", "the 'nosuch' tool was not found"),
        ({"/": {"cherrypy.server.x": 1}}, "", "try 'server.x' instead"),
        ({"/": {"log_file": "x"}}, "", "'log_file' is obsolete. Use 'log.error_file' instead."),
        ({"/": {"request.show_tracebacks": "no"}}, "", "is of type 'str', which does not match"),
        ({"/": {"request.methods_with_bodies": "POST"}}, "", "the expected type 'tuple'"),
    ],
)
def test_warnings(check, config, script_name, words):
    found = check(config, script_name)
    assert any(words in text for text in found), found


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({}, "tools.staticdir.dir is not set."),
        ({"dir": "rel"}, "dir is a relative path and no root provided."),
        ({"dir": "/no/such"}, "'/no/such' (root + dir) is not an existing filesystem path."),
        ({"dir": "/tmp", "root": "/x"}, "dir is an absolute path, even though a root is provided."),
        ({"dir": "nope", "root": "rel"}, "'rel/nope' is not an absolute path."),
    ],
)
def test_static_paths(check, conf, words):
    entries = {f"tools.staticdir.{name}": value for name, value in conf.items()}
    found = check({"/x": {"tools.staticdir.on": True, **entries}})
    assert len(found) == 1
    assert words in found[0]
    assert "section: [/x]" in found[0]


def test_static_settings_are_inherited(check, tmp_path):
    (tmp_path / "css").mkdir()
    config = {
        "/": {"tools.staticdir.root": str(tmp_path)},
        "/css": {"tools.staticdir.on": True, "tools.staticdir.dir": "css"},
    }
    assert check(config) == []


def test_site_entries(check):
    found = check(
        {"/": {"a": 1}}, site_config={"server.socket_host": "localhost", "log_to_screen": 1}
    )
    assert any("'localhost' as a socket host" in text for text in found)
    assert "'log_to_screen' is obsolete. Use 'log.screen' instead." in found


def test_lost_sections_are_explained(check):
    checker = Checker()
    checker.global_config_contained_paths = True
    assert "cherrypy.tree.mount(..., config=app_config)" in check({}, checker=checker)[0]


def test_it_can_be_switched_off(check):
    checker = Checker()
    checker.check_skipped_app_config = False
    assert check({}, checker=checker) == []
    checker = Checker()
    checker.on = False
    assert check({"[/x]": {}}, checker=checker) == []


def test_foreign_applications_are_left_alone(check):
    site.tree.apps["/wsgi"] = lambda environ, start_response: []
    assert check({"/": {"a": 1}}) == []


def test_the_format():
    text = Checker().formatwarning("text", UserWarning, "file", 3)
    assert text == "CherryPy Checker:\ntext\n\n"
    before = warnings.formatwarning
    Checker()()
    assert warnings.formatwarning is before


def test_folders_may_be_objects_of_pathlib(check, tmp_path):
    conf = {"tools.staticdir.on": True, "tools.staticdir.root": tmp_path}
    (told,) = check({"/x": conf | {"tools.staticdir.dir": tmp_path / "css"}})
    assert "dir is an absolute path, even though a root is provided." in told
    (tmp_path / "css").mkdir()
    assert check({"/x": conf | {"tools.staticdir.dir": Path("css")}}) == []
