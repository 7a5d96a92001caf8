"""Messages as objects, as handlers written for ws4py know them. Text stays text until bytes are wanted."""

from __future__ import annotations

from typing import Any, TypeAlias

from kirsch.wire.websocket.frames import BINARY, CLOSE, FIN, PING, PONG, TEXT, build

__all__ = (
    "BinaryMessage",
    "CloseControlMessage",
    "Message",
    "PingControlMessage",
    "PongControlMessage",
    "TextMessage",
)

Data: TypeAlias = "str | bytes | bytearray"


class Message:
    """A message: `data` (bytes, for text too), `is_text`, `is_binary`; `str()` gives the text.

    It may be kept for as long as one likes.
    """

    completed = True
    opcode: int = TEXT
    encoding: str = "utf-8"

    def __init__(self, opcode: int, data: Any = b"", encoding: str = "utf-8") -> None:
        if not isinstance(data, (str, bytes, bytearray)):
            raise TypeError(f"a message is text or bytes, not {type(data).__name__}")
        self.opcode = opcode
        self.encoding = encoding
        self._data: str | bytes = data if isinstance(data, str) else bytes(data)

    @property
    def data(self) -> bytes:
        """What it holds, as bytes."""
        data = self._data
        return data.encode(self.encoding) if isinstance(data, str) else data

    @property
    def is_text(self) -> bool:
        """Whether it was sent as text."""
        return self.opcode == TEXT

    @property
    def is_binary(self) -> bool:
        """Whether it was sent as bytes."""
        return self.opcode == BINARY

    def payload(self) -> str | bytes:
        """What is sent: text as `str`."""
        data = self._data
        if type(data) is not str and self.opcode == TEXT:
            return data.decode(self.encoding)  # type: ignore[union-attr]  # it is bytes
        return data

    def extend(self, data: Data | Message) -> None:
        """Add to the end of it."""
        more = data.data if isinstance(data, Message) else data
        if isinstance(more, str):
            more = more.encode(self.encoding)
        self._data = self.data + bytes(more)

    def single(self, mask: bool = False) -> bytes:
        """Return the frame of the whole message."""
        return self._frame(FIN | self.opcode, mask)

    def fragment(self, first: bool = False, last: bool = False, mask: bool = False) -> bytes:
        """Return the frame of a piece of a fragmented message."""
        return self._frame((FIN if last else 0) | (self.opcode if first else 0), mask)

    def _frame(self, first: int, mask: bool) -> bytes:
        import os

        return build(first, self.data, os.urandom(4) if mask else b"")

    def __len__(self) -> int:
        return len(self.data)

    def __str__(self) -> str:
        data = self._data
        return data if isinstance(data, str) else data.decode(self.encoding, "replace")

    def __bytes__(self) -> bytes:
        return self.data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._data[:40]!r}>"


class TextMessage(Message):
    """A text."""

    opcode = TEXT

    def __init__(self, text: Data = "") -> None:
        super().__init__(TEXT, text)


class BinaryMessage(Message):
    """Bytes."""

    opcode = BINARY

    def __init__(self, bytes: Data = b"") -> None:
        super().__init__(BINARY, bytes)


class CloseControlMessage(Message):
    """The end, with its code and reason."""

    def __init__(self, code: int = 1000, reason: str = "") -> None:
        super().__init__(CLOSE, code.to_bytes(2, "big") + reason.encode())
        self.code = code
        self.reason = reason


class PingControlMessage(Message):
    """A question for a sign of life."""

    def __init__(self, data: Data = b"") -> None:
        super().__init__(PING, data)


class PongControlMessage(Message):
    """A sign of life."""

    def __init__(self, data: Data = b"") -> None:
        super().__init__(PONG, data)


_new: Any = object.__new__


def received(data: str | bytes) -> Message:
    """Make a message of what has come, without the detour through checks."""
    message: Message = _new(TextMessage if type(data) is str else BinaryMessage)
    message._data = data
    return message
