"""One message for many peers: its frame is built once, and compressed once for all that can share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kirsch.wire.websocket.frames import BINARY, FIN, TEXT, build

if TYPE_CHECKING:
    from kirsch.wire.websocket.protocol import Protocol

__all__ = ["Copies"]


class Copies:
    """The frames of one message. One thread at a time.

    ``plain``: the frame for peers without compression.
    """

    __slots__ = ("_message", "_packed", "plain")

    def __init__(self, message: str | bytes) -> None:
        self._message = message
        if isinstance(message, str):
            self.plain = build(FIN | TEXT, message.encode())
        else:
            self.plain = build(FIN | BINARY, message)
        self._packed: dict[tuple[int, ...], bytes] = {}

    def frame(self, core: Protocol) -> bytes:
        """Return the frame for a peer with which compression was agreed upon.

        A peer that keeps its window from message to message (RFC 7692 7.1.1) needs one of its own.
        """
        kind = core.packing
        frame = None if kind is None else self._packed.get(kind)
        if frame is None:
            message = self._message
            frame = core.text(message) if isinstance(message, str) else core.binary(message)
            if kind is not None:
                self._packed[kind] = frame
        return frame
