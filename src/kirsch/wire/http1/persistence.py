"""The table that says whether a connection lives on after an exchange (RFC 9112 9.3)."""

from __future__ import annotations

from typing import Final

__all__ = ["allows_keep_alive", "connection_tokens", "lives_on"]

# What a request allows: minor version -> {Connection option present: persistent}; the first
# matching row of a version decides. RFC 9112 9.3: close wins over everything, 1.1 persists unless
# told otherwise, 1.0 persists only when asked to.
_WISH: Final[dict[int, tuple[tuple[str | None, bool], ...]]] = {
    1: (("close", False), (None, True)),
    0: (("close", False), ("keep-alive", True), (None, False)),
}

# What may follow an exchange: (both sides wish to go on, framing of the response) -> lives on.
# A body that ends with the connection ends the connection.
_LIVES_ON: Final[dict[tuple[bool, str], bool]] = {
    (True, "none"): True,
    (True, "length"): True,
    (True, "chunked"): True,
    (True, "close"): False,
    (False, "none"): False,
    (False, "length"): False,
    (False, "chunked"): False,
    (False, "close"): False,
}


def connection_tokens(value: str) -> list[str]:
    """The options of a ``Connection`` value in lower case, empty list members dropped."""
    return [token for part in value.split(",") if (token := part.strip(" \t").lower())]


def allows_keep_alive(minor: int, connection: str | None) -> bool:
    """Whether a request of HTTP/1.\\ *minor* with this ``Connection`` value may be followed."""
    tokens = () if connection is None else connection_tokens(connection)
    return next(
        persistent for option, persistent in _WISH[minor] if option is None or option in tokens
    )


def lives_on(*, keep_alive: bool, framing: str, request_done: bool, response_done: bool) -> bool:
    """Whether another request may be read from the connection.

    :param keep_alive: the request allowed it and the response announced nothing else.
    :param framing: of the response: 'none', 'length', 'chunked' or 'close'.
    :param request_done: the request body was read to its end (RFC 9112 9.3: unread octets would
        be taken for the next request).
    :param response_done: the response was written to its declared end.
    """
    return request_done and response_done and _LIVES_ON[keep_alive, framing]
