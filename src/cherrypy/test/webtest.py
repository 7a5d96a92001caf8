"""A test case that speaks HTTP, with the names of the ``webtest`` that test suites import.

Nothing here waits for a keyboard unless ``WEBTEST_INTERACTIVE`` is set or ``interactive`` is.
"""

from __future__ import annotations

import http.client
import os
import pprint
import re
import sys
import time
import traceback
import unittest
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

Headers = list[tuple[str, str]]
Errors = type[BaseException] | tuple[type[BaseException], ...]

methods_with_bodies = ("POST", "PUT", "PATCH")
ignored_exceptions: list[type[BaseException]] = []
# Frameworks that answer errors themselves may set this to have server_error() look away.
ignore_all = False

RETRIES = 10
RETRY_DELAY = 0.5  # seconds


def interface(host: str) -> str:
    """The address a client on this machine uses to reach a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def getchar() -> str:
    """The first character of a line typed by the user."""
    return (sys.stdin.readline() or "R")[:1]


class NonDataProperty:
    """A computed attribute that an instance or a subclass may overwrite."""

    def __init__(self, fget: Callable[[Any], Any]) -> None:
        self.fget = fget

    def __get__(self, obj: object, objtype: type | None = None) -> Any:
        return self if obj is None else self.fget(obj)


def strip_netloc(url: str) -> str:
    """Path and query of ``url``, as it stands in a request line."""
    _scheme, _netloc, path, params, query, _fragment = urllib.parse.urlparse(url)
    return urllib.parse.urlunparse(("", "", path, params, query, ""))


def shb(response: http.client.HTTPResponse) -> tuple[str, Headers, bytes]:
    """Status line, headers and body of a response."""
    return f"{response.status} {response.reason}", response.getheaders(), response.read()


def cleanHeaders(
    headers: Iterable[tuple[str, str]] | None,
    method: str,
    body: str | bytes | None,
    host: str,
    port: int,
) -> Headers:
    """The headers, with those added that a request needs and that are missing."""
    found = list(headers or ())
    names = {name.lower() for name, _ in found}
    if "host" not in names:
        found.append(("Host", host if port == 80 else f"{host}:{port}"))
    if method in methods_with_bodies and "content-type" not in names:
        found.append(("Content-Type", "application/x-www-form-urlencoded"))
        found.append(("Content-Length", str(len(body or ""))))
    return found


def openURL(*args: Any, raise_subcls: Errors = (), **kwargs: Any) -> tuple[str, Headers, bytes]:
    """Open a URL; try again for five seconds while the server cannot be reached.

    :param raise_subcls: errors of these classes are raised at once.
    """
    for remaining in range(RETRIES - 1, -1, -1):
        try:
            return _open_url_once(*args, **kwargs)
        except OSError as error:
            if not remaining or (raise_subcls and isinstance(error, raise_subcls)):
                raise
            time.sleep(RETRY_DELAY)
    raise AssertionError("unreachable")


def _open_url_once(
    url: str | bytes,
    headers: Iterable[tuple[str, str]] | None = None,
    method: str = "GET",
    body: str | bytes | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    http_conn: Any = http.client.HTTPConnection,
    protocol: str = "HTTP/1.1",
    ssl_context: Any = None,
) -> tuple[str, Headers, bytes]:
    """Open a URL on a fresh connection, or on ``http_conn`` when that is one already."""
    if isinstance(body, str):
        body = body.encode("utf-8")
    fields = cleanHeaders(headers, method, body, host, port)
    persistent = isinstance(http_conn, http.client.HTTPConnection)
    conn: Any = http_conn
    if not persistent:
        extra = {"context": ssl_context} if ssl_context is not None else {}
        conn = http_conn(interface(host), port, **extra)
    conn._http_vsn_str = protocol
    conn._http_vsn = int("".join(c for c in protocol if c.isdigit()))
    # Tests send what a browser would not: bytes in the path, spaces, control characters.
    conn._validate_path = lambda target: None
    conn._encode_request = lambda line: line.encode("latin-1")
    target = url.decode("latin-1") if isinstance(url, bytes) else url
    try:
        conn.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in fields:
            conn.putheader(name, value.encode("utf-8") if isinstance(value, str) else value)
        conn.endheaders()
        if body is not None:
            conn.send(body)
        return shb(conn.getresponse())
    finally:
        if not persistent:
            conn.close()


class ServerError(Exception):
    """The server side said that it failed; ``on`` is raised by :func:`server_error`."""

    on = False


def server_error(exc: Any = None) -> bool:
    """Tell the client side of a test that the server failed.

    :param exc: as of ``sys.exc_info()``; that of the current exception by default.
    :returns: False when the exception is one of ``ignored_exceptions``.
    """
    info = exc or sys.exc_info()
    if ignore_all or (info[0] is not None and issubclass(info[0], tuple(ignored_exceptions))):
        return False
    ServerError.on = True
    print()
    print("".join(traceback.format_exception(*info)))
    return True


def asked_to_be_interactive(_case: object) -> bool:
    return os.environ.get("WEBTEST_INTERACTIVE", "").lower() in ("1", "true", "yes", "on")


class WebCase(unittest.TestCase):
    """Requests with :meth:`getPage`, then assertions about the response it keeps."""

    HOST: str = "127.0.0.1"
    PORT: int = 8000
    # a connection class, or an open connection once set_persistent() was called
    HTTP_CONN: Any = http.client.HTTPConnection
    PROTOCOL: str = "HTTP/1.1"

    scheme: str = "http"
    url: str | bytes | None = None
    ssl_context: Any = None

    status: str | None = None
    headers: Headers | None = None
    body: bytes | None = None
    cookies: Headers = []
    encoding: str = "utf-8"
    time: float | None = None

    console_height: int = 30
    interactive: Any = NonDataProperty(asked_to_be_interactive)

    @property
    def _Conn(self) -> type[http.client.HTTPConnection]:
        """The connection class of the scheme."""
        if self.scheme == "https":
            return http.client.HTTPSConnection
        return http.client.HTTPConnection

    def get_conn(self, auto_open: bool = False) -> http.client.HTTPConnection:
        """An open connection to the server."""
        extra = {"context": self.ssl_context} if self.ssl_context is not None else {}
        conn = self._Conn(self.interface(), self.PORT, **extra)
        conn.auto_open = auto_open
        conn.connect()
        return conn

    def set_persistent(self, on: bool = True, auto_open: bool = False) -> None:
        """Keep one connection open between requests, or (``on=False``) close it."""
        close = getattr(self.HTTP_CONN, "close", None)
        if close and not isinstance(self.HTTP_CONN, type):
            close()
        self.HTTP_CONN = self.get_conn(auto_open=auto_open) if on else self._Conn

    @property
    def persistent(self) -> bool:
        """Whether requests share one connection; may be assigned."""
        return not isinstance(self.HTTP_CONN, type)

    @persistent.setter
    def persistent(self, on: bool) -> None:
        self.set_persistent(on)

    def interface(self) -> str:
        """The address to connect to."""
        return interface(self.HOST)

    def getPage(
        self,
        url: str | bytes,
        headers: Iterable[tuple[str, str]] | None = None,
        method: str = "GET",
        body: str | bytes | None = None,
        protocol: str | None = None,
        raise_subcls: Errors = (),
    ) -> tuple[str, Headers, bytes]:
        """Request ``url`` (path and query); keep and return status, headers and body.

        :raises ServerError: when the server side called :func:`server_error` meanwhile.
        """
        ServerError.on = False
        if isinstance(url, str):
            url = url.encode("utf-8")
        if isinstance(body, str):
            body = body.encode("utf-8")
        self.url = url
        self.time = None
        start = time.time()
        result = openURL(
            url,
            headers,
            method,
            body,
            self.HOST,
            self.PORT,
            self.HTTP_CONN,
            protocol or self.PROTOCOL,
            raise_subcls=raise_subcls,
            ssl_context=self.ssl_context,
        )
        self.time = time.time() - start
        self.status, self.headers, self.body = result
        self.cookies = [("Cookie", v) for k, v in self.headers if k.lower() == "set-cookie"]
        if ServerError.on:
            raise ServerError()
        return result

    # ------------------------------------------------------------ failing

    def _handlewebError(self, msg: str) -> None:
        """Fail; or, when asked to be interactive, let the user look and decide."""
        print()
        print(f"    ERROR: {msg}")
        if not self.interactive:
            raise self.failureException(msg)
        while True:
            print("    Show: [B]ody [H]eaders [S]tatus [U]RL; [I]gnore, [R]aise, or sys.e[X]it >> ")
            choice = getchar().upper()
            if choice == "B":
                text = (self.body or b"").decode(self.encoding, "replace").splitlines()
                print("\n".join(text[: self.console_height * 10]))
            elif choice == "H":
                pprint.pprint(self.headers)
            elif choice == "S":
                print(self.status)
            elif choice == "U":
                print(self.url)
            elif choice == "I":
                return
            elif choice == "R":
                raise self.failureException(msg)
            elif choice == "X":
                self.exit()

    def exit(self) -> NoReturn:
        """End the whole test run."""
        sys.exit()

    def _bytes(self, value: str | bytes) -> bytes:
        return value.encode(self.encoding) if isinstance(value, str) else value

    # ------------------------------------------------------------ status

    @property
    def status_code(self) -> int:
        """The number in the status line."""
        assert self.status is not None, "no response yet: call getPage() first"
        return int(self.status[:3])

    def status_matches(self, expected: str | int) -> bool:
        """Whether the status is this number, or exactly this line."""
        actual: str | int | None = self.status_code if isinstance(expected, int) else self.status
        return expected == actual

    def assertStatus(self, status: str | int | Sequence[str | int], msg: str | None = None) -> None:
        """Fail unless the status is the given number, line, or one of several."""
        allowed = [status] if isinstance(status, (str, int)) else status
        if not any(self.status_matches(one) for one in allowed):
            self._handlewebError(msg or f"Status {self.status} does not match {status}")

    # ------------------------------------------------------------ headers

    def _values(self, key: str) -> list[str]:
        wanted = key.lower()
        return [v for k, v in self.headers or () if k.lower() == wanted]

    def assertHeader(self, key: str, value: Any = None, msg: str | None = None) -> str | None:
        """Fail unless the header is there (with this value, if given); return its value."""
        for found in self._values(key):
            if value is None or str(value) == found:
                return found
        shown = f"{key!r}" if value is None else f"{key!r}:{value!r}"
        self._handlewebError(msg or f"{shown} not in headers")
        return None

    def assertHeaderIn(
        self, key: str, values: Iterable[Any], msg: str | None = None
    ) -> list[Any] | None:
        """Fail unless the header has one of the values; return those it has."""
        values = list(values)
        has = set(self._values(key))
        found = [v for v in values if str(v) in has]
        if found:
            return found
        self._handlewebError(msg or f"{key!r} not in {values!r}")
        return None

    def _items(self, key: str) -> list[str]:
        return [item.strip() for value in self._values(key) for item in value.split(",")]

    def assertHeaderItemValue(self, key: str, value: Any, msg: str | None = None) -> str | None:
        """Fail unless the comma-separated header holds this item; return the item."""
        items = self._items(key)
        if str(value) in items:
            return str(value)
        if items:
            self._handlewebError(msg or f"{value!r} not in {items!r}")
        else:
            self._handlewebError(msg or f"{key!r} not in headers")
        return None

    def assertNoHeader(self, key: str, msg: str | None = None) -> None:
        """Fail if the header is there."""
        if self._values(key):
            self._handlewebError(msg or f"{key!r} in headers")

    def assertNoHeaderItemValue(self, key: str, value: Any, msg: str | None = None) -> None:
        """Fail if the comma-separated header holds this item."""
        if str(value) in self._items(key):
            self._handlewebError(msg or f"{key!r}:{value!r} in headers")

    # ------------------------------------------------------------ body

    def assertBody(self, value: str | bytes, msg: str | None = None) -> None:
        """Fail unless the body is exactly this."""
        wanted = self._bytes(value)
        if wanted != self.body:
            self._handlewebError(
                msg or f"expected body:\n{wanted!r}\n\nactual body:\n{self.body!r}"
            )

    def assertInBody(self, value: str | bytes, msg: str | None = None) -> None:
        """Fail unless this is somewhere in the body."""
        wanted = self._bytes(value)
        if wanted not in (self.body or b""):
            self._handlewebError(msg or f"{wanted!r} not in body: {self.body!r}")

    def assertNotInBody(self, value: str | bytes, msg: str | None = None) -> None:
        """Fail if this is somewhere in the body."""
        unwanted = self._bytes(value)
        if unwanted in (self.body or b""):
            self._handlewebError(msg or f"{unwanted!r} found in body")

    def assertMatchesBody(
        self, pattern: str | bytes, msg: str | None = None, flags: int = 0
    ) -> None:
        """Fail unless the regular expression is found in the body."""
        wanted = self._bytes(pattern)
        if re.search(wanted, self.body or b"", flags) is None:
            self._handlewebError(msg or f"No match for {wanted!r} in body")
