"""reprconf: values as Python, namespaces, files and their errors."""

from __future__ import annotations

import io
import logging
import os.path

import pytest

from cherrypy.framework import reprconf
from cherrypy.framework.reprconf import Config, NamespaceSet, Parser, attributes, modules, unrepr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("1", 1),
        ("-1", -1),
        ("+1", 1),
        ("1e3", 1000.0),
        ("b'x'", b"x"),
        ("[1, 'a', None, True]", [1, "a", None, True]),
        ("(1,)", (1,)),
        ("1, 2", (1, 2)),
        ("{1, 2}", {1, 2}),
        ("{'a': {'b': 1}, **{'c': 2}}", {"a": {"b": 1}, "c": 2}),
        ("[1, 2, 3][1]", 2),
        ("'abc'[1:]", "bc"),
        ("60 * 60 - 5 + 1", 3596),
        ("not True", False),
        ("2 ; comment", 2),
        ("2  # a comment", 2),
        ("int", int),
        ("os.path.join", os.path.join),
        ("os.path.join('a', *['b'])", os.path.join("a", "b")),
        ("dict(a=1, **{'b': 2})", {"a": 1, "b": 2}),
        ("logging.DEBUG", logging.DEBUG),
        ("xml.dom.minidom.__name__", "xml.dom.minidom"),
    ],
)
def test_values(text, value):
    assert unrepr(text) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("foo", TypeError),
        ("no_such_module.x", TypeError),
        ("lambda: 1", TypeError),
        ("1 if 2 else 3", TypeError),
        ("a b", SyntaxError),
        ("os.nothing", AttributeError),
        ("[*[1]]", TypeError),
    ],
)
def test_what_is_no_value(text, error):
    with pytest.raises(error):
        unrepr(text)


def test_dotted_names():
    assert attributes("os.path.join") is os.path.join
    assert modules("os.path") is os.path
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        attributes("os.nothing")
    with pytest.raises(ImportError):
        attributes("nothing.nothing")
    with pytest.raises(ImportError):
        attributes("os")


def load(text):
    return Parser.load(io.StringIO(text))


def test_files(tmp_path):
    file = tmp_path / "site.conf"
    file.write_text("[global]\nKey.Name: 'ä'\n[/x]\nlist = [1,\n   2]\nn: '%(m)s'\nm: 3\n", "utf-8")
    expected = {"global": {"Key.Name": "ä"}, "/x": {"list": [1, 2], "n": "3", "m": 3}}
    assert Parser.load(str(file)) == expected
    assert Parser.load(str(file).encode()) == expected
    assert Parser.load(file) == expected
    with open(file, encoding="utf-8") as stream:
        assert Parser().dict_from_file(stream) == expected
    with open(file, "rb") as stream:
        assert Parser().dict_from_file(stream) == expected


def test_a_dict_is_copied():
    given = {"a": 1}
    loaded = Parser.load(given)
    assert loaded == given
    assert loaded is not given


def test_errors_say_where_and_what(tmp_path):
    file = tmp_path / "site.conf"
    file.write_text("[global]\nserver.socket_host = localhost\n")
    with pytest.raises(ValueError) as caught:
        Parser.load(str(file))
    text = str(caught.value)
    for part in (str(file), "'global'", "'server.socket_host'", "'localhost'", "valid Python"):
        assert part in text
    assert "server.socket_host = 'localhost'" in text
    assert isinstance(caught.value.__cause__, TypeError)


def test_missing_files_and_odd_things():
    with pytest.raises(FileNotFoundError):
        Parser.load("/no/such/file")
    with pytest.raises(TypeError, match="file name"):
        Parser.load(5)


def test_as_dict_may_be_replaced(monkeypatch):
    monkeypatch.setattr(Parser, "as_dict", lambda self, raw=False, vars=None: {"x": {"y": "mine"}})
    assert load("[x]\ny = not python\n") == {"x": {"y": "mine"}}


def test_namespaces_get_their_entries():
    seen = []
    namespaces = NamespaceSet(a=lambda k, v: seen.append((k, v)))
    namespaces({"a.x": 1, "a.x.y": 2, "b.z": 3, "plain": 4})
    assert seen == [("x", 1), ("x.y", 2)]


@pytest.mark.parametrize("swallow", [True, False])
def test_context_managers_as_namespaces(swallow):
    log = []

    class Box:
        def __enter__(self):
            log.append("enter")

            def handle(key, value):
                if key == "bad":
                    raise KeyError(key)
                log.append(key)

            return handle

        def __exit__(self, kind, value, traceback):
            log.append(kind)
            return swallow

    namespaces = NamespaceSet(box=Box())
    namespaces({"other.x": 1})
    assert log == ["enter", None]
    del log[:]
    if swallow:
        namespaces({"box.ok": 1, "box.bad": 2, "box.late": 3})
    else:
        with pytest.raises(KeyError):
            namespaces({"box.ok": 1, "box.bad": 2, "box.late": 3})
    assert log == ["enter", "ok", KeyError]


def test_copies_and_repr():
    import copy

    namespaces = NamespaceSet(a=1)
    for clone in (namespaces.copy(), copy.copy(namespaces)):
        assert type(clone) is NamespaceSet
        assert clone == namespaces
        assert clone is not namespaces
    assert repr(namespaces).endswith("NamespaceSet({'a': 1})")


class Mine(Config):
    defaults = {"z": 9}
    environments = {"e": {"z": 3, "q": 1, "act.x": 1}}
    namespaces = NamespaceSet()


def test_configs(monkeypatch):
    seen = []
    monkeypatch.setitem(Mine.namespaces, "act", lambda k, v: seen.append((k, v)))
    assert Mine(a=1) == {"z": 9, "a": 1}
    assert Mine(io.StringIO("[g]\nx = 1\n"), b=2) == {"z": 9, "g": {"x": 1}, "b": 2}
    config = Mine()
    given = {"environment": "e", "z": 5}
    config.update(given)
    assert config == {"environment": "e", "z": 5, "q": 1, "act.x": 1}
    assert given == {"environment": "e", "z": 5}
    config["act.y"] = 2
    assert seen == [("x", 1), ("y", 2)]
    config.reset()
    assert config == {"z": 9}
    with pytest.raises(KeyError, match="unknown environment 'nope'"):
        config.update({"environment": "nope"})


def test_historical_names():
    assert callable(reprconf._Builder().build)
    assert Parser().optionxform("AbC") == "AbC"
