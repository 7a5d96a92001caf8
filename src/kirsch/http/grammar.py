"""The character classes of RFC 9110 and RFC 9112, ready to be put into regular expressions.

Every pattern is plain text that works on ``str`` (a latin-1 view of the bytes) and, encoded, on
``bytes``. None of them can backtrack more than linearly: a class never follows one it overlaps.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CHUNK_EXT",
    "FIELD_VALUE",
    "HOST",
    "METHOD",
    "OWS",
    "PCT_ENCODED",
    "QUOTED_STRING",
    "TCHAR",
    "TOKEN",
    "VCHARS",
    "is_field_value",
    "is_host",
    "is_token",
]

# RFC 9110 5.6.2: tchar, and token = 1*tchar
TCHAR: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN: Final = TCHAR + "+"

# RFC 9110 9.1: method = token. The registered ones are upper case and the method is
# case-sensitive; lower case is refused (as Cheroot does) rather than guessed at.
METHOD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Z]{1,32}"

# RFC 9110 5.6.3: OWS = *( SP / HTAB )
OWS: Final = r"[ \t]*"

# RFC 9110 5.5: field-value octets: VCHAR, SP, HTAB, obs-text. No other control byte, no DEL.
FIELD_VALUE: Final = "[\\t -~\x80-\xff]*"

# RFC 5234 B.1: VCHAR = %x21-7E
VCHARS: Final = "[!-~]*"

# RFC 3986 2.1
PCT_ENCODED: Final = "%[0-9A-Fa-f]{2}"

# RFC 9110 5.6.4: quoted-string
QUOTED_STRING: Final = '"(?:[\\t !#-\\[\\]-~\x80-\xff]|\\\\[\\t -~\x80-\xff])*"'

# RFC 9112 7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
CHUNK_EXT: Final = f"(?:{OWS};{OWS}{TOKEN}(?:{OWS}={OWS}(?:{TOKEN}|{QUOTED_STRING}))?)*"

# RFC 9110 7.2: Host = uri-host [ ":" port ]; RFC 3986 3.2.2: IP-literal, IPv4address, reg-name.
# The last alternative is an RFC 2047 encoded-word: historical clients send one, CherryPy decodes it.
HOST: Final = (
    r"(?:\[[0-9A-Fa-f:.]{2,45}\]|\[v[0-9A-Fa-f]{1,8}\.[\w.~!$&'()*+,;=:\-]{1,64}\]"
    r"|(?:[\w.~!$&'()*+,;=\-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
    r"|=\?[!-<>@-~]{1,40}\?[bBqQ]\?[!->@-~]{0,200}\?="
)

_token = re.compile(TOKEN).fullmatch
_field_value = re.compile(FIELD_VALUE).fullmatch
_host = re.compile(HOST, re.ASCII).fullmatch


def is_token(text: str) -> bool:
    """Whether *text* is a token (RFC 9110 5.6.2): a field name, a method, a coding."""
    return _token(text) is not None


def is_field_value(text: str) -> bool:
    """Whether *text*, a latin-1 view, holds only octets a field value may hold (RFC 9110 5.5)."""
    return _field_value(text) is not None


def is_host(text: str) -> bool:
    """Whether *text* is a well-formed ``Host`` value: no user information, path or whitespace."""
    return _host(text) is not None
