"""The names that Librato's agent gave to StatsD, for dashboards that still ask for them.

`wsgi.response.latency` is what `web.response.latency` is: the server measures the whole of a request once.
What the agent had as their difference is `cherrypy.time.wsgi`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from string import Formatter

#: Ours -> the agent's, with the values of labels in braces.
NAMES: tuple[tuple[str, str], ...] = (
    ("http.server.request.duration", "web.response.latency"),
    ("http.server.request.duration", "wsgi.response.latency"),
    ("cherrypy.requests", "web.requests"),
    ("cherrypy.responses", "web.status.{class}"),
    ("cherrypy.exceptions", "web.errors"),
    ("cherrypy.time.app", "app.response.latency"),
    ("cherrypy.model.operation.duration", "model.{operation}.latency"),
    ("cherrypy.model.calls", "model.{operation}.requests"),
    ("db.client.operation.duration", "data.{db.system.name}.{method}.latency"),
    ("cherrypy.db.calls", "data.{db.system.name}.{method}.requests"),
    ("cherrypy.search.operation.duration", "data.es.{search}.latency"),
    ("cherrypy.search.operation.duration", "data.es.{search}.requests"),
    ("http.client.request.duration", "external.{scheme}.response.latency"),
    ("cherrypy.external.calls", "external.{scheme}.requests"),
    ("cherrypy.external.responses", "external.{scheme}.status.{class}"),
    ("cherrypy.external.errors", "external.{scheme}.errors"),
    ("messaging.client.operation.duration", "messaging.{messaging.system}.{way}.latency"),
    ("messaging.client.sent.messages", "messaging.{messaging.system}.produce.requests"),
    ("messaging.client.consumed.messages", "messaging.{messaging.system}.consume.requests"),
    ("cherrypy.log.records", "logging.{level}.requests"),
    ("cherrypy.log.exceptions", "logging.exception.requests"),
    ("cherrypy.server.accept_backlog", "gunicorn.backlog"),
    ("cherrypy.server.workers", "gunicorn.workers"),
    ("cherrypy.server.workers.active", "gunicorn.active_workers"),
)

#: What stands in braces, as far as the agent knew it.
VALUES: dict[str, tuple[str, ...]] = {
    "class": ("1xx", "2xx", "3xx", "4xx", "5xx"),
    "operation": ("get", "query", "flush", "create", "update", "delete", "count", "exists"),
    "db.system.name": ("mysql", "postgresql", "sqlite"),
    "method": (
        "execute",
        "executemany",
        "callproc",
        "fetchone",
        "fetchmany",
        "fetchall",
        "nextset",
        "commit",
        "rollback",
        "connect",
    ),
    "search": ("create", "get", "index", "search", "delete"),
    "scheme": ("http", "https"),
    "messaging.system": ("kafka",),
    "way": ("produce", "consume"),
    "level": ("critical", "error", "warning", "info", "debug"),
}

_BY_METRIC: dict[str, list[str]] = {}
for _metric, _name in NAMES:
    _BY_METRIC.setdefault(_metric, []).append(_name)

_BRACES = re.compile(r"\{([^}]*)\}")


def names_of(metric: str, labels: Mapping[str, str], schemes: Mapping[str, str]) -> Iterator[str]:
    """Yield the agent's names for a series of ours.

    schemes
        'http' or 'https', by the address of a server, as calls to it have been seen.
    """
    templates = _BY_METRIC.get(metric)
    if templates is None or (metric == "cherrypy.server.workers" and labels["state"] != "running"):
        return
    words = dict(labels)
    if metric == "db.client.operation.duration":
        method = labels["db.operation.name"].lower()
        words["method"] = method if method in VALUES["method"] else "execute"
    elif metric == "cherrypy.search.operation.duration":
        words["search"] = labels["operation"]
    elif metric == "http.client.request.duration":
        words["scheme"] = schemes.get(labels["server.address"], "http")
    elif metric == "messaging.client.operation.duration":
        sends = labels["messaging.operation.name"] in ("send", "publish", "produce", "create")
        words["way"] = "produce" if sends else "consume"
    for template in templates:
        yield _BRACES.sub(lambda found: words.get(found[1], "") or "unknown", template)


def all_names() -> list[str]:
    """Return every name that the agent is known to have used."""
    names = ["statsd.numStats"]
    for _, template in NAMES:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field]
        for values in product(*(VALUES[field] for field in fields)):
            words = dict(zip(fields, values, strict=True))
            names.append(_BRACES.sub(lambda found, words=words: words[found[1]], template))  # type: ignore[misc]  # a default binds
    return names
