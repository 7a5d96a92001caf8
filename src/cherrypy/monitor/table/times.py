"""Where the time of requests goes: layers that exclude each other and add up to their duration."""

from __future__ import annotations

from ..metrics import histogram

TIME_FRONTEND = histogram(
    "cherrypy.time.frontend",
    "s",
    "app",
    help="Time between a proxy's X-Request-Start (or X-Queue-Start, X-RequestTime) and our taking the request up; it comes before the duration, and is believed of `monitor.frontend.peers` only.",
)
TIME_QUEUE = histogram(
    "cherrypy.time.queue",
    "s",
    "app",
    help="Time between the arrival of a request and its turn with a thread.",
)
TIME_READ = histogram(
    "cherrypy.time.read",
    "s",
    "app",
    "http.route",
    help="Time in which the request's body was awaited and read.",
)
TIME_WSGI = histogram(
    "cherrypy.time.wsgi",
    "s",
    "app",
    help="Time of the framework itself: WSGI, dispatch, headers, whatever no other layer has.",
)
TIME_TOOLS = histogram(
    "cherrypy.time.tools",
    "s",
    "app",
    "http.route",
    help="Time of tools and hooks before and after the page.",
)
TIME_APP = histogram(
    "cherrypy.time.app",
    "s",
    "app",
    "http.route",
    help="Time of the application's own code, without what it calls in other layers.",
)
TIME_MODEL = histogram(
    "cherrypy.time.model",
    "s",
    "app",
    "http.route",
    help="Time of object-relational mappers, without the database calls that they make.",
)
TIME_DB = histogram(
    "cherrypy.time.db",
    "s",
    "app",
    "http.route",
    help="Time in which databases and key-value stores were asked.",
)
TIME_EXTERNAL = histogram(
    "cherrypy.time.external",
    "s",
    "app",
    "http.route",
    help="Time in which other services were asked by HTTP.",
)
TIME_TEMPLATE = histogram(
    "cherrypy.time.template",
    "s",
    "app",
    "http.route",
    help="Time in which templates were rendered.",
)
TIME_SESSION = histogram(
    "cherrypy.time.session",
    "s",
    "app",
    "http.route",
    help="Time in which sessions were loaded and saved, and their locks awaited.",
)
TIME_CACHE = histogram(
    "cherrypy.time.cache",
    "s",
    "app",
    "http.route",
    help="Time in which the cache of responses was asked, and other threads awaited that were making the same one.",
)
TIME_ENCODE = histogram(
    "cherrypy.time.encode",
    "s",
    "app",
    "http.route",
    help="Time in which bodies were encoded, compressed and written as JSON.",
)
TIME_WRITE = histogram(
    "cherrypy.time.write",
    "s",
    "app",
    "http.route",
    help="Time in which the client took the response, as far as a thread or the server had to wait for that.",
)
REQUEST_CPU_TIME = histogram(
    "cherrypy.request.cpu.time",
    "s",
    "http.route",
    help="Processor time of requests.",
    level=2,
)
REQUEST_OFFCPU_TIME = histogram(
    "cherrypy.request.offcpu.time",
    "s",
    "http.route",
    help="Time in which a request neither worked nor waited for its client, a database or another service: it waited for the GIL, for a lock, or slept.",
    level=2,
)
REQUEST_STAGE_DURATION = histogram(
    "cherrypy.request.stage.duration",
    "s",
    "stage",
    help="How long requests were in each of CherryPy's stages.",
    level=2,
)
TOOL_DURATION = histogram(
    "cherrypy.tool.duration",
    "s",
    "tool",
    "hook.point",
    help="How long tools and hooks took, by the point where they hook in.",
    level=2,
)
