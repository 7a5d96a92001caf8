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
    help="Cursor subclass / driver hook.",
)
DB_CALLS = counter(
    "cherrypy.db.calls", "{call}", "db.system.name", "http.request.method", help="Same hook."
)
DB_ERRORS = counter(
    "cherrypy.db.errors", "{error}", "db.system.name", "error.type", help="Same hook."
)
DB_CLIENT_RESPONSE_RETURNED_ROWS = histogram(
    "db.client.response.returned_rows",
    "{row}",
    "db.system.name",
    help="Fetch* result length.",
    level=2,
)
DB_CALLS_PER_REQUEST = histogram(
    "cherrypy.db.calls_per_request",
    "{call}",
    "http.route",
    help="Request accumulator (N+1 detector).",
)
DB_SLOW = counter(
    "cherrypy.db.slow",
    "{call}",
    "db.system.name",
    "fingerprint.top.50",
    help="Duration > threshold; SQL text without literals.",
)
DB_CLIENT_CONNECTION_COUNT = gauge(
    "db.client.connection.count",
    "{connection}",
    "db.client.connection.state",
    "pool.name",
    help="SQLAlchemy/psycopg_pool/DBUtils pool at scrape.",
)
DB_CLIENT_CONNECTION_CREATE_TIME = histogram(
    "db.client.connection.create_time", "s", "pool.name", help="Connect()."
)
DB_CLIENT_CONNECTION_WAIT_TIME = histogram(
    "db.client.connection.wait_time", "s", "pool.name", help="Pool checkout."
)
DB_CLIENT_CONNECTION_TIMEOUTS = counter(
    "db.client.connection.timeouts", "{timeout}", "pool.name", help="Pool timeout exception."
)
MODEL_OPERATION_DURATION = histogram(
    "cherrypy.model.operation.duration", "s", "orm", "operation", help="ORM events."
)
MODEL_CALLS = counter("cherrypy.model.calls", "{call}", "orm", "operation", help="ORM events.")
SEARCH_OPERATION_DURATION = histogram(
    "cherrypy.search.operation.duration", "s", "db.system.name", "operation", help="Client hook."
)
HTTP_CLIENT_REQUEST_DURATION = histogram(
    "http.client.request.duration",
    "s",
    "http.request.method",
    "server.address",
    "http.response.status_code",
    "error.type",
    help="Http.client/urllib3/httpx/aiohttp/pycurl hook.",
)
HTTP_CLIENT_ACTIVE_REQUESTS = gauge(
    "http.client.active_requests", "{request}", "server.address", help="Same hook."
)
EXTERNAL_CALLS = counter(
    "cherrypy.external.calls", "{request}", "scheme", "server.address", help="Same hook."
)
EXTERNAL_RESPONSES = counter(
    "cherrypy.external.responses", "{response}", "scheme", "class", help="Same hook."
)
EXTERNAL_ERRORS = counter(
    "cherrypy.external.errors",
    "{error}",
    "scheme",
    "server.address",
    "error.type",
    help="Same hook.",
)
EXTERNAL_CALLS_PER_REQUEST = histogram(
    "cherrypy.external.calls_per_request", "{call}", "http.route", help="Request accumulator."
)
KV_OPERATION_DURATION = histogram(
    "cherrypy.kv.operation.duration",
    "s",
    "db.system.name",
    "operation",
    help="Redis/pymemcache/pylibmc hook.",
)
KV_REQUESTS = counter(
    "cherrypy.kv.requests", "{call}", "db.system.name", "result", help="Get results."
)
MESSAGING_CLIENT_OPERATION_DURATION = histogram(
    "messaging.client.operation.duration",
    "s",
    "messaging.system",
    "messaging.operation.name",
    help="Kafka/pika/celery hook.",
)
MESSAGING_CLIENT_SENT_MESSAGES = counter(
    "messaging.client.sent.messages", "{message}", "messaging.system", help="Hook."
)
MESSAGING_CLIENT_CONSUMED_MESSAGES = counter(
    "messaging.client.consumed.messages", "{message}", "messaging.system", help="Hook."
)
