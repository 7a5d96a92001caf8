"""The tree walk: which handler a path finds, with which arguments and configuration."""

from __future__ import annotations

import pytest
from framework_asking import ask, expose

from cherrypy.framework.dispatch import Dispatcher, punctuation_to_underscores
from cherrypy.framework.site import site


def text_of(*names):
    def page(self, *args, **kwargs):
        return repr((names, args, sorted(kwargs.items())))

    return expose(page)


class Leaf:
    index = text_of("leaf.index")
    page = text_of("leaf.page")


class Root:
    index = text_of("index")
    page = text_of("page")
    my_page = text_of("my_page")
    leaf = Leaf()

    def hidden(self):
        return "secret"


class WithDefault(Root):
    default = text_of("default")


@pytest.mark.parametrize(
    ("path", "name", "args", "is_index"),
    [
        ("/", "index", (), True),
        ("//", "index", (), True),
        ("/index", "index", (), False),
        ("/page", "page", (), False),
        ("/page/", "page", (), False),
        ("/page/1/2", "page", ("1", "2"), False),
        ("//page//1", "page", ("1",), False),
        ("/my.page", "my_page", (), False),
        ("/my-page", "my_page", (), False),
        ("/leaf/", "leaf.index", (), True),
        ("/leaf/page/a%2Fb/a%252Fb", "leaf.page", ("a/b", "a%252Fb"), False),
        ("/hidden", "default", ("hidden",), False),
        ("/nothing/at/all", "default", ("nothing", "at", "all"), False),
        ("/nothing/", "default", ("nothing",), True),
        ("/leaf/nothing", "default", ("leaf", "nothing"), False),
    ],
)
def test_paths(path, name, args, is_index):
    answer = ask(WithDefault(), path)
    assert answer.text == repr(((name,), args, []))
    assert answer.is_index is is_index


@pytest.mark.parametrize("path", ["/nothing", "/hidden", "/leaf/nothing"])
def test_not_found_names_the_path(path):
    answer = ask(Root(), path)
    assert answer.code == 404
    assert answer.text == f"The path '{path}' was not found.".replace("'", "&#x27;") or (
        answer.text == f"The path '{path}' was not found."
    )


def test_index_without_its_slash_is_an_index_and_redirected():
    answer = ask(Root(), "/leaf")
    assert answer.code == 301
    assert answer.headers["Location"] == "http://host.example/leaf/"


def test_exposed_instances_and_classes_take_the_rest_of_the_path():
    class Instance:
        exposed = True

        def __call__(self, *args):
            return repr(args)

    class Page:
        exposed = True

        def __init__(self, *args):
            self.args = args

        def __iter__(self):
            return iter([repr(self.args).encode()])

    class Tree:
        instance = Instance()
        page = Page

    assert ask(Tree(), "/instance/1/2").text == "('1', '2')"
    assert ask(Tree(), "/page/3").text == "('3',)"
    assert ask(Instance(), "/x").text == "('x',)"
    assert ask(Instance(), "/").is_index is False


def test_an_exposed_object_that_is_false_is_found():
    class Empty:
        exposed = True

        def __len__(self):
            return 0

        def __call__(self):
            return "here"

    class Tree:
        empty = Empty()

    assert ask(Tree(), "/empty").text == "here"


def test_dunder_names_do_not_lead_around_a_decorator():
    import functools

    def guarded(function):
        @functools.wraps(function)
        def wrapper(self, *args):
            return "no entry"

        return wrapper

    class Tree:
        @guarded
        @expose
        def page(self):
            return "secret"

    for path in ("/page/__wrapped__/x", "/page/..wrapped../x", "/page/__func__/__wrapped__/x"):
        assert "secret" not in ask(Tree(), path).text
    assert ask(Tree(), "/__class__/page").code == 404


def test_unicode_names():
    tree = Root()
    tree.café = tree.page
    assert ask(tree, "/caf\xe9/1").text == repr((("page",), ("1",), []))


def test_changes_are_seen_by_the_next_request():
    class Tree:
        pass

    tree = Tree()
    assert ask(tree, "/page").code == 404
    Tree.page = text_of("new")
    assert ask(tree, "/page").code == 200
    Tree.page.exposed = False
    assert ask(tree, "/page").code == 404
    Tree.page.exposed = True
    Tree.page._cp_config = {"marker": 1}
    assert ask(tree, "/page").config["marker"] == 1
    Tree.page._cp_config["marker"] = 2
    assert ask(tree, "/page").config["marker"] == 2
    del Tree.page._cp_config["marker"]
    assert "marker" not in ask(tree, "/page").config
    site.config["test.marker"] = 3
    try:
        assert ask(tree, "/page").config["test.marker"] == 3
    finally:
        del site.config["test.marker"]


# ---------------------------------------------------------------------------- _cp_dispatch


class Popping:
    index = text_of("index")
    page = text_of("page")

    def _cp_dispatch(self, vpath):
        self.seen = list(vpath)
        if vpath[0] == "none":
            return None
        if vpath[0] == "keep":
            return self
        if vpath[0] == "more":
            vpath.append("x")
            return self
        return self if vpath.pop(0) else None


def test_cp_dispatch_takes_segments():
    tree = Popping()
    assert ask(tree, "/x/page/1").text == repr((("page",), ("1",), []))
    assert tree.seen == ["x", "page", "1"]
    assert ask(tree, "/a/b/").text == repr((("index",), (), []))
    assert ask(tree, "/page").text == repr((("page",), (), []))


def test_cp_dispatch_that_takes_nothing_has_used_one_segment():
    assert ask(Popping(), "/keep/page").text == repr((("page",), (), []))


def test_cp_dispatch_that_finds_nothing():
    assert ask(Popping(), "/none/page").code == 404


def test_cp_dispatch_may_not_add_segments():
    assert ask(Popping(), "/more/page").code == 500


def test_cp_dispatch_can_have_another_name():
    class Tree:
        page = text_of("page")

        def lead(self, vpath):
            vpath.pop(0)
            return self

    config = {"/": {"request.dispatch": Dispatcher(dispatch_method_name="lead")}}
    assert ask(Tree(), "/x/page", config=config).text == repr((("page",), (), []))


# ---------------------------------------------------------------------------- configuration


class Configured:
    _cp_config = {"root": 1, "who": "root"}
    index = text_of("index")
    index._cp_config = {"who": "index"}
    default = text_of("default")
    default._cp_config = {"who": "default", "default": 1}
    page = text_of("page")
    page._cp_config = {"who": "page"}


Configured.below = Configured()

SECTIONS = {
    "/": {"who": "/", "slash": 1},
    "/page": {"who": "/page"},
    "/page/1": {"who": "/page/1"},
    "/below": {"below": 1},
    "/deep/er": {"er": 1},
    "/index": {"index": 1},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", {"who": "index", "index": 1}),
        ("/page", {"who": "/page"}),
        ("/page/1", {"who": "/page/1"}),
        ("/page/2", {"who": "/page"}),
        ("/below/page", {"who": "page", "below": 1}),
        ("/below/", {"who": "index", "below": 1}),
        ("/deep", {"who": "default", "default": 1}),
        ("/deep/er", {"who": "default", "default": 1, "er": 1}),
    ],
)
def test_config_is_merged_from_the_root_to_the_leaf(path, expected):
    config = ask(Configured(), path, config=SECTIONS).config
    mine = {key: value for key, value in config.items() if "." not in key}
    mine.pop("environment", None)
    assert mine == {"root": 1, "slash": 1, **expected}


def test_sections_are_below_the_script_name():
    config = ask(Configured(), "/app/page", config=SECTIONS, script_name="/app").config
    assert config["who"] == "/page"


def test_staticdir_section_is_where_the_directory_was_configured():
    sections = {"/page": {"tools.staticdir.dir": "x"}, "/page/1": {"a": 1}}
    dispatch = Configured()
    name = "tools.staticdir.section"
    assert ask(dispatch, "/page/1", config=sections).config[name] == "/page"
    assert name not in ask(dispatch, "/below/page", config=sections).config
    sections = {"/page/1": {"tools.staticdir.dir": "x"}, "/": {"tools.staticdir.dir": "y"}}
    assert ask(dispatch, "/page/1", config=sections).config[name] == "/page/1"
    assert ask(dispatch, "/page", config=sections).config[name] == "/"


def test_a_request_changes_its_own_config_only():
    tree = Configured()
    answer = ask(tree, "/page")
    answer.config["who"] = "changed"
    assert ask(tree, "/page").config["who"] == "page"


def test_find_handler_is_asked_through_the_class(monkeypatch):
    seen = []
    original = Dispatcher.find_handler

    def watched(self, path):
        seen.append(path)
        return original(self, path)

    tree = Root()
    ask(tree, "/page")
    monkeypatch.setattr(Dispatcher, "find_handler", watched)
    ask(tree, "/page")
    assert seen == ["/page"]


@pytest.mark.parametrize("table", [None, [], "x"])
def test_translate_has_to_be_a_table(table):
    with pytest.raises(ValueError, match="must be a dict"):
        Dispatcher(translate=table)


def test_translate_is_used():
    table = {**punctuation_to_underscores, ord("-"): "9"}
    tree = Root()
    tree.a9b = tree.page
    config = {"/": {"request.dispatch": Dispatcher(translate=table)}}
    assert ask(tree, "/a-b", config=config).code == 200
    assert ask(tree, "/a-b").code == 404
