"""Lists in the fields of a handshake: tokens, and extensions with their parameters (RFC 6455 9.1)."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from kirsch.http.grammar import OWS, QUOTED_STRING, TOKEN, is_token

__all__ = ["Extension", "has_token", "read_extensions", "read_tokens"]

#: A name, and its parameters in order: (name, value or None).
Extension: TypeAlias = "tuple[str, list[tuple[str, str | None]]]"

_VALUE: Final = f"{TOKEN}|{QUOTED_STRING}"
_EMPTY: Final = f"(?:{OWS},)*"  # RFC 9110 5.6.1.2: empty members are to be skipped
_extension = re.compile(
    f"{_EMPTY}{OWS}({TOKEN})"
    f"((?:{OWS};{OWS}{TOKEN}(?:{OWS}={OWS}(?:{_VALUE}))?){{0,32}}){OWS}(?:,{_EMPTY}{OWS}|\\Z)"
)
_parameters = re.compile(f";{OWS}({TOKEN})(?:{OWS}={OWS}({_VALUE}))?").finditer
_escape = re.compile(r"\\(.)").sub


def read_tokens(value: str) -> list[str] | None:
    """The members of a list of tokens (RFC 9110 5.6.1), empty ones dropped; None when malformed."""
    tokens = [token for part in value.split(",") if (token := part.strip(" \t"))]
    return tokens if all(map(is_token, tokens)) else None


def has_token(value: str, wanted: str) -> bool:
    """Whether a list of tokens has *wanted*, a lower-case one, in any case."""
    return any(part.strip(" \t").lower() == wanted for part in value.split(","))


def read_extensions(value: str) -> list[Extension] | None:
    """Take a ``Sec-WebSocket-Extensions`` value apart; None when it is malformed (RFC 6455 9.1).

    9.1 wants one member at least, but there are clients that send an empty field.
    """
    found: list[Extension] = []
    if not value.strip(" \t,"):
        return found
    at = 0
    while at < len(value):
        match = _extension.match(value, at)
        if match is None:
            return None
        parameters: list[tuple[str, str | None]] = []
        for name, given in (one.groups() for one in _parameters(match[2])):
            if given is not None and given.startswith('"'):
                given = _escape(r"\1", given[1:-1])
                if not is_token(given):  # 9.1: after unescaping, the value MUST be a token
                    return None
            parameters.append((name, given))
        found.append((match[1], parameters))
        at = match.end()
    return found
