"""Cookies: read pair by pair, in linear time, a malformed pair costing only itself; and written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from http.cookies import SimpleCookie

#: Cookies read of one field; browsers keep some 180 for a host. What follows is ignored, as each
#: makes an object some hundred times as large as its text.
MAX_COOKIES = 500

_BLANK = " \t"

# `\"` and `\101` in a quoted value.
_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")

# `http.cookies`, imported with the first cookie, and the attributes of one of its morsels.
_stdlib: Any = None
_blank: dict[str, Any] = {}


def _load() -> Any:
    global _stdlib
    import http.cookies as found

    _blank.update(found.Morsel())
    _stdlib = found
    return found


def cookie_value(text: str, name: str) -> str | None:
    """Return the value of the last cookie `name` of a Cookie field, None if there is none.

    What `parse_cookies` gives, for those who need but one.
    """
    if name not in text:
        return None
    if '"' in text or text.count(";") >= MAX_COOKIES:
        jar = parse_cookies(text)
        return jar[name].value if name in jar else None
    value = None
    for found, coded in split_pairs(text):
        if found == name:
            value = coded
    if value is None or (name.isascii() and name.isidentifier()):
        return value
    if name[:1] in ("", "$") or not (_stdlib or _load())._is_legal_key(name):
        return None
    return value


def new_jar() -> SimpleCookie:
    """Return an empty `http.cookies.SimpleCookie`."""
    jar: SimpleCookie = (_stdlib or _load()).SimpleCookie()
    return jar


def cookie_lines(jar: Any) -> list[str]:
    """Return what each Set-Cookie field says, by name of the cookie."""
    cookies = _stdlib or _load()
    if type(jar) is not cookies.SimpleCookie:
        return [line.strip(_BLANK) for line in jar.output(header="").split("\r\n")]
    plain = cookies.Morsel
    return [
        # Most have a value and no attribute.
        f"{morsel.key}={morsel.coded_value}"
        if type(morsel) is plain and dict.__eq__(morsel, _blank)
        else morsel.OutputString()
        for _, morsel in sorted(jar.items())
    ]


def _closing_quote(text: str, start: int) -> int:
    """Return the index of the quote that ends the string begun before `start`, or -1."""
    while True:
        end = text.find('"', start)
        if end < 0:
            return -1
        slashes = end
        while slashes > start and text[slashes - 1] == "\\":
            slashes -= 1
        if (end - slashes) % 2 == 0:
            return end
        start = end + 1


def _unescaped(match: re.Match[str]) -> str:
    octal: str | None = match[1]
    return chr(int(octal, 8)) if octal else match[2]


def _unquote(coded: str) -> str:
    """Return what a value stands for.

    That of the library takes quadratic time before 3.10.15, 3.11.10 and 3.12.6 (CVE-2024-7592).
    """
    if len(coded) < 2 or coded[0] != '"' or coded[-1] != '"':
        return coded
    return _ESCAPED.sub(_unescaped, coded[1:-1])


def split_pairs(text: str) -> Iterable[tuple[str, str]]:
    """Give the ``(name, value)`` pairs of a Cookie field as sent, without what is no pair.

    A `;` inside a quoted value belongs to the value (older browsers and Python itself send
    that), if the quotes really enclose the whole value. Every quote is looked at once, so the
    work is linear in the length of the field.
    """
    if ";" not in text and '"' not in text:
        single, sign, value = text.partition("=")
        return [(single.strip(_BLANK), value.strip(_BLANK))] if sign else []
    return _each_pair(text)


def _each_pair(text: str) -> Iterator[tuple[str, str]]:
    quoted = '"' in text
    position, length = 0, len(text)
    while position < length:
        end = text.find(";", position)
        if end < 0:
            end = length
        equals = text.find("=", position, end)
        if equals >= 0:
            name = text[position:equals].strip(_BLANK)
            if quoted:
                begin = equals + 1
                while begin < length and text[begin] in _BLANK:
                    begin += 1
                if begin < length and text[begin] == '"':
                    close = _closing_quote(text, begin + 1)
                    if close >= end:
                        after = close + 1
                        while after < length and text[after] in _BLANK:
                            after += 1
                        if after == length or text[after] == ";":
                            end = after
            yield name, text[equals + 1 : end].strip(_BLANK)
        position = end + 1


def parse_cookies(text: str, into: SimpleCookie | None = None) -> SimpleCookie:
    """Read a Cookie field into an `http.cookies.SimpleCookie`.

    Pairs whose name is not legal are skipped, all others kept, whatever their value looks like:
    other applications on the same host set odd cookies, and users cannot help it. What is legal
    is asked of `http.cookies._is_legal_key` at that moment, since programs replace it. Of the
    pairs that are in order the first `MAX_COOKIES` are read.
    """
    cookies = _stdlib or _load()
    jar: Any = cookies.SimpleCookie() if into is None else into
    # A jar of one's own may have other values.
    decode = None if type(jar) is cookies.SimpleCookie else jar.value_decode
    legal = cookies._is_legal_key
    blank = _blank
    store = dict.__setitem__
    fill = dict.update
    kind = cookies.Morsel
    room = MAX_COOKIES
    for name, coded in split_pairs(text):
        # '$Version', '$Path': attributes of RFC 2965, which RFC 6265, 5.4 has dropped.
        if not name or name[0] == "$" or not legal(name):
            continue
        # Past Morsel.__init__, which sets each attribute by itself, and not by `set`, which
        # refuses names such as 'path' and 'version' that RFC 6265 allows.
        morsel: Any = kind.__new__(kind)
        fill(morsel, blank)
        try:
            if decode is None:
                value = _unquote(coded)
            else:
                value, coded = decode(coded)
            morsel.__setstate__({"key": name, "value": value, "coded_value": coded})
        except (cookies.CookieError, ValueError):
            continue
        # Past BaseCookie's own __setitem__, which would encode the value again.
        store(jar, name, morsel)
        room -= 1
        if not room:
            break
    return jar  # type: ignore[no-any-return]  # of a module imported late
