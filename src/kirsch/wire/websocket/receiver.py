"""The receiving half of a WebSocket: bytes to events, the same ones however the bytes were split.

A short message that arrives alone in its buffer, as nearly all do, is read in one step (`feed`).
Everything else goes through a loop over frames (`_read`). A message is gathered in one bytearray,
so fragments cost no memory beyond their bytes, and its text is validated while it arrives.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final

from kirsch.wire.websocket.deflate import BROKEN, Agreement, Inflater
from kirsch.wire.websocket.events import (
    ABNORMAL,
    INVALID_PAYLOAD,
    NO_STATUS,
    PROTOCOL_ERROR,
    TOO_BIG,
    Close,
    Event,
    Failure,
    Ping,
    Pong,
    may_be_sent,
)
from kirsch.wire.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    PING,
    RSV1,
    TEXT,
    Flaw,
    mask,
    read_header,
)

__all__ = ["Receiver"]

_NOT_UTF8: Final = "text is not UTF-8"
_MESSAGE_TOO_BIG: Final = "message too big"
_NO_MESSAGE: Final = "continuation without a message"
_UNFINISHED: Final = "new message within a fragmented one"
_ONE_BYTE_CLOSE: Final = "close frame of one byte"
_BAD_CODE: Final = "close code that may not be sent"

_UNLIMITED: Final = 1 << 62
_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY


class Receiver:
    """Reads the frames of one peer. One thread at a time.

    ``ending``: what the last event of all was, a `Close` or a `Failure`; None while more may come.
    """

    __slots__ = (
        "_at_rest",
        "_extended",
        "_held",
        "_inflater",
        "_key",
        "_last",
        "_limit",
        "_masked",
        "_message",
        "_missing",
        "_opcode",
        "_packed",
        "_short",
        "_tail",
        "ending",
    )

    def __init__(self, *, masked: bool, max_message: int, agreement: Agreement | None) -> None:
        self.ending: Close | Failure | None = None
        self._limit = max_message or _UNLIMITED
        self._masked = masked
        self._extended = agreement is not None
        self._inflater = Inflater(agreement) if agreement else None
        self._at_rest = True  # between messages, no byte held, not ended
        # The size of the largest masked frame that `feed` reads in one step.
        self._short = 6 + min(65535, self._limit) if masked else 0
        self._held = b""  # the beginning of a header, or of a control frame
        # The frame under way, of which _missing payload bytes are to come; None between frames.
        self._missing: int | None = None
        self._key = b""
        self._last = False
        # The message under way; opcode 0 between messages.
        self._opcode = 0
        self._packed: Inflater | None = None  # its inflater when it is compressed
        self._message: bytearray | None = None
        self._tail = b""  # the beginning of a character at the end of _message

    @property
    def code(self) -> int:
        """How the connection was closed: the code of ``ending``, 1006 without (RFC 6455 7.1.5)."""
        return ABNORMAL if self.ending is None else self.ending.code

    @property
    def reason(self) -> str:
        """The reason of ``ending``, "" without (RFC 6455 7.1.6)."""
        return "" if self.ending is None else self.ending.reason

    def feed(self, data: bytes) -> list[Event]:
        """Take what arrived; return what is complete now.

        :return: a ``str`` for a text message, ``bytes`` for a binary one, or an event. After a
            `Close` or a `Failure` there is nothing more: what follows is dropped (RFC 6455 1.4).
        """
        if self._at_rest:
            size = len(data)
            if 6 <= size <= self._short:
                second = data[1]
                # One whole frame: the second byte is 0x80 (masked) plus the length, or plus 126
                # when the length is in the next two.
                if second == size + 122 and size < 132:
                    start = 6
                elif second == 254 and size > 133 and (data[2] << 8 | data[3]) == size - 8:
                    start = 8
                else:
                    start = 0
                if start:
                    first = data[0]
                    if first == _WHOLE_TEXT:
                        try:
                            return [str(mask(data[start:], data[start - 4 : start]), "utf-8")]
                        except UnicodeDecodeError:
                            return [self._fail(INVALID_PAYLOAD, _NOT_UTF8)]
                    if first == _WHOLE_BINARY:
                        return [mask(data[start:], data[start - 4 : start])]
        elif self.ending is not None:
            return []
        events: list[Event] = []
        try:
            self._read(data, events)
        except Flaw as flaw:
            events.append(self._fail(flaw.code, flaw.reason))
        return events

    def _fail(self, code: int, reason: str) -> Failure:
        failure = Failure(code, reason)
        self._end(failure)
        return failure

    def _end(self, ending: Close | Failure) -> None:
        self.ending = ending
        self._at_rest = False
        self._held = self._tail = b""
        self._inflater = self._packed = self._message = None

    def _read(self, data: bytes, events: list[Event]) -> None:
        """The loop over frames."""
        if self._held:
            data = self._held + data
            self._held = b""
        at = 0
        size = len(data)
        while at < size:
            if self._missing is not None:
                at = self._payload(data, at, events)
                continue
            header = read_header(data, at, self._masked, self._extended)
            if header is None:
                self._held = data[at:]
                break
            first, length, key, start = header
            if first & 0x08:
                if not start or size - start < length:
                    self._held = data[at:]
                    break
                at = start + length
                self._control(first, data[start:at], key, events)
                if self.ending is not None:
                    return
                continue
            self._check_order(first, length)
            if not start:
                self._held = data[at:]
                break
            at = start
            if not self._opcode and first & FIN and not first & RSV1 and size - at >= length:
                at += length
                events.append(_whole(first, data[start:at], key))
                continue
            self._begin(first, length, key)
            at = self._payload(data, at, events)
        self._at_rest = not (self._held or self._opcode)

    def _check_order(self, first: int, length: int) -> None:
        """Whether a data frame may come now, and is not too large."""
        if first & 0x0F:
            if self._opcode:  # RFC 6455 5.4: the fragments of two messages MUST NOT be interleaved
                raise Flaw(PROTOCOL_ERROR, _UNFINISHED)
        elif not self._opcode:  # 5.4
            raise Flaw(PROTOCOL_ERROR, _NO_MESSAGE)
        # 10.4: refused as soon as it is announced. What is compressed is measured inflated: it may
        # be longer than what it stands for, and none of it is kept.
        if self._packed is None and not first & RSV1:
            gathered = 0 if self._message is None else len(self._message)
            if length > self._limit - gathered:
                raise Flaw(TOO_BIG, _MESSAGE_TOO_BIG)

    def _begin(self, first: int, length: int, key: bytes) -> None:
        """Begin a data frame whose payload is gathered."""
        if first & 0x0F:
            self._opcode = first & 0x0F
            self._message = bytearray()
            # RFC 7692 6.2: RSV1 of the first frame speaks for the whole message
            self._packed = self._inflater if first & RSV1 else None
        self._missing = length
        self._key = key
        self._last = first >= FIN

    def _payload(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take the payload from *at*; return where it ends."""
        missing = self._missing
        assert missing is not None
        piece = data[at : at + missing]
        length = len(piece)
        if length:
            key = self._key
            if key:
                piece = mask(piece, key)
                turn = length & 3
                self._key = key[turn:] + key[:turn]
            if self._packed is None:
                self._gather(piece)
            else:
                self._gather_inflated(self._packed.feed(piece, self._room()))
        if length < missing:
            self._missing = missing - length
        else:
            self._missing = None
            if self._last:
                events.append(self._finish())
        return at + length

    def _room(self) -> int:
        assert self._message is not None
        return self._limit - len(self._message)

    def _gather(self, piece: bytes) -> None:
        """Add a piece to the message; text is validated at once (RFC 6455 8.1)."""
        assert self._message is not None
        self._message += piece
        if self._opcode == TEXT:
            text = self._tail + piece
            try:
                _, used = utf_8_decode(text, "strict", False)
            except UnicodeDecodeError:
                raise self._not_utf8() from None
            self._tail = tail = text[used:]
            # The decoder waits for the third byte of a surrogate, which RFC 3629 3 forbids.
            if len(tail) == 2 and tail[0] == 0xED and tail[1] >= 0xA0:
                raise self._not_utf8()

    def _not_utf8(self) -> Flaw:
        return Flaw(INVALID_PAYLOAD, _NOT_UTF8 if self._packed is None else BROKEN)

    def _gather_inflated(self, piece: bytes) -> None:
        self._gather(piece)
        if self._room() < 0:
            raise Flaw(TOO_BIG, _MESSAGE_TOO_BIG)

    def _finish(self) -> str | bytes:
        """The message is complete."""
        if self._packed is not None:
            self._gather_inflated(self._packed.end(self._room()))
        message = self._message
        assert message is not None
        if self._tail:
            raise self._not_utf8()
        text = self._opcode == TEXT
        self._opcode = 0
        self._message = self._packed = None
        return message.decode() if text else bytes(message)

    def _control(self, first: int, payload: bytes, key: bytes, events: list[Event]) -> None:
        if key:
            payload = mask(payload, key)
        opcode = first & 0x0F
        if opcode == PING:
            events.append(Ping(payload))
        elif opcode == CLOSE:
            close = _read_close(payload)
            self._end(close)
            events.append(close)
        else:
            events.append(Pong(payload))


def _whole(first: int, payload: bytes, key: bytes) -> str | bytes:
    """A message in one frame that is all there."""
    if key:
        payload = mask(payload, key)
    if first != _WHOLE_TEXT:
        return payload
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise Flaw(INVALID_PAYLOAD, _NOT_UTF8) from None


def _read_close(payload: bytes) -> Close:
    """Take the payload of a Close frame apart (RFC 6455 5.5.1)."""
    if not payload:
        return Close(NO_STATUS)  # 7.1.5
    if len(payload) == 1:  # 5.5.1: the body MUST begin with a 2-byte code, if there is one
        raise Flaw(PROTOCOL_ERROR, _ONE_BYTE_CLOSE)
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):  # 7.4
        raise Flaw(PROTOCOL_ERROR, _BAD_CODE)
    try:
        return Close(code, str(payload[2:], "utf-8"))  # 5.5.1: followed by UTF-8
    except UnicodeDecodeError:
        raise Flaw(INVALID_PAYLOAD, _NOT_UTF8) from None
