"""Request heads: bytes to `RequestHead`, strictly; whatever can be read in two ways is refused.

The common head costs one ``findall``: a match covers one whole field line, so as many matches as
lines prove that every line is well formed. Anything else goes line by line (`_walk`), which alone
decides what is wrong; its verdict is always about the *first* wrong line, so it does not depend on
how the bytes were split on their way here.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from kirsch.http.grammar import FIELD_VALUE, METHOD, OWS, TOKEN, is_host
from kirsch.wire import errors
from kirsch.wire.errors import BadRequest, HeadTooLarge, ProtocolError
from kirsch.wire.http1.persistence import allows_keep_alive

__all__ = ["HeadLimits", "RequestHead", "check_partial", "parse_head", "parse_request_line"]


class HeadLimits:
    """How much head a peer may send; 0 lifts a limit.

    :param max_request_line: bytes of the request line with its line end; passing it is 414.
    :param max_head: bytes of the whole head with its empty line; passing it is 413.
    :param max_fields: number of field lines; passing it is 431.
    """

    __slots__ = ("max_fields", "max_head", "max_request_line")

    def __init__(
        self, max_request_line: int = 16384, max_head: int = 65536, max_fields: int = 128
    ) -> None:
        self.max_request_line = max_request_line or sys.maxsize
        self.max_head = max_head or sys.maxsize
        self.max_fields = max_fields or sys.maxsize


class RequestHead:
    """One request head; immutable by convention, and shared between identical requests."""

    __slots__ = (
        "_block",
        "_line",
        "chunked",
        "expect",
        "fields",
        "keep_alive",
        "length",
        "method",
        "minor",
        "path",
        "query",
        "scheme",
        "size",
        "target",
    )

    method: str
    target: str
    scheme: str | None
    path: str
    query: str
    minor: int
    fields: dict[str, str]
    length: int | None
    chunked: bool
    keep_alive: bool
    expect: bool
    size: int
    _line: bytes  # the request line without its end
    _block: bytes  # from the end of the request line to the empty line, both included

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/1.{self.minor}>"


# RFC 9112 2.2: a server SHOULD ignore at least one empty line before the request line.
MAX_EMPTY_LINES: Final = 4
_SMALL: Final = 4096

# RFC 9112 3.2.1: origin-form, by far the most common target. A raw '#' is no part of a target.
_simple_line = re.compile(
    rf"(?!CONNECT )({METHOD}) ((/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?) HTTP/1\.([01])"
).fullmatch
# RFC 9112 5: field-line = field-name ":" OWS field-value OWS. No whitespace before the colon
# (5.1), no line folding (5.2). At most one blank around the value: rarer spacing is left to _walk.
_simple_fields = re.compile(rf"\r\n({TOKEN}): ?(?![ \t])({FIELD_VALUE})(?<![ \t])(?=\r\n)").findall
_field_line = re.compile(rf"({TOKEN}):{OWS}(?![ \t])({FIELD_VALUE})").fullmatch
_method = re.compile(METHOD).fullmatch
_token = re.compile(TOKEN).fullmatch
_version = re.compile(r"HTTP/([0-9])\.([0-9])").fullmatch
_visible = re.compile("[!-~]+").fullmatch
_absolute = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)([^?]*)(?:\?(.*))?").fullmatch
_authority = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+;=%\-]+):[0-9]{1,5}", re.ASCII
).fullmatch
_digits = re.compile("[0-9]{1,18}").fullmatch
_escape = re.compile("%([0-9A-Fa-f]{2})").sub
_tchars: Final = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

_METHODS_TOO_LONG: Final = "The request method is longer than any this server implements."
_NOT_ENV: Final = ""  # the key of fields that must not reach an environ


class _Keys(dict[str, str]):
    """Field name as sent -> CGI key; learns new spellings up to a bound.

    A name with an underscore would pass for its hyphenated twin in an environ (Content_Length for
    Content-Length, X_User for the X-User a proxy vouches for). RFC 9110 5.6.2 allows such names,
    so the request is served, but they have no key: the field is dropped.
    """

    LIMIT: Final = 1024

    def __missing__(self, name: str) -> str:
        if "_" in name:
            return _NOT_ENV
        upper = name.upper().replace("-", "_")
        key = upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + upper
        if len(self) < self.LIMIT and len(name) < 64:
            self[name] = key
        return key


_COMMON: Final = (
    "Host User-Agent Accept Accept-Language Accept-Encoding Accept-Charset Referer Connection "
    "Cookie Upgrade-Insecure-Requests Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User "
    "Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Cache-Control Pragma Content-Type "
    "Content-Length Content-Encoding Transfer-Encoding Authorization Origin Range If-Range "
    "If-None-Match If-Modified-Since If-Match If-Unmodified-Since Expect Upgrade DNT Priority TE "
    "X-Requested-With X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port "
    "X-Real-IP Forwarded Via Keep-Alive From Date Trailer X-CSRF-Token X-Request-ID "
    "Sec-WebSocket-Key Sec-WebSocket-Version Sec-WebSocket-Extensions Sec-WebSocket-Protocol"
)
_KEYS: Final = _Keys()
for _name in _COMMON.split():
    for _spelling in (_name, _name.lower(), _name.upper()):
        _KEYS[_spelling]  # learns it

# Host values seen to be well formed; bounded, and only a shortcut.
_HOSTS: Final[dict[str, bool]] = {}
_HOSTS_LIMIT: Final = 256

# RFC 9110 5.3: repeated fields are one list, but these are no lists. The two that frame or route
# a message are refused when repeated; of the others two different values are refused.
_NEVER_TWICE: Final = {
    "HTTP_HOST": "More than one Host header.",  # RFC 9112 3.2
    "CONTENT_LENGTH": "More than one Content-Length header.",  # RFC 9110 8.6
}
_ONE_VALUE: Final = {
    "CONTENT_TYPE": "Contradictory Content-Type headers.",
    "HTTP_AUTHORIZATION": "Contradictory Authorization headers.",
    "HTTP_PROXY_AUTHORIZATION": "Contradictory Proxy-Authorization headers.",
}

# Connection values worth no parsing: value -> (with HTTP/1.0, with HTTP/1.1)
_CONNECTION: Final = {
    "keep-alive": (True, True),
    "Keep-Alive": (True, True),
    "close": (False, False),
    "Upgrade": (False, True),
    "keep-alive, Upgrade": (True, True),
}


def _octet(match: re.Match[str]) -> str:
    # An encoded slash is data within a segment: decoding it would make two paths one.
    char = chr(int(match[1], 16))
    return "%2F" if char == "/" else char


def parse_request_line(line: str) -> tuple[str, str, str | None, str, str, int, str | None]:
    """Take a request line apart (RFC 9112 3).

    :param line: without its line end, a latin-1 view of the bytes.
    :return: method, target, scheme (absolute-form only), path, query, minor version, and the
        authority of an absolute-form target.
    :raise ProtocolError: 400, 501 (method too long) or 505.
    """
    match = _simple_line(line)
    if match is not None:
        method, target, path, query, digit = match.groups()
        if "%" in path:
            path = _escape(_octet, path)
        return method, target, None, path, query or "", 1 if digit == "1" else 0, None
    parts = line.split(" ")
    if len(parts) != 3 or "\r" in line:  # RFC 9112 2.2: a bare CR is no line end and no space
        raise BadRequest(errors.BAD_REQUEST_LINE)
    method, target, version = parts
    if _token(method) is None:
        raise BadRequest(errors.BAD_REQUEST_LINE)
    if _method(method) is None:
        if len(method) > 32:  # RFC 9112 3
            raise ProtocolError(501, _METHODS_TOO_LONG)
        raise BadRequest(errors.BAD_METHOD_NAME)
    if not version.startswith("HTTP/"):
        raise BadRequest(errors.BAD_REQUEST_LINE + ": bad protocol")
    found = _version(version)
    if found is None:
        raise BadRequest(errors.BAD_REQUEST_LINE + ": bad version")
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise ProtocolError(505, "Cannot fulfill request")
    minor = int(found[2])
    if _visible(target) is None:
        raise BadRequest(errors.BAD_TARGET)
    if "#" in target:
        raise BadRequest(errors.FRAGMENT)
    scheme, path, query, authority = _parse_target(method, target)
    return method, target, scheme, path, query, minor, authority


def _parse_target(method: str, target: str) -> tuple[str | None, str, str, str | None]:
    # RFC 9112 3.2.3, 3.2.4, 3.2.2, in this order; origin-form was taken by _simple_line.
    if method == "CONNECT":
        if _authority(target) is None:
            raise BadRequest(errors.CONNECT_TARGET)
        return None, target, "", None
    if target == "*":
        if method != "OPTIONS":
            raise BadRequest(errors.BAD_PATH)
        return None, "*", "", None
    match = _absolute(target)
    if match is None:
        raise BadRequest(errors.BAD_PATH)
    scheme, authority, path, query = match.groups()
    # RFC 9110 4.2.1, 4.2.4: an empty host and user information are errors.
    if not authority or authority.startswith(":") or "?" in authority or not is_host(authority):
        raise BadRequest(errors.BAD_TARGET)
    if "%" in path:
        path = _escape(_octet, path)
    return scheme.lower(), path or "/", query or "", authority


def _walk(data: bytes, limits: HeadLimits) -> list[tuple[str, str]]:
    """Judge the complete lines of *data* one by one; return the fields among them.

    Raises what is wrong with the first wrong line. An unfinished last line is only measured.
    """
    if data and data[0] not in _tchars:
        raise BadRequest(errors.CRLF_REQUIRED if data[0] == 10 else errors.BAD_REQUEST_LINE)
    end = data.find(b"\n") + 1
    too_long = min(limits.max_request_line, limits.max_head)
    if (end or len(data)) > too_long:
        raise HeadTooLarge(414, errors.LINE_TOO_LONG)
    if not end:
        return []
    if data[end - 2] != 13:
        raise BadRequest(errors.CRLF_REQUIRED)
    parse_request_line(str(data[: end - 2], "latin-1"))
    fields: list[tuple[str, str]] = []
    while True:
        start = end
        end = data.find(b"\n", start) + 1
        if (end or len(data)) > limits.max_head:
            raise HeadTooLarge(413, errors.HEAD_TOO_LARGE)
        if not end:
            return fields
        if data[end - 2] != 13:
            raise BadRequest(errors.CRLF_REQUIRED)
        if end - start == 2:
            return fields
        if len(fields) >= limits.max_fields:
            raise HeadTooLarge(431, errors.HEAD_TOO_LARGE)
        match = _field_line(str(data[start : end - 2], "latin-1"))
        if match is None:
            raise BadRequest(errors.BAD_LINE)
        fields.append((match[1], match[2].rstrip(" \t")))


def check_partial(data: bytes, limits: HeadLimits) -> None:
    """Refuse a beginning that no continuation can make acceptable.

    *data* holds no complete head and no leading empty line. A small beginning is judged whole, of
    a longer one the last complete line: the caller asks at most once a line, so the work stays
    linear, and the complete head is judged whole anyway.

    :raise ProtocolError: as `parse_head` would for every continuation of *data*.
    """
    size = len(data)
    if (
        size <= _SMALL
        or size > limits.max_head
        or (data.find(b"\n") + 1 or size) > limits.max_request_line
        or data.count(b"\n") - 1 > limits.max_fields
        or not _ends_well(data)
    ):
        _walk(data, limits)


def _ends_well(data: bytes) -> bool:
    """Whether the last complete line is a good field line (and not the request line)."""
    end = data.rfind(b"\n") + 1
    start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
    line = data[start:end]
    return start > 0 and line[-2:] == b"\r\n" and _field_line(str(line[:-2], "latin-1")) is not None


def _skip_empty_lines(
    data: bytes, limits: HeadLimits, last: RequestHead | None
) -> RequestHead | None:
    """RFC 9112 2.2: old clients send an extra CRLF after a body."""
    skip = 0
    while data.startswith(b"\r\n", skip):
        skip += 2
        if skip > 2 * MAX_EMPTY_LINES:
            raise BadRequest(errors.BAD_REQUEST_LINE)
    if data[skip:] in (b"", b"\r"):
        return None
    head = parse_head(data[skip:], limits, last)
    return None if head is None else _copy(head, head.size + skip)


def _copy(head: RequestHead, size: int) -> RequestHead:
    own = RequestHead()
    for name in RequestHead.__slots__:
        setattr(own, name, getattr(head, name))
    own.size = size
    return own


def parse_head(
    data: bytes, limits: HeadLimits, last: RequestHead | None = None
) -> RequestHead | None:
    """Parse the request head at the beginning of *data*.

    :param data: all bytes received since the end of the previous request; more may follow the head.
    :param limits: the same object for every request of a connection.
    :param last: the previous head of the same connection. What is byte for byte the same as there
        is not parsed again: the very same object may come back, or one that shares ``fields``.
    :return: None while the head is not complete and so far acceptable. Ask again when the new
        bytes hold a line end or a limit is passed.
    :raise ProtocolError: the request is refused; the connection must be closed after the answer.
    """
    if last is not None:
        eol = len(last._line)
        if data.startswith(last._block, eol) and data.startswith(last._line):
            size = eol + len(last._block)
            return last if last.size == size else _copy(last, size)
    eol = data.find(b"\r\n")
    if eol > 0:
        if last is not None and data.startswith(last._block, eol):
            head = _same_fields(data, eol, limits, last)
            if head is not None:
                return head
        end = data.find(b"\r\n\r\n", eol)
        if end > 0:
            return _parse_whole(data, eol, end, limits)
    elif eol == 0:
        return _skip_empty_lines(data, limits, last)
    elif data == b"\r":
        return None
    check_partial(data, limits)
    return None


def _same_fields(
    data: bytes, eol: int, limits: HeadLimits, last: RequestHead
) -> RequestHead | None:
    """A new request line over the field lines of *last*: most of a keep-alive connection."""
    size = eol + len(last._block)
    if size > limits.max_head or eol + 2 > limits.max_request_line or last.scheme is not None:
        return None
    line = data[:eol]
    match = _simple_line(str(line, "latin-1"))
    if match is None:
        return None
    head = RequestHead()
    head.method, head.target, path, query, digit = match.groups()
    minor = 1 if digit == "1" else 0
    if minor != last.minor:
        return None
    head.scheme = None
    head.path = _escape(_octet, path) if "%" in path else path
    head.query = query or ""
    head.minor = minor
    head.fields = last.fields
    head.length = last.length
    head.chunked = last.chunked
    head.keep_alive = last.keep_alive
    head.expect = last.expect
    head.size = size
    head._line = line
    head._block = last._block
    return head


def _parse_whole(data: bytes, eol: int, end: int, limits: HeadLimits) -> RequestHead:
    size = end + 4
    text = str(data[: end + 2], "latin-1")
    pairs: list[tuple[str, str]] = _simple_fields(text, eol)
    # Each match took the line end before it, and only the last one is left over.
    lines = text.count("\n") - 1
    if (
        len(pairs) != lines
        or size > limits.max_head
        or eol + 2 > limits.max_request_line
        or lines > limits.max_fields
    ):
        pairs = _walk(data, limits)
    head = RequestHead()
    (
        head.method,
        head.target,
        head.scheme,
        head.path,
        head.query,
        head.minor,
        authority,
    ) = parse_request_line(text[:eol])
    head._line = data[:eol]
    head._block = data[eol:size]
    head.size = size
    keys = _KEYS
    fields = {keys[name]: value for name, value in pairs}
    if len(fields) != lines:
        fields = _join(pairs)
    if _NOT_ENV in fields:
        del fields[_NOT_ENV]
    head.fields = fields
    _settle(head, fields, head.minor)
    if authority is not None:
        # RFC 9112 3.2.2: the target's authority replaces whatever Host says.
        fields["HTTP_HOST"] = authority
    return head


def _settle(head: RequestHead, fields: dict[str, str], minor: int) -> None:
    """Host, framing and persistence: what the fields say together."""
    host = fields.get("HTTP_HOST")
    if host is None:
        if minor:
            raise BadRequest(errors.HOST_REQUIRED)  # RFC 9112 3.2
    elif host not in _HOSTS:
        if not is_host(host):
            raise BadRequest("Malformed Host header.")
        if len(_HOSTS) < _HOSTS_LIMIT and len(host) < 256:
            _HOSTS[host] = True
    connection = fields.get("HTTP_CONNECTION")
    if connection is None:
        head.keep_alive = minor == 1
    elif connection in _CONNECTION:
        head.keep_alive = _CONNECTION[connection][minor]
    else:
        head.keep_alive = allows_keep_alive(minor, connection)
    length: int | None = None
    digits = fields.get("CONTENT_LENGTH")
    if digits is not None:
        if _digits(digits) is None:  # RFC 9110 8.6: 1*DIGIT, nothing else
            raise BadRequest("Malformed Content-Length Header.")
        length = int(digits)
    chunked = "HTTP_TRANSFER_ENCODING" in fields
    if chunked:
        if length is not None:  # RFC 9112 6.3
            raise BadRequest("Content-Length together with Transfer-Encoding.")
        if not minor:  # RFC 9112 6.1
            raise BadRequest("Transfer-Encoding in an HTTP/1.0 request.")
        if fields["HTTP_TRANSFER_ENCODING"].lower() != "chunked":  # RFC 9112 6.1, 6.3
            raise BadRequest("Transfer-Encoding must be exactly 'chunked'.")
    head.length = length
    head.chunked = chunked
    # RFC 9110 10.1.1: ignored in HTTP/1.0, and pointless without content.
    head.expect = (
        "HTTP_EXPECT" in fields
        and minor == 1
        and (chunked or bool(length))
        and fields["HTTP_EXPECT"].lower() == "100-continue"
    )


def _join(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Repeated fields become one (RFC 9110 5.3); a Cookie with the separator of its own syntax."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(_KEYS[name], []).append(value)
    fields: dict[str, str] = {}
    for key, several in values.items():
        if len(several) > 1 and key in _NEVER_TWICE:
            raise BadRequest(_NEVER_TWICE[key])
        if len(several) > 1 and key in _ONE_VALUE:
            if len(set(several)) > 1:
                raise BadRequest(_ONE_VALUE[key])
            del several[1:]
        fields[key] = ("; " if key == "HTTP_COOKIE" else ", ").join(several)
    return fields
