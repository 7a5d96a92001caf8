"""Tests of applications: `Client` asks them in this process, `TestClient` through a whole server without a port.

`cherrypy.test.helper.CPWebCase` and `cherrypy.test.webtest` are for suites that want a real port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answers import Answer
from .inside import Client

if TYPE_CHECKING:
    from cherrypy.test.client import TestClient

__all__ = ("Answer", "Client", "TestClient")


def __getattr__(name: str) -> Any:
    if name != "TestClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cherrypy.test.client import TestClient  # brings WebSockets and sockets along

    globals()[name] = TestClient
    return TestClient
