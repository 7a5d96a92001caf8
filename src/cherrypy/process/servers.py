"""Servers as plugins of the bus: started in a thread of their own, watched, and stopped with it.

Law: success is what the server says (``ready``), never a connection to oneself; a failure is
raised to whoever starts; nothing here waits without a limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("FlupCGIServer", "FlupFCGIServer", "FlupSCGIServer", "ServerAdapter", "Timeouts")


class Timeouts:
    """Seconds to wait for a port to be occupied or free. Kept for callers; nothing probes."""

    occupied = 5
    free = 1


class ServerAdapter:
    """Starts and stops one HTTP server with the bus.

    ``httpserver`` is any object whose ``start()`` serves until ``stop()`` is called by another
    thread, and whose ``ready`` is true from when it listens. ``bind_addr`` is ``(host, port)``,
    the path of a Unix socket, or None when only the server knows. Subclasses need not call
    ``__init__``: every attribute but ``bus`` has a default here.
    """

    bus: Bus
    httpserver: Any = None
    bind_addr: Any = None
    #: What ended the server's thread, if not ``stop()``.
    interrupt: BaseException | None = None
    running: bool = False
    #: Seconds within which a server has to become ready.
    start_timeout: float = 30.0
    #: Seconds for the server's thread to end after ``httpserver.stop()`` has returned.
    stop_timeout: float = 5.0

    _given_up = False  # stop() has come while start() was waiting
    _thread: threading.Thread | None = None
    _over: threading.Thread | None = None  # The last one that has ended; read without a lock.
    # The server's thread has it until it ends. No Event: the handler of a signal that ends the bus raises
    # through whoever waits, and only a wait in C bears that.
    _ended: Any = None

    def __init__(self, bus: Bus, httpserver: Any = None, bind_addr: Any = None) -> None:
        self.bus = bus
        self.httpserver = httpserver
        self.bind_addr = bind_addr
        self.interrupt = None
        self.running = False

    def subscribe(self) -> None:
        """Start and stop with the bus."""
        self.bus.subscribe("start", self.start)
        self.bus.subscribe("stop", self.stop)

    def unsubscribe(self) -> None:
        """Leave the server alone when the bus starts and stops."""
        self.bus.unsubscribe("start", self.start)
        self.bus.unsubscribe("stop", self.stop)

    def start(self) -> None:
        """Start serving; return when the server is ready, or when `stop()` has come meanwhile.

        Raises what the server raised (an OSError names the address), ValueError without a
        server, TimeoutError when it does not become ready within ``start_timeout``.
        """
        if self.running:
            self.bus.log(f"Already serving on {self.description}")
            return
        self.interrupt = None
        self._given_up = False
        if not self.httpserver:
            raise ValueError("No HTTP server has been created.")
        self._ended = threading.Lock()
        self._ended.acquire()
        thread = threading.Thread(target=self._start_http_thread)
        thread.name = f"HTTPServer {thread.name}"
        self._thread = thread
        thread.start()
        try:
            self.wait()
        except TimeoutError:
            self._given_up = True
            self.httpserver.stop()
            raise
        if self._given_up:
            return
        self.running = True
        if self.interrupt is not None:  # It died in this very moment.
            self.running = False
            raise self._named(self.interrupt)
        self.bus.log(f"Serving on {self.description}")

    # After what changes the process (65, 70), before rights are dropped (77).
    start.priority = 75  # type: ignore[attr-defined] # read by Bus.subscribe

    @property
    def description(self) -> str:
        """Where the server is to be found, in words or as a URL."""
        if self.bind_addr is None:
            return "unknown interface (dynamic?)"
        if isinstance(self.bind_addr, (tuple, list)):
            return self._get_base()
        return f"socket file: {self.bind_addr}"

    def _get_base(self) -> str:
        """Return the URL of the server's root, without a slash at the end."""
        if not self.httpserver:
            return ""
        host, port = self.bound_addr[:2]
        secure = bool(getattr(self.httpserver, "ssl_adapter", None))
        scheme, default = ("https", 443) if secure else ("http", 80)
        if ":" in host:
            host = f"[{host}]"
        return f"{scheme}://{host}" + ("" if port == default else f":{port}")

    def _start_http_thread(self) -> None:
        """Run the server; what ends it ends the bus, or the start that is waiting for it."""
        ended, server = self._ended, self.httpserver
        try:
            try:
                server.start()
            except KeyboardInterrupt as exc:
                self._interrupted(exc, "<Ctrl-C> hit: shutting down HTTP server")
            except SystemExit as exc:
                self._interrupted(exc, "SystemExit raised: shutting down HTTP server")
            except BaseException as exc:
                self._interrupted(exc, "Error in HTTP server: shutting down")
        finally:
            self._over = threading.current_thread()
            if ended is not None:
                ended.release()

    def _interrupted(self, exc: BaseException, message: str) -> None:
        self.interrupt = exc
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            self.bus.log(message)
        else:
            self.bus.log(message, traceback=True, level=40)
        if self.running:  # Else start() raises it, and the bus undoes its start.
            self.bus.exit()

    def wait(self) -> None:
        """Wait until the server is ready; raise what has kept it from that."""
        deadline = time.monotonic() + self.start_timeout
        pause = 0.001
        ended = self._ended
        while not getattr(self.httpserver, "ready", False):
            over = ended is not None and not ended.locked()
            if self.interrupt is not None:
                raise self._named(self.interrupt)
            if getattr(self.httpserver, "ready", False):
                return
            if over and self._given_up:
                return
            if over:
                raise RuntimeError(f"The HTTP server on {self._address()} ended at once.")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"The HTTP server on {self._address()} was not ready within "
                    f"{self.start_timeout:g} s."
                )
            if ended is None:
                time.sleep(pause)
            elif ended.acquire(timeout=pause):
                ended.release()
            pause = min(pause * 2, 0.05)

    def _address(self) -> str:
        address = self.bind_addr
        if isinstance(address, (tuple, list)):
            host, port = address[:2]
            return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
        return str(address)

    def _named(self, exc: BaseException) -> BaseException:
        """Return ``exc``, with the address in its text when it is a socket's error."""
        if not isinstance(exc, OSError) or self.bind_addr is None:
            return exc
        parts = self.bind_addr if isinstance(self.bind_addr, (tuple, list)) else [self.bind_addr]
        if all(str(part) in str(exc) for part in parts[:2]):
            return exc
        text = f"{exc.strerror or exc}: {self._address()}"
        named = OSError(exc.errno, text) if exc.errno is not None else type(exc)(text)
        named.__cause__ = exc
        return named

    @property
    def bound_addr(self) -> Any:
        """The address in use: ``bind_addr``, with the system's port for port 0 while running."""
        address = self.bind_addr
        if not isinstance(address, (tuple, list)) or address[1] != 0:
            return address
        server = self.httpserver
        if server is None:
            return address
        try:
            found = server.socket.getsockname()
        except (AttributeError, OSError):  # None, or closed.
            addresses = getattr(server, "bound_addresses", None) if self.running else None
            found = addresses[0] if addresses else address
        if not isinstance(found, (tuple, list)) or not found[1]:
            return address
        return tuple(found[:2])

    def stop(self) -> None:
        """Stop serving and wait for the server's thread, within limits."""
        if not self.running:
            if self._thread is not None and not self._given_up:
                self._give_up()
            else:
                self.bus.log(f"HTTP Server {self.httpserver} already shut down")
            return
        # In the calling thread on purpose: a server that is stopped by one of its own workers
        # (an "/exit" page) must see that and not wait for it.
        self.httpserver.stop()
        self.running = False
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(self.stop_timeout)
            if thread.is_alive():
                self.bus.log(
                    f"Thread {thread.name!r} did not end within {self.stop_timeout:g} s after "
                    "its server was stopped.",
                    level=30,
                )
        self.bus.log(f"HTTP Server {self.httpserver} shut down")

    def _give_up(self) -> None:
        """End a server that is starting: a signal has interrupted `start()`, or another thread stops the bus."""
        self._given_up = True
        thread, self._thread = self._thread, None
        assert thread is not None
        if self._over is thread:
            self.bus.log(f"HTTP Server {self.httpserver} already shut down")
            return
        failure = None
        deadline = time.monotonic() + self.stop_timeout
        unborn = time.monotonic() + 1.0
        while True:
            # Again and again: a server that does not listen yet may not notice, or forget it when it does.
            try:
                self.httpserver.stop()
            except Exception as exc:
                failure = exc
            # Not by the event: the signal may have come to who has its lock.
            time.sleep(0.02)
            now = time.monotonic()
            if self._over is thread or now > deadline or (thread.ident is None and now > unborn):
                break
        if self._over is thread:
            self.bus.log(f"HTTP Server {self.httpserver} shut down before it had started")
        elif thread.ident is not None:
            self.bus.log(
                f"Thread {thread.name!r} did not end within {self.stop_timeout:g} s after "
                "its server was stopped while it started.",
                level=30,
            )
            if failure is not None:
                raise failure

    # Before everything else stops (50): requests in flight may need the rest.
    stop.priority = 25  # type: ignore[attr-defined] # read by Bus.subscribe

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()


class _FlupServer:
    """A server of the flup package, for web servers that speak an older protocol."""

    _module = ""
    _attribute = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.ready = False

    def _make(self) -> Any:
        from importlib import import_module

        server = import_module(f"flup.server.{self._module}").WSGIServer(*self.args, **self.kwargs)
        setattr(self, self._attribute, server)
        return server


class _FlupThreaded(_FlupServer):
    _gateway: Any = None

    #: Seconds for requests that are being answered at the stop.
    shutdown_timeout = 5.0

    def start(self) -> None:
        """Serve until :meth:`stop`."""
        from .gateways import Gateway

        self._gateway = gateway = Gateway(self._make(), self._bound)
        try:
            gateway.run()
        finally:
            self.ready = False

    def _bound(self) -> None:
        self.ready = True

    def stop(self) -> None:
        """End: idle connections at once, requests that are being answered within their time."""
        self.ready = False
        gateway = self._gateway
        if gateway is not None:
            gateway.patience = self.shutdown_timeout
            gateway.end()


class FlupCGIServer:
    """One CGI request, answered in this process, and the end. The arguments are those of flup's
    `cgi.WSGIServer`: the application.

    The standard library's handler does it: flup's writes bytes to a text stream.
    """

    cgiserver: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.ready = False

    def start(self) -> None:
        """Answer the request that environment and standard input are of, on standard output."""
        from wsgiref.handlers import CGIHandler

        application = self.args[0] if self.args else self.kwargs["application"]
        self.cgiserver = CGIHandler()
        self.ready = True
        self.cgiserver.run(application)

    def stop(self) -> None:
        """Nothing is left to stop."""
        self.ready = False


class FlupFCGIServer(_FlupThreaded):
    """Adapter for ``flup.server.fcgi.WSGIServer``."""

    _module = "fcgi"
    _attribute = "fcgiserver"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import socket

        if kwargs.get("bindAddress") is None and not hasattr(socket, "fromfd"):
            raise ValueError(
                "Dynamic FCGI server not available on this platform. You must use a static or "
                "external one by providing a legal bindAddress."
            )
        super().__init__(*args, **kwargs)


class FlupSCGIServer(_FlupThreaded):
    """Adapter for ``flup.server.scgi.WSGIServer``."""

    _module = "scgi"
    _attribute = "scgiserver"


@contextlib.contextmanager
def _safe_wait(host: str, port: int) -> Iterator[None]:
    """Turn a time-out while waiting for a wildcard address into a warning.

    For callers that probe ports themselves: a server on every interface need not be reachable
    on the one that was probed.
    """
    try:
        yield
    except OSError as exc:
        timed_out = isinstance(exc, TimeoutError) or exc.errno is None
        if not timed_out or host not in ("", "0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0"):
            raise
        warnings.warn(f"Unable to verify that the server is bound on {port!r}", stacklevel=3)


#: Of CherryPy before 10.0.
_PORT_HELPERS = frozenset(
    ("check_port", "client_host", "wait_for_free_port", "wait_for_occupied_port")
)


def __getattr__(name: str) -> Any:
    if name not in _PORT_HELPERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cherrypy.process import ports

    warnings.warn(
        f"cherrypy.process.servers.{name} is of CherryPy before 10: a started server has bound its "
        "port, without probes.",
        DeprecationWarning,
        stacklevel=2,
    )
    globals()[name] = found = getattr(ports, name)
    return found
