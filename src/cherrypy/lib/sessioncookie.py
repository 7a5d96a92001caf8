"""The cookie that carries a session's id: safe by default, and written without ado."""

from __future__ import annotations

import time
from math import ceil
from typing import Any

from cherrypy.framework.serving import serving
from kirsch.http.dates import HTTPDate

__all__ = ("set_response_cookie",)

_NAMES = {
    "comment": "Comment",
    "domain": "Domain",
    "expires": "expires",
    "httponly": "HttpOnly",
    "max-age": "Max-Age",
    "partitioned": "Partitioned",
    "path": "Path",
    "samesite": "SameSite",
    "secure": "Secure",
    "version": "Version",
}
_FLAGS = frozenset(("httponly", "partitioned", "secure"))


def written(attributes: dict[str, Any]) -> str:
    """Return the part of a Set-Cookie field that follows name and value."""
    parts = [""]
    for name in sorted(attributes):
        value = attributes[name]
        if value == "" or name not in _NAMES:
            continue
        if name in _FLAGS:
            if value:
                parts.append(_NAMES[name])
            continue
        if name == "expires" and isinstance(value, int):
            value = HTTPDate(time.time() + value)
        parts.append(f"{_NAMES[name]}={value}")
    return "; ".join(parts)


# By settings: the second it was made in, the attributes, and how they are written. Replaced
# every second; as many entries as there are paths with settings of their own.
_known: dict[tuple[Any, ...], tuple[int, tuple[dict[str, Any], str]]] = {}


def _morsel(name: str, id: str, known: tuple[dict[str, Any], str]) -> Any:
    from .sessionmorsel import SessionMorsel

    return SessionMorsel(name, id, known)


def _attributes(
    path: str,
    timeout: float | None,
    domain: str | None,
    secure: bool,
    httponly: bool,
    samesite: str | None,
    partitioned: bool,
) -> tuple[dict[str, Any], str]:
    from .sessionmorsel import BLANK

    attributes = dict(BLANK)
    attributes["path"] = path
    if timeout:
        # Whole ones (RFC 6265, 4.1.1); and 0 would mean "now".
        seconds = ceil(timeout * 60)
        attributes["expires"] = HTTPDate(time.time() + seconds)
        attributes["max-age"] = seconds
    if domain is not None:
        attributes["domain"] = domain
    if httponly:
        attributes["httponly"] = True
    if samesite:
        attributes["samesite"] = samesite
    if partitioned:
        attributes["partitioned"] = True
    # Browsers drop a cookie that is SameSite=None or Partitioned and not Secure.
    if secure or partitioned or (samesite and samesite.lower() == "none"):
        attributes["secure"] = True
    return attributes, written(attributes)


def set_response_cookie(
    path: str | None = None,
    path_header: str | None = None,
    name: str = "session_id",
    timeout: float | None = 60,
    domain: str | None = None,
    secure: bool | None = None,
    httponly: bool = True,
    samesite: str | None = "Lax",
    partitioned: bool = False,
) -> None:
    """Set the cookie that holds the session id. The arguments are those of `sessions.init`.

    `timeout` (minutes) None makes a cookie that browsers forget when they close.
    """
    request = serving.request
    if not path:
        path = (request.headers.get(path_header) if path_header else None) or "/"
        if ";" in path:  # a client shall not add attributes
            path = "/"
    if secure is None:
        secure = request.scheme == "https"
    settings = (path, timeout, domain, secure, httponly, samesite, partitioned)
    second = int(time.time())
    entry = _known.get(settings)
    if entry is None or entry[0] != second:
        if len(_known) > 100:
            _known.clear()
        entry = _known[settings] = (second, _attributes(*settings))
    known = entry[1]
    serving.response.promise_cookie(
        name, serving.session.id, known[1], lambda name, id: _morsel(name, id, known)
    )


def _add_MSIE_max_age_workaround(cookie: Any, timeout: float) -> None:
    """Give a cookie both Expires and Max-Age; some clients know only the former."""
    seconds = timeout * 60
    cookie["expires"] = HTTPDate(time.time() + seconds)
    cookie["max-age"] = seconds
