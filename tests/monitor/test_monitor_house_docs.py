"""The sample of the page of metrics does what the page says."""

from __future__ import annotations

from typing import Any

from monitored import Monitored

import cherrypy
from docs_kit import samples


def test_a_path_of_its_own(site: Monitored) -> None:
    names: dict[str, Any] = {"cherrypy": cherrypy}
    for source in samples("monitoring/metrics"):
        exec(compile(source, "docs/monitoring/metrics.md", "exec"), names)
    site.mount(names["Shop"]())
    site.start(routes__ignore=["/alive", "/static/*"])
    assert site.ask("/?words=a") == (200, b"a")
    assert site.ask("/alive") == (200, b"yes")
    assert site.counts("cherrypy.requests") == {("",): 1}
    assert site.counts("cherrypy.apdex.requests") == {("", "/search", "satisfied"): 1}
    assert site.counts("cherrypy.server.connections.accepted") == {(site.listener,): 2}
    assert site.monitor.recorder.routes._known["", "/search"].limit == 1.5


def test_the_tool_does_nothing_where_nobody_monitors() -> None:
    tool = cherrypy.tools.monitor
    assert list(tool.hooks({"on": True})) == []
    assert tool.callable(route="/x", apdex=1.0) is None
