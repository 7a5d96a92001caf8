"""Exceptions that are answers: errors, redirects, and the last resort when even those fail.

Law: an exception of this room says what the peer gets; raising it is how a handler ends early.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from sys import exc_info as _exc_info
from typing import Any

from kirsch.http.headers import HeaderElement
from kirsch.http.status import valid_status as _valid_status

from .error_pages import (
    _be_ie_unfriendly,
    _HTTPErrorTemplate,
    _ie_friendly_error_sizes,
    clean_headers,
    escape,
    get_error_page,
)
from .helpers import _ClassPropertyDescriptor, classproperty, url
from .serving import serving
from .site import site

__all__ = (
    "Again",
    "CherryPyError",
    "CherryPyException",
    "HTTPError",
    "HTTPRedirect",
    "InternalRedirect",
    "NotFound",
    "TimeoutError",
    "_ClassPropertyDescriptor",
    "_HTTPErrorTemplate",
    "_be_ie_unfriendly",
    "_exc_info",
    "_ie_friendly_error_sizes",
    "bare_error",
    "clean_headers",
    "format_exc",
    "get_error_page",
)


class CherryPyException(Exception):
    """The base of all exceptions of the framework."""


CherryPyError = CherryPyException


class TimeoutError(CherryPyException):
    """A response took longer than `response.timeout` seconds.

    Raised by the request itself once `response.timed_out` is set; may be raised by anybody.
    """

    def set_response(self) -> None:
        """Make `serving.response` the answer to this: 503, unless another status is configured."""
        timeout_error(serving.response).set_response()


class Suspended(BaseException):
    """A page has to wait, and its thread need not: the request goes on when there is a result.

    Raised through the stages of a request, which handle no such thing. `leave` of what it holds
    makes the response that a server takes for "later".
    """

    park: Any = None
    """How a server lets go of a request; set by the room that knows the servers. Called with what
    begins the waiting and what ends it early."""

    def __init__(self, waiting: Any) -> None:
        super().__init__(waiting)
        self.waiting = waiting


def _join(here: str, target: str) -> str:
    """`target` as it is meant at `here`; what is no URL at all ('http://[') stays what it is."""
    from urllib.parse import urljoin

    try:
        return urljoin(here, target)
    except ValueError:
        return target


class InternalRedirect(CherryPyException):
    """Go on with another page of this server, without telling the client.

    path
        The path to go on with, absolute or relative to the present one, within the application.
    query_string
        The query of that request; one in `path` (after '?') takes precedence.
    """

    def __init__(self, path: str, query_string: str = "") -> None:
        self.request = serving.request
        self.query_string = query_string
        if "?" in path:
            path, self.query_string = path.split("?", 1)
        # Collapsing the slashes keeps '//name/x' from being taken for a host.
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        here = self.request.path_info
        if here.startswith("//"):
            here = "/" + here.lstrip("/")
        self.path = _join(here, path)
        super().__init__(self.path, self.query_string)


class Again(InternalRedirect):
    """Begin this request anew, as if nothing of it had been done: what it has read holds no longer.

    For requests with a safe method (RFC 9110, 9.2.1) of whose response nothing has been sent. Who has made
    the request makes another one, which knows it as `_anew`; nobody else sees it, but who catches everything.
    """

    def __init__(self) -> None:
        # Without the constructor before: nobody is to count this as a redirect.
        self.request = serving.request
        self.path = self.request.path_info
        self.query_string = self.request.query_string
        CherryPyException.__init__(self, self.path, self.query_string)


#: What a redirect says to a person, by status.
_REDIRECT_TEXT = {
    300: "This resource can be found at ",
    301: "This resource has permanently moved to ",
    302: "This resource resides temporarily at ",
    303: "This resource can be found at ",
    307: "This resource has moved temporarily to ",
    308: "This resource has been moved to ",
}


def _link(target: str) -> str:
    """An `a` element for `target`, which may have been chosen by an attacker."""
    text = escape(target)
    if '"' not in text:
        attribute = f'"{text}"'
    elif "'" not in text:
        attribute = f"'{text}'"
    else:
        attribute = '"' + text.replace('"', "&quot;") + '"'
    return f"<a href={attribute}>{text}</a>"


def _location(target: str) -> str:
    """`target` as a Location field: a URI knows neither blanks nor foreign letters (RFC 3986)."""
    if target.isascii() and " " not in target:
        return target
    from urllib.parse import quote

    safe = "!#$%&'()*+,/:;<=>?@[]\"\\^_`{|}~-.\r\n\x00"
    return quote(target, safe=safe, errors="replace")


class HTTPRedirect(CherryPyException):
    """Send the client to another URL.

    urls
        One URL or several, absolute or relative to the present one.
    status
        The code, from 300 to 399; by default 303 (302 for HTTP/1.0).
    encoding
        How to decode URLs given as bytes.

    Raises ValueError for another status.
    """

    urls: list[str]
    encoding = "utf-8"

    def __init__(
        self, urls: Any, status: int | str | None = None, encoding: str | None = None
    ) -> None:
        if isinstance(urls, (str, bytes)):
            urls = [urls]
        here = url()
        self.urls = [
            _join(here, u.decode(encoding or self.encoding) if isinstance(u, bytes) else u)
            for u in urls
        ]
        code = int(status) if status else self.default_status
        if not 300 <= code <= 399:
            raise ValueError("status must be between 300 and 399.")
        super().__init__(self.urls, code)

    @classproperty
    def default_status(cls) -> int:
        """The status when none is given: 303, or 302 for clients that do not know that."""
        return 303 if serving.request.protocol >= (1, 1) else 302

    @property
    def status(self) -> int:
        """The status code of the redirect."""
        code: int = self.args[1]
        return code

    def set_response(self) -> None:
        """Make `serving.response` this redirect. Raises ValueError for a status without a form."""
        response = serving.response
        response.status = status = self.status
        headers = response.headers
        if status in _REDIRECT_TEXT:
            headers["Content-Type"] = "text/html;charset=utf-8"
            headers["Location"] = _location(self.urls[0])
            text = _REDIRECT_TEXT[status]
            lines = [f"{text}{_link(target)}." for target in self.urls]
            response.body = "<br />\n".join(lines).encode("utf-8", "backslashreplace")
            # What was set before speaks of another body.
            headers.pop("Content-Length", None)
            headers.pop("Content-Encoding", None)
        elif status == 304:
            # RFC 9110, 15.4.5: a 304 repeats what would choose among representations, no more.
            for name in _NOT_IN_304:
                headers.pop(name, None)
            response.body = None
            headers.pop("Content-Length", None)
        elif status == 305:
            headers["Location"] = _location(self.urls[0])
            response.body = None
            headers.pop("Content-Length", None)
        else:
            raise ValueError(f"The {status} status code is unknown.")

    def __call__(self) -> None:
        """Raise this redirect: a redirect may stand wherever a handler may."""
        raise self


_NOT_IN_304 = (
    "Allow",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Range",
    "Content-Type",
    "Last-Modified",
)


class HTTPError(CherryPyException):
    """Answer with an error page.

    status
        A code from 400 to 599, or the code and a reason: 404, '404 Gone fishing'.
    message
        What to tell the client instead of the usual sentence; escaped in the page.

    Raises ValueError for a code of a success; an impossible status becomes a 500.
    """

    status: Any = None
    code: Any = None
    reason: Any = None

    def __init__(self, status: Any = 500, message: str | None = None) -> None:
        if isinstance(status, bytes):
            status = status.decode("latin-1")
        self.status = status
        try:
            self.code, self.reason, sentence = _valid_status(status)
        except ValueError as exc:
            raise self.__class__(500, str(exc)) from None
        if not 400 <= self.code <= 599:
            raise ValueError("status must be between 400 and 599.")
        self._message = message or sentence
        super().__init__(status, message)

    def set_response(self) -> None:
        """Make `serving.response` this error."""
        response = serving.response
        clean_headers(self.code)
        traceback = format_exc() if serving.request.show_tracebacks else None
        response.status = self.status
        response.headers.pop("Content-Length", None)
        response.body = self.get_error_page(self.status, traceback=traceback, message=self._message)
        _be_ie_unfriendly(self.code)

    def get_error_page(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body of the error; subclasses may make another one."""
        return get_error_page(*args, **kwargs)

    def __call__(self) -> None:
        """Raise this error: an error may stand wherever a handler may."""
        raise self

    @classmethod
    @contextlib.contextmanager
    def handle(cls, exception: Any, status: int | str = 500, message: str = "") -> Iterator[None]:
        """Turn `exception` (a class or a tuple of them) raised in a `with` block into an error."""
        try:
            yield
        except exception as exc:
            raise cls(status, message or str(exc)) from exc


def timeout_error(response: Any) -> HTTPError:
    """The HTTPError that answers in place of a response that took too long."""
    status = response.timeout_status
    if status is None:
        monitor = getattr(site.engine, "timeout_monitor", None)
        status = getattr(monitor, "status", 503)
    message = str(response.timeout_message)
    try:
        return HTTPError(status, message)
    except ValueError:
        site.log(f"No status of an error, so 503: {status!r}", "HTTP", 40)
        return HTTPError(503, message)


class NotFound(HTTPError):
    """Answer 404: `path`, by default that of the request, was not found."""

    def __init__(self, path: str | None = None) -> None:
        if path is None:
            request = serving.request
            path = request.script_name + request.path_info
        # Without the detour through HTTPError: the dispatcher makes one for each static file.
        self.status = self.code = 404
        self.reason = "Not Found"
        self._message = message = f"The path '{path}' was not found."
        self.args = (404, message)


def format_exc(exc: Any = None) -> str:
    """Return the traceback of `exc` (as of `sys.exc_info()`, or an exception), or of the one
    being handled; '' when there is none."""
    if exc is None:
        exc = _exc_info()
    elif isinstance(exc, BaseException):
        exc = (type(exc), exc, exc.__traceback__)
    if exc[0] is None:
        return ""
    import traceback

    try:
        return "".join(traceback.format_exception(*exc))
    finally:
        del exc


def bare_error(
    extrabody: str | bytes | None = None,
) -> tuple[bytes, list[tuple[bytes, bytes]], list[bytes]]:
    """Return `(status, headers, body)` of an error when nothing else can be relied upon.

    extrabody
        Text to add on a line of its own: a traceback, where that may be shown.
    """
    body = b"Unrecoverable error in the server."
    if extrabody is not None:
        if not isinstance(extrabody, bytes):
            extrabody = extrabody.encode("utf-8", "backslashreplace")
        body += b"\n" + extrabody
    return (
        b"500 Internal Server Error",
        [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(body))],
        [body],
    )


# A weight that is no number, or a field without end, is the client's fault, not ours.
HeaderElement.malformed = staticmethod(lambda text: HTTPError(400, text))
