"""One peer of a WebSocket connection: the receiving half, and the building of what is sent.

The halves share nothing: `feed` changes only what receives, everything else only what sends. So a
server may read in one thread while others send, as long as those take turns: what is built must go
out in the order it was built.
"""

from __future__ import annotations

import os
from typing import Final, TypeAlias

from kirsch.wire.websocket.deflate import Agreement, Deflater
from kirsch.wire.websocket.events import NO_STATUS, NORMAL, Close, Event, Failure, Ping, may_be_sent
from kirsch.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    SHORT,
    TEXT,
    build,
)
from kirsch.wire.websocket.receiver import Receiver

__all__ = ["Protocol"]

Bytes: TypeAlias = "bytes | bytearray | memoryview"

_SHORT_TEXT: Final = SHORT[FIN | TEXT]

_OPEN, _WITHIN_MESSAGE, _CLOSED = range(3)

_REFUSALS: Final = {
    _WITHIN_MESSAGE: "a fragmented message is being sent: go on with more()",
    _OPEN: "no fragmented message is being sent",
    _CLOSED: "the closing handshake has begun",
}


class Protocol(Receiver):
    """A WebSocket after its handshake.

    :param client: which side this is: a client masks what it sends (RFC 6455 5.1).
    :param max_message: bytes of a message that is received, after inflating, text as UTF-8; more
        fails the connection with 1009. 0 lifts the limit.
    :param agreement: on compression, from the handshake.

    ``close_sent``: whether our Close frame was built; nothing but a Pong may follow it.
    """

    __slots__ = ("_bare", "_client", "_deflater", "_sending", "close_sent")

    def __init__(
        self,
        *,
        client: bool = False,
        max_message: int = 1 << 20,
        agreement: Agreement | None = None,
    ) -> None:
        super().__init__(masked=not client, max_message=max_message, agreement=agreement)
        self._client = client
        self._deflater = Deflater(agreement) if agreement else None
        self._bare = not (client or agreement)  # payloads go out as they are
        self._sending = _OPEN
        self.close_sent = False

    @property
    def done(self) -> bool:
        """Whether the closing handshake is complete: the server closes TCP now (RFC 6455 7.1.1)."""
        return self.close_sent and self.ending is not None

    @property
    def packing(self) -> tuple[int, ...] | None:
        """Says how messages are compressed where that depends on nothing but the message, else None."""
        deflater = self._deflater
        return None if deflater is None else deflater.kind

    def text(self, text: str, *, last: bool = True) -> bytes:
        """Return the frame of a text message.

        :param last: False begins a fragmented message, to be continued by `more`; such messages
            are not compressed.
        :raise RuntimeError: after `close`, or within a fragmented message.
        :raise UnicodeEncodeError: for a lone surrogate, which UTF-8 cannot hold.
        """
        data = text.encode()
        if self._sending or not self._bare or not last:
            return self._send_message(TEXT, data, last)
        length = len(data)
        return _SHORT_TEXT[length] + data if length < 126 else build(FIN | TEXT, data)

    def binary(self, data: Bytes, *, last: bool = True) -> bytes:
        """Return the frame of a binary message; like `text`."""
        if not isinstance(data, bytes):
            data = memoryview(data).tobytes()  # its length counts bytes, not items
        if self._sending or not self._bare or not last:
            return self._send_message(BINARY, data, last)
        return build(FIN | BINARY, data)

    def more(self, data: str | Bytes, *, last: bool = False) -> bytes:
        """Return the next frame of a fragmented message (RFC 6455 5.4); *last* ends it.

        :raise RuntimeError: when there is none.
        """
        if self._sending != _WITHIN_MESSAGE:
            raise RuntimeError(_REFUSALS[self._sending])
        if last:
            self._sending = _OPEN
        piece = data.encode() if isinstance(data, str) else memoryview(data).tobytes()
        return self._frame(CONTINUATION | (FIN if last else 0), piece)

    def ping(self, data: bytes = b"") -> bytes:
        """Return a Ping frame (RFC 6455 5.5.2); *data* is 125 bytes at most.

        :raise RuntimeError: after `close`.
        """
        if self._sending == _CLOSED:
            raise RuntimeError(_REFUSALS[_CLOSED])
        return self._send_control(PING, data)

    def pong(self, data: bytes = b"") -> bytes:
        """Return a Pong frame (RFC 6455 5.5.3), also after `close`: a Ping demands one until the
        peer's Close frame has come (5.5.2)."""
        return self._send_control(PONG, data)

    def close(self, code: int | None = NORMAL, reason: str = "") -> bytes:
        """Return the Close frame, the last one (RFC 6455 5.5.1); nothing when it was built before.

        :param code: None sends a frame without code and reason.
        :param reason: 123 bytes of UTF-8 at most.
        :raise ValueError: a code that may not be sent (7.4), or too long a reason.
        """
        if code is None:
            if reason:
                raise ValueError("a reason needs a code")
            payload = b""
        elif may_be_sent(code):
            payload = code.to_bytes(2, "big") + reason.encode()
        else:
            raise ValueError(f"close code {code} may not be sent")
        if self._sending == _CLOSED:
            return b""
        frame = self._send_control(CLOSE, payload)
        self._sending = _CLOSED
        self.close_sent = True
        self._deflater = None  # and with it the memory of its context
        return frame

    def answer(self, event: Event) -> bytes:
        """Return what RFC 6455 demands in answer to an event; nothing for most of them.

        A `Ping` is answered by a Pong (5.5.2), a `Close` by a Close with the same code (5.5.1), a
        `Failure` by a Close that tells why (7.1.7).
        """
        if isinstance(event, Ping):
            return self.pong(event.data)
        if isinstance(event, Close):
            return self.close(None if event.code == NO_STATUS else event.code)
        if isinstance(event, Failure):
            return self.close(event.code, event.reason)
        return b""

    def _send_message(self, opcode: int, data: bytes, last: bool) -> bytes:
        if self._sending:
            raise RuntimeError(_REFUSALS[self._sending])
        if not last:
            self._sending = _WITHIN_MESSAGE
            return self._frame(opcode, data)
        deflater = self._deflater
        if deflater is not None and len(data) >= deflater.threshold:
            packed = deflater.compress(data)
            if len(packed) < len(data) or not deflater.forgets:
                return self._frame(FIN | RSV1 | opcode, packed)
        return self._frame(FIN | opcode, data)

    def _send_control(self, opcode: int, data: bytes) -> bytes:
        if len(data) > 125:  # RFC 6455 5.5
            raise ValueError("control frames hold 125 bytes at most")
        return self._frame(FIN | opcode, data)

    def _frame(self, first: int, data: bytes) -> bytes:
        # 5.3: a fresh key for each frame, from a strong source
        return build(first, data, os.urandom(4) if self._client else b"")
