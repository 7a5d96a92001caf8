"""Which pages of other sites a browser lets read ours (the CORS protocol of the Fetch standard).

Law: an origin is named back only after it was found on the list, and whatever depends on it says so
in Vary, so that no cache gives one site's answer to another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from cherrypy.framework.errors import CherryPyException, HTTPError, HTTPRedirect
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import HookSpec, Tool

from . import set_vary_header

__all__ = ("CorsTool", "cors", "is_origin_allowed")

#: RFC 6454, 6.2, as browsers send it. Longer ones are nobody's: a DNS name has 253 characters.
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[a-z0-9._~\[\]:%-]{1,300}", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")

#: Names of request fields that are named back, at most.
_MOST_NAMES = 100

_USUAL_PORTS = {"http": ":80", "https": ":443"}

#: What `origins` may be, or a list of these: see `cors`.
Origins = Any


@lru_cache(maxsize=256)
def _entry(text: str) -> re.Pattern[str] | str:
    """Return the pattern or the origin that an entry of the list means. Raises ValueError."""
    plain = text.strip().lower().rstrip("/")
    scheme = plain.partition("://")[0]
    plain = plain.removesuffix(_USUAL_PORTS.get(scheme, " "))
    if plain in ("*", "null"):
        return plain
    wild = plain.replace("://*.", "://", 1)
    if "*" in wild or not _ORIGIN.fullmatch(wild):
        raise ValueError(
            f"tools.cors.origins: {text!r} is no origin, such as 'https://app.example.com' or "
            "'https://*.example.com'."
        )
    if wild == plain:
        return plain
    before, _, behind = plain.partition("*.")
    return re.compile(rf"{re.escape(before)}(?:[a-z0-9_-]+\.)+{re.escape(behind)}")


def _listed(origins: Origins) -> Iterable[Any]:
    if isinstance(origins, (str, re.Pattern)) or callable(origins):
        return (origins,)
    return origins  # type: ignore[no-any-return]  # a list, as configuration has it


def is_origin_allowed(origin: str, origins: Origins) -> bool:
    """Return whether the value of an Origin field is allowed; see `cors`.

    Raises ValueError for a list that has anything but origins in it.
    """
    if not _ORIGIN.fullmatch(origin):
        return False
    for entry in _listed(origins):
        if isinstance(entry, str):
            known = _entry(entry)
            low = origin.lower()
            if isinstance(known, str):
                found = known == low or known == "*"
            else:
                found = known.fullmatch(low) is not None
        elif isinstance(entry, re.Pattern):
            found = entry.fullmatch(origin) is not None
        else:
            found = bool(entry(origin))
        if found:
            return True
    return False


def _anybody(origins: Origins, credentials: bool) -> bool:
    """Return whether all origins are allowed. Raises ValueError when they may log in, too."""
    anybody = any(isinstance(entry, str) and entry.strip() == "*" for entry in _listed(origins))
    if anybody and credentials:
        raise ValueError(
            "tools.cors.credentials needs a list of origins: with '*' every site could read what "
            "a visitor of yours sees."
        )
    return anybody


def _tokens(names: Iterable[str] | str) -> str:
    """Return names as the value of a field. Raises ValueError for what is no name."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"tools.cors: {name!r} is no name of a field or method.")
    return ", ".join(names)


def _named_back(names: Iterable[str] | str, asked: str) -> str:
    """Return what is allowed: the names, or, for '*', whatever a browser has asked for.

    A '*' of ours would not do: beside credentials browsers take it for a name, and it never means
    Authorization (Fetch, 4.9).
    """
    if "*" not in ([names] if isinstance(names, str) else names):
        return _tokens(names)
    found = (name.strip() for name in asked[:10_000].split(",")[:_MOST_NAMES])
    return ", ".join(name for name in found if _TOKEN.fullmatch(name))


class _Preflight(HTTPRedirect):
    """Ends a request that a browser makes to ask, before anything else looks at it."""

    def __init__(self) -> None:
        CherryPyException.__init__(self, [], 204)

    def set_response(self) -> None:
        """Make the response one without a body."""
        response = serving.response
        response.status = 204
        response.body = None
        response.headers.pop("Content-Type", None)
        response.headers.pop("Content-Length", None)


def _set_origin(origin: str | None, origins: Origins, credentials: bool) -> bool:
    """Name the origin back if it is allowed; return whether it is."""
    response = serving.response
    headers = response.headers
    if _anybody(origins, credentials):
        headers["Access-Control-Allow-Origin"] = "*"
        return True
    set_vary_header(response, "Origin")
    if origin is None or not is_origin_allowed(origin, origins):
        return False
    headers["Access-Control-Allow-Origin"] = origin
    if credentials:
        headers["Access-Control-Allow-Credentials"] = "true"
    return True


def _preflight(
    origins: Origins = (),
    methods: Iterable[str] | str = ("GET", "HEAD", "POST"),
    headers: Iterable[str] | str = (),
    expose_headers: Iterable[str] | str = (),
    credentials: bool = False,
    max_age: int | None = 600,
    private_network: bool = False,
) -> None:
    """Answer a request by which a browser asks whether it may make another one."""
    request, response = serving.request, serving.response
    if request.method != "OPTIONS":
        return
    # Past what `autovary` watches: what depends on them is said here.
    origin = dict.get(request.headers, "Origin")
    method = dict.get(request.headers, "Access-Control-Request-Method")
    if origin is None or method is None:
        return
    if not _set_origin(origin, origins, credentials):
        raise HTTPError(403, "Pages of this origin may not read this resource.")
    fields = response.headers
    set_vary_header(response, "Access-Control-Request-Method")
    set_vary_header(response, "Access-Control-Request-Headers")
    fields["Access-Control-Allow-Methods"] = _named_back(methods, method)
    asked = dict.get(request.headers, "Access-Control-Request-Headers") or ""
    if allowed := _named_back(headers, asked):
        fields["Access-Control-Allow-Headers"] = allowed
    if max_age is not None:
        fields["Access-Control-Max-Age"] = str(int(max_age))
    # Private Network Access, 3.1.1: a public page asks for something within a private network.
    wants = dict.get(request.headers, "Access-Control-Request-Private-Network")
    if private_network and wants == "true":
        fields["Access-Control-Allow-Private-Network"] = "true"
    raise _Preflight


def _answer(
    origins: Origins = (),
    expose_headers: Iterable[str] | str = (),
    credentials: bool = False,
    **_: Any,
) -> None:
    """Set the fields of any other response, and of error pages."""
    request, response = serving.request, serving.response
    origin = dict.get(request.headers, "Origin")
    if _set_origin(origin, origins, credentials) and origin is not None and expose_headers:
        response.headers["Access-Control-Expose-Headers"] = _tokens(expose_headers)


def cors(
    origins: Origins = (),
    methods: Iterable[str] | str = ("GET", "HEAD", "POST"),
    headers: Iterable[str] | str = (),
    expose_headers: Iterable[str] | str = (),
    credentials: bool = False,
    max_age: int | None = 600,
    private_network: bool = False,
) -> None:
    """Let pages of other origins read responses (tool `cors`).

    Args:
        origins: who may: an origin such as ``'https://app.example.com'``; ``'https://*.example.com'``
            for what is below that domain; ``'*'`` for everybody; a compiled regular expression,
            which has to match the whole origin; a callable that is given an origin and returns
            whether it may; or a list of these.
        methods: methods that they may use; ``'*'`` for those that they ask for.
        headers: request fields that they may send, beside those that any form can; ``'*'`` for
            those that they ask for.
        expose_headers: response fields that their scripts may read.
        credentials: let browsers send cookies and logins along.
        max_age: seconds for which a browser may remember the answer; None: as it likes.
        private_network: let pages from the public internet ask, when this is a private network.

    Raises ValueError for `credentials` with ``'*'``, and for what is neither origin nor name.
    """
    _preflight(origins, methods, headers, expose_headers, credentials, max_age, private_network)
    _answer(origins, expose_headers, credentials)


class CorsTool(Tool):
    """Answers browsers that ask before logins, redirects and pages; then marks all responses."""

    def __init__(self) -> None:
        # Behind `allowed_hosts`.
        Tool.__init__(self, "on_start_resource", cors, "cors", 10)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield what answers, and what sets the fields at both ends a response can come to."""
        yield self._point, _preflight, self._priority_of(conf), conf
        points: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("before_finalize", _answer),
            ("after_error_response", _answer),
        )
        for point, callback in points:
            # Late: pages and other tools set Vary as well.
            yield point, callback, 72, conf
