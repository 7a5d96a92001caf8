"""WebSockets and event streams."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

WEBSOCKET_CONNECTIONS = gauge(
    "cherrypy.websocket.connections", "{connection}", "http.route", help="WebSockets that are open."
)
WEBSOCKET_HANDSHAKES = counter(
    "cherrypy.websocket.handshakes",
    "{handshake}",
    "result",
    help="Opening handshakes of WebSockets by the status that answered them.",
)
WEBSOCKET_MESSAGES = counter(
    "cherrypy.websocket.messages",
    "{message}",
    "direction",
    "opcode",
    help="Messages and control frames of WebSockets; one sent in fragments counts once.",
)
WEBSOCKET_BYTES = counter(
    "cherrypy.websocket.bytes", "By", "direction", help="Bytes of WebSocket frames."
)
WEBSOCKET_MESSAGE_DURATION = histogram(
    "cherrypy.websocket.message.duration",
    "s",
    "http.route",
    help="How long handlers of messages took.",
)
WEBSOCKET_CONNECTION_DURATION = histogram(
    "cherrypy.websocket.connection.duration",
    "s",
    "http.route",
    help="How long WebSockets were open.",
)
WEBSOCKET_CLOSES = counter(
    "cherrypy.websocket.closes",
    "{close}",
    "code",
    "by",
    help="WebSockets that have ended, by their close code and by who began: the peer, the app, the server as it stopped, a timeout, an error; or the connection was lost.",
)
WEBSOCKET_SEND_QUEUE = gauge(
    "cherrypy.websocket.send.queue",
    "By",
    "stat",
    help="Bytes that peers have not taken yet: all together, and the most of one.",
)
WEBSOCKET_PING_RTT = histogram(
    "cherrypy.websocket.ping.rtt", "s", help="How long peers took to answer a ping."
)
SSE_STREAMS = gauge(
    "cherrypy.sse.streams", "{stream}", "http.route", help="Event streams that are open."
)
