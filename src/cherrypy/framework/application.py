"""An application: a tree of handlers, its configuration, and how requests get to it."""

from __future__ import annotations

from _thread import get_ident
from typing import Any

from .config import merge
from .exchange import Asked, Origin, answer
from .logs import LogManager
from .reprconf import NamespaceSet
from .request import Request
from .response import Response
from .serving import serving
from .site import site
from .tools import default_toolbox
from .wsgi import CPWSGIApp

__all__ = ("Application",)


class Application:
    """A root object at a mount point, with a configuration of its own. A WSGI application.

    root
        The object whose attributes are the pages.
    script_name
        The mount point, without a slash at its end; '' for the whole site. None: whatever the
        server says in each request's `SCRIPT_NAME`.
    config
        `{path: {key: value}}`, or the name of a file.
    """

    root: Any = None
    config: dict[str, Any] = {}
    namespaces = NamespaceSet()

    toolboxes: dict[str, Any] = {"tools": default_toolbox}
    """The toolboxes of all applications, by namespace."""

    log: Any = None
    wsgiapp: Any = None
    request_class: Any = Request
    response_class: Any = Response
    whole_bodies = False
    """Whether `Tree` has to gather bodies that come in chunks: pages read them as they come."""

    relative_urls = False
    """What `cherrypy.url` gives unless told otherwise: absolute URLs, relative ones (True) or
    'server'."""

    _script_name: str | None = None

    # What was found out for the requests of one turn (see `Request._turn`) is remembered for the others.
    _direct: object = False  # nothing is in the way of a server that speaks no WSGI
    _unlogged: object = False  # nobody wants the access log
    _undirected: object = False  # no section names a dispatcher, and nothing comes before it

    def __init__(self, root: Any, script_name: str | None = "", config: Any = None) -> None:
        self.log = LogManager(id(self), site.log.logger_root)
        self.root = root
        self.script_name = script_name
        self.wsgiapp = CPWSGIApp(self)
        self.namespaces = self.namespaces.copy()
        self.namespaces["log"] = lambda k, v: setattr(self.log, k, v)
        self.namespaces["wsgi"] = self.wsgiapp.namespace_handler
        self.config = self.__class__.config.copy()
        if config:
            self.merge(config)

    def __repr__(self) -> str:
        return f"cherrypy._cptree.{type(self).__name__}({self.root!r}, {self._script_name!r})"

    @property
    def script_name(self) -> str | None:
        """The mount point. That of an application which has none is the request's."""
        value = self._script_name
        if value is None:
            environ = serving.request.wsgi_environ
            if environ is None:
                return ""
            value = str(environ.get("SCRIPT_NAME") or "").rstrip("/")
        return value

    @script_name.setter
    def script_name(self, value: str | None) -> None:
        if value:
            value = value.rstrip("/")
        self._script_name = value

    def merge(self, config: Any) -> None:
        """Take in more configuration, and let the entries of the section '/' act on this."""
        merge(self.config, config)
        self.namespaces(self.config.get("/", {}))

    def find_config(self, path: str, key: str, default: Any = None) -> Any:
        """Return the entry `key` of the nearest section at or above `path`, or `default`."""
        config = self.config
        if len(config) < 8 and not self.names(key):
            # Few sections are quicker asked one by one, and mostly none of them knows the key.
            return default
        trail = path or "/"
        if len(trail) > 256:
            # No section is longer than the longest: a path of many segments takes linear time.
            trail = trail[: max(map(len, config), default=0) + 1]
        while trail:
            section = config.get(trail)
            if section and key in section:
                return section[key]
            slash = trail.rfind("/")
            if slash < 0 or trail == "/":
                break
            trail = trail[:slash] or "/"
        return default

    def names(self, key: str) -> bool:
        """Return whether any section has an entry `key`."""
        for section in list(self.config.values()):  # noqa: SIM110 - any() would make a generator
            if section and key in section:
                return True
        return False

    def get_serving(self, local: Any, remote: Any, scheme: str, sproto: str) -> tuple[Any, Any]:
        """Make a request and a response, and make them those of this thread.

        local, remote
            `Host` objects, or None: then they are found out when asked for.
        scheme, sproto
            'http' or 'https', and 'HTTP/1.1'.
        """
        request = self.request_class(local, remote, scheme, sproto)
        request.app = self
        response = self.response_class()
        serving.request = request
        serving.response = response
        engine: Any = site.engine
        try:
            listeners, manager = engine.listeners, engine.thread_manager
            # Publishing would tell nobody anything new, and nobody watches the publishing.
            if (
                get_ident() in manager.threads
                and listeners["acquire_thread"] == manager.alone
                and not listeners.get("before_request")
                and "publish" not in engine.__dict__
            ):
                return request, response
        except (AttributeError, KeyError):  # a bus of the program's own making
            pass
        engine.publish("acquire_thread")
        engine.publish("before_request")
        return request, response

    def release_serving(self) -> None:
        """End the request of this thread: publish, run its last hooks, forget it."""
        request = serving.request
        engine = site.engine
        if engine.listeners.get("after_request") or "publish" in engine.__dict__:
            request._ends_idly = False  # whoever is told may give the hooks something to do
            engine.publish("after_request")
        try:
            request.close()
        except Exception:
            site.log("", "HTTP", 40, traceback=True)
        serving.__dict__.clear()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a WSGI request."""
        return self.wsgiapp(environ, start_response)

    def respond(
        self,
        method: str,
        path: str,
        query: str,
        fields: dict[str, str],
        rfile: Any,
        local: Any,
        remote: Any,
        scheme: str = "http",
        protocol: str = "HTTP/1.1",
        file_wrapper: Any = None,
    ) -> tuple[str, list[tuple[str, str]], Any]:
        """Serve a request without WSGI.

        path, query
            As in WSGI: percent-decoded bytes as Latin-1, and what follows the '?'.
        fields
            The header fields under their CGI names: 'HTTP_HOST', 'CONTENT_TYPE'.
        rfile
            The entity: a file-like object.
        local, remote
            Address tuples `(ip, port)`, or `Host` objects.
        file_wrapper
            Makes of an open file a body that the server sends as it likes; it must close it.

        Returns the status ('200 OK'), the fields, and the body: bytes, or an iterable whose
        `close` ends the request and must be called.
        """
        asked = Asked(method, path, query, fields, int(protocol != "HTTP/1.0"))
        return answer(self, asked, rfile, Origin(local, remote, scheme), file_wrapper)
