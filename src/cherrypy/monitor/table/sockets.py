"""WebSockets and event streams."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

WEBSOCKET_CONNECTIONS = gauge(
    "cherrypy.websocket.connections", "{connection}", "http.route", help="Upgrade/close."
)
WEBSOCKET_HANDSHAKES = counter(
    "cherrypy.websocket.handshakes", "{handshake}", "result", help="Handshake."
)
WEBSOCKET_MESSAGES = counter(
    "cherrypy.websocket.messages", "{message}", "direction", "opcode", help="Frame layer."
)
WEBSOCKET_BYTES = counter("cherrypy.websocket.bytes", "By", "direction", help="Frame layer.")
WEBSOCKET_MESSAGE_DURATION = histogram(
    "cherrypy.websocket.message.duration", "s", "http.route", help="Received_message handler."
)
WEBSOCKET_CONNECTION_DURATION = histogram(
    "cherrypy.websocket.connection.duration", "s", "http.route", help="Open -> close."
)
WEBSOCKET_CLOSES = counter(
    "cherrypy.websocket.closes", "{close}", "code", "by", help="Close frame."
)
WEBSOCKET_SEND_QUEUE = gauge(
    "cherrypy.websocket.send.queue", "By", "stat", help="Unsent bytes at sample."
)
WEBSOCKET_PING_RTT = histogram("cherrypy.websocket.ping.rtt", "s", help="Ping/pong.")
SSE_STREAMS = gauge(
    "cherrypy.sse.streams", "{stream}", "http.route", help="Text/event-stream responses open."
)
