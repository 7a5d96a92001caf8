"""permessage-deflate (RFC 7692): what is offered and agreed upon, and the two contexts.

Contexts are made when the first message needs them: a connection that compresses nothing costs
nothing. Inflating is bounded by what the message may still hold.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, Final

from kirsch.wire.websocket.events import INVALID_PAYLOAD
from kirsch.wire.websocket.frames import Flaw

__all__ = ["BROKEN", "Agreement", "Deflater", "Inflater", "Settings", "accept", "confirm", "offer"]

NAME: Final = "permessage-deflate"

Parameters = list[tuple[str, "str | None"]]


class Settings:
    """How messages are compressed, and what the peer is asked for.

    :param window_bits: of the LZ77 window of what is sent, 9 to 15. 12 bits and memory level 5 cost
        some 52 KiB a connection that compresses, zlib's defaults some 178.
    :param peer_window_bits: what the peer is asked to stay within, 9 to 15, where its offer allows
        to ask (RFC 7692 7.1.2.2).
    :param no_context_takeover: forget the window after each message sent: worse compression, no
        memory between messages (7.1.1).
    :param peer_no_context_takeover: demand the same of the peer.
    :param level: of zlib, 1 to 9.
    :param memory_level: of zlib, 1 to 9.
    :param threshold: bytes; shorter messages are sent as they are.
    """

    __slots__ = (
        "level",
        "memory_level",
        "no_context_takeover",
        "peer_no_context_takeover",
        "peer_window_bits",
        "threshold",
        "window_bits",
    )

    def __init__(
        self,
        *,
        window_bits: int = 12,
        peer_window_bits: int = 12,
        no_context_takeover: bool = False,
        peer_no_context_takeover: bool = False,
        level: int = 6,
        memory_level: int = 5,
        threshold: int = 256,
    ) -> None:
        # zlib has no raw stream with a window of 8 bits.
        for bits in (window_bits, peer_window_bits):
            if not 9 <= bits <= 15:
                raise ValueError(f"window bits must be from 9 to 15, not {bits}")
        if not 1 <= level <= 9 or not 1 <= memory_level <= 9:
            raise ValueError("level and memory_level must be from 1 to 9")
        self.window_bits = window_bits
        self.peer_window_bits = peer_window_bits
        self.no_context_takeover = no_context_takeover
        self.peer_no_context_takeover = peer_no_context_takeover
        self.level = level
        self.memory_level = memory_level
        self.threshold = threshold


class Agreement:
    """What was agreed upon, seen from this side: ``send_*`` is ours, ``receive_*`` the peer's."""

    __slots__ = ("receive_bits", "receive_takeover", "send_bits", "send_takeover", "settings")

    def __init__(
        self,
        settings: Settings,
        *,
        send_bits: int = 15,
        receive_bits: int = 15,
        send_takeover: bool = True,
        receive_takeover: bool = True,
    ) -> None:
        self.settings = settings
        # A sender may always stay below what it may use (RFC 7692 7.1.2).
        self.send_bits = min(send_bits, settings.window_bits)
        self.receive_bits = receive_bits
        self.send_takeover = send_takeover and not settings.no_context_takeover
        self.receive_takeover = receive_takeover


# RFC 7692 7.1.2.1: a decimal integer from 8 to 15 without leading zeros.
_bits = re.compile("[89]|1[0-5]").fullmatch
_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS: Final = ("server_max_window_bits", "client_max_window_bits")


def _read(parameters: Parameters, *, offered: bool) -> dict[str, Any] | None:
    """Parameters by name, flags as True, bits as int; None when they are not valid (RFC 7692 7).

    An offer may name client_max_window_bits without a value (7.1.2.2); that is 15 here.
    """
    found: dict[str, Any] = {}
    for name, value in parameters:
        if name in found:
            return None
        if name in _FLAGS and value is None:
            found[name] = True
        elif name in _WINDOWS and value is not None and _bits(value):
            found[name] = int(value)
        elif name == "client_max_window_bits" and value is None and offered:
            found[name] = 15
        else:
            return None
    return found


def accept(parameters: Parameters, settings: Settings) -> tuple[str, Agreement] | None:
    """Judge one offer of a client (RFC 7692 5.1, 7.1).

    :return: the element of ``Sec-WebSocket-Extensions`` that accepts it, and the agreement; None
        declines: the next offer may do.
    """
    asked = _read(parameters, offered=True)
    if asked is None:
        return None
    bits = asked.get("server_max_window_bits", 15)
    if bits == 8:  # zlib cannot promise that
        return None
    answer = [NAME]
    # 7.1.1.1: MUST be in the answer when it is in the offer, and MAY be without.
    send_takeover = "server_no_context_takeover" not in asked and not settings.no_context_takeover
    if not send_takeover:
        answer.append("server_no_context_takeover")
    receive_takeover = not settings.peer_no_context_takeover
    # 7.1.1.2: a hint in an offer; worth an answer, as the client will keep no context anyway
    if "client_no_context_takeover" in asked or not receive_takeover:
        receive_takeover = False
        answer.append("client_no_context_takeover")
    send_bits = min(bits, settings.window_bits)
    if "server_max_window_bits" in asked:  # 7.1.2.1: the same or a smaller value
        answer.append(f"server_max_window_bits={send_bits}")
    receive_bits = 15
    # 7.1.2.2: only when offered, and not above the offer
    if "client_max_window_bits" in asked:
        receive_bits = min(asked["client_max_window_bits"], settings.peer_window_bits)
        if receive_bits < 15:
            answer.append(f"client_max_window_bits={receive_bits}")
    agreement = Agreement(
        settings,
        send_bits=send_bits,
        receive_bits=receive_bits,
        send_takeover=send_takeover,
        receive_takeover=receive_takeover,
    )
    return "; ".join(answer), agreement


def offer(settings: Settings) -> str:
    """Return what a client puts into ``Sec-WebSocket-Extensions``."""
    words = [NAME]
    if settings.peer_no_context_takeover:
        words.append("server_no_context_takeover")
    if settings.no_context_takeover:
        words.append("client_no_context_takeover")
    if settings.peer_window_bits < 15:
        words.append(f"server_max_window_bits={settings.peer_window_bits}")
    words.append(
        "client_max_window_bits"
        + ("" if settings.window_bits == 15 else f"={settings.window_bits}")
    )
    return "; ".join(words)


def confirm(parameters: Parameters, settings: Settings) -> Agreement | None:
    """Judge a server's answer to `offer` (RFC 7692 7.1): the agreement, or None when it breaks it."""
    said = _read(parameters, offered=False)
    if said is None:
        return None
    receive_bits = said.get("server_max_window_bits", 15)
    send_bits = said.get("client_max_window_bits", 15)
    receive_takeover = "server_no_context_takeover" not in said
    # 7.1.1.1, 7.1.2.1: the server MUST grant both or decline. 8 bits of ours zlib cannot do.
    if receive_bits > settings.peer_window_bits or send_bits == 8:
        return None
    if settings.peer_no_context_takeover and receive_takeover:
        return None
    return Agreement(
        settings,
        send_bits=send_bits,
        receive_bits=receive_bits,
        send_takeover="client_no_context_takeover" not in said,
        receive_takeover=receive_takeover,
    )


# RFC 7692 7.2.1: an empty block without compression ends each message, its last four octets are
# not sent; 7.2.2: the receiver puts them back.
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflater:
    """Compresses the messages of one connection (RFC 7692 7.2.1)."""

    __slots__ = ("_agreement", "_context", "kind", "threshold")

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._context: Any = None  # of zlib, whose classes have no name
        # 7.2.3.6 has a form of its own for an empty message; it is never worth it.
        self.threshold = max(agreement.settings.threshold, 1)
        #: Equal for all that compress alike, whatever was sent before; None where that matters.
        self.kind: tuple[int, ...] | None = None
        if not agreement.send_takeover:
            settings = agreement.settings
            self.kind = (
                agreement.send_bits,
                settings.level,
                settings.memory_level,
                self.threshold,
            )

    def compress(self, data: bytes) -> bytes:
        """Return what stands for *data* in a frame with RSV1; *data* is not empty."""
        agreement = self._agreement
        context = self._context
        if context is None:
            settings = agreement.settings
            context = zlib.compressobj(
                settings.level, zlib.DEFLATED, -agreement.send_bits, settings.memory_level
            )
            if agreement.send_takeover:
                self._context = context
        packed: bytes = context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH)
        return packed[:-4]

    @property
    def forgets(self) -> bool:
        """Whether a compressed message may be thrown away, the next not building upon it."""
        return not self._agreement.send_takeover


#: One reason for both: zlib keeps what it inflated before an error to itself, so which of the two
#: came first cannot be told at every split.
BROKEN: Final = "compressed data is broken, or its text is not UTF-8"


class Inflater:
    """Inflates the messages of one connection, piece by piece (RFC 7692 7.2.2)."""

    __slots__ = ("_begun", "_bits", "_context", "_ended", "_takeover")

    def __init__(self, agreement: Agreement) -> None:
        self._bits = -agreement.receive_bits
        self._takeover = agreement.receive_takeover
        self._context: Any = None
        self._begun = False  # there is a block that the tail of this message ends
        self._ended = False  # a block with BFINAL was in this message

    def feed(self, data: bytes, room: int) -> bytes:
        """Return the bytes in the next piece of a message.

        :param room: how many bytes there may be. One more is returned where there are more: the
            caller looks at them before it complains, as it would have at another split.
        :raise Flaw: 1007 for what is no DEFLATE.
        """
        if not data:
            return b""
        self._begun = True
        context = self._context
        if context is None:
            context = self._context = zlib.decompressobj(self._bits)
        try:
            inflated: bytes = context.decompress(data, room + 1)
            if context.eof and len(inflated) <= room:
                inflated += self._after_final(context.unused_data, room - len(inflated))
        except zlib.error:
            raise Flaw(INVALID_PAYLOAD, BROKEN) from None
        return inflated

    def _after_final(self, rest: bytes, room: int) -> bytes:
        """7.2.3.4: a block may have BFINAL set; what follows begins a stream of its own.

        One in a message: an endless row of empty ones would cost a context each.
        """
        if self._ended:
            raise Flaw(INVALID_PAYLOAD, BROKEN)
        self._ended = True
        self._begun = False
        self._context = None
        return self.feed(rest, room)

    def end(self, room: int) -> bytes:
        """Return the last bytes of a message, and be ready for the next one."""
        # Nothing at all is no DEFLATE, but some send it for an empty message; the tail alone would
        # begin a block that the next message does not continue.
        inflated = self.feed(_TAIL, room) if self._begun else b""
        self._begun = self._ended = False
        if not self._takeover:
            self._context = None
        return inflated
