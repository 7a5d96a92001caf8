"""What a request knows of itself: fields, cookies, addresses; found out when somebody asks.

Law: each function here gets the request and returns one attribute of it, and changes nothing.
"""

from __future__ import annotations

from typing import Any

from kirsch.http.cookies import parse_cookies
from kirsch.http.headers import HeaderMap, decode_TEXT_maybe
from kirsch.http.hosts import Host, SanitizedHost

from .response import lazy

__all__ = ("LazyUUID4", "field_title")

#: How CGI names of fields are shown in `request.headers`; filled as they come, up to a limit.
_titles: dict[str, str] = {}
_MAX_TITLES = 1000

#: Fields that CGI passes without the prefix HTTP_.
_CGI_FIELDS = {
    "HTTP_CGI_AUTHORIZATION": "Authorization",
    "CONTENT_LENGTH": "Content-Length",
    "CONTENT_TYPE": "Content-Type",
    "REMOTE_HOST": "Remote-Host",
    "REMOTE_ADDR": "Remote-Addr",
}


def field_title(key: str) -> str:
    """Return the field name that a CGI key stands for, '' when for none."""
    title = _titles.get(key)
    if title is None:
        if key in _CGI_FIELDS:
            title = _CGI_FIELDS[key]
        elif key[:5] == "HTTP_":
            title = key[5:].replace("_", "-").title()
        else:
            title = ""
        if len(_titles) < _MAX_TITLES and len(key) < 64:
            _titles[key] = title
    return title


def header_list(request: Any) -> list[tuple[str, str]]:
    """The fields as they came: pairs of name and value."""
    fields = request._fields
    if fields is None:
        return []
    return [
        (key[5:].replace("_", "-") if key[:5] == "HTTP_" and key not in _CGI_FIELDS else title, v)
        for key, v in fields.items()
        if (title := field_title(key))
    ]


def headers(request: Any) -> HeaderMap:
    """The fields in a map that ignores case, with encoded words decoded (RFC 2047)."""
    headers = HeaderMap()
    store = dict.__setitem__
    fields = request._fields
    if fields is None:
        # A plain list, from callers of `run`. Fields that come twice are a list (RFC 9110, 5.3).
        for name, value in request.header_list:
            name = name.title()
            value = decode_TEXT_maybe(value)
            if name in headers:
                value = headers[name] + ("; " if name == "Cookie" else ", ") + value
            store(headers, name, value)
    else:
        for key, value in fields.items():
            title = field_title(key)
            if title and type(value) is str:
                store(headers, title, decode_TEXT_maybe(value) if "=?" in value else value)
    if "Host" in headers:
        store(headers, "Host", SanitizedHost(headers["Host"]))
    return headers


def cookie(request: Any) -> Any:
    """The cookies that came, in an `http.cookies.SimpleCookie`; malformed ones are left out."""
    fields = request._fields
    if fields is None:
        return parse_cookies(request.headers.get("Cookie") or "")
    return parse_cookies(fields.get("HTTP_COOKIE") or "")


def base(request: Any) -> str:
    """Scheme and host as the client sees them: 'http://example.com'."""
    if request.app is None:
        return ""
    host = dict.get(request.headers, "Host")
    if not host:
        host = request.local.name or request.local.ip
    return f"{request.scheme}://{host}"


def request_line(request: Any) -> str:
    """The first line of the request, as far as it is known: 'GET /x HTTP/1.1'."""
    target = request._target
    if target is None:
        return ""
    if request.query_string:
        target += "?" + request.query_string
    return f"{request.method} {target} {request._protocol_text}"


def body(request: Any) -> Any:
    """The entity that came with the request: a `RequestBody`."""
    if request.app is None:
        return None
    from .body import RequestBody

    return RequestBody(request.rfile, request.headers, request_params=request.params)


def _host(address: Any, default: Host) -> Host:
    """The Host of an address tuple, or the Host that is there already."""
    if isinstance(address, Host):
        return address
    if isinstance(address, tuple) and len(address) > 1:
        return Host(str(address[0]), address[1])
    # The name of a unix socket, or nothing.
    return Host(str(address), None) if address else default


def _port(text: Any) -> int:
    return int(text) if text and str(text).isdigit() else -1


def local(request: Any) -> Host:
    """The address the request came to."""
    environ = request.wsgi_environ
    if environ is None:
        origin = request._origin
        return _host(None if origin is None else origin.local, Host("127.0.0.1", 80))
    return Host("", _port(environ.get("SERVER_PORT") or 80), environ.get("SERVER_NAME") or "")


def remote(request: Any) -> Host:
    """The address of the client."""
    environ = request._wsgi_environ
    if environ is not None:
        return Host(
            environ.get("REMOTE_ADDR") or "",
            _port(environ.get("REMOTE_PORT")),
            environ.get("REMOTE_HOST") or "",
        )
    origin = request._origin
    if origin is not None and hasattr(origin, "environ"):
        # As the environment would say it, without making one.
        address, port = origin.remote
        return Host(address, port or -1, "")
    return _host(None if origin is None else origin.remote, Host("127.0.0.1", 1111))


def wsgi_environ(request: Any) -> Any:
    """The WSGI environment, made now if the server can; None for a request without WSGI."""
    make = getattr(request._origin, "environ", None)
    return make() if make is not None else None


def from_environ(key: str) -> Any:
    def get(request: Any) -> Any:
        environ = request.wsgi_environ
        return environ.get(key) if environ is not None else None

    return lazy(get)


def login(request: Any) -> Any:
    """The user name, if the server in front of us or a tool has found it out."""
    environ = request._wsgi_environ  # not made for this: what we make ourselves names no user
    if environ is None:
        return None
    return environ.get("LOGON_USER") or environ.get("REMOTE_USER") or None


def toolmaps(request: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """The settings of the tools for this request, by toolbox and tool."""
    held = request._template
    if held is None:
        return {}
    return {
        box: {tool: dict(conf) for tool, conf in settings.items()}
        for box, settings in held.settings.items()
    }


class LazyUUID4:
    """An id that is made when it is first read: a random UUID (RFC 9562)."""

    _uuid4: Any = None

    def __str__(self) -> str:
        return str(self.uuid4)

    @property
    def uuid4(self) -> Any:
        """The UUID as text."""
        if self._uuid4 is None:
            from uuid import uuid4

            self._uuid4 = str(uuid4())
        return self._uuid4
