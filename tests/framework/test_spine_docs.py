"""The samples of docs/requests.md do what the page says."""

from __future__ import annotations

from typing import Any

from spine_kit import Answer, call

import cherrypy
from docs_kit import samples


class Shown:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = dict(answer.headers)
        self.text = answer.text


def test_the_samples() -> None:
    names: dict[str, Any] = {"get": lambda app, path: Shown(call(app, path))}
    blocks = samples("requests")
    assert len(blocks) >= 5
    screen = cherrypy.log.screen
    for block in blocks:
        exec(compile(block, "requests.md", "exec"), names)
    cherrypy.log.screen = screen
