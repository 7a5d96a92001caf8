"""Where the time of requests goes: layers that exclude each other and add up to their duration."""

from __future__ import annotations

from ..metrics import histogram

TIME_FRONTEND = histogram(
    "cherrypy.time.frontend",
    "s",
    "app",
    help="X-Request-Start / X-Queue-Start / X-RequestTime, sanity-bounded, trusted proxies only.",
)
TIME_QUEUE = histogram(
    "cherrypy.time.queue", "s", "app", help="Readable on selector -> taken by a worker thread."
)
TIME_READ = histogram(
    "cherrypy.time.read", "s", "app", "http.route", help="Waiting for and reading request body."
)
TIME_WSGI = histogram(
    "cherrypy.time.wsgi", "s", "app", help="WSGI layer + middleware + framework, exclusive."
)
TIME_TOOLS = histogram(
    "cherrypy.time.tools",
    "s",
    "app",
    "http.route",
    help="Hooks/tools before and after the handler.",
)
TIME_APP = histogram(
    "cherrypy.time.app",
    "s",
    "app",
    "http.route",
    help="Page handler self time (all child segments subtracted).",
)
TIME_MODEL = histogram(
    "cherrypy.time.model",
    "s",
    "app",
    "http.route",
    help="ORM self time (SQLAlchemy/peewee/Django ORM), DB driver subtracted.",
)
TIME_DB = histogram(
    "cherrypy.time.db", "s", "app", "http.route", help="DB-API drivers, key-value stores."
)
TIME_EXTERNAL = histogram(
    "cherrypy.time.external", "s", "app", "http.route", help="Outgoing HTTP clients."
)
TIME_TEMPLATE = histogram(
    "cherrypy.time.template", "s", "app", "http.route", help="Jinja2/Mako/Genshi render."
)
TIME_SESSION = histogram(
    "cherrypy.time.session", "s", "app", "http.route", help="Session load/save/lock wait."
)
TIME_CACHE = histogram(
    "cherrypy.time.cache",
    "s",
    "app",
    "http.route",
    help="Tools.caching + memcached/redis used as cache.",
)
TIME_ENCODE = histogram(
    "cherrypy.time.encode", "s", "app", "http.route", help="Gzip, encode, json_out."
)
TIME_WRITE = histogram(
    "cherrypy.time.write", "s", "app", "http.route", help="Blocked in send() (slow client)."
)
REQUEST_CPU_TIME = histogram(
    "cherrypy.request.cpu.time",
    "s",
    "http.route",
    help="Thread_time_ns delta (0.24 us a call).",
    level=2,
)
REQUEST_OFFCPU_TIME = histogram(
    "cherrypy.request.offcpu.time",
    "s",
    "http.route",
    help="Wall - cpu - db - external - read - write = GIL, locks, sleep.",
    level=2,
)
REQUEST_STAGE_DURATION = histogram(
    "cherrypy.request.stage.duration",
    "s",
    "stage",
    help="CherryPy's own request.stage transitions (0.87 us for 10).",
    level=2,
)
TOOL_DURATION = histogram(
    "cherrypy.tool.duration", "s", "tool", "hook.point", help="HookMap.run.", level=2
)
