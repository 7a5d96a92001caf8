"""The samples of docs/requests.md do what the page says."""

from __future__ import annotations

from typing import Any

import cherrypy
from docs_kit import samples


def test_the_samples() -> None:
    names: dict[str, Any] = {}
    blocks = samples("requests")
    assert len(blocks) >= 5
    screen = cherrypy.log.screen
    for block in blocks:
        exec(compile(block, "requests.md", "exec"), names)
    cherrypy.log.screen = screen
