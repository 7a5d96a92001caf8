"""Requests that another site makes in a user's name are refused: origins first, then a token.

Law: a token is worth something only beside the secret it was made of, which stays in the user's
session or in a cookie that no script and no other site can read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import HookSpec, Tool

from . import by_https, give_requests, set_vary_header

__all__ = ("CsrfTool", "check_token", "csrf", "csrf_token", "hidden_field", "is_on")

#: RFC 9110, 9.2.1: methods by which a client asks for no change. TRACE is none of a browser's.
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))

#: Where a session keeps the secret.
_KEY = "_csrf_secret"

_USUAL_PORTS = {"http": ":80", "https": ":443"}


# ----------------------------------------------------------------------------------- the token


def _digest(secret: str, salt: str) -> str:
    import hmac

    return hmac.new(secret.encode("utf-8"), salt.encode("ascii"), "sha256").hexdigest()


def make_token(secret: str) -> str:
    """Return a token; another one each time, so that compressed pages do not give it away."""
    salt = os.urandom(8).hex()
    return salt + _digest(secret, salt)


def check_token(secret: str, token: str) -> bool:
    """Return whether `token` was made of `secret`, in a time that tells nothing of it."""
    import hmac

    if len(token) != 80 or not token.isascii():
        return False
    return hmac.compare_digest(token[16:], _digest(secret, token[:16]))


def _settings(request: Any) -> dict[str, Any]:
    tools: dict[str, dict[str, Any]] = request.toolmaps.get("tools", {})
    return tools.get("csrf", {})


def is_on() -> bool:
    """Return whether this request's path has the tool on, so that its forms need tokens."""
    return bool(_settings(serving.request).get("on"))


def _session(settings: dict[str, Any]) -> Any:
    """Return the session that keeps the secret, or None when a cookie does."""
    storage = settings.get("storage")
    if storage == "cookie":
        return None
    session = serving.__dict__.get("session")
    if session is None and storage == "session":
        raise ValueError("tools.csrf.storage is 'session', but tools.sessions is not on here.")
    return session


def _cookie_name(request: Any, settings: dict[str, Any]) -> str:
    """Return the name of the cookie, in which no other site of the domain can put its own."""
    name = settings.get("cookie") or "csrf"
    # RFC 6265bis, 4.1.3.2: browsers take it only when it is Secure, of this host, for all paths.
    return f"__Host-{name}" if by_https(request) else name


def _known_secret(request: Any, settings: dict[str, Any]) -> str | None:
    """Return the secret that this client has been given before."""
    session = _session(settings)
    if session is not None:
        kept = session.get(_KEY)
        return kept if isinstance(kept, str) else None
    sent = request.cookie.get(_cookie_name(request, settings))
    # Ours are 64 hexadecimal digits; anything else somebody has made up.
    return sent.value if sent is not None and len(sent.value) == 64 else None


def _new_secret(request: Any, settings: dict[str, Any]) -> str:
    secret = os.urandom(32).hex()
    session = _session(settings)
    if session is not None:
        session[_KEY] = secret
        return secret
    name = _cookie_name(request, settings)
    jar = serving.response.cookie
    jar[name] = secret
    jar[name]["path"] = "/"
    jar[name]["httponly"] = True
    jar[name]["samesite"] = "Lax"
    if by_https(request):
        jar[name]["secure"] = True
    return secret


def csrf_token(request: Any) -> str:
    """Return a token for the forms of a page; what it is made of goes with the response.

    Ask for it before the response begins: a generator before its first `yield`.
    """
    if request.app is None:
        return ""
    settings = _settings(request)
    headers = serving.response.headers
    # The page is for this client only.
    set_vary_header(serving.response, "Cookie")
    headers.setdefault("Cache-Control", "private")
    secret = _known_secret(request, settings)
    return make_token(_new_secret(request, settings) if secret is None else secret)


give_requests("csrf_token", csrf_token)


class _Markup(str):
    """Text that templates with automatic escaping take as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def hidden_field() -> str:
    """Return the `<input>` that a form needs to be accepted."""
    from html import escape

    request = serving.request
    name = escape(str(_settings(request).get("field") or "csrf_token"))
    return _Markup(f'<input type="hidden" name="{name}" value="{request.csrf_token}">')


# ---------------------------------------------------------------------------------- the checks


def _refuse(why: str) -> None:
    raise HTTPError(403, f"This request was refused, as another site may have made it: {why}")


def _origin(scheme: str, host: str) -> str:
    return f"{scheme}://{host}".lower().removesuffix(_USUAL_PORTS.get(scheme.lower(), ""))


def _own_origin(request: Any, origin: str) -> bool:
    """Return whether a page of this site has the origin `origin`."""
    scheme, _, host = origin.partition("://")
    mine, _, here = request.base.partition("://")
    if _origin(scheme, host) == _origin(mine, here):
        return True
    # Whoever speaks TLS in front of us may not have said so; a page that came by http, though,
    # must not post to one that came by https.
    return scheme == "https" and mine == "http" and _origin("https", here) == origin.lower()


def check_origin(origins: Iterable[str] = ()) -> None:
    """Answer 403 to a request that, as its browser says, was made by the page of another site."""
    request = serving.request
    headers = request.headers
    origin = dict.get(headers, "Origin")
    if _trusted(request, origins):
        return
    # Fetch Metadata, 2.3: browsers say it of requests to https and to this very machine; pages
    # cannot forge it. 'none': the user has typed the address.
    fetch = dict.get(headers, "Sec-Fetch-Site")
    if fetch is not None:
        if fetch not in ("same-origin", "none"):
            _refuse("the browser says that it does not come from a page of this site.")
    elif origin is not None and not _own_origin(request, origin):
        # RFC 6454, 7.3; 'null' for origins that are nobody's business, thus not ours.
        _refuse("the field Origin names another site.")


def _sent_token(request: Any, field: str, header: str) -> Any:
    """Return the token in the request, and take it from its parameters."""
    form = request.body.params
    if field in form:
        found = form[field]
        request.params.pop(field, None)
    else:
        found = None
    # Never from the query: addresses end up in logs and in Referer fields.
    return dict.get(request.headers, header.title()) or found


def csrf(
    origins: Iterable[str] = (),
    token: bool = True,
    exempt: bool = False,
    field: str = "csrf_token",
    header: str = "X-CSRF-Token",
    storage: str | None = None,
    cookie: str = "csrf",
) -> None:
    """Answer 403 to requests that another site has had a browser make (tool `csrf`).

    Args:
        origins: other sites whose pages may post here, such as ``'https://app.example.com'``.
        token: ask for the token, too; without it the browser's word is all that is checked.
        exempt: check nothing here, though tokens are made: for paths that are called by programs.
        field, header: the name of the form's field and of the request field with the token.
        storage: where its secret is kept: 'session', 'cookie', or None: the session if there is
            one.
        cookie: the name of the cookie.

    GET, HEAD and OPTIONS are not checked. The token is `cherrypy.request.csrf_token`.
    """
    request = serving.request
    if request.method in SAFE:
        return
    sent = _sent_token(request, field, header)
    if exempt or not token or _trusted(request, origins):
        return
    if not sent:
        _refuse(
            f"it has no token. A form needs the hidden field {field!r}, "
            f"a script the request field {header!r}."
        )
    secret = _known_secret(request, _settings(request))
    if secret is None:
        _refuse("your browser has sent no cookie that goes with the token. Reload the page.")
    elif not isinstance(sent, str) or not check_token(secret, sent):
        _refuse("its token is not, or no longer, valid. Reload the page and try again.")


def _trusted(request: Any, origins: Iterable[str]) -> bool:
    """Return whether a site on the list has made the request: it cannot know a token of ours."""
    origin = dict.get(request.headers, "Origin") or ""
    return origin.lower() in [known.lower().rstrip("/") for known in origins]


def _early(origins: Iterable[str] = (), exempt: bool = False, **_: Any) -> None:
    """Judge the origin before the body is read and a session is opened."""
    if not exempt and serving.request.method not in SAFE:
        check_origin(origins)


class CsrfTool(Tool):
    """Judges the origin before the body is read, and the token when it has been."""

    def __init__(self) -> None:
        Tool.__init__(self, "before_handler", csrf, "csrf", 2)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield both checks: of the origin behind `proxy`, of the token before other tools."""
        priority = self._priority_of(conf)
        yield "before_request_body", _early, 40, conf
        yield self._point, self.callable, priority, conf
