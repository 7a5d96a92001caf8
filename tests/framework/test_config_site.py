"""The site's config, its namespaces, merging for applications, and plans."""

from __future__ import annotations

import threading
import timeit

import pytest

import cherrypy.lib.toolbox  # noqa: F401 - fills the default toolbox
from cherrypy.framework import config as config_module
from cherrypy.framework.config import Config, environments, merge, plan
from cherrypy.framework.site import site


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(site, "config", Config())
    return site.config


def test_environments():
    quiet = {
        "engine.autoreload.on": False,
        "checker.on": False,
        "tools.log_headers.on": False,
        "request.show_tracebacks": False,
        "request.show_mismatched_params": False,
    }
    assert environments["staging"] == quiet
    assert environments["production"] == {**quiet, "log.screen": False}
    assert environments["embedded"] == {
        **environments["production"],
        "engine.SIGHUP": None,
        "engine.SIGTERM": None,
    }
    assert environments["test_suite"]["request.show_tracebacks"] is True
    assert Config.environments is environments


def test_the_global_section_is_the_config(fresh):
    given = {"global": {"a": 1}, "/x": {"b": 2}}
    before = site.checker.global_config_contained_paths
    try:
        fresh.update(given)
        assert fresh["a"] == 1
        assert "/x" not in fresh
        assert site.checker.global_config_contained_paths is True
    finally:
        site.checker.global_config_contained_paths = before
    assert given == {"global": {"a": 1}, "/x": {"b": 2}}
    fresh.update({"tools.staticdir.dir": "/tmp"})
    assert fresh["tools.staticdir.section"] == "global"


def test_files_are_watched(fresh, tmp_path, monkeypatch):
    file = tmp_path / "site.conf"
    file.write_text("[global]\na = 1\n[/]\nb = 2\n")
    monkeypatch.setattr(site.engine.autoreload, "files", set())
    fresh.update(str(file))
    base = {}
    merge(base, str(file))
    assert fresh["a"] == 1
    assert base == {"global": {"a": 1}, "/": {"b": 2}}
    assert site.engine.autoreload.files == {str(file)}


def test_merging_wants_sections():
    base = {"/": {"a": 1}}
    merge(base, {"/": {"b": 2}, "/x": {}})
    assert base == {"/": {"a": 1, "b": 2}, "/x": {}}
    with pytest.raises(ValueError, match="must include section headers"):
        merge(base, {"a": 1})


def test_the_decorator_adds_to_cp_config():
    decorate = Config()

    @decorate(**{"tools.x.on": True})
    class Base:
        @decorate(a=1)
        @decorate(b=2)
        def page(self):
            pass

    @decorate(c=3)
    class Derived(Base):
        pass

    assert Base._cp_config == {"tools.x.on": True}
    assert Derived._cp_config == {"tools.x.on": True, "c": 3}
    assert Base.page._cp_config == {"a": 1, "b": 2}
    with pytest.raises(TypeError):
        decorate({"a": 1})


class FakePlugin:
    on = "untouched"

    def __init__(self):
        self.calls = []

    def subscribe(self):
        self.calls.append("subscribe")

    def unsubscribe(self):
        self.calls.append("unsubscribe")


def test_engine_entries(fresh, monkeypatch):
    monkeypatch.setattr(site.engine, "fake", FakePlugin(), raising=False)
    fresh.update({"engine.fake.on": True})
    fresh["engine.fake.on"] = False
    fresh["engine.fake.speed"] = 5
    assert site.engine.fake.calls == ["subscribe", "unsubscribe"]
    assert (site.engine.fake.speed, site.engine.fake.on) == (5, "untouched")
    monkeypatch.setattr(site.engine, "color", None, raising=False)
    fresh["engine.color"] = "red"
    assert site.engine.color == "red"
    with pytest.raises(AttributeError):
        fresh["engine.nothing.on"] = True


def test_signals_may_be_left_alone(fresh, monkeypatch):
    monkeypatch.setattr(site.engine.signal_handler, "handlers", {"SIGHUP": print, "SIGTERM": print})
    fresh["engine.SIGHUP"] = None
    assert site.engine.signal_handler.handlers == {"SIGTERM": print}


def test_further_servers_are_made_when_named(fresh, monkeypatch):
    made = []

    class Server(FakePlugin):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr(config_module, "server_factory", Server)
    monkeypatch.setattr(site, "servers", {}, raising=False)
    first = Server()
    monkeypatch.setattr(site, "server", first, raising=False)
    fresh.update({"server.socket_port": 1, "server.two.socket_port": 2, "server.three.on": False})
    assert first.socket_port == 1
    assert site.servers["two"].socket_port == 2
    assert site.servers["two"].calls == ["subscribe"]
    assert site.servers["three"].calls == ["unsubscribe"]
    fresh["server.two.instance"] = "x.y"
    assert site.servers["two"].instance == "x.y"
    assert len(made) == 3


def test_tree_log_and_checker_entries(fresh, monkeypatch):
    from cherrypy.framework.application import Application
    from cherrypy.framework.tree import Tree

    monkeypatch.setattr(site, "tree", Tree())
    app = Application(object(), "/app")
    fresh["tree.app"] = app
    fresh["tree.graft"] = {"/wsgi": print}
    assert site.tree.apps == {"/app": app, "/wsgi": print}
    monkeypatch.setattr(site.checker, "on", True)
    fresh["checker.on"] = False
    assert site.checker.on is False
    before = site.log.screen
    try:
        fresh["log.screen"] = False
        assert site.log.screen is False
    finally:
        site.log.screen = before


# ----------------------------------------------------------------------------------- plans


def test_a_plan_is_found_again():
    sources = ({"a": 1, "tools.x.on": True}, {"a": 2, "tools.x.y.z": 3})
    first = plan(sources)
    assert first.config == {"a": 2, "tools.x.on": True, "tools.x.y.z": 3}
    assert first.namespaces == {"tools": {"x.on": True, "x.y.z": 3}}
    first.state["mine"] = 1
    assert plan((sources[0], sources[1])) is first
    assert plan(sources, {"b": 1}) is not first
    assert plan(sources, {"b": 1}) is plan(sources, {"b": 1})
    assert plan(sources, {"b": 1}).config["b"] == 1


@pytest.mark.parametrize("change", ["set", "add", "delete", "clear"])
def test_any_change_of_a_source_is_seen(change):
    source = {"a": 1}
    other = {"b": 2}
    first = plan((source, other))
    if change == "set":
        source["a"] = 5
    elif change == "add":
        other["c"] = 3
    elif change == "delete":
        del source["a"]
    else:
        source.clear()
    second = plan((source, other))
    assert second is not first
    assert second.config == {**source, **other}
    assert plan((source, other)) is second


def test_what_a_plan_holds_stays_itself():
    inner = [1]
    source = {"a": inner}
    first = plan((source,))
    inner.append(2)
    assert plan((source,)).config["a"] is inner
    source["a"] = [1, 2]
    assert plan((source,)).config["a"] == [1, 2]
    assert first.config["a"] is inner


def test_values_that_refuse_to_be_compared():
    class Array:
        def __eq__(self, other):
            raise ValueError("ambiguous")

        __hash__ = None

    source = {"a": Array()}
    assert plan((source,)) is plan((source,))
    source["a"] = replacement = Array()
    assert plan((source,)).config["a"] is replacement
    assert plan((source,), {"x": []}).config["x"] == []


def test_plans_are_bounded():
    for _ in range(config_module.MAX_PLANS + 100):
        plan(({"a": 1},))
    assert len(config_module._plans) <= config_module.MAX_PLANS


def test_plans_are_right_under_threads():
    sources = tuple({"shared": 0, f"own{i}": i} for i in range(3))
    wrong = []
    stop = threading.Event()

    def look():
        while not stop.is_set():
            seen = plan(sources).config
            if seen["own0"] != 0 or seen["shared"] > changes[0]:
                wrong.append(dict(seen))

    changes = [0]
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        changes[0] = number
        sources[2]["shared"] = number
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not wrong
    assert plan(sources).config["shared"] == 1999


def test_a_lookup_is_cheap():
    sources = ({"a": 1, "b": 2, "c": 3, "d": 4}, {"e": 5}, {"f": 6})
    best = min(timeit.repeat(lambda: plan(sources), number=2000, repeat=7)) / 2000
    assert best < 5e-6  # 0.4 microseconds where it is quiet
