"""docs/websockets.md: its samples run, and its table of settings is that of the tool."""

from __future__ import annotations

import inspect
import re

import pytest

from cherrypy.websocket.tool import open_websocket
from docs_kit import check_program, page, programs


@pytest.mark.parametrize("source", programs("websockets"))
def test_a_sample_prints_what_its_comments_say(source: str) -> None:
    check_program(source)


def test_the_table_has_every_setting_and_its_default() -> None:
    block = (
        page("websockets")
        .partition("<!-- settings -->")[2]
        .partition("<!-- end of settings -->")[0]
    )
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    parameters = inspect.signature(open_websocket).parameters.values()
    assert shown == {one.name: repr(one.default) for one in parameters}
