"""The server adapter: `cherrypy.server`, the settings of one HTTP server and its life on the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..framework import config, tree
from ..framework.reprconf import attributes
from ..framework.site import site
from ..process.servers import ServerAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Server",)

#: A host that stands for every interface, and how a client on this machine reaches it.
EVERY_INTERFACE = ("0.0.0.0", "::")


class Server(ServerAdapter):
    """One HTTP server: what it binds, its limits, and its start and stop with the engine.

    `cherrypy.server` is the first one. Make more, set their `socket_port` and `subscribe()` them,
    or configure them as `server.<name>.<setting>`.
    """

    socket_port: int | None = 8080
    """TCP port to listen on; 0 asks the system for a free one (see `bound_addr`)."""

    _socket_host: str | None = "127.0.0.1"

    socket_file: str | None = None
    """Path of a unix socket to listen on instead of a host and port."""

    socket_mode: int | None = None
    """Permission bits of the unix socket, such as 0o660; None leaves what the umask gives."""

    socket_queue_size: int = 1024
    """Connections the system may hold before they are accepted (the listen backlog)."""

    socket_timeout: float = 10
    """Seconds a kept-alive connection may be idle, and a peer may be silent."""

    accepted_queue_size: int = -1
    """Complete requests that may wait for a thread once `thread_pool_max` are busy; further ones
    get 503 with Retry-After. -1 takes the server's default."""

    accepted_queue_timeout: float = 10
    """Seconds a complete request may wait for a thread before it gets 503."""

    shutdown_timeout: float = 5
    """Seconds that requests in flight may take to finish when the server stops."""

    protocol_version: str = "HTTP/1.1"
    """The highest protocol version to answer with: 'HTTP/1.1' or 'HTTP/1.0'."""

    thread_pool: int = 10
    """Threads that are always there to run page handlers."""

    thread_pool_max: int = -1
    """Threads the pool may grow to when all are busy. -1 takes the server's default."""

    max_request_header_size: int = 500 * 1024
    """Bytes of a request's head; beyond that it is refused with 413. 0 means the hard ceiling."""

    max_request_body_size: int = 100 * 1024 * 1024
    """Bytes of a request's body; beyond that it is refused with 413. 0 means no limit."""

    instance: Any = None
    """The HTTP server to use: None for the default, a dotted name, or an object."""

    ssl_context: Any = None
    """A ready `ssl.SSLContext`; the other ssl settings are then not needed."""

    ssl_certificate: str | None = None
    """File name of the server's certificate (PEM)."""

    ssl_certificate_chain: str | None = None
    """File name of the certificates between the server's and the authority's (PEM)."""

    ssl_private_key: str | None = None
    """File name of the certificate's private key (PEM)."""

    ssl_ciphers: str | None = None
    """Ciphers to offer, in OpenSSL's notation; None takes OpenSSL's choice."""

    ssl_private_key_password: Any = None
    """The password of the private key: str, bytes, or a callable that returns it."""

    ssl_client_ca: str | None = None
    """File or folder of the authorities that client certificates come from (PEM)."""

    ssl_verify: str | None = None
    """Client certificates: 'none', 'optional' or 'required'; None is 'required' when there is an
    `ssl_client_ca`."""

    ssl_minimum_version: str = "1.2"
    """The oldest TLS version to speak: '1.2' or '1.3'."""

    ssl_sni: dict[str, Any] | None = None
    """More certificates, by the name that clients ask for: {'*.example.com': (certificate, key)}."""

    ssl_timeout: float = 10
    """Seconds a TLS handshake may take, from the connection on."""

    ssl_plain_http: str = "hint"
    """What plain HTTP on the TLS port gets: 'hint' (400 with the https URL) or 'redirect'."""

    ssl_module: str = "builtin"
    """The TLS adapter's name: 'builtin', or 'pyopenssl', which means the same here."""

    statistics: bool = False
    """Collect the server's statistics for `cherrypy.lib.cpstats`."""

    nodelay: bool = True
    """Send small answers at once (TCP_NODELAY)."""

    proxy_protocol: Any = None
    """Peers that announce whose connection they pass on, by the PROXY protocol (1 or 2): a list, or
    a text with commas, of addresses, networks, 'loopback', 'private', 'unix' and '*'."""

    wsgi_version: tuple[Any, ...] = (1, 0)
    """The WSGI version handed to applications: (1, 0), or ('u', 0) as in old releases."""

    peercreds: bool = False
    """Put the peer's process, user and group ids of a unix socket in the WSGI environ."""

    peercreds_resolve: bool = False
    """Also look their names up."""

    def __init__(self) -> None:
        self.bus = site.engine
        self.httpserver = None
        self.interrupt = None
        self.running = False

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        # A limit that is changed while serving holds from the next request on.
        follow = getattr(self.httpserver, "follow", None)
        if follow is not None:
            follow(name, value)

    @property
    def socket_host(self) -> str | None:
        """The host name or address to listen on, '0.0.0.0' or '::' for every interface."""
        return self._socket_host

    @socket_host.setter
    def socket_host(self, value: str | None) -> None:
        if value == "":
            raise ValueError(
                "The empty string ('') is not an allowed value. Use '0.0.0.0' instead to listen "
                "on all active interfaces (INADDR_ANY)."
            )
        self._socket_host = value

    @property
    def bind_addr(self) -> tuple[str, int] | str | None:
        """What to bind: `(host, port)`, the path of a unix socket, or None."""
        if self.socket_file:
            return self.socket_file
        if self._socket_host is None or self.socket_port is None:
            return None
        return self._socket_host, self.socket_port

    @bind_addr.setter
    def bind_addr(self, value: tuple[str, int] | str | None) -> None:
        if value is None:
            self.socket_file = self._socket_host = self.socket_port = None
        elif isinstance(value, str):
            self.socket_file = value
            self._socket_host = self.socket_port = None
        else:
            try:
                self.socket_host, self.socket_port = value
            except (TypeError, ValueError) as error:
                raise ValueError(
                    "bind_addr must be a (host, port) tuple (for TCP sockets) or a string "
                    f"(for Unix domain sockets), not {value!r}"
                ) from error
            self.socket_file = None

    def httpserver_from_self(self, httpserver: Any = None) -> tuple[Any, Any]:
        """Return the HTTP server and the address it binds.

        httpserver
            None for the setting `instance`; a dotted name of a class or function, called with
            this adapter; or a server object.
        """
        maker: Callable[[Server], Any] | None = None
        if httpserver is None:
            httpserver = self.instance
        if httpserver is None:
            from .wsgi import CPWSGIServer

            maker = CPWSGIServer
        elif isinstance(httpserver, str):
            maker = attributes(httpserver)
        if maker is not None:
            httpserver = maker(self)
        return httpserver, self.bind_addr

    def start(self) -> None:
        """Make the HTTP server when there is none yet, and start it."""
        if not self.httpserver:
            self.httpserver, self.bind_addr = self.httpserver_from_self()
        elif isinstance(self.httpserver, str):
            self.httpserver, self.bind_addr = self.httpserver_from_self(self.httpserver)
        super().start()

    start.priority = ServerAdapter.start.priority  # type: ignore[attr-defined]  # the bus reads it

    @property
    def bound_addr(self) -> Any:
        """The address in use: that of a socket passed by a service manager, if there is one."""
        if self.running and getattr(self.httpserver, "activated", False):
            address = self.httpserver.bound_addresses[0]
            return tuple(address[:2]) if isinstance(address, tuple) else address
        return super().bound_addr

    @property
    def description(self) -> str:
        """Where the server is to be found, in words or as a URL."""
        if not getattr(self.httpserver, "activated", False):
            return super().description
        from kirsch.server.listeners import describe

        kirsch = self.httpserver.kirsch
        scheme = "https" if self.httpserver.ssl_adapter else "http"
        return ", ".join(describe(address, scheme) for address in kirsch.bound_addresses)

    def reload_tls(self) -> None:
        """Load certificates and keys anew; connections are not dropped.

        Changed files are found without it. Raises OSError or ValueError for what cannot be used;
        then what was in use stays.
        """
        if not self.httpserver:
            raise RuntimeError("The server has not been started.")
        self.httpserver.reload_tls()

    def base(self) -> str:
        """The URL of this server as a client on this machine writes it, without a final slash."""
        if self.socket_file:
            return self.socket_file
        bound = getattr(self, "bound_addr", None) if self.running else self.bind_addr
        host, port = bound[:2] if isinstance(bound, tuple) else ("127.0.0.1", 80)
        if host in EVERY_INTERFACE:
            from socket import gethostname

            host = gethostname()
        if ":" in host:
            host = f"[{host}]"
        scheme, usual = ("https", 443) if self.ssl_certificate or self.ssl_context else ("http", 80)
        return f"{scheme}://{host}" + ("" if port == usual else f":{port}")


# `server.<name>.<setting>` entries make servers of this class.
config.server_factory = Server


def _asgi_host(app: Any, script_name: str, lifespan: str) -> Any:
    """Return an ASGI application as a WSGI callable that follows the engine."""
    from .asgi.graft import GraftedASGI

    bus = site.engine
    graft = GraftedASGI(bus, app, script_name, lifespan)
    if bus.state in (bus.states.STARTING, bus.states.STARTED):
        graft.start()
    graft.subscribe()
    return graft


# `cherrypy.tree.graft_asgi` asks here.
tree.asgi_host = _asgi_host
