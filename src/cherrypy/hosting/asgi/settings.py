"""The settings of the WebSockets of a hosted ASGI application, and what the server makes of them."""

from __future__ import annotations

from typing import Any

from kirsch.server.endpoints import Options
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.handshake import ANY, Rules

__all__ = ("SocketSettings",)


class SocketSettings:
    """What holds for the WebSockets of a hosted application; assign before they open."""

    accept_timeout: float = 30.0
    """Seconds the application may take to accept or refuse; beyond it the client gets 503."""

    compression: Any = None
    """True, or a dict of settings, to agree to permessage-deflate."""

    max_message: int = 1 << 20
    """Bytes of a message, inflated; beyond it 1009."""

    max_queue: int = 32
    """Messages that may wait for `receive`; beyond it nothing is read from the peer."""

    max_output: int = 1 << 17
    """Bytes that may wait for the peer. Beyond half of it `send` waits until the peer has read."""

    ping_interval: float = 20.0
    """Seconds of silence after which the peer is asked for a sign of life; 0: never."""

    ping_timeout: float = 20.0
    """Seconds it has to give one; beyond it 1011."""

    close_timeout: float = 10.0
    """Seconds it has to answer our Close."""

    def options(self) -> Options:
        """Return them as the server wants them."""
        return Options(
            "asgi websocket",
            max_message=self.max_message,
            max_queue=self.max_queue,
            max_output=self.max_output,
            ping_interval=self.ping_interval,
            ping_timeout=self.ping_timeout,
            close_timeout=self.close_timeout,
        )

    def rules(self) -> Rules:
        """Return what a handshake is judged by: whose pages may connect is the application's say."""
        compression = self.compression
        if not compression:
            return Rules(origins=(ANY,))
        settings = Settings(**(compression if isinstance(compression, dict) else {}))
        return Rules(origins=(ANY,), compression=settings)
