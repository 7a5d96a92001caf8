"""Small words of the days of two Pythons, which programs still import from `cherrypy._cpcompat`."""

from __future__ import annotations

import sys
from typing import Any

__all__ = (
    "IS_PYPY",
    "IS_WINDOWS",
    "SYS_PLATFORM",
    "assert_native",
    "ntob",
    "ntou",
    "text_or_bytes",
    "tonative",
)

text_or_bytes = (str, bytes)

SYS_PLATFORM = sys.platform
IS_WINDOWS = sys.platform == "win32"
IS_PYPY = sys.implementation.name == "pypy"


def ntob(n: str, encoding: str = "ISO-8859-1") -> bytes:
    """Return the native string `n` as bytes. Raises TypeError if it is no str."""
    assert_native(n)
    return n.encode(encoding)


def ntou(n: str, encoding: str = "ISO-8859-1") -> str:
    """Return the native string `n` as text, which it is. Raises TypeError if it is no str.

    `encoding` may be 'escape', as of old; escapes in literals are Python's own business now.
    """
    assert_native(n)
    return n


def tonative(n: Any, encoding: str = "ISO-8859-1") -> Any:
    """Return bytes as a native string; anything else as it is."""
    return n.decode(encoding) if isinstance(n, bytes) else n


def assert_native(n: object) -> None:
    """Raise TypeError if `n` is no native string."""
    if not isinstance(n, str):
        raise TypeError(f"n must be a native str (got {type(n).__name__})")


def __getattr__(name: str) -> Any:
    """Import `HTTPSConnection`, which brings `http.client` and `ssl`, and older names, when asked for."""
    if name == "HTTPSConnection":
        try:
            from http.client import HTTPSConnection
        except ImportError:  # a Python without ssl
            return None
        globals()[name] = HTTPSConnection
        return HTTPSConnection
    if name[:2] != "__":
        from .twopythons import find

        globals()[name] = found = find(name)  # the warning comes once
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
