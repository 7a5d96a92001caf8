"""One engine with one server, and a tree for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streaming_site import Site

import cherrypy


@pytest.fixture
def make_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Start a site without applications, with settings of `cherrypy.server`; `site.mount` them."""
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
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        adapter.socket_port = 0
        adapter.thread_pool = 4
        adapter.shutdown_timeout = 2
        for name, value in settings.items():
            setattr(adapter, name, value)
        adapter.subscribe()
        cherrypy.engine.start()
        made.append(Site(adapter))
        return made[0]

    yield make
    for site in made:
        site.drop_clients()
    cherrypy.engine.exit()
    adapter.unsubscribe()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
