"""The HTTP servers: connections, queues, threads, TLS."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

SERVER_CONNECTIONS_ACTIVE = gauge(
    "cherrypy.server.connections.active",
    "{connection}",
    "listener",
    help="Connections that are open.",
)
SERVER_CONNECTIONS_IDLE = gauge(
    "cherrypy.server.connections.idle",
    "{connection}",
    "listener",
    help="Open connections whose client has no request under way.",
)
SERVER_CONNECTIONS_ACCEPTED = counter(
    "cherrypy.server.connections.accepted",
    "{connection}",
    "listener",
    help="Connections that were accepted.",
)
SERVER_CONNECTIONS_REJECTED = counter(
    "cherrypy.server.connections.rejected",
    "{connection}",
    "reason",
    help="Connections that came to nothing: the process had no descriptor left, or there was no TLS handshake.",
)
SERVER_CONNECTIONS_CLOSED = counter(
    "cherrypy.server.connections.closed",
    "{connection}",
    "reason",
    help="Connections that have ended: by the client, with a response that was to be the last, after an error, when it was too slow or idle for too long, when the server was too busy or stopped.",
)
SERVER_CONNECTIONS_UPGRADED = gauge(
    "cherrypy.server.connections.upgraded",
    "{connection}",
    "protocol",
    help="Connections that are WebSockets, or whose response is being made without a thread (streams, pages that wait).",
)
SERVER_CONNECTION_DURATION = histogram(
    "cherrypy.server.connection.duration", "s", "listener", help="How long connections lasted."
)
SERVER_CONNECTION_REQUESTS = histogram(
    "cherrypy.server.connection.requests",
    "{request}",
    "listener",
    help="How many requests a connection brought, counted at its end.",
)
SERVER_KEEPALIVE_RATIO = gauge(
    "cherrypy.server.keepalive.ratio",
    "%",
    "listener",
    help="The share of requests that came on a connection which had brought one before.",
    derived=True,
)
SERVER_IO_RECEIVED = counter(
    "cherrypy.server.io.received",
    "By",
    "listener",
    help="Bytes that were received, without those of TLS.",
)
SERVER_IO_SENT = counter(
    "cherrypy.server.io.sent", "By", "listener", help="Bytes that were sent, without those of TLS."
)
SERVER_QUEUE_DEPTH = gauge(
    "cherrypy.server.queue.depth",
    "{request}",
    help="The most requests that waited for a thread since the last second.",
    merge="each",
)
SERVER_QUEUE_REJECTED = counter(
    "cherrypy.server.queue.rejected",
    "{request}",
    "reason",
    help="Requests that were answered 503, as the queue was full or they had waited in it too long.",
)
SERVER_ACCEPT_BACKLOG = gauge(
    "cherrypy.server.accept_backlog",
    "{connection}",
    "listener",
    help="Connections that the system holds and the server has not accepted yet (Linux).",
)
SERVER_THREADS = gauge(
    "cherrypy.server.threads",
    "{thread}",
    "state",
    help="Threads that run a handler, that have none to run, and that were given up in theirs.",
    merge="each",
)
SERVER_THREADS_LIMIT = gauge(
    "cherrypy.server.threads.limit",
    "{thread}",
    "bound",
    help="How many threads there are at least, and at most.",
)
SERVER_THREADS_STARTED = counter(
    "cherrypy.server.threads.started", "{thread}", help="Threads that were started.", merge="each"
)
SERVER_CAPACITY_UTILIZATION = gauge(
    "cherrypy.server.capacity.utilization",
    "%",
    help="The share of the threads' time in which they were answering requests.",
    merge="each",
    derived=True,
)
SERVER_THREAD_REQUESTS = counter(
    "cherrypy.server.thread.requests",
    "{request}",
    "thread.slot",
    help="Requests by the thread that answered them.",
    level=2,
    merge="each",
)
SERVER_TLS_HANDSHAKE_DURATION = histogram(
    "cherrypy.server.tls.handshake.duration",
    "s",
    "tls.protocol.version",
    help="How long it took from the acceptance of a connection to the end of its TLS handshake.",
)
SERVER_TLS_HANDSHAKES = counter(
    "cherrypy.server.tls.handshakes",
    "{handshake}",
    "tls.protocol.version",
    "resumed",
    help="TLS handshakes that were completed.",
)
SERVER_TLS_HANDSHAKES_ACTIVE = gauge(
    "cherrypy.server.tls.handshakes.active",
    "{handshake}",
    help="Connections whose TLS handshake is not done yet.",
)
SERVER_TLS_ERRORS = counter(
    "cherrypy.server.tls.errors",
    "{error}",
    "reason",
    help="Connections that TLS failed on, by what OpenSSL calls the reason.",
)
SERVER_TLS_CERTIFICATE_EXPIRY = gauge(
    "cherrypy.server.tls.certificate.expiry",
    "d",
    "listener",
    help="Days until the first of a server's certificates expires; below 0 it has.",
)
SERVER_PARSE_ERRORS = counter(
    "cherrypy.server.parse.errors",
    "{error}",
    "reason",
    help="Requests that the server refused by itself, as they were wrong or too large.",
)
SERVER_TIMEOUTS = counter(
    "cherrypy.server.timeouts",
    "{timeout}",
    "phase",
    help="Waits that the server ended: for a TLS handshake, a head, a body, another request, a client that reads, a thread, a response.",
)
SERVER_PROTOCOL = counter(
    "cherrypy.server.protocol",
    "{request}",
    "network.protocol.version",
    help="Requests by the version of HTTP.",
)
SERVER_HEADER_SIZE = histogram(
    "cherrypy.server.header.size",
    "By",
    help="The size of request heads: the request line and all fields.",
)
SERVER_SOCKET_ERRORS = counter(
    "cherrypy.server.socket.errors",
    "{error}",
    "operation",
    help="Errors of sockets: connections that broke, and those that could not be accepted.",
)
SERVER_SENDFILE_SENT = counter(
    "cherrypy.server.sendfile.sent",
    "By",
    help="Bytes that the system sent from files by itself (sendfile).",
)
STATIC_RESPONSES = counter(
    "cherrypy.static.responses",
    "{response}",
    "result",
    help="Requests to the tools staticdir and staticfile by what came of them; 'missing' is left to the page, or a 404.",
)
SERVER_WORKERS = gauge(
    "cherrypy.server.workers",
    "{process}",
    "state",
    help="Processes that serve, by what they are at.",
)
SERVER_WORKERS_ACTIVE = gauge(
    "cherrypy.server.workers.active",
    "{process}",
    help="Processes that have answered a request within the last minute.",
)
SERVER_WORKER_RESTARTS = counter(
    "cherrypy.server.worker.restarts",
    "{restart}",
    "reason",
    help="Processes that had to be replaced, by the reason.",
)
SERVER_WORKER_UPTIME = gauge(
    "cherrypy.server.worker.uptime", "s", help="How long a process has been counting.", merge="each"
)
