"""The opening handshake, server side (RFC 6455 4.2): a request's fields judged, and the 101 written."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha1
from typing import Final, TypeAlias

from kirsch.http.grammar import is_field_value, is_token
from kirsch.wire.errors import ProtocolError
from kirsch.wire.websocket import deflate
from kirsch.wire.websocket.grammar import has_token, read_extensions, read_tokens

__all__ = ["SAME_HOST", "Acceptance", "Refusal", "Rules", "accept_key", "judge"]

Headers: TypeAlias = "list[tuple[str, str]]"
Chooser: TypeAlias = "Callable[[list[str]], str | None]"

VERSION: Final = "13"
#: In `Rules.origins`: pages of the host that is asked.
SAME_HOST: Final = "same-host"
#: In `Rules.origins`: whoever asks.
ANY: Final = "*"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3


class Rules:
    """What an endpoint accepts.

    :param origins: whose pages may connect: `SAME_HOST`, serialized origins such as
        'https://example.org', 'null', or '*' for all. Browsers send cookies along from any page, so
        without this check any page could speak in its visitor's name (RFC 6455 10.2; the default is
        Tornado's). A request without Origin comes from no browser and passes.
    :param subprotocols: those known here; the first of the client's list that is among them is
        chosen. Or a callable that gets the client's list and returns one of it or None.
    :param subprotocol_required: refuse a client with which there is none in common.
    :param compression: None declines permessage-deflate.
    """

    __slots__ = ("compression", "origins", "subprotocol_required", "subprotocols")

    def __init__(
        self,
        *,
        origins: Sequence[str] = (SAME_HOST,),
        subprotocols: Sequence[str] | Chooser = (),
        subprotocol_required: bool = False,
        compression: deflate.Settings | None = None,
    ) -> None:
        if isinstance(origins, str) or isinstance(subprotocols, str):
            raise TypeError("origins and subprotocols are sequences of strings, not a string")
        self.origins = tuple(origin.lower() for origin in origins)
        self.subprotocols = subprotocols if callable(subprotocols) else tuple(subprotocols)
        self.subprotocol_required = subprotocol_required
        self.compression = compression


class Refusal(ProtocolError):
    """Answer *status* with *text* and *headers*; the connection stays an HTTP one."""

    def __init__(self, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(status, text)
        self.headers = list(headers)


class Acceptance:
    """What was agreed upon: send `head`, then the bytes belong to a `Protocol`.

    ``headers``: the fields of the answer. ``subprotocol``: the chosen one or None. ``agreement``: on
    compression, or None.
    """

    __slots__ = ("agreement", "headers", "subprotocol")

    def __init__(
        self, headers: Headers, subprotocol: str | None, agreement: deflate.Agreement | None
    ) -> None:
        self.headers = headers
        self.subprotocol = subprotocol
        self.agreement = agreement

    def head(self, more: Iterable[tuple[str, str]] = ()) -> bytes:
        """Return the response head (RFC 6455 4.2.2).

        :param more: further fields, such as Set-Cookie.
        :raise ValueError: a field that could add a line, or that is the handshake's own.
        """
        lines = ["HTTP/1.1 101 Switching Protocols"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        for name, value in more:
            if not is_token(name) or not is_field_value(value):
                raise ValueError(f"malformed field: {name!r}")
            if name.lower().startswith("sec-websocket-") or name.lower() in _FRAMING:
                raise ValueError(f"not for the application to say: {name}")
            lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


# RFC 9110 8.6, 15.2: no 1xx response has Content-Length or Transfer-Encoding.
_FRAMING: Final = ("connection", "upgrade", "content-length", "transfer-encoding")

# RFC 9110 7.8 and 15.5.22: a 426 MUST say in Upgrade what is wanted.
_UPGRADE: Final = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
_VERSIONS: Final = (("Sec-WebSocket-Version", VERSION),)

_NOT_GET: Final = "A WebSocket handshake is a GET request."
_NO_UPGRADE: Final = (
    "This resource speaks WebSocket: a handshake with 'Upgrade: websocket' is needed."
)
_NO_CONNECTION: Final = "The Connection header of a WebSocket handshake must name Upgrade."
_NO_HOST: Final = "A WebSocket handshake needs a Host header."
_CONTENT: Final = "A WebSocket handshake has no content."
_NO_VERSION: Final = "A WebSocket handshake needs a Sec-WebSocket-Version header."
_BAD_VERSION: Final = "Only version 13 of WebSocket is spoken here."
_BAD_KEY: Final = "Sec-WebSocket-Key must be 16 bytes in base64."
_BAD_ORIGIN: Final = "Pages of this origin may not connect."
_BAD_SUBPROTOCOLS: Final = "Malformed Sec-WebSocket-Protocol header."
_NO_SUBPROTOCOL: Final = "None of the offered subprotocols is spoken here."
_BAD_EXTENSIONS: Final = "Malformed Sec-WebSocket-Extensions header."


def accept_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key`` (RFC 6455 4.2.2, 5.4)."""
    digest = sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return b64encode(digest).decode("ascii")


def judge(
    method: str,
    minor: int,
    fields: Mapping[str, str],
    rules: Rules,
    *,
    host: str | None = None,
) -> Acceptance:
    """Judge a request that was sent to a WebSocket endpoint (RFC 6455 4.2.1).

    :param minor: of HTTP/1.
    :param fields: by CGI keys, as `RequestHead.fields` or a WSGI environ has them.
    :param host: what `SAME_HOST` compares with; the Host field unless a trusted proxy vouches for
        another one.
    :raise Refusal: 400, 403, 405 or 426.
    """
    _check_request(method, minor, fields)
    key = fields.get("HTTP_SEC_WEBSOCKET_KEY", "")
    if _key(key) is None:
        raise Refusal(400, _BAD_KEY)
    origin = fields.get("HTTP_ORIGIN")
    if origin is not None:
        own = fields["HTTP_HOST"] if host is None else host
        if not origin_allowed(origin, own, rules.origins):
            raise Refusal(403, _BAD_ORIGIN)  # 4.2.2, step 1 of /origin/, and 10.2
    headers: Headers = [*_UPGRADE, ("Sec-WebSocket-Accept", accept_key(key))]
    subprotocol = _choose(fields.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""), rules)
    if subprotocol is not None:
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    agreement = None
    offers = fields.get("HTTP_SEC_WEBSOCKET_EXTENSIONS")
    if offers is not None:
        answer = _negotiate(offers, rules.compression)
        if answer is not None:
            headers.append(("Sec-WebSocket-Extensions", answer[0]))
            agreement = answer[1]
    return Acceptance(headers, subprotocol, agreement)


def _check_request(method: str, minor: int, fields: Mapping[str, str]) -> None:
    """Whether this is a handshake at all, of the version that is spoken here."""
    if method != "GET":  # 4.2.1, 1
        raise Refusal(405, _NOT_GET, [("Allow", "GET")])
    # 4.2.1, 1 and 3. RFC 9110 7.8: Upgrade in an HTTP/1.0 request MUST be ignored.
    if minor < 1 or not has_token(fields.get("HTTP_UPGRADE", ""), "websocket"):
        raise Refusal(426, _NO_UPGRADE, _UPGRADE)
    if not has_token(fields.get("HTTP_CONNECTION", ""), "upgrade"):  # 4.2.1, 4
        raise Refusal(400, _NO_CONNECTION)
    if not fields.get("HTTP_HOST"):  # 4.2.1, 2
        raise Refusal(400, _NO_HOST)
    # RFC 9110 7.8: the new protocol begins after the whole request; content would pass for frames.
    if fields.get("CONTENT_LENGTH", "0").strip("0") or "HTTP_TRANSFER_ENCODING" in fields:
        raise Refusal(400, _CONTENT)
    version = fields.get("HTTP_SEC_WEBSOCKET_VERSION")
    if version is None:  # 4.2.1, 6
        raise Refusal(400, _NO_VERSION, _VERSIONS)
    if version != VERSION:  # 4.2.2, 4; 4.4
        raise Refusal(426, _BAD_VERSION, [*_UPGRADE, *_VERSIONS])


# 4.2.1, 5: base64 of 16 bytes. The unused last bits may be anything: some clients fill them.
_key = re.compile("[A-Za-z0-9+/]{22}==").fullmatch
_origin = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s,]+)").fullmatch
_PORTS: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def origin_allowed(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Whether a serialized origin (RFC 6454 6.2) is among those *allowed* (see `Rules`).

    The scheme of the own host is not compared: behind a proxy that ends TLS nobody here knows it.
    """
    origin = origin.lower()
    if ANY in allowed or origin in allowed:
        return True
    parts = _origin(origin)
    if SAME_HOST not in allowed or parts is None:
        return False
    # RFC 6454 6.2: a default port is left out of an origin; a Host field may have it.
    port = _PORTS.get(parts[1], "")
    theirs, own = (name.removesuffix(port) for name in (parts[2], host.lower()))
    return theirs == own


def _choose(offered: str, rules: Rules) -> str | None:
    """4.2.2, 5, /subprotocol/: one of the client's list, or none."""
    names = read_tokens(offered)
    if names is None:  # 4.1, 10: 1#token; an empty field offers nothing
        raise Refusal(400, _BAD_SUBPROTOCOLS)
    known = rules.subprotocols
    if callable(known):
        chosen = known(names)
        if chosen is not None and chosen not in names:
            raise ValueError("the chosen subprotocol was not offered")
    else:
        chosen = next((name for name in names if name in known), None)
    if chosen is None and rules.subprotocol_required:
        raise Refusal(400, _NO_SUBPROTOCOL)
    return chosen


def _negotiate(
    offers: str, settings: deflate.Settings | None
) -> tuple[str, deflate.Agreement] | None:
    """RFC 7692 5: the first offer that is acceptable; other extensions are declined silently."""
    extensions = read_extensions(offers)
    if extensions is None:  # RFC 6455 9.1: MUST immediately fail
        raise Refusal(400, _BAD_EXTENSIONS)
    if settings is None:
        return None
    for name, parameters in extensions:
        if name == deflate.NAME:
            answer = deflate.accept(parameters, settings)
            if answer is not None:
                return answer
    return None
