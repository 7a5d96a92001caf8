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
    help="How long requests took, from when they had come until the last byte of their response was sent.",
)
HTTP_SERVER_ACTIVE_REQUESTS = gauge(
    "http.server.active_requests",
    "{request}",
    "http.request.method",
    "url.scheme",
    "app",
    help="Requests that are being answered now, also those that wait without a thread.",
)
HTTP_SERVER_REQUEST_BODY_SIZE = histogram(
    "http.server.request.body.size",
    "By",
    "http.request.method",
    "http.route",
    help="The size of request bodies that said it, as Content-Length has it.",
)
HTTP_SERVER_RESPONSE_BODY_SIZE = histogram(
    "http.server.response.body.size",
    "By",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    help="The size of response bodies as they were sent, so after compression.",
)
REQUESTS = counter(
    "cherrypy.requests",
    "{request}",
    "app",
    help="Requests that have been answered, or whose client left before that.",
)
RESPONSES = counter(
    "cherrypy.responses", "{response}", "class", help="Responses by the class of their status."
)
RESPONSES_CODE = counter(
    "cherrypy.responses.code", "{response}", "code", help="Responses by their status."
)
REQUEST_THROUGHPUT = gauge(
    "cherrypy.request.throughput",
    "{request}/min",
    "app",
    help="Requests a minute.",
    derived=True,
)
REQUEST_ERROR_RATIO = gauge(
    "cherrypy.request.error.ratio",
    "%",
    "app",
    "http.route",
    help="The share of requests that were answered with 4xx or 5xx.",
    derived=True,
)
REQUEST_SERVER_ERROR_RATIO = gauge(
    "cherrypy.request.server_error.ratio",
    "%",
    "app",
    "http.route",
    help="The share of requests that were answered with 5xx.",
    derived=True,
)
REQUEST_DURATION_QUANTILE = gauge(
    "cherrypy.request.duration.quantile",
    "s",
    "quantile",
    "app",
    "http.route",
    help="The time within which that share of requests was answered, right within 3.2 %; quantile 1 is the longest.",
    derived=True,
)
APDEX = gauge(
    "cherrypy.apdex",
    "score 0-1",
    "app",
    "http.route",
    help="How content users are: the satisfied and half of the tolerating requests, as a share of all; failed ones frustrate.",
    derived=True,
)
REQUEST_SLOW = counter(
    "cherrypy.request.slow",
    "{request}",
    "http.route",
    help="Requests that took longer than `monitor.slow_threshold`.",
)
REQUEST_INFLIGHT_OLDEST = gauge(
    "cherrypy.request.inflight.oldest",
    "s",
    help="For how long the oldest request has been waiting for its answer; 0 when there is none.",
    merge="each",
)
REQUEST_TTFB = histogram(
    "cherrypy.request.ttfb",
    "s",
    "http.route",
    help="How long it took until the first byte of the response was there to be sent.",
)
REQUEST_STREAM_DURATION = histogram(
    "cherrypy.request.stream.duration",
    "s",
    "http.route",
    help="How long streamed bodies took from their first byte to their last.",
)
REQUEST_ABORTED = counter(
    "cherrypy.request.aborted",
    "{request}",
    "phase",
    help="Requests whose client went away, while their body was read or while their response was written.",
)
REQUEST_UNMATCHED = counter(
    "cherrypy.request.unmatched",
    "{request}",
    "app",
    help="Requests for paths that nothing answers.",
)
EXCEPTIONS = counter(
    "cherrypy.exceptions",
    "{exception}",
    "exception.type",
    "http.route",
    "handled",
    help="Exceptions that ended a request: those that are answers, such as HTTPError, are handled; what nobody had anticipated is not.",
)
HTTP_ERRORS = counter(
    "cherrypy.http_errors",
    "{error}",
    "code",
    "raised_by",
    help="Error pages, by who raised the error: the application, the framework, or the server before it got so far.",
)
REDIRECTS = counter(
    "cherrypy.redirects",
    "{redirect}",
    "kind",
    help="Redirects: internal ones to another page of the same application, external ones by the client.",
)
APDEX_REQUESTS = counter(
    "cherrypy.apdex.requests",
    "{request}",
    "app",
    "http.route",
    "group",
    help="Requests whose time satisfied, was tolerable or frustrated: what Apdex is made of.",
)
