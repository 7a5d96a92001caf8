"""The HTTP servers: connections, queues, threads, TLS."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

SERVER_CONNECTIONS_ACTIVE = gauge(
    "cherrypy.server.connections.active",
    "{connection}",
    "listener",
    help="Connection manager (kestrel.active_connections).",
)
SERVER_CONNECTIONS_IDLE = gauge(
    "cherrypy.server.connections.idle",
    "{connection}",
    "listener",
    help="Parked keep-alive connections.",
)
SERVER_CONNECTIONS_ACCEPTED = counter(
    "cherrypy.server.connections.accepted", "{connection}", "listener", help="Accept()."
)
SERVER_CONNECTIONS_REJECTED = counter(
    "cherrypy.server.connections.rejected", "{connection}", "reason", help="Connection manager."
)
SERVER_CONNECTIONS_CLOSED = counter(
    "cherrypy.server.connections.closed", "{connection}", "reason", help="Connection manager."
)
SERVER_CONNECTIONS_UPGRADED = gauge(
    "cherrypy.server.connections.upgraded", "{connection}", "protocol", help="WebSocket hand-over."
)
SERVER_CONNECTION_DURATION = histogram(
    "cherrypy.server.connection.duration", "s", "listener", help="Accept -> close."
)
SERVER_CONNECTION_REQUESTS = histogram(
    "cherrypy.server.connection.requests",
    "{request}",
    "listener",
    help="Requests served on one connection.",
)
SERVER_KEEPALIVE_RATIO = gauge(
    "cherrypy.server.keepalive.ratio", "%", "listener", help="1 - accepted/requests.", derived=True
)
SERVER_IO_RECEIVED = counter("cherrypy.server.io.received", "By", "listener", help="Recv totals.")
SERVER_IO_SENT = counter("cherrypy.server.io.sent", "By", "listener", help="Send/sendfile totals.")
SERVER_QUEUE_DEPTH = gauge(
    "cherrypy.server.queue.depth",
    "{request}",
    help="Len(queue) at sample + max since last sample.",
    merge="each",
)
SERVER_QUEUE_REJECTED = counter(
    "cherrypy.server.queue.rejected", "{request}", "reason", help="503 because queue full."
)
SERVER_ACCEPT_BACKLOG = gauge(
    "cherrypy.server.accept_backlog",
    "{connection}",
    "listener",
    help="Linux TCP_INFO tcpi_unacked of the listening socket.",
)
SERVER_THREADS = gauge(
    "cherrypy.server.threads", "{thread}", "state", help="Thread state byte.", merge="each"
)
SERVER_THREADS_LIMIT = gauge("cherrypy.server.threads.limit", "{thread}", "bound", help="Config.")
SERVER_THREADS_STARTED = counter(
    "cherrypy.server.threads.started", "{thread}", help="Pool growth.", merge="each"
)
SERVER_CAPACITY_UTILIZATION = gauge(
    "cherrypy.server.capacity.utilization",
    "%",
    help="Busy seconds / (threads x interval), in-flight tail included.",
    merge="each",
    derived=True,
)
SERVER_THREAD_REQUESTS = counter(
    "cherrypy.server.thread.requests",
    "{request}",
    "thread.slot",
    help="Per-thread shard itself.",
    level=2,
    merge="each",
)
SERVER_TLS_HANDSHAKE_DURATION = histogram(
    "cherrypy.server.tls.handshake.duration", "s", "tls.protocol.version", help="Ssl do_handshake."
)
SERVER_TLS_HANDSHAKES = counter(
    "cherrypy.server.tls.handshakes", "{handshake}", "tls.protocol.version", "resumed", help="Ssl."
)
SERVER_TLS_HANDSHAKES_ACTIVE = gauge(
    "cherrypy.server.tls.handshakes.active", "{handshake}", help="Ssl."
)
SERVER_TLS_ERRORS = counter(
    "cherrypy.server.tls.errors", "{error}", "reason.ssl.library.code", "capped", help="Ssl."
)
SERVER_TLS_CERTIFICATE_EXPIRY = gauge(
    "cherrypy.server.tls.certificate.expiry", "d", "listener", help="Loaded certificate notAfter."
)
SERVER_PARSE_ERRORS = counter(
    "cherrypy.server.parse.errors",
    "{error}",
    "reason",
    help="Every 4xx/5xx the server itself answers.",
)
SERVER_TIMEOUTS = counter("cherrypy.server.timeouts", "{timeout}", "phase", help="Server timers.")
SERVER_PROTOCOL = counter(
    "cherrypy.server.protocol", "{request}", "network.protocol.version", help="Request line."
)
SERVER_HEADER_SIZE = histogram("cherrypy.server.header.size", "By", help="Parser.")
SERVER_SOCKET_ERRORS = counter(
    "cherrypy.server.socket.errors", "{error}", "errno.name", help="Except OSError."
)
SERVER_SENDFILE_SENT = counter("cherrypy.server.sendfile.sent", "By", help="Os.sendfile fast path.")
STATIC_RESPONSES = counter(
    "cherrypy.static.responses", "{response}", "result", help="Staticfile/staticdir."
)
SERVER_WORKERS = gauge("cherrypy.server.workers", "{process}", "state", help="Master.")
SERVER_WORKERS_ACTIVE = gauge(
    "cherrypy.server.workers.active",
    "{process}",
    help="Workers that served a request in the last minute.",
)
SERVER_WORKER_RESTARTS = counter(
    "cherrypy.server.worker.restarts", "{restart}", "reason", help="Master."
)
SERVER_WORKER_UPTIME = gauge("cherrypy.server.worker.uptime", "s", help="Master.", merge="each")
