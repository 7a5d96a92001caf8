"""The PROXY protocol: how a proxy announces whose connection it passes on, before a byte of that.

Versions 1 and 2 of the specification that HAProxy has published (2020/03/05, sections 2.1 and 2.2).
Law: a header is read as what it is or refused; nothing is guessed, and nothing unknown is believed.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from .errors import BadRequest

__all__ = ("MAX_HEADER", "Announcement", "parse_announcement")

#: Bytes of a header of version 2, with what it has besides addresses; those of known proxies have some hundred.
MAX_HEADER: Final = 4096
_MAX_LINE: Final = 107  # 2.1: the longest line of version 1, with its end

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_START: Final = b"PROXY "
_FIXED: Final = 16  # bytes of version 2 before the addresses
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_STREAM: Final = 1
# 2.2: bytes of addresses and ports by family: unspecified, IPv4, IPv6, unix.
_SIZES: Final = (0, 12, 36, 216)

_LINE: Final = re.compile(
    rb"PROXY TCP(?P<family>[46]) (?P<client>[0-9a-fA-F:.]{2,45}) (?P<server>[0-9a-fA-F:.]{2,45}) "
    rb"(?P<port>0|[1-9][0-9]{0,4}) (?:0|[1-9][0-9]{0,4})\r\n"
)

#: What is answered to whoever should have announced his client.
NOT_ANNOUNCED: Final = "This port expects the PROXY protocol from this peer."


class Announcement(NamedTuple):
    """A header: how long it is, and the client's address and port; None when the connection is the proxy's own."""

    size: int
    client: tuple[str, int] | None


def parse_announcement(data: bytes) -> Announcement | None:
    """Read a header at the front of `data`; None when it is not complete. Raises BadRequest."""
    if data[:12] == _SIGNATURE[: len(data)]:
        return _binary(data)
    if data[:6] == _START[: len(data)]:
        return _line(data)
    raise BadRequest(NOT_ANNOUNCED)


def _line(data: bytes) -> Announcement | None:
    end = data.find(b"\n", 0, _MAX_LINE)
    if end < 0:
        if len(data) >= _MAX_LINE:
            raise BadRequest(NOT_ANNOUNCED)
        return None
    line = data[: end + 1]
    if line.startswith((b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r")) and line.endswith(b"\r\n"):
        return Announcement(len(line), None)  # 2.1: what stands behind the word is ignored
    found = _LINE.fullmatch(line)
    if found is None:
        raise BadRequest(NOT_ANNOUNCED)
    kind = IPv4Address if found["family"] == b"4" else IPv6Address
    try:
        client = kind(found["client"].decode())
        kind(found["server"].decode())
    except ValueError:
        raise BadRequest(NOT_ANNOUNCED) from None
    port = int(found["port"])
    if port > 65535:
        raise BadRequest(NOT_ANNOUNCED)
    return Announcement(len(line), (_text(client), port))


def _binary(data: bytes) -> Announcement | None:
    # What can be judged is judged at once.
    if len(data) > 12 and data[12] not in (_LOCAL, _PROXY):
        raise BadRequest(NOT_ANNOUNCED)
    if len(data) > 13 and (data[13] >> 4 >= len(_SIZES) or data[13] & 15 > 2):
        raise BadRequest(NOT_ANNOUNCED)
    if len(data) < _FIXED:
        return None
    family, kind = data[13] >> 4, data[13] & 15
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if size > MAX_HEADER or (data[12] == _PROXY and size < _FIXED + _SIZES[family]):
        raise BadRequest(NOT_ANNOUNCED)
    if len(data) < size:
        return None
    if data[12] == _LOCAL or kind != _STREAM:
        return Announcement(size, None)  # of the proxy itself, such as a look at our health
    if family == 1:
        return Announcement(size, (str(IPv4Address(data[16:20])), _port(data, 24)))
    if family == 2:
        return Announcement(size, (_text(IPv6Address(data[16:32])), _port(data, 48)))
    return Announcement(size, None)


def _text(address: IPv4Address | IPv6Address) -> str:
    """An address as all else writes it: one of IPv4 that is dressed up as IPv6 is one of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _port(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
