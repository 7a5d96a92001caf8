"""Requests and responses."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

HTTP_SERVER_REQUEST_DURATION = histogram(
    "http.server.request.duration",
    "s",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "url.scheme",
    "network.protocol.version",
    "error.type",
    "app",
    help="Server: first byte of request line read -> last body byte written; OTel advised buckets + fine log-linear.",
)
HTTP_SERVER_ACTIVE_REQUESTS = gauge(
    "http.server.active_requests",
    "{request}",
    "http.request.method",
    "url.scheme",
    "app",
    help="Server: +1 headers parsed, -1 close().",
)
HTTP_SERVER_REQUEST_BODY_SIZE = histogram(
    "http.server.request.body.size",
    "By",
    "http.request.method",
    "http.route",
    help="Server byte counter on rfile.",
)
HTTP_SERVER_RESPONSE_BODY_SIZE = histogram(
    "http.server.response.body.size",
    "By",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    help="Server byte counter on write (after gzip).",
)
REQUESTS = counter("cherrypy.requests", "{request}", "app", help="Request start.")
RESPONSES = counter("cherrypy.responses", "{response}", "class", help="Last step of request.")
RESPONSES_CODE = counter(
    "cherrypy.responses.code", "{response}", "code", help="Last step (slot per code 100-599)."
)
REQUEST_THROUGHPUT = gauge(
    "cherrypy.request.throughput",
    "{request}/min",
    "app",
    help="Delta of cherrypy.requests.",
    derived=True,
)
REQUEST_ERROR_RATIO = gauge(
    "cherrypy.request.error.ratio",
    "%",
    "app",
    "http.route",
    help="(4xx+5xx)/all, Librato's definition.",
    derived=True,
)
REQUEST_SERVER_ERROR_RATIO = gauge(
    "cherrypy.request.server_error.ratio", "%", "app", "http.route", help="5xx/all.", derived=True
)
REQUEST_DURATION_QUANTILE = gauge(
    "cherrypy.request.duration.quantile",
    "s",
    "quantile",
    "app",
    "http.route",
    help="Log-linear histogram (+-3 %), max exact.",
    derived=True,
)
APDEX = gauge(
    "cherrypy.apdex",
    "score 0-1",
    "app",
    "http.route",
    help="T per route from config; failed request = frustrated.",
    derived=True,
)
REQUEST_SLOW = counter(
    "cherrypy.request.slow", "{request}", "http.route", help="Duration > monitor.slow_threshold."
)
REQUEST_INFLIGHT_OLDEST = gauge(
    "cherrypy.request.inflight.oldest",
    "s",
    help="Scan of per-thread start stamps each second.",
    merge="each",
)
REQUEST_TTFB = histogram(
    "cherrypy.request.ttfb", "s", "http.route", help="Request start -> first response byte."
)
REQUEST_STREAM_DURATION = histogram(
    "cherrypy.request.stream.duration",
    "s",
    "http.route",
    help="First byte -> close() of streamed bodies (Librato misses this).",
)
REQUEST_ABORTED = counter(
    "cherrypy.request.aborted", "{request}", "phase", help="Client went away (EPIPE/ECONNRESET)."
)
REQUEST_UNMATCHED = counter(
    "cherrypy.request.unmatched",
    "{request}",
    "app",
    help="Dispatcher found no handler; one constant route label.",
)
EXCEPTIONS = counter(
    "cherrypy.exceptions",
    "{exception}",
    "exception.type",
    "http.route",
    "handled",
    help="Handle_error / HTTPError path; type capped at 100.",
)
HTTP_ERRORS = counter(
    "cherrypy.http_errors", "{error}", "code", "raised_by", help="HTTPError constructor path."
)
REDIRECTS = counter(
    "cherrypy.redirects", "{redirect}", "kind", help="InternalRedirect / HTTPRedirect."
)
APDEX_REQUESTS = counter(
    "cherrypy.apdex.requests",
    "{request}",
    "app",
    "http.route",
    "group",
    help="Requests whose time satisfied, was tolerable, or frustrated: what Apdex is made of.",
)
