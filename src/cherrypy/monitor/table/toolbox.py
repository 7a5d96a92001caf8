"""Sessions, caches and other tools."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

SESSIONS_ACTIVE = gauge(
    "cherrypy.sessions.active",
    "{session}",
    "storage",
    help="Len(store) at sample (ram/file), estimate for redis.",
)
SESSIONS_CREATED = counter(
    "cherrypy.sessions.created", "{session}", "storage", help="Session.__init__ new id."
)
SESSIONS_ENDED = counter(
    "cherrypy.sessions.ended", "{session}", "storage", "reason", help="Session."
)
SESSION_LOAD_DURATION = histogram(
    "cherrypy.session.load.duration", "s", "storage", help="Session.load."
)
SESSION_SAVE_DURATION = histogram(
    "cherrypy.session.save.duration", "s", "storage", help="Session.save."
)
SESSION_LOCK_WAIT = histogram(
    "cherrypy.session.lock.wait",
    "s",
    "storage",
    help="Acquire_lock: the classic CherryPy hidden latency.",
)
SESSION_LOCK_TIMEOUTS = counter(
    "cherrypy.session.lock.timeouts", "{timeout}", "storage", help="LockTimeout."
)
SESSION_SIZE = histogram("cherrypy.session.size", "By", "storage", help="Pickled length.", level=2)
CACHE_REQUESTS = counter("cherrypy.cache.requests", "{request}", "result", help="Tools.caching.")
CACHE_HIT_RATIO = gauge("cherrypy.cache.hit.ratio", "%", help="Hit/(hit+miss).", derived=True)
CACHE_OBJECTS = gauge("cherrypy.cache.objects", "{object}", help="MemoryCache.")
CACHE_BYTES = gauge("cherrypy.cache.bytes", "By", help="MemoryCache cursize.")
CACHE_EVICTIONS = counter("cherrypy.cache.evictions", "{object}", "reason", help="Expire_cache.")
CACHE_STAMPEDE_WAIT = histogram("cherrypy.cache.stampede.wait", "s", help="AntiStampedeCache.wait.")
AUTH_ATTEMPTS = counter(
    "cherrypy.auth.attempts", "{attempt}", "scheme", "result", help="Auth tools."
)
GZIP_BYTES = counter("cherrypy.gzip.bytes", "By", "direction", help="Tools.gzip.")
ETAG_VALIDATIONS = counter(
    "cherrypy.etag.validations", "{validation}", "result", help="Tools.etags."
)
BODY_PARTS = counter("cherrypy.body.parts", "{part}", "kind", help="_cpreqbody.")
