"""The reference tables against the code: what there is is named, what is named there is, and the defaults are true."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from reference import (
    BY_TOOLS,
    CODE,
    FACTS,
    NONE_SAID,
    Row,
    arguments,
    config_keys,
    default_tools,
    lines_of,
    namespaces,
    public,
    published,
    rows,
)

import cherrypy
from cherrypy.framework import config, logs, response, wiring
from cherrypy.framework.hooks import hookpoints
from cherrypy.lib import toolbox
from cherrypy.process.plugins import SignalHandler
from cherrypy.process.wspbus import Bus
from docs_kit import DOCS, page

#: Tools whose arguments have a page of their own.
ELSEWHERE = {"sessions", "websocket"}

TOOLS = default_tools()
ARGUMENTS = {
    f"{name}.{key}": value
    for name, tool in TOOLS.items()
    if name not in ELSEWHERE
    for key, value in arguments(name, tool).items()
}
KEYS = config_keys()

#: Words for the types of defaults.
WORDS: dict[type, tuple[str, ...]] = {
    bool: ("bool",),
    int: ("int", "number"),
    float: ("number",),
    str: ("str", "regex"),
    list: ("list",),
    tuple: ("tuple", "list"),
    set: ("set",),
    dict: ("dict",),
    type: ("class",),
}


def check(row: Row, value: Any) -> str:
    """What is wrong with a row, for a name with this default; '' if nothing is."""
    if not row.kind or len(row.words) < 3:
        return "no type or no effect"
    if value is NONE_SAID:
        return "" if not row.default else f"has no default, but the page says {row.default}"
    shown = CODE.fullmatch(row.default)
    if not shown:
        return f"the page has no default; it is {value!r}"
    name = getattr(value, "__name__", None)
    if name is None:
        if eval(shown[1], {}) != value:
            return f"the default is {value!r}"
        words = WORDS.get(type(value), ())
    else:
        if shown[1] != name:
            return f"the default is {name}"
        words = ("class",) if isinstance(value, type) else ("callable",)
    if words and not any(word in re.split(r"\W+", row.kind) for word in words):
        return f"the type of {value!r} is not {row.kind}"
    return ""


def test_the_overview_of_tools_is_whole() -> None:
    found = {}
    for name, point, priority, words in lines_of(
        "tools", "tool", "runs at", "priority", "what it does"
    ):
        found[name.strip("`")] = (point.strip("`"), priority)
        assert len(words) > 5, name
    assert found == {
        name: (tool._point or "an error", str(tool._priority)) for name, tool in TOOLS.items()
    }


def test_tools_that_are_on_by_default() -> None:
    on = {key.split(".")[1] for key, value in wiring.DEFAULTS.items() if value}
    words = rows("tools", "argument")["<any>.on"].words
    assert on == set(CODE.findall(words))
    marked = re.findall(r"^\| `(\w+)` .*\*\*on by default\*\*", page("tools"), re.MULTILINE)
    assert on == set(marked)


def test_every_argument_is_named_and_no_other() -> None:
    named = {key for key in rows("tools", "argument") if not key.startswith("<any>.")}
    assert sorted(named) == sorted(ARGUMENTS)


@pytest.mark.parametrize("key", sorted(ARGUMENTS))
def test_argument(key: str) -> None:
    assert check(rows("tools", "argument")[key], ARGUMENTS[key]) == ""


@pytest.mark.parametrize("tool", sorted(ELSEWHERE))
def test_arguments_with_a_page_of_their_own(tool: str) -> None:
    """Their own tests look at the defaults; here it is enough that nothing is left out."""
    text = page("sessions" if tool == "sessions" else "websockets")
    missing = [
        key for key in arguments(tool, TOOLS[tool]) if not re.search(rf"`{key}`|\.{key}\b", text)
    ]
    assert missing == []


def test_every_key_is_named_and_no_other() -> None:
    assert sorted(rows("config", "key")) == sorted(KEYS)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_key(key: str) -> None:
    assert check(rows("config", "key")[key], KEYS[key]) == ""


def test_every_namespace_is_named() -> None:
    first = {
        found[1]
        for line in lines_of("config", "namespace", "where", "what")
        for found in re.finditer(r"`(\w+)\.", line[0])
    }
    assert first == namespaces()


def test_environments() -> None:
    names = list(config.environments)
    said: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, *values in lines_of("config", "entry", *(f"`{name}`" for name in names)):
        for name, value in zip(names, values, strict=True):
            if value:
                said[name][key.strip("`")] = eval(value.strip("`"), {})
    assert said == config.environments


def test_checks() -> None:
    named = [line[0].strip("`") for line in lines_of("config", "check", "warns of")]
    assert named == [name for name in dir(cherrypy.checker) if name.startswith("check_")]


def test_hook_points() -> None:
    named = [line[0].strip("`") for line in lines_of("requests", "hook point", "runs", "is for")]
    assert sorted(named) == sorted(hookpoints)


def test_attributes_of_requests_and_responses() -> None:
    named = [
        name
        for line in lines_of("requests", "attribute", "type", "what it is")
        for name in CODE.findall(line[0])
    ]
    assert len(named) == len(set(named))
    told = {name for name in named if name.startswith("request.")}
    assert told == {f"request.{name}" for name in FACTS | BY_TOOLS}
    found = {f"response.{name}" for name in public(response.Response)}
    # Settings, of which a handler has no need.
    found -= {"response.timeout_status", "response.timeout_message"}
    assert {name for name in named if name.startswith("response.")} == found


def test_channels() -> None:
    named = {
        name
        for line in lines_of("process", "channel", "published", "arguments")
        for name in CODE.findall(line[0])
    }
    signals = {name for name in named if name.startswith("SIG")}
    assert signals == set(SignalHandler(cherrypy.engine).handlers)
    # What programs publish and we listen on.
    asked = {"websocket-broadcast", "release_thread"}
    assert named - signals == published() | asked


def test_letters_of_the_access_log() -> None:
    named = [line[0].strip("`") for line in lines_of("logging", "letter", "what it stands for")]
    assert named == list(logs._ATOMS)


def test_calls_of_the_bus() -> None:
    named = {
        name
        for line in lines_of("process", "call", "does")
        for name in re.findall(r"`(\w+)\(", line[0])
    }
    public_ones = {name for name in vars(Bus) if name[0] != "_" and callable(getattr(Bus, name))}
    assert named == public_ones


# ------------------------------------------------------------------ whatever the pages say beside

QUOTED = re.compile(r"[\"'`]((?:tools|checker|hooks)\.[a-z][\w.]*)(?:[\"'`]|\s?[=:] )")
INI = re.compile(r"^((?:tools|checker|hooks|server|engine|log)\.[\w.]+)\s*[:=]", re.MULTILINE)
KEYED = re.compile(r"[\"']((?:server|engine|log|request|response)\.[a-z][\w.]*)[\"']\s*:")
#: Not the one that speaks of modules and what is in them.
PAGES = sorted({path.stem for path in DOCS.glob("*.md")} - {"architecture"})
OWN = re.compile(r"cherrypy\.tools\.(\w+) = |tools\.register\([^)]*\)\s+def (\w+)")
FURTHER = re.compile(r"server\.[a-z]+\.(\w+)")


def exists(key: str, own: set[str]) -> bool:
    """Whether an entry of the configuration would do anything."""
    space, _, rest = key.partition(".")
    name, _, argument = rest.partition(".")
    if space == "tools":
        known = {"on", "priority", "debug", ""}
        if name in own or name in toolbox._OF_OLD:
            return True
        if name == "sessions" and f"`{argument}`" in page("sessions"):  # of a store
            return True
        if name == "cpstats":  # binds its tool when it is imported
            from cherrypy.lib.cpstats import StatsTool

            return argument in known | set(inspect.signature(StatsTool.record_stop).parameters)
        return name in TOOLS and (argument in known or argument in arguments(name, TOOLS[name]))
    if space == "hooks":
        return name in hookpoints
    if space == "checker":
        return hasattr(cherrypy.checker, name)
    further = FURTHER.fullmatch(key)
    if further:
        return further[1] == "on" or f"server.{further[1]}" in KEYS
    if space in ("request", "response") and argument and name == "headers":
        return True
    return key in KEYS or name in own or key.startswith("engine.SIG")


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_what_does_not_exist(name: str) -> None:
    text = page(name)
    own = {word for found in OWN.findall(text) for word in found if word}
    named = {found for pattern in (QUOTED, INI, KEYED) for found in pattern.findall(text)}
    assert sorted(key for key in named if not exists(key.rstrip("."), own)) == []
