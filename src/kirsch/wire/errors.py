"""What a peer can do wrong, and the status that answers it; the connection closes afterwards.

The texts are part of the interface: programs compare them, so they stay as Cheroot words them
where Cheroot has the same refusal.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BAD_LINE",
    "BAD_METHOD_NAME",
    "BAD_PATH",
    "BAD_REQUEST_LINE",
    "BAD_TARGET",
    "BODY_TOO_LARGE",
    "CONNECT_TARGET",
    "CRLF_REQUIRED",
    "FRAGMENT",
    "HEAD_TOO_LARGE",
    "HOST_REQUIRED",
    "LINE_TOO_LONG",
    "RESPONSE_TOO_LONG",
    "BadBody",
    "BadRequest",
    "BodyTooLarge",
    "HeadTooLarge",
    "ProtocolError",
]

BAD_REQUEST_LINE: Final = "Malformed Request-Line"
BAD_METHOD_NAME: Final = "Malformed method name: method names are case-sensitive and uppercase."
BAD_TARGET: Final = "Malformed Request-URI"
BAD_PATH: Final = (
    "Invalid path in Request-URI: request-target must contain origin-form which starts with "
    'absolute-path (URI starting with a slash "/").'
)
CONNECT_TARGET: Final = "Invalid path in Request-URI: request-target must match authority-form."
FRAGMENT: Final = "Illegal #fragment in Request-URI."
BAD_LINE: Final = "Illegal header line."
CRLF_REQUIRED: Final = "HTTP requires CRLF terminators"
HOST_REQUIRED: Final = "HTTP/1.1 requires a 'Host' request header."
LINE_TOO_LONG: Final = "The Request-URI sent with the request exceeds the maximum allowed bytes."
HEAD_TOO_LARGE: Final = "The headers sent with the request exceed the maximum allowed bytes."
BODY_TOO_LARGE: Final = "The entity sent with the request exceeds the maximum allowed bytes."
RESPONSE_TOO_LONG: Final = (
    "The requested resource returned more bytes than the declared Content-Length."
)


class ProtocolError(Exception):
    """A peer broke the protocol or a limit: answer *status* with *text*, then close.

    :param status: an HTTP status code, 400 to 505.
    :param text: the whole plain-text body of the answer; it never repeats what the peer sent.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return f"{self.status} {self.text}"


class BadRequest(ProtocolError):
    """400: what arrived is not HTTP/1, or can be read in two ways."""

    def __init__(self, text: str) -> None:
        super().__init__(400, text)
        self.args = (text,)


class BadBody(BadRequest):
    """400: the framing of a body is broken; what follows on the connection means nothing."""


class HeadTooLarge(ProtocolError):
    """414, 413 or 431: the request line, the head or the number of fields passes its limit."""


class BodyTooLarge(ProtocolError):
    """413: the body passes the limit, by its declared length or while it arrives."""

    def __init__(self, text: str = BODY_TOO_LARGE) -> None:
        super().__init__(413, text)
        self.args = (text,)
