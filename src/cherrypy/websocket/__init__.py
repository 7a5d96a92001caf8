"""WebSockets: pages that stay open, classes that are called when something comes, and rooms.

Imported by whoever uses it: `import cherrypy` does not. See docs/websockets.md.
"""

from .handlers import EchoWebSocket, WebSocket
from .messages import (
    BinaryMessage,
    CloseControlMessage,
    Message,
    PingControlMessage,
    PongControlMessage,
    TextMessage,
)
from .plugin import WebSocketManager, WebSocketPlugin
from .relay import Relay
from .rooms import Room
from .sockets import ConnectionClosed, PageSocket
from .tool import WebSocketTool

__all__ = (
    "BinaryMessage",
    "CloseControlMessage",
    "ConnectionClosed",
    "EchoWebSocket",
    "Message",
    "PageSocket",
    "PingControlMessage",
    "PongControlMessage",
    "Relay",
    "Room",
    "TextMessage",
    "WebSocket",
    "WebSocketManager",
    "WebSocketPlugin",
    "WebSocketTool",
)
