"""The small tools: validators, proxies, redirects, access by method, type or referer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

from cherrypy.framework.errors import HTTPError, HTTPRedirect, InternalRedirect
from cherrypy.framework.helpers import url as make_url
from cherrypy.framework.hooks import hookpoints
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from kirsch.http.dates import parse_date
from kirsch.http.headers import HeaderMap
from kirsch.http.status import valid_status

from . import is_iterator
from .sessionauth import SessionAuth, session_auth

__all__ = (
    "MonitoredHeaderMap",
    "SessionAuth",
    "accept",
    "allow",
    "autovary",
    "convert_params",
    "flatten",
    "ignore_headers",
    "log_hooks",
    "log_request_headers",
    "log_traceback",
    "proxy",
    "redirect",
    "referer",
    "response_headers",
    "session_auth",
    "trailing_slash",
    "validate_etags",
    "validate_since",
)

_DEFAULT_METHODS = ("GET", "HEAD")


# ------------------------------------------------------------------------------- validators
#
# These fields are read with dict.get: a response that varies with a validator does not vary in
# the sense of RFC 9110, 12.5.5, so the tool `autovary` shall not see that they were read.


def _weak(tag: str) -> str:
    """Return an entity tag for weak comparison (RFC 9110, 8.8.3.2)."""
    return tag.removeprefix("W/")


def _tags(field: str | None) -> list[str]:
    return [tag.strip() for tag in field.split(",") if tag.strip()] if field else []


def validate_etags(autotags: bool = False, debug: bool = False) -> None:
    """Answer 304 or 412 when If-None-Match or If-Match ask for that (tool `etags`).

    Args:
        autotags: make an ETag of the body of a response that has none. Saves bytes on the wire,
            not the work of making the body.
    """
    request, response = serving.request, serving.response
    # Once a response: the hook also runs for error pages.
    if getattr(response, "ETag", None) is not None:
        return
    status = valid_status(response.status)[0]
    etag = response.headers.get("ETag")
    if not etag and autotags and status == 200 and not response.stream:
        from hashlib import md5

        body = response.collapse_body()
        etag = f'"{md5(body, usedforsecurity=False).hexdigest()}"'
        response.headers["ETag"] = etag
    response.ETag = etag
    if not 200 <= status <= 299:
        return

    conditions = _tags(dict.get(request.headers, "If-Match"))
    if conditions and conditions != ["*"] and etag not in conditions:
        raise HTTPError(412, f"If-Match failed: ETag {etag!r} did not match {conditions!r}")
    conditions = _tags(dict.get(request.headers, "If-None-Match"))
    if conditions and (
        conditions == ["*"] or (etag and _weak(etag) in [_weak(tag) for tag in conditions])
    ):
        if request.method in _DEFAULT_METHODS:
            raise HTTPRedirect([], 304)
        raise HTTPError(412, f"If-None-Match failed: ETag {etag!r} matched {conditions!r}")


def validate_since() -> None:
    """Answer 304 or 412 by the response's Last-Modified and the client's If-(Un)modified-Since.

    Entity tags go before dates (RFC 9110, 13.2.2): a request that has If-Match or If-None-Match
    is not judged by its dates.
    """
    request, response = serving.request, serving.response
    lastmod = response.headers.get("Last-Modified")
    if not lastmod:
        return
    modified = parse_date(lastmod)
    status = valid_status(response.status)[0]

    def later_than(text: str) -> bool | None:
        """Tell whether the resource is newer than `text` says; None if that is no date."""
        if text == lastmod:
            return False
        since = parse_date(text)
        return None if since is None or modified is None else modified > since

    fields = request.headers
    since = dict.get(fields, "If-Unmodified-Since")
    if (
        since
        and not dict.get(fields, "If-Match")
        and (200 <= status <= 299 or status == 412)
        and later_than(since)
    ):
        raise HTTPError(412)
    since = fields.get("If-Modified-Since")
    if (
        since
        and not dict.get(fields, "If-None-Match")
        and (200 <= status <= 299 or status == 304)
        and later_than(since) is False
    ):
        if request.method in _DEFAULT_METHODS:
            raise HTTPRedirect([], 304)
        raise HTTPError(412)


# ----------------------------------------------------------------------------- what may come


def allow(methods: Any = None, debug: bool = False) -> None:
    """Answer 405 unless the request's method is one of `methods` (tool `allow`).

    Args:
        methods: a name or a list of names; GET and HEAD if None. HEAD comes with GET.
    """
    if not isinstance(methods, (list, tuple)):
        methods = [methods]
    methods = [method.upper() for method in methods if method] or ["GET"]
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    serving.response.headers["Allow"] = ", ".join(methods)
    if serving.request.method not in methods:
        raise HTTPError(405)


def accept(media: Any = None, debug: bool = False) -> str | None:
    """Return the best of `media` for the client's Accept field, or answer 406 (tool `accept`).

    Args:
        media: a content type, or a list of them with the favourite first. None: anything goes.
    """
    if not media:
        return None
    if isinstance(media, (str, bytes)):
        media = [media]
    request = serving.request
    elements = request.headers.elements("Accept")
    if not elements:
        return media[0]  # type: ignore[no-any-return]  # fields are text
    for element in elements:
        if element.qvalue <= 0:
            continue
        wanted = element.value
        if wanted == "*/*":
            return media[0]  # type: ignore[no-any-return]  # fields are text
        if wanted.endswith("/*"):
            prefix = wanted[:-1]
            for kind in media:
                if kind.startswith(prefix):
                    return kind  # type: ignore[no-any-return]  # fields are text
        elif wanted in media:
            return wanted  # type: ignore[no-any-return]  # fields are text
    header = request.headers.get("Accept")
    if header is None:
        text = "Your client did not send an Accept header."
    else:
        text = f"Your client sent this Accept header: {header}."
    kinds = ", ".join(media)
    raise HTTPError(406, f"{text} But this resource only emits these media types: {kinds}.")


def referer(
    pattern: str,
    accept: bool = True,
    accept_missing: bool = False,
    error: int = 403,
    message: str = "Forbidden Referer header.",
    debug: bool = False,
) -> None:
    """Refuse requests by where they come from (tool `referer`).

    Args:
        pattern: a regular expression that the Referer field is matched with.
        accept: whether a match lets the request in; if False it keeps it out.
        accept_missing: let requests in that have no Referer field.
        error, message: the answer to the others.
    """
    field = serving.request.headers.get("Referer")
    if field is None:
        welcome = accept_missing
    else:
        welcome = bool(re.match(pattern, field)) == bool(accept)
    if not welcome:
        raise HTTPError(error, message)


def ignore_headers(headers: Iterable[str] = ("Range",), debug: bool = False) -> None:
    """Forget request fields that an HTTP server in front has dealt with (tool `ignore_headers`)."""
    fields = serving.request.headers
    for name in headers:
        if name in fields:
            del fields[name]


# -------------------------------------------------------------------------------- who speaks


def proxy(
    base: str | None = None,
    local: str | None = "X-Forwarded-Host",
    remote: str | None = "X-Forwarded-For",
    scheme: str | None = "X-Forwarded-Proto",
    debug: bool = False,
    trusted: Any = ("loopback", "private", "unix"),
    forwarded: str | None = None,
    prefix: str | None = None,
    port: str | None = None,
) -> None:
    """Put the addresses that the outside sees in place of the inner ones (tool `proxy`).

    Args:
        base: what `request.base` is to be, for example ``'https://www.example.com'``.
        local: the field that names the outer host; it beats `base`.
        remote: the field that names the client's address, or all addresses on the way: of
            those, the right-most that is not a trusted proxy's counts.
        scheme: the field that names the outer scheme, or says ``on`` when it is https.
        trusted: the peers whose fields are believed: a list, or a text with commas, of addresses,
            networks, and the words ``loopback``, ``private``, ``unix`` (sockets) and ``*``
            (whoever it is).
        forwarded: ``'Forwarded'`` if the proxy sends the field of RFC 7239; where it is there,
            it beats the others.
        prefix: the field that names the path that the proxy has taken off, such as
            ``'X-Forwarded-Prefix'``; it comes before `request.script_name`.
        port: the field that names the port that the client has asked, such as
            ``'X-Forwarded-Port'``; it takes the place of the one beside the host, if there is one.

    Any of the names may be None: that field is not looked at. The proxy must set, or remove, all
    fields that are. A value that is no address, host, scheme, port or path is not heeded.

    What the site's settings and the application's sections say is done before the dispatcher is
    asked, so that it sees the outer addresses; here it is done with what the page itself says.

    Raises ValueError for a `trusted` that is neither network nor word.
    """
    from .proxied import show

    names = {
        "local": local,
        "remote": remote,
        "scheme": scheme,
        "port": port,
        "forwarded": forwarded,
        "prefix": prefix,
    }
    show(serving.request, base, trusted, names)


# -------------------------------------------------------------------------- what goes out


def response_headers(headers: Any = None, debug: bool = False) -> None:
    """Set fields of the response (tool `response_headers`).

    Args:
        headers: pairs of name and value; of pairs with one name the last wins.
    """
    fields = serving.response.headers
    for name, value in headers or []:
        fields[name] = value


def _flattened(body: Any) -> Iterator[Any]:
    # A stack, not recursion: nesting may be deep.
    stack = [iter(body)]
    try:
        while stack:
            for chunk in stack[-1]:
                if is_iterator(chunk):
                    stack.append(chunk)
                    break
                # The encode tool sees only what the handler itself yields.
                yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk
            else:
                stack.pop()
    finally:
        for source in (*reversed(stack), body):
            close = getattr(source, "close", None)
            if close is not None:
                close()


def flatten(debug: bool = False) -> None:
    """Let handlers yield iterators, whose chunks are sent in turn (tool `flatten`)."""
    response = serving.response
    response.body = _flattened(response.body)


class MonitoredHeaderMap(HeaderMap):
    """A header map that notes which fields are asked for, in `accessed_headers`."""

    accessed_headers: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.accessed_headers = set()
        super().__init__(*args, **kwargs)
        self.accessed_headers.clear()

    def _note(self, key: Any) -> Any:
        key = HeaderMap.transform_key(key)
        self.accessed_headers.add(key)
        return key

    def transform_key(self, key: Any) -> Any:  # type: ignore[override]  # it takes notes
        """Return `key` in title case, and note it."""
        return self._note(key)

    def __getitem__(self, key: Any) -> Any:
        return dict.__getitem__(self, self._note(key))

    def __missing__(self, key: Any) -> Any:
        raise KeyError(key)

    def __contains__(self, key: object, _has: Any = dict.__contains__) -> bool:
        return bool(_has(self, self._note(key)))

    def get(self, key: Any, default: Any = None, _get: Any = dict.get) -> Any:
        return _get(self, self._note(key), default)


_NEVER_VARY = frozenset(("Content-Disposition", "Content-Length", "Content-Type"))


def autovary(ignore: Any = None, debug: bool = False) -> None:
    """Make the Vary field of the request fields that were asked for (tool `autovary`).

    Args:
        ignore: names of fields that do not count; Content-Disposition, Content-Length and
            Content-Type if None.
    """
    request = serving.request
    monitored = MonitoredHeaderMap()
    dict.update(monitored, request.headers)
    request.headers = monitored
    ignored = _NEVER_VARY if ignore is None else set(ignore)

    def set_vary() -> None:
        fields = serving.response.headers
        names = set(fields.values("Vary")) | monitored.accessed_headers
        fields["Vary"] = ", ".join(sorted(names - ignored))

    request.hooks.attach("before_finalize", set_vary, 95)


# ---------------------------------------------------------------------------------- where to


def redirect(url: str = "", internal: bool = True, debug: bool = False) -> None:
    """Raise InternalRedirect, or HTTPRedirect if not `internal`, to `url` (tool `redirect`)."""
    if internal:
        raise InternalRedirect(url)
    raise HTTPRedirect(url)


def trailing_slash(
    missing: bool = True, extra: bool = False, status: int | None = None, debug: bool = False
) -> None:
    """Redirect when the path has no slash at its end but should, or has one too many.

    Args:
        missing: redirect from an index without a slash.
        extra: redirect from anything else with a slash.
        status: of the redirect; 301 if None.
    """
    request = serving.request
    is_index = request.is_index
    if is_index is None:
        return
    path = request.path_info
    if is_index:
        if missing and not path.endswith("/"):
            raise HTTPRedirect(make_url(path + "/", request.query_string), status or 301)
    elif extra and path.endswith("/") and path != "/":
        raise HTTPRedirect(make_url(path[:-1], request.query_string), status or 301)


# ------------------------------------------------------------------------------------- logs


def log_traceback(severity: int = logging.ERROR, debug: bool = False) -> None:
    """Write the exception's traceback to the error log (tool `log_tracebacks`)."""
    site.log("", "HTTP", severity=severity, traceback=True)


def log_request_headers(debug: bool = False) -> None:
    """Write the request's fields to the error log (tool `log_headers`)."""
    lines = [f"  {name}: {value}" for name, value in serving.request.header_list]
    site.log("\nRequest Headers:\n" + "\n".join(lines), "HTTP")


def log_hooks(debug: bool = False) -> None:
    """Write the request's hooks, point by point, to the error log (tool `log_hooks`)."""
    request = serving.request
    lines = []
    # First in the order in which they run, then points that somebody invented.
    points = list(dict.fromkeys([*hookpoints, *request.hooks]))
    for point in points:
        lines.append(f"    {point}:")
        lines.extend(f"        {hook!r}" for hook in sorted(request.hooks.get(point, [])))
    site.log("\nRequest Hooks for " + make_url() + ":\n" + "\n".join(lines), "HTTP")


# ------------------------------------------------------------------------------- parameters


def _conversions(handler: Any) -> dict[str, Any]:
    """Return what converts each parameter of a page, by its name."""
    types = getattr(handler, "__annotations__", None)
    if not types:
        return {}
    if any(isinstance(kind, str) for kind in types.values()):
        # "from __future__ import annotations"
        from typing import get_type_hints

        types = get_type_hints(handler)
    while hasattr(handler, "__wrapped__"):
        handler = handler.__wrapped__
    code = getattr(handler, "__code__", None)
    if code is None:
        return dict(types)
    # A peer may name a field like what is no parameter: 'return', or `**kwargs`.
    named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: types[name] for name in named if name in types}


def convert_params(exception: Any = ValueError, error: int = 400) -> None:
    """Convert parameters by the annotations of the page handler (tool `params`).

    Args:
        exception: a class, or a tuple of classes, that a conversion raises for bad input.
        error: the status of the answer then.

    A parameter that came several times, or as a file, is not text: a conversion that does not take
    it is answered with `error` as well.
    """
    request = serving.request
    types = _conversions(getattr(request.handler, "callable", None))
    params = request.params
    with HTTPError.handle(exception, error):
        for name, convert in types.items():
            if name not in params:
                continue
            value = params[name]
            try:
                params[name] = convert(value)
            except TypeError:
                if isinstance(value, str):
                    raise
                raise HTTPError(error, f"The parameter {name} is not a single text.") from None
