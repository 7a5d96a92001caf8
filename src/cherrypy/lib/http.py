"""The name that `cherrypy.lib.httputil` had in CherryPy 3.1."""

from __future__ import annotations

import warnings
from typing import Any

from . import httputil

warnings.warn(
    "cherrypy.lib.http is called cherrypy.lib.httputil since CherryPy 3.2.",
    DeprecationWarning,
    stacklevel=2,
)


def __getattr__(name: str) -> Any:
    return getattr(httputil, name)


def __dir__() -> list[str]:
    return dir(httputil)
