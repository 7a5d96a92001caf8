"""Sessions, caches and other tools."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

SESSIONS_ACTIVE = gauge(
    "cherrypy.sessions.active",
    "{session}",
    "storage",
    help="Sessions in a store; of stores that others use too, as of some seconds ago.",
)
SESSIONS_CREATED = counter(
    "cherrypy.sessions.created",
    "{session}",
    "storage",
    help="Sessions that were saved for the first time, under this id.",
)
SESSIONS_ENDED = counter(
    "cherrypy.sessions.ended",
    "{session}",
    "storage",
    "reason",
    help="Sessions that were deleted, got another id, had expired when the store was cleaned up, or were asked for by an id that is not known (missing).",
)
SESSION_LOAD_DURATION = histogram(
    "cherrypy.session.load.duration",
    "s",
    "storage",
    help="How long it took to read a session from its store.",
)
SESSION_SAVE_DURATION = histogram(
    "cherrypy.session.save.duration",
    "s",
    "storage",
    help="How long it took to write a session to its store.",
)
SESSION_LOCK_WAIT = histogram(
    "cherrypy.session.lock.wait",
    "s",
    "storage",
    help="How long requests waited for the lock of their session, which another request of the same client held.",
)
SESSION_LOCK_TIMEOUTS = counter(
    "cherrypy.session.lock.timeouts",
    "{timeout}",
    "storage",
    help="Requests that did not get the lock of their session in time.",
)
SESSION_SIZE = histogram(
    "cherrypy.session.size",
    "By",
    "storage",
    help="The size of sessions as they are written, of stores that write any.",
    level=2,
)
CACHE_REQUESTS = counter(
    "cherrypy.cache.requests",
    "{request}",
    "result",
    help="Requests that came to the tool caching: answered from the cache (hit, not_modified), found too old (stale), not found (miss), or not to be looked for (bypass).",
)
CACHE_HIT_RATIO = gauge(
    "cherrypy.cache.hit.ratio", "%", help="The share of hits among hits and misses.", derived=True
)
CACHE_OBJECTS = gauge("cherrypy.cache.objects", "{object}", help="Responses in the cache.")
CACHE_BYTES = gauge("cherrypy.cache.bytes", "By", help="Bytes of the responses in the cache.")
CACHE_EVICTIONS = counter(
    "cherrypy.cache.evictions",
    "{object}",
    "reason",
    help="Responses that left the cache: they had expired, made room for another variant (size), or a change had made them worthless (deleted).",
)
CACHE_STAMPEDE_WAIT = histogram(
    "cherrypy.cache.stampede.wait",
    "s",
    help="How long requests waited for another one that was making the same response.",
)
AUTH_ATTEMPTS = counter(
    "cherrypy.auth.attempts",
    "{attempt}",
    "scheme",
    "result",
    help="Requests to protected pages by what came of them; 'none' had no credentials yet.",
)
GZIP_BYTES = counter(
    "cherrypy.gzip.bytes",
    "By",
    "direction",
    "coding",
    help="Bytes that went into the compression of responses, and that came out of it.",
)
ETAG_VALIDATIONS = counter(
    "cherrypy.etag.validations",
    "{validation}",
    "result",
    help="Conditional requests to the tool etags: the client's copy is good (match) or not (no_match), a condition failed (412), or there was none.",
)
BODY_PARTS = counter(
    "cherrypy.body.parts",
    "{part}",
    "kind",
    help="Request bodies and parts of them that were parsed.",
)
