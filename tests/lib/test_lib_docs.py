"""The pages about tools, sessions and static files: their samples run, their tables are whole."""

from __future__ import annotations

import inspect
import re

import pytest

from cherrypy.lib import caching, cptools, toolbox
from docs_kit import page, samples


@pytest.mark.parametrize("name", ["tools", "sessions", "static", "security"])
def test_samples(name, ask):
    names = {"ask": ask, "__name__": f"docs_{name}"}
    blocks = samples(name)
    assert len(blocks) > 2
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec", dont_inherit=True), names)


def arguments(name: str, callback: object) -> list[str]:
    """What the table has to say of a tool's arguments: those of its callable, and its own."""
    if name == "encode":
        names = ("encoding", "default_encoding", "errors", "text_only", "add_charset")
        found = {key: getattr(callback, key) for key in names}
    elif name == "session_auth":
        own = vars(cptools.SessionAuth)
        given = [key for key in own if not key.startswith(("_", "do_")) and key != "run"]
        found = {key: "username" if key == "session_key" else None for key in given}
    elif name == "xmlrpc":
        found = {"encoding": "utf-8", "allow_none": 0}
    else:
        parameters = inspect.signature(callback).parameters.values()
        plain = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        found = {one.name: one.default for one in plain}
    if name == "caching":
        cache = caching.MemoryCache
        settings = [
            key
            for key, value in vars(cache).items()
            if type(value) in (int, float) and key[0] != "_"
        ]
        found |= {key: getattr(cache, key) for key in settings} | {"cache_class": cache}
    if name == "sessions":
        found |= {"locking": "implicit", "lock_timeout": 10, "storage_class": None}
        found |= {"storage_path": "", "serializer": "pickle"}
    found.pop("debug", None)
    return sorted(
        key
        if value is inspect.Parameter.empty
        else f"{key}={getattr(value, '__name__', repr(value))}"
        for key, value in found.items()
    )


def test_the_table_of_tools_is_whole():
    text = page("tools")
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            rows[cells[0].strip("`")] = cells[1:]
    tools = {
        name: tool
        for name in dir(toolbox.default_toolbox)  # those that come late are in it, too
        if isinstance(tool := getattr(toolbox.default_toolbox, name), toolbox.Tool)
        and name != "cpstats"
    }
    assert sorted(rows) == sorted(tools)
    for name, (point, priority, words, listed) in rows.items():
        tool = tools[name]
        assert point == (f"`{tool._point}`" if tool._point else "an error"), name
        assert priority == str(tool._priority), name
        assert len(words) > 5, name
        assert sorted(re.findall(r"`([^`]+)`", listed)) == arguments(name, tool.callable), name


def test_the_table_of_session_settings_is_true():
    from cherrypy.lib import sessions

    defaults = {
        one.name: one.default for one in inspect.signature(sessions.init).parameters.values()
    }
    text = page("sessions")
    rows = re.findall(r"^\| `(\w+)`[^|]*\| `([^|`]+)` \|", text, re.MULTILINE)
    assert len(rows) > 6
    for name, shown in rows:
        assert repr(defaults[name]) == shown or (name, shown) == ("path", "'/'")
