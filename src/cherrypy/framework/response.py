"""The response: status, fields, cookies and body, and how they become what a server sends.

Law: nothing that could end a line gets out through a field, a cookie or the reason phrase.
"""

from __future__ import annotations

from _thread import allocate_lock
from functools import lru_cache
from sys import intern
from time import time
from typing import Any
from weakref import ref

from kirsch.http.cookies import cookie_lines, new_jar
from kirsch.http.dates import HTTPDate
from kirsch.http.headers import HeaderMap
from kirsch.http.status import response_codes, valid_status

from .errors import HTTPError, TimeoutError  # noqa: A004 - the historical name
from .serving import Serving, serving
from .site import site

__all__ = ("Response", "ResponseBody", "late", "lazy", "look_at_time", "may_log")

#: The responses that have timed out, wherever they are: references, which leave by themselves.
#: Nearly always empty, so that a stage asks this before it looks at its own response.
late: set[ref[Any]] = set()

_ledger = allocate_lock()  # guards: that one thread writes a request's line of the access log


def may_log(request: Any, own: bool) -> bool:
    """Whether the line of `request` is for the caller to write: its own thread, or the monitor."""
    with _ledger:
        if request._logs is None:
            request._logs = own
        return request._logs is own


def look_at_time(request: Any, body: Any = None, last: bool = False) -> None:
    """Raise TimeoutError, once, if the response of this thread has timed out.

    body
        What will not be sent then, and is to be closed.
    last
        The one look of the old days, at the end of the request.
    """
    response = serving.response
    if not response.timed_out or request._timed_out:
        return
    if not last and getattr(getattr(site.engine, "timeout_monitor", None), "legacy", False):
        return
    request._timed_out = True
    close = getattr(body, "close", None)
    if close is not None:
        close()
    raise TimeoutError(response.timeout_message)


class _TimedOut:
    """`response.timed_out`: a flag that is also known to `late`."""

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return False if obj is None else obj._timed_out

    def __set__(self, obj: Any, value: Any) -> None:
        obj._timed_out = value
        if value:
            late.add(ref(obj, late.discard))
        else:
            late.discard(ref(obj))


#: 'code reason' of every known code, and what a server is given of it.
STATUS = {code: f"{code} {words[0]}" for code, words in response_codes.items()}
_STATUS_BYTES = {text: text.encode("latin-1") for text in STATUS.values()}

_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), 127))


class lazy:
    """An attribute that is made when first asked for and then is the object's own.

    make
        Gets the object, returns the value.
    default
        What the class itself shows.
    """

    def __init__(self, make: Any, default: Any = None) -> None:
        self.make = make
        self.default = default
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self.default
        value = self.make(obj)
        # Past this descriptor, which has no __set__; and without asking for __dict__, which
        # would make every later access to the object slower.
        setattr(obj, self.name, value)
        return value


class kept:
    """The same, but kept in `_name`: None there says for sure that nobody has looked or set it."""

    def __init__(self, make: Any, default: Any = None) -> None:
        self.make = make
        self.default = default
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        # Interned, as names in programs are: others are not found as quickly.
        self.slot = intern("_" + name)

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self.default
        value = getattr(obj, self.slot)
        if value is None:
            value = self.make(obj)
            setattr(obj, self.slot, value)
        return value

    def __set__(self, obj: Any, value: Any) -> None:
        setattr(obj, self.slot, value)

    def __delete__(self, obj: Any) -> None:
        setattr(obj, self.slot, None)


def timed(body: Any) -> Any:
    """Yield the pieces of a body, for as long as its response is not timed out."""
    for piece in body:
        if late:
            look_at_time(serving.request, body)
        yield piece


class FileBody:
    """A file as an iterable of blocks; closed at its end or when the response is."""

    def __init__(self, input: Any, chunkSize: int = 65536) -> None:
        self.input = input
        self.chunkSize = chunkSize

    def __iter__(self) -> FileBody:
        return self

    def __next__(self) -> bytes:
        chunk: bytes = self.input.read(self.chunkSize)
        if chunk:
            return chunk
        self.close()
        raise StopIteration

    next = __next__

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.input, "close", None)
        if close is not None:
            close()


class ResponseBody:
    """The descriptor of `response.body`: what handlers return becomes an iterable of bytes."""

    unicode_err = "Page handlers MUST return bytes. Use tools.encode if you wish to return unicode."

    #: Wraps objects that have a `read`. `cherrypy.lib` puts its `file_generator` here.
    wrap_file: Any = FileBody

    def __get__(self, obj: Any, objclass: Any = None) -> Any:
        if obj is None:
            return self
        body = obj._body
        if type(body) is bytes:
            # The request path leaves the bytes as they are until somebody looks.
            body = obj._body = [body] if body else []
        return body

    def __set__(self, obj: Any, value: Any) -> None:
        kind = type(value)
        if kind is bytes:
            obj._body = [value] if value else []
        elif value is None:
            obj._body = []
        elif isinstance(value, str):
            obj._body = [self._encoded(value)] if value else []
        elif isinstance(value, list):
            if any(isinstance(item, str) for item in value):
                value = [self._encoded(x) if isinstance(x, str) else x for x in value]
            obj._body = value
        elif isinstance(value, (bytes, bytearray, memoryview)):
            obj._body = [bytes(value)] if value else []
        elif hasattr(value, "read") and not hasattr(value, "__next__"):
            obj._body = self.wrap_file(value)
        elif hasattr(value, "read") and hasattr(value, "seek"):
            # Open files are iterators of lines; a body is better read in blocks.
            obj._body = self.wrap_file(value)
        else:
            obj._body = value

    def _encoded(self, text: str) -> bytes:
        """Text is in order wherever the encode tool is on, however it got into the body."""
        settings = serving.request.toolmaps.get("tools", {}).get("encode")
        if not settings or not settings.get("on"):
            raise ValueError(self.unicode_err)
        return text.encode(settings.get("encoding") or "utf-8")


def _new_headers(response: Any) -> HeaderMap:
    """The fields to send; what the framework says of itself is in it from the beginning."""
    headers = HeaderMap.__new__(HeaderMap)
    if response._final is not None:
        # It has gone out without anybody looking; this is what it said.
        dict.update(headers, [pair for pair in response.pairs() if pair[0] != "Set-Cookie"])
        return headers
    dict.update(
        headers,
        {
            "Content-Type": _CONTENT_TYPE[1] if response._utf8 else "text/html",
            "Server": _SERVER[1],
            "Date": HTTPDate(),
        },
    )
    return headers


_CONTENT_TYPE = ("Content-Type", "text/html;charset=utf-8")
_SERVER = ("Server", "CherryPy/18.10.0")


def _new_cookie(response: Any) -> Any:
    """The cookies to set: an `http.cookies.SimpleCookie`."""
    jar = new_jar()
    for name, value, _, make in response._promised:
        # Past SimpleCookie's own, which would encode it again.
        dict.__setitem__(jar, name, make(name, value))
    return jar


def bare_pairs(length: int, cookies: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same, and cookies, for a server that says by itself what it is and when."""
    return [_CONTENT_TYPE, ("Content-Length", str(length)), *cookies]


def _plain_pairs(length: int) -> list[tuple[str, str]]:
    """The fields of a response of text of which nobody touched any."""
    return [_CONTENT_TYPE, _SERVER, ("Date", HTTPDate()), ("Content-Length", str(length))]


def _header_list(response: Any) -> list[tuple[bytes, bytes]] | None:
    """The fields as pairs of bytes, once the response is final; hooks may add to them."""
    if response._final is None:
        return None
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.pairs()]


def _output_status(response: Any) -> bytes:
    """The status line's code and reason as bytes, once the response is final."""
    status = response.status
    if response._final is None or not isinstance(status, str):
        return b""
    return _STATUS_BYTES.get(status) or status.encode("latin-1", "replace")


class Response:
    """What is sent back. Its attributes may be set by anybody until `finalize`."""

    status: Any = ""
    """The code, or code and reason: 404, '404 Gone fishing'."""

    headers: Any = kept(_new_headers, HeaderMap())
    cookie: Any = kept(_new_cookie)
    header_list: Any = kept(_header_list, [])
    output_status: Any = kept(_output_status)

    body: Any = ResponseBody()
    """An iterable of bytes; may be set to bytes, text, None, a file or any iterable."""

    time: Any = None
    """When this object was made, in seconds since the epoch."""

    stream = False
    """True: send the body piece by piece as it is made, without counting it first."""

    timeout: Any = 300
    """Seconds after which a response may be taken for lost (see `check_timeout`)."""

    timed_out: Any = _TimedOut()
    """Set by `check_timeout`. True: the next stage of the request raises TimeoutError."""

    timeout_status: Any = None
    """The status of the answer then; None for that of `engine.timeout_monitor`."""

    timeout_message = "The server did not make the response in time."
    """What that answer tells the client."""

    _timed_out: Any = False
    _body: Any = []
    _headers: Any = None
    _cookie: Any = None
    _header_list: Any = None
    _output_status: Any = None

    # The body is text in UTF-8 of which the fields, not made yet, shall say so.
    _utf8 = False

    # Cookies that are made when somebody looks: name, value, attributes as text, and what makes
    # a morsel of name and value.
    _promised: tuple[tuple[str, str, str, Any], ...] = ()

    # None until the response is final; then its fields as pairs of text, or just the length of
    # the body of a response of which nobody touched anything but cookies, which are `_cookies`.
    _final: Any = None
    _cookies: list[tuple[str, str]] = []

    def __init__(self) -> None:
        self.status = None
        self.time = time()

    def collapse_body(self) -> bytes:
        """Make the body one piece of bytes and return it."""
        body = self.body
        if isinstance(body, list) and len(body) == 1 and type(body[0]) is bytes:
            only: bytes = body[0]
            return only
        if isinstance(body, (bytes, bytearray)):
            new = bytes(body)
        elif isinstance(body, (list, tuple)):
            new = b"".join(body)
        else:
            new = b"".join(timed(body))
        self.body = new
        return new

    def _flush_body(self) -> None:
        """Use up the body without sending it: its generator may do work, or hold a resource."""
        for _ in timed(self.body):
            pass

    def check_timeout(self) -> None:
        """Set `timed_out` if this response has been under way for more than `timeout` seconds.

        A `timeout` of None is none at all.
        """
        timeout = self.timeout  # the program may be just setting it
        if timeout is not None and time() > self.time + timeout:
            self.timed_out = True

    def finalize(self) -> None:
        """Turn status, fields, cookies and body into what is sent.

        Sets `status` ('200 OK'), `output_status` and `header_list`. Raises HTTPError for a
        status that is none.
        """
        status = self.status
        body = self._body
        self._header_list = self._output_status = None
        untouched = status is None and self._headers is None and not self.stream
        if untouched and self._utf8 and type(body) is bytes:
            self.status = "200 OK"
            self._final = len(body)
            self._cookies = []
            self._set_cookies(self._cookies, HeaderMap)
            return
        if status is None or status == 200:
            code, self.status = 200, "200 OK"
        else:
            code = self._name_status(status)
        headers = self.headers
        if self.stream:
            # Only a length that was set by hand can be right.
            if dict.get(headers, "Content-Length") is None:
                headers.pop("Content-Length", None)
        elif code < 200 or code in _BODILESS:
            # RFC 9110, 6.4.1: these have no content, and no length of it.
            headers.pop("Content-Length", None)
            self._flush_body()
            self.body = b""
        elif dict.get(headers, "Content-Length") is None:
            if type(body) is not bytes:
                body = self.collapse_body()
            dict.__setitem__(headers, "Content-Length", str(len(body)))
        self._final = pairs = _text_pairs(headers)
        if self._cookie is not None or self._promised:
            self._set_cookies(pairs, headers)

    def _set_cookies(self, pairs: list[tuple[str, str]], headers: Any) -> None:
        """Add the Set-Cookie fields."""
        try:
            if self._cookie is None:
                for name, value, suffix, _ in self._promised:
                    start = f"{name}={value}"
                    line = start + suffix
                    if not (start.isascii() and start.isprintable() and _is_plain(suffix)):
                        line = headers.encode_header_item(line).decode("latin-1")
                    pairs.append(("Set-Cookie", line))
                return
            for line in cookie_lines(self._cookie) if self._cookie else ():
                if not (line.isascii() and line.isprintable()):
                    line = headers.encode_header_item(line).decode("latin-1")
                pairs.append(("Set-Cookie", line))
        except Exception:
            # The error page shall not fail for the same reason.
            self._cookie, self._promised = None, ()
            raise

    def promise_cookie(self, name: str, value: str, suffix: str, make: Any) -> None:
        """Set a cookie, made when somebody looks at `cookie`.

        suffix
            What follows name and value in the field: '; Path=/'.
        make
            Makes the morsel of name and value.
        """
        if self._cookie is not None:
            dict.__setitem__(self._cookie, name, make(name, value))
        else:
            promised = self._promised
            if promised:
                promised = tuple(promise for promise in promised if promise[0] != name)
            self._promised = (*promised, (name, value, suffix, make))

    def _name_status(self, status: Any) -> int:
        """Make `status` 'code reason' and return the code. Raises HTTPError."""
        try:
            code, reason, _ = valid_status(status)
        except ValueError as exc:
            raise HTTPError(500, str(exc)) from None
        if code < 200:
            # Another response has to follow an interim one (RFC 9110, 15.2), and none would.
            raise HTTPError(500, f"Illegal response status from server ({code} is not final).")
        if not (reason.isascii() and reason.isprintable()):
            reason = reason.translate(_CONTROLS).encode("latin-1", "replace").decode("latin-1")
        self.status = f"{code} {reason}"
        return code

    def pairs(self) -> list[tuple[str, str]]:
        """Return the fields as text, the way WSGI wants them. Raises TypeError.

        Only bytes may have got into `header_list`: text would be in an encoding unknown.
        """
        header_list = self._header_list
        if header_list is None:
            final = self._final
            if type(final) is int:
                return _plain_pairs(final) + self._cookies
            return final or []
        try:
            return [(k.decode("latin-1"), v.decode("latin-1")) for k, v in header_list]
        except AttributeError:
            for k, v in header_list:
                for what, item in (("key", k), ("value", v)):
                    if not isinstance(item, bytes):
                        raise TypeError(
                            f"response.header_list {what} {item!r} is not a byte string."
                        ) from None
            raise


#: No content, by definition.
_BODILESS = frozenset((204, 205, 304))


def _text_pairs(headers: Any) -> list[tuple[str, str]]:
    """The fields as text with only the characters of Latin-1 that may stand in a field."""
    pairs = list(headers.items())
    # All at once, in C: how many fields there are makes no difference to what this costs.
    if set(map(type, headers.values())) == _TEXT and _clean_names.issuperset(headers):
        text = "".join(headers.values())
        if text.isascii() and text.isprintable():
            return pairs
    return _clean_pairs(headers, pairs)


_TEXT = {str}


@lru_cache(100)
def _is_plain(text: str) -> bool:
    """Tell whether a text may stand in a field as it is; for what many responses have in common."""
    return text.isascii() and text.isprintable()


#: Names found to be clean; so many and no more, as they may be made of what a peer has sent.
_clean_names: set[Any] = set()
_MAX_NAMES = 500


def _clean_pairs(headers: Any, pairs: list[tuple[Any, Any]]) -> list[tuple[str, str]]:
    """The fields as text. Raises what a field does that is none, and forgets it.

    Or the error page, which has the same fields, would fail as well.
    """
    encode = headers.encode_header_item
    clean: list[tuple[str, str]] = []
    failed: Exception | None = None
    for name, value in pairs:
        try:
            clean.append(_clean_pair(encode, name, value))
        except Exception as error:
            failed = error
            dict.pop(headers, name, None)
    if failed is not None:
        raise failed
    return clean


def _clean_pair(encode: Any, name: Any, value: Any) -> tuple[str, str]:
    """A field as text, without characters that could end its line."""
    if not isinstance(value, (str, bytes)):
        value = str(value)
    cleaned: str = encode(name).decode("latin-1")
    if cleaned not in _clean_names:
        from kirsch.http.grammar import is_token

        if not is_token(cleaned):
            # No server would send it, and some would answer without the error page.
            raise ValueError(f"Malformed header name: {name!r}")
    if cleaned == name and len(_clean_names) < _MAX_NAMES and len(cleaned) < 64:
        _clean_names.add(name)
    return cleaned, encode(value).decode("latin-1")


# What threads see that serve nothing.
Serving.response = Response()
