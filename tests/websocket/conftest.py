"""One engine with one server, and a tree for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websocket_site import Site

import cherrypy


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A running site without applications; `site.mount` them."""
    before = dict(cherrypy.config)
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    cherrypy.config.update(
        {
            "environment": "test_suite",
            "engine.autoreload.on": False,
            "log.screen": False,
            "log.error_file": "",
        }
    )
    cherrypy.server.unsubscribe()
    adapter = cherrypy._cpserver.Server()
    adapter.socket_port = 0
    adapter.thread_pool = 4
    adapter.shutdown_timeout = 2
    adapter.subscribe()
    cherrypy.engine.start()
    one = Site(adapter)
    yield one
    one.drop_clients()
    cherrypy.engine.exit()
    adapter.unsubscribe()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)
