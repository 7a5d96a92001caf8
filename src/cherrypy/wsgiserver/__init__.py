"""The stand-alone server of CherryPy before 9.0 under its names, on kirsch.

New programs say `kirsch.serve(app, 'host:port')`.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from cherrypy.hosting.adapter import Server
from cherrypy.hosting.httpserver import HTTPServer
from cherrypy.hosting.ssladapter import SSLAdapter
from cherrypy.hosting.wsgi import CPWSGIServer
from kirsch.server.connection import Connection as HTTPConnection
from kirsch.server.exchange import Exchange as HTTPRequest
from kirsch.server.input import StreamInput
from kirsch.server.pool import Pool as ThreadPool
from kirsch.server.workers import Worker as WorkerThread
from kirsch.server.wsgi import WSGIGateway

__all__ = (
    "CherryPyWSGIServer",
    "FatalSSLAlert",
    "HTTPConnection",
    "HTTPRequest",
    "HTTPServer",
    "KnownLengthRFile",
    "MaxSizeExceeded",
    "NoSSLError",
    "SSLAdapter",
    "ThreadPool",
    "WSGIGateway",
    "WSGIPathInfoDispatcher",
    "WorkerThread",
    "get_ssl_adapter_class",
)

warnings.warn(
    "cherrypy.wsgiserver is of CherryPy before 9: use kirsch.Server, or kirsch.serve.",
    DeprecationWarning,
    stacklevel=2,
)


class MaxSizeExceeded(Exception):
    """A request was too large. Nothing raises it: the peer is answered 413."""


class NoSSLError(Exception):
    """A peer spoke HTTP on an HTTPS port. Nothing raises it: the peer is answered."""


class FatalSSLAlert(Exception):
    """A TLS connection cannot go on. Nothing raises it."""


class CherryPyWSGIServer(CPWSGIServer):
    """An HTTP server for a WSGI application.

    bind_addr
        `(host, port)`, or the path of a unix socket.
    wsgi_app
        The WSGI callable, or a dict or list of pairs of paths and such callables.
    numthreads, max
        Threads that are always there, and at most (-1: 256).
    server_name
        The name that this machine is known under; None: what it says itself.
    request_queue_size, timeout, shutdown_timeout
        The listen backlog; seconds a connection may be idle; seconds for requests in flight at stop.
    accepted_queue_size, accepted_queue_timeout
        How many requests may wait for a thread (-1: 1024), and how many seconds.

    `start()` serves until `stop()` is called by another thread, or until KeyboardInterrupt.
    """

    #: File names (PEM), set on the class or on a server before it starts. So may `ssl_adapter` be.
    ssl_certificate: str | None = None
    ssl_certificate_chain: str | None = None
    ssl_private_key: str | None = None

    def __init__(
        self,
        bind_addr: Any,
        wsgi_app: Any,
        numthreads: int = 10,
        server_name: str | None = None,
        max: int = -1,  # the historical name
        request_queue_size: int = 5,
        timeout: float = 10,
        shutdown_timeout: float = 5,
        accepted_queue_size: int = -1,
        accepted_queue_timeout: float = 10,
    ) -> None:
        adapter = Server()
        adapter.bind_addr = bind_addr
        adapter.thread_pool = numthreads
        adapter.thread_pool_max = max
        adapter.socket_queue_size = request_queue_size
        adapter.socket_timeout = timeout
        adapter.shutdown_timeout = shutdown_timeout
        adapter.accepted_queue_size = accepted_queue_size
        adapter.accepted_queue_timeout = accepted_queue_timeout
        super().__init__(adapter)
        if isinstance(wsgi_app, (dict, list, tuple)):
            wsgi_app = WSGIPathInfoDispatcher(wsgi_app)
        self.wsgi_app = wsgi_app
        self._name = server_name

    def _take_tls(self) -> None:
        """Take the certificate from wherever the program has put it."""
        for kind in type(self).__mro__:
            adapter = vars(kind).get("ssl_adapter")
            if adapter is not None and not isinstance(adapter, property):
                self._ssl_adapter.take_over(adapter)
                break
            if kind is HTTPServer:
                break
        if self.ssl_certificate:
            self._ssl_adapter.certificate = self.ssl_certificate
            self._ssl_adapter.certificate_chain = self.ssl_certificate_chain
            self._ssl_adapter.private_key = self.ssl_private_key

    def prepare(self) -> None:
        """Bind and listen. Raises OSError that names the address, or what a certificate lacks."""
        self._take_tls()
        super().prepare()

    def start(self) -> None:
        """Serve until `stop()`. Raises OSError that names the address, and KeyboardInterrupt."""
        self._take_tls()
        super().start()

    serve = safe_start = start

    @property
    def server_name(self) -> str:
        """The name that this machine is known under."""
        return self._name or super().server_name

    @server_name.setter
    def server_name(self, name: str | None) -> None:
        self._name = name


class WSGIPathInfoDispatcher:
    """WSGI applications by the beginning of the path; the longest that fits.

    apps
        `{'/path': app}`, or pairs of these.
    """

    def __init__(self, apps: Any) -> None:
        pairs = list(apps.items() if hasattr(apps, "items") else apps)
        pairs.sort(key=lambda pair: len(pair[0]), reverse=True)
        self.apps: list[tuple[str, Any]] = [(path.rstrip("/"), app) for path, app in pairs]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"] or "/"
        for prefix, app in self.apps:
            if path.startswith(f"{prefix}/") or path == prefix:
                environ = environ.copy()
                environ["SCRIPT_NAME"] += prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]


def __getattr__(name: str) -> Any:
    """Give `KnownLengthRFile`, which ws4py asks for, to all others."""
    if name != "KnownLengthRFile":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    asking = str(sys._getframe(1).f_globals.get("__name__"))
    if asking.partition(".")[0] == "ws4py":
        from cherrypy.framework.foreign import WS4PY

        raise ImportError(WS4PY)
    return StreamInput


def get_ssl_adapter_class(name: str = "builtin") -> Any:
    """Return the class of TLS adapters: there is one. Raises KeyError for a name nobody knew."""
    from .ssl_builtin import BuiltinSSLAdapter

    return {"builtin": BuiltinSSLAdapter, "pyopenssl": BuiltinSSLAdapter}[name.lower()]
