"""The samples of docs/requests.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spine_kit import Answer, call

import cherrypy

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"


class Shown:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = dict(answer.headers)
        self.text = answer.text


def test_the_samples() -> None:
    names: dict[str, Any] = {"get": lambda app, path: Shown(call(app, path))}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    screen = cherrypy.log.screen
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    cherrypy.log.screen = screen
