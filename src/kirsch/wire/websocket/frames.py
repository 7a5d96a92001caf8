"""Frames (RFC 6455 5): headers read and checked, masks applied, frames built; no state at all."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from kirsch.wire.websocket.events import PROTOCOL_ERROR

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "RSV1",
    "SHORT",
    "TEXT",
    "Flaw",
    "build",
    "mask",
    "mask_plainly",
    "read_header",
]

# RFC 6455 5.2: the first byte is FIN, RSV1 to RSV3 and the opcode.
FIN: Final = 0x80
RSV1: Final = 0x40
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MASKED: Final = 0x80  # in the second byte


class Flaw(Exception):
    """The peer broke a rule or a limit: fail the connection with *code* and *reason*."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


_BAD_RSV: Final = "a reserved bit is set"
_BAD_OPCODE: Final = "unknown opcode"
_FRAGMENTED_CONTROL: Final = "fragmented control frame"
_LONG_CONTROL: Final = "control frame of more than 125 bytes"
_BAD_LENGTH: Final = "frame length is not written in the fewest bytes"
_HUGE_LENGTH: Final = "frame length of more than 63 bits"
_UNMASKED: Final = "a client's frames must be masked"
_FORBIDDEN_MASK: Final = "a server's frames must not be masked"


def _flaw_of(first: int, extended: bool) -> str:
    """What is wrong with a first byte, "" when nothing is."""
    opcode = first & 0x0F
    reserved = first & 0x70
    # RFC 7692 6: RSV1 marks a compressed message, on its first frame and nowhere else.
    if extended and opcode in (TEXT, BINARY):
        reserved &= ~RSV1
    if reserved:  # 5.2: MUST be 0 unless an extension is negotiated that defines them
        return _BAD_RSV
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):  # 5.2
        return _BAD_OPCODE
    if opcode >= CLOSE and not first & FIN:  # 5.5: they MUST NOT be fragmented
        return _FRAGMENTED_CONTROL
    return ""


_FLAWS: Final = {
    extended: tuple(_flaw_of(first, extended) for first in range(256)) for extended in (False, True)
}


def read_header(
    data: bytes, at: int, masked: bool, extended: bool
) -> tuple[int, int, bytes, int] | None:
    """Read the header of the frame that starts at *at* (RFC 6455 5.2).

    :param masked: whether the peer has to mask its frames: it is a client (5.1).
    :param extended: whether RSV1 has a meaning: permessage-deflate was agreed upon.
    :return: the first byte, the payload length, the masking key (empty without mask) and where the
        payload starts; None when the header is not complete. The two bytes that tell what a frame
        is are judged as soon as they are there.
    :raise Flaw: 1002.
    """
    first = data[at]
    flaw = _FLAWS[extended][first]
    if flaw:
        raise Flaw(PROTOCOL_ERROR, flaw)
    size = len(data)
    if size - at < 2:
        return None
    length = data[at + 1]
    if (length >= _MASKED) is not masked:  # 5.1: MUST close the connection, either way
        raise Flaw(PROTOCOL_ERROR, _UNMASKED if masked else _FORBIDDEN_MASK)
    length &= 0x7F
    start = at + 2
    if length > 125:
        if first & 0x08:  # 5.5: control frames MUST have a payload of 125 bytes or less
            raise Flaw(PROTOCOL_ERROR, _LONG_CONTROL)
        start += 2 if length == 126 else 8
        if size < start:
            return None
        # 5.2: the minimal number of bytes MUST be used; the most significant bit MUST be 0
        least = 126 if length == 126 else 65536
        length = int.from_bytes(data[at + 2 : start], "big")
        if length < least:
            raise Flaw(PROTOCOL_ERROR, _BAD_LENGTH)
        if length >> 63:
            raise Flaw(PROTOCOL_ERROR, _HUGE_LENGTH)
    if not masked:
        return first, length, b"", start
    if size < start + 4:
        return first, length, b"", 0
    return first, length, data[start : start + 4], start + 4


# First byte -> length -> header, of the short frames that a server sends most.
SHORT: Final = {
    first: tuple(bytes((first, length)) for length in range(126))
    for first in (FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG)
}
_head_16 = Struct(">BBH").pack
_head_64 = Struct(">BBQ").pack


def build(first: int, payload: bytes, key: bytes = b"") -> bytes:
    """Return the frame of a payload (RFC 6455 5.2).

    :param first: FIN, RSV1 and opcode.
    :param key: four unpredictable bytes in a client (5.3), nothing in a server (5.1).
    """
    length = len(payload)
    if key:
        head = build_head(first, length, _MASKED) + key
        return head + mask(payload, key)
    if length < 126 and first in SHORT:
        return SHORT[first][length] + payload
    return build_head(first, length, 0) + payload


def build_head(first: int, length: int, masked: int) -> bytes:
    """Return a header without its masking key; *masked* is 0 or 0x80."""
    if length < 126:
        return bytes((first, masked | length))
    if length < 65536:
        return _head_16(first, masked | 126, length)
    return _head_64(first, masked | 127, length)


# Masking (5.3): octet i of the payload XOR octet i mod 4 of the key. An int does it for all octets
# at once. Beyond some KiB it is done in blocks, which stay in the processor's nearest cache and
# share one int of the key; measured, this beats four strided bytes.translate at every size.
_BLOCK: Final = 4096
_ONES: Final = int.from_bytes(b"\1\0\0\0" * (_BLOCK // 4), "little")


def mask_plainly(
    data: bytes,
    key: bytes,
    from_bytes: Callable[..., int] = int.from_bytes,
) -> bytes:
    """Apply a masking key of four bytes to *data*, without help from C; it undoes itself."""
    size = len(data)
    if size <= _BLOCK:
        repeated = (key * ((size + 3) >> 2))[:size]
        return (from_bytes(data, "little") ^ from_bytes(repeated, "little")).to_bytes(
            size, "little"
        )
    whole = size - size % _BLOCK
    repeats = from_bytes(key, "little") * _ONES
    blocks = [
        (from_bytes(data[at : at + _BLOCK], "little") ^ repeats).to_bytes(_BLOCK, "little")
        for at in range(0, whole, _BLOCK)
    ]
    if whole < size:
        blocks.append(mask_plainly(data[whole:], key))
    return b"".join(blocks)


def _masker() -> Callable[[bytes, bytes], bytes]:
    """The C function of the websockets package where it happens to be installed."""
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        return mask_plainly
    return apply_mask


#: Apply a masking key of four bytes to bytes; the fastest way there is.
mask: Final = _masker()
