"""The object in `cherrypy.server.httpserver`: a kirsch server with the members that embedding
programs read and write on it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from kirsch.server.server import Server as Kirsch

from ..framework.site import site
from ..framework.timeouts import TimeoutMonitor
from .activation import binds_of
from .ssladapter import SSLAdapter, tls_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from kirsch.server.pool import Pool

    from .adapter import Server

#: A head "without limit" is still refused beyond this many bytes.
HEAD_CEILING = 16 * 1024 * 1024

#: Setting of `cherrypy.server` -> setting of kirsch. Followed while the server runs.
FOLLOWED = {
    "accepted_queue_timeout": "queue_timeout",
    "max_request_body_size": "max_body",
    "shutdown_timeout": "shutdown_timeout",
    "socket_timeout": "keep_alive_timeout",
    "thread_pool": "threads",
    "thread_pool_max": "threads_max",
}


def settings_of(adapter: Server) -> dict[str, Any]:
    """Return the kirsch settings for those of `cherrypy.server`."""
    head = min(adapter.max_request_header_size or HEAD_CEILING, HEAD_CEILING)
    settings: dict[str, Any] = {
        "backlog": adapter.socket_queue_size,
        "head_timeout": adapter.socket_timeout,
        "max_head": head,
        "max_request_line": head,  # one line may be the whole head, as it always could
        "nodelay": adapter.nodelay,
        "protocol": adapter.protocol_version,
        "proxy_protocol": adapter.proxy_protocol,
        "server_name": HTTPServer.version,  # as the framework says of itself
        "socket_mode": adapter.socket_mode,
        "thread_stopped": _thread_stopped,
    }
    for name, setting in FOLLOWED.items():
        settings[setting] = getattr(adapter, name)
    settings.update(tls_settings(adapter))
    if adapter.accepted_queue_size >= 0:
        settings["queue_size"] = adapter.accepted_queue_size
    return settings


def _thread_stopped(thread: object) -> None:
    # Runs in the thread that ends: what it acquired, 'stop_thread' listeners give back.
    site.engine.publish("release_thread")


def _setting(name: str, doc: str) -> Any:
    """Return a property that is the setting `name` of the kirsch server."""

    def get(self: HTTPServer) -> Any:
        return getattr(self.kirsch.settings, name)

    def put(self: HTTPServer, value: Any) -> None:
        self._set(name, value)

    return property(get, put, doc=doc)


def _take(ident: int, wanted: Callable[[Any], bool]) -> Any:
    """Take the connection of a handler that takes too long, for the timeout monitor."""
    from kirsch.server.takeover import cut_stream, find_worker, take_over

    worker = find_worker(ident)
    if worker is None:
        return None  # another server's thread
    taken = take_over(worker, wanted)
    if taken is not None:
        return taken.answer
    return cut_stream(worker, wanted) or None


TimeoutMonitor.take = staticmethod(_take)


def port_number(port: Any) -> int:
    """Return a TCP port, which may be text, as a number. Raises ValueError when it is none.

    The system would take 99999 for 34463.
    """
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port[:6])
    if type(port) is not int or not 0 <= port <= 65535:
        raise ValueError(f"server.socket_port must be a number from 0 to 65535, not {port!r}.")
    return port


class HTTPServer:
    """One kirsch server, started and stopped by a `ServerAdapter`.

    server_adapter
        The settings, such as `cherrypy.server`. Raises ValueError when they name no address, and
        OSError or ValueError for certificates that cannot be used.
    gateway
        What answers in place of WSGI.
    """

    version: str = "CherryPy/18.10.0"

    def __init__(
        self,
        server_adapter: Server,
        *,
        app: Any = None,
        gateway: Callable[..., Any] | None = None,
    ) -> None:
        address = server_adapter.bind_addr
        if address is None:
            raise ValueError(
                "The server has no address: set server.socket_host and server.socket_port, "
                "or server.socket_file."
            )
        if not isinstance(address, str):
            address = (address[0], port_number(address[1]))
        self.server_adapter = server_adapter
        self.bind_addr = address
        self.stats: dict[str, Any] = {"Enabled": server_adapter.statistics}
        bind = binds_of(server_adapter, address)
        self.activated = isinstance(bind, list)  # a service manager has opened the sockets
        self.kirsch = Kirsch(bind, app, gateway=gateway, **settings_of(server_adapter))
        self.kirsch.settings.log = self._log
        self._ssl_adapter = SSLAdapter(self.kirsch)
        if self.kirsch.settings.wants_tls:
            self.kirsch.load_tls()  # who starts us is told what is wrong, and no thread

    def _log(self, msg: str, level: int = 20, traceback: bool = False) -> None:
        # The adapter says on the bus what it serves and when it has stopped.
        if level > 20:
            self.error_log(msg, level, traceback)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Write to the bus's log."""
        site.engine.log(msg, level, traceback)

    def follow(self, name: str, value: Any) -> None:
        """Take over a setting of the adapter that changes while this server exists."""
        setting = FOLLOWED.get(name)
        if setting is not None:
            self._set(setting, value)

    def _set(self, name: str, value: Any) -> None:
        setattr(self.kirsch.settings, name, value)
        for group in self.kirsch.groups:
            group.suffix_until = 0.0  # what is kept a second for speed holds no longer

    # -- life ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Bind and listen. Raises OSError that names the address."""
        self.kirsch.bind()

    def start(self) -> None:
        """Serve until `stop()`; raises what `interrupt` was set to."""
        if not self.stats["Enabled"]:
            self.kirsch.serve()
            return
        from . import statistics

        # The title by which programs find it among others.
        title = f"Kirsch HTTPServer {id(self)}"
        self.stats = statistics.table_of(self.kirsch)
        statistics.show(title, self.stats)
        try:
            self.kirsch.serve()
        finally:
            statistics.hide(title)

    serve = safe_start = start

    def stop(self) -> None:
        """Stop accepting, let requests in flight finish within `shutdown_timeout`, close."""
        self.kirsch.stop()

    def answers(self, timeout: float = 1.0) -> bool:
        """Whether requests are taken up, by their worker or with 503, within `timeout` seconds."""
        return self.kirsch.answers(timeout)

    @property
    def ready(self) -> bool:
        """Whether it listens and serves."""
        return self.kirsch.ready

    @property
    def interrupt(self) -> Any:
        """Assign an exception (or its class): the server stops and `start()` raises it."""
        return self.kirsch.interrupt

    @interrupt.setter
    def interrupt(self, error: Any) -> None:
        self.kirsch.interrupt = error

    def reload_tls(self) -> None:
        """Load certificates anew, as `cherrypy.server` names them now; no connection is dropped."""
        for name, value in tls_settings(self.server_adapter).items():
            setattr(self.kirsch.settings, name, value)
        self.kirsch.reload_tls()

    @property
    def ssl_adapter(self) -> Any:
        """What is known of TLS: `certificate`, `private_key`, `context`; None without TLS."""
        return self._ssl_adapter if self.kirsch.settings.wants_tls else None

    @ssl_adapter.setter
    def ssl_adapter(self, adapter: Any) -> None:
        self._ssl_adapter.take_over(adapter)

    # -- members ---------------------------------------------------------------------------

    @property
    def requests(self) -> Pool:
        """The threads: `min`, `max`, `idle`, `qsize`, `grow()`, `shrink()`."""
        return self.kirsch.pool

    @property
    def socket(self) -> socket.socket | None:
        """The listening socket, None while stopped."""
        listeners = self.kirsch.listeners
        return listeners[0].sock if listeners else None

    @property
    def bound_addresses(self) -> list[Any]:
        """What is bound, with the ports the system chose."""
        return self.kirsch.bound_addresses

    @property
    def server_name(self) -> str:
        """The host that is bound."""
        address = self.bind_addr
        return socket.gethostname() if isinstance(address, str) else address[0]

    timeout = _setting("keep_alive_timeout", "Seconds a connection may be idle.")
    shutdown_timeout = _setting("shutdown_timeout", "Seconds for requests in flight at stop.")
    numthreads = minthreads = _setting("threads", "Threads that are always there.")
    maxthreads = _setting("threads_max", "Threads the pool may grow to; None or -1: 256.")
    request_queue_size = _setting("backlog", "The listen backlog.")
    max_request_body_size = _setting("max_body", "Bytes of a request's body; 0: no limit.")
    max_request_header_size = _setting("max_head", "Bytes of a request's head.")
    nodelay = _setting("nodelay", "Send small answers at once.")
    protocol = _setting("protocol", "The highest protocol version to answer with.")
