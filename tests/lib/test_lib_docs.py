"""The pages about tools, sessions and static files: their samples run, and what is said of sessions is true."""

from __future__ import annotations

import inspect
import re

import pytest

from docs_kit import page, samples


@pytest.mark.parametrize("name", ["tools", "sessions", "static", "security"])
def test_samples(name, ask):
    names = {"ask": ask, "__name__": f"docs_{name}"}
    blocks = samples(name)
    assert len(blocks) > 2
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec", dont_inherit=True), names)


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
