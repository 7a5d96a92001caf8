"""Data stores, the model layer, services of others, messages."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

DB_CLIENT_OPERATION_DURATION = histogram(
    "db.client.operation.duration",
    "s",
    "db.system.name",
    "db.operation.name",
    "server.address",
    "error.type",
    help="How long calls of databases took.",
)
DB_CALLS = counter(
    "cherrypy.db.calls", "{call}", "db.system.name", "method", help="Calls of database drivers."
)
DB_ERRORS = counter(
    "cherrypy.db.errors",
    "{error}",
    "db.system.name",
    "error.type",
    help="Calls of databases that raised.",
)
DB_CLIENT_RESPONSE_RETURNED_ROWS = histogram(
    "db.client.response.returned_rows",
    "{row}",
    "db.system.name",
    help="Rows that were fetched at a time.",
    level=2,
)
DB_CALLS_PER_REQUEST = histogram(
    "cherrypy.db.calls_per_request",
    "{call}",
    "http.route",
    help="Database calls that a request made; many of them ask for a join.",
)
DB_SLOW = counter(
    "cherrypy.db.slow",
    "{call}",
    "db.system.name",
    "fingerprint",
    help="Database calls that took longer than `monitor.db.slow_threshold`.",
)
DB_CLIENT_CONNECTION_COUNT = gauge(
    "db.client.connection.count",
    "{connection}",
    "db.client.connection.state",
    "db.client.connection.pool.name",
    help="Connections of a pool, in use and idle.",
)
DB_CLIENT_CONNECTION_CREATE_TIME = histogram(
    "db.client.connection.create_time",
    "s",
    "db.client.connection.pool.name",
    help="How long it took to connect to a database.",
)
DB_CLIENT_CONNECTION_WAIT_TIME = histogram(
    "db.client.connection.wait_time",
    "s",
    "db.client.connection.pool.name",
    help="How long it took until a pool had a connection to give.",
)
DB_CLIENT_CONNECTION_TIMEOUTS = counter(
    "db.client.connection.timeouts",
    "{timeout}",
    "db.client.connection.pool.name",
    help="Times that a pool had no connection to give in time.",
)
MODEL_OPERATION_DURATION = histogram(
    "cherrypy.model.operation.duration",
    "s",
    "orm",
    "operation",
    help="How long operations of object-relational mappers took.",
)
MODEL_CALLS = counter(
    "cherrypy.model.calls",
    "{call}",
    "orm",
    "operation",
    help="Operations of object-relational mappers.",
)
SEARCH_OPERATION_DURATION = histogram(
    "cherrypy.search.operation.duration",
    "s",
    "db.system.name",
    "operation",
    help="How long calls of search engines took.",
)
HTTP_CLIENT_REQUEST_DURATION = histogram(
    "http.client.request.duration",
    "s",
    "http.request.method",
    "server.address",
    "http.response.status_code",
    "error.type",
    help="How long requests to other services took.",
)
HTTP_CLIENT_ACTIVE_REQUESTS = gauge(
    "http.client.active_requests",
    "{request}",
    "server.address",
    help="Requests to other services that are under way now.",
)
EXTERNAL_CALLS = counter(
    "cherrypy.external.calls",
    "{request}",
    "scheme",
    "server.address",
    help="Requests to other services.",
)
EXTERNAL_RESPONSES = counter(
    "cherrypy.external.responses",
    "{response}",
    "scheme",
    "class",
    help="Responses of other services by the class of their status.",
)
EXTERNAL_ERRORS = counter(
    "cherrypy.external.errors",
    "{error}",
    "scheme",
    "server.address",
    "error.type",
    help="Requests to other services that raised.",
)
EXTERNAL_CALLS_PER_REQUEST = histogram(
    "cherrypy.external.calls_per_request",
    "{call}",
    "http.route",
    help="Requests to other services that a request made.",
)
KV_OPERATION_DURATION = histogram(
    "cherrypy.kv.operation.duration",
    "s",
    "db.system.name",
    "operation",
    help="How long calls of key-value stores took.",
)
KV_REQUESTS = counter(
    "cherrypy.kv.requests",
    "{call}",
    "db.system.name",
    "result",
    help="Reads of key-value stores that found something, found nothing, or failed.",
)
MESSAGING_CLIENT_OPERATION_DURATION = histogram(
    "messaging.client.operation.duration",
    "s",
    "messaging.system",
    "messaging.operation.name",
    help="How long it took to hand messages to a broker, or to get them.",
)
MESSAGING_CLIENT_SENT_MESSAGES = counter(
    "messaging.client.sent.messages",
    "{message}",
    "messaging.system",
    help="Messages that were sent.",
)
MESSAGING_CLIENT_CONSUMED_MESSAGES = counter(
    "messaging.client.consumed.messages",
    "{message}",
    "messaging.system",
    help="Messages that were taken.",
)
