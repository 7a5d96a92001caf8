"""The pages about tools, sessions and static files: their samples run, and what is said of sessions is true."""

from __future__ import annotations

import inspect
import re

import pytest
import session_kit

from docs_kit import page, promises, samples


@pytest.mark.parametrize("name", ["tools", "sessions", "static", "security", "diagnostics"])
def test_samples(name, ask, capsys):
    names = {"ask": ask, "__name__": f"docs_{name}"}
    if name == "sessions":
        for kind, setting in [("redis", "url"), ("postgresql", "url"), ("memcached", "servers")]:
            names[kind.upper()] = session_kit.server(kind).settings[setting]
    blocks = samples(name)
    assert len(blocks) > 2
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec", dont_inherit=True), names)
        assert capsys.readouterr().out.splitlines() == promises(block)


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


def test_the_table_of_the_stores_settings_is_whole():
    from cherrypy.lib import sessions

    rows = re.findall(r"^\| (\w+): `(\w+)` \| `([^|`]+)` \|", page("sessions"), re.MULTILINE)
    found = {}
    for kind, name, shown in rows:
        found.setdefault(kind, {})[name] = shown
    assert sorted(found) == ["file", "memcached", "postgresql", "ram", "redis", "sqlite"]
    few = {"ram": ("patience",), "file": ("storage_path",)}
    for kind, settings in found.items():
        cls = getattr(sessions, f"{kind.title()}Session")
        assert settings == {name: repr(getattr(cls, name)) for name in settings}
        own = few.get(kind) or cls.SETTINGS
        assert sorted(settings) == sorted(set(own) - {"store_timeout"})
