"""What an endpoint of WebSockets is made of: the handler the server calls, its options, and the end."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Handler(Protocol):
    """What the server calls, one at a time for each connection, in any worker thread."""

    def ws_opened(self) -> object: ...

    def ws_message(self, message: str | bytes) -> object: ...

    def ws_ponged(self, data: bytes) -> object: ...

    def ws_closed(self, code: int, reason: str) -> object: ...

    def ws_failed(self, error: BaseException) -> object:
        """One of the others raised; the connection is being closed with 1011."""


class Options(NamedTuple):
    """What holds for all connections of an endpoint.

    :param key: under which the mean duration of its handler is kept.
    :param blocking: the handler is known to wait: never run it with the baton.
    :param pongs: whether the handler wants to know of pongs.
    :param max_message: bytes of a message; beyond it 1009.
    :param ping_interval: seconds of silence after which a peer is asked for a sign; 0 never asks.
    :param ping_timeout: seconds it then has; beyond it 1011.
    :param close_timeout: seconds a peer has to answer our Close.
    :param max_output: bytes that may wait for a peer that does not read.
    :param max_queue: messages that may wait for the handler before reading pauses.
    """

    key: str = "websocket"
    blocking: bool = False
    pongs: bool = False
    max_message: int = 1 << 20
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 10.0
    max_output: int = 1 << 20
    max_queue: int = 32


class ConnectionClosed(Exception):
    """Nothing more can be received or sent. ``code`` and ``reason`` say why (1006: no Close came)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason
