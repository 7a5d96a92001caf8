"""Test cases that start an application on a real server: ``CPWebCase``, and ``CPProcess``.

These are user-side helpers: like any application, they import the front door.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import time
import unittest
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn

import cherrypy
from cherrypy.lib import httputil, reprconf
from cherrypy.test import webtest

log = logging.getLogger(__name__)
thisdir = os.path.abspath(os.path.dirname(__file__))
serverpem = os.path.join(thisdir, "test.pem")

DEFAULT_PORT = 54583


class Supervisor:
    """Starts and stops a server for tests; every keyword becomes an attribute."""

    using_apache = False
    using_wsgi = False

    def __init__(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            # Not Supervisor.__setattr__: subclasses have properties of these names.
            setattr(self, name, value)


class LocalSupervisor(Supervisor):
    """A server in this process, run by ``cherrypy.engine``."""

    httpserver_class: str = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cherrypy.server.httpserver = self.httpserver_class
        self._handlers: list[Any] = []
        self._handle_signals()

    def _handle_signals(self) -> None:
        # A page that hangs has to be stoppable from the keyboard.
        for name in ("signal_handler", "console_control_handler"):
            handler = getattr(cherrypy.engine, name, None)
            # Who handles them already goes on doing so after us.
            if handler is not None and not getattr(handler, "_previous_handlers", None):
                handler.subscribe()
                self._handlers.append(handler)

    def start(self, modulename: str | None = None) -> None:
        """Start the engine and with it the server.

        :param modulename: the module of the tests; the server is then made anew from its class.
        """
        if modulename:
            make = reprconf.attributes(self.httpserver_class)
            cherrypy.server.httpserver = make(cherrypy.server)
        self._handle_signals()
        cherrypy.engine.start()
        self.sync_apps()

    def sync_apps(self) -> None:
        """Tell the server about applications mounted since it started."""

    def stop(self) -> None:
        """Stop the engine; forget the servers that tests have added, and leave signals as they were."""
        try:
            cherrypy.engine.exit()
        finally:
            while self._handlers:
                self._handlers.pop().unsubscribe()
        servers = getattr(cherrypy, "servers", {})
        for name, server in list(servers.items()):
            server.unsubscribe()
            del servers[name]


class NativeServerSupervisor(LocalSupervisor):
    """The server without WSGI."""

    httpserver_class = "cherrypy._cpnative_server.CPHTTPServer"

    def __str__(self) -> str:
        return f"Builtin HTTP Server on {self.host}:{self.port}"  # type: ignore[attr-defined]  # the supervisor that has these is another class


class LocalWSGISupervisor(LocalSupervisor):
    """The WSGI server."""

    httpserver_class = "cherrypy._cpwsgi_server.CPWSGIServer"
    using_wsgi = True
    validate = False
    conquer = False

    def __str__(self) -> str:
        return f"Builtin WSGI Server on {self.host}:{self.port}"  # type: ignore[attr-defined]  # the supervisor that has these is another class

    def sync_apps(self) -> None:
        """Have the server call the tree of now, which tests rebind."""
        cherrypy.server.httpserver.wsgi_app = self.get_app()

    def get_app(self, app: Any = None) -> Any:
        """The application to serve, checked by ``wsgiref.validate`` if asked."""
        if app is None:
            app = cherrypy.tree
        if self.validate:
            from wsgiref import validate

            app = validate.validator(app)
        return app


def get_wsgi_u_supervisor(**options: Any) -> LocalWSGISupervisor:
    """The WSGI server, with the environ of WSGI 'u.0'."""
    cherrypy.server.wsgi_version = ("u", 0)
    return LocalWSGISupervisor(**options)


def _under_pytest() -> bool:
    # The variable alone would be inherited by a test run in a child process.
    return "_pytest" in sys.modules and "PYTEST_CURRENT_TEST" in os.environ


class CPWebCase(webtest.WebCase):
    """Define ``setup_server`` as a class or static method that mounts the applications.

    They are served while the tests of the class run, on ``HOST`` and ``PORT``.
    """

    PORT: int = DEFAULT_PORT
    script_name: str = ""
    scheme: str = "http"
    available_servers: ClassVar[dict[str, Any]] = {
        "wsgi": LocalWSGISupervisor,
        "wsgi_u": get_wsgi_u_supervisor,
        "native": NativeServerSupervisor,
    }
    default_server: str = "wsgi"
    do_gc_test: bool = False
    date_tolerance: int = 2  # seconds
    supervisor: Any = None
    _started: bool = False

    @classmethod
    def _setup_server(cls, supervisor: Any, conf: dict[str, Any]) -> Any:
        """Configure the process for a test run on this server."""
        config: dict[str, Any] = {
            "server.socket_host": cls.HOST,
            "server.socket_port": cls.PORT,
            "server.protocol_version": cls.PROTOCOL,
            "environment": "test_suite",
        }
        config.update(conf)
        if cls.scheme == "https":
            config["server.ssl_certificate"] = serverpem
            config["server.ssl_private_key"] = serverpem
        cherrypy.server.using_apache = supervisor.using_apache
        cherrypy.server.using_wsgi = supervisor.using_wsgi
        cherrypy.config.update(config)
        return supervisor

    @classmethod
    def setup_class(cls) -> None:
        """Mount the applications of ``setup_server`` and start the server."""
        if cls.__dict__.get("_started"):
            return
        cherrypy.config.reset()
        factory = cls.available_servers[cls.default_server]
        supervisor = factory(scheme=cls.scheme, protocol=cls.PROTOCOL, host=cls.HOST, port=cls.PORT)
        cls._setup_server(supervisor, {})
        # A response time that a test sets must not reach the next class.
        cherrypy.engine.log(f"Testing {cls.__module__}.{cls.__name__}")
        setup_server = getattr(cls, "setup_server", None)
        if setup_server is None:
            return
        cherrypy.tree = cherrypy._cptree.Tree()
        setup_server()
        _mount_garbage_page()
        cls.supervisor = supervisor
        supervisor.start(cls.__module__)
        cls._started = True

    @classmethod
    def teardown_class(cls) -> None:
        """Stop the server."""
        if cls.__dict__.get("_started"):
            cls._started = False
            cls.supervisor.stop()

    @classmethod
    def setUpClass(cls) -> None:
        """As :meth:`setup_class`, for runners other than pytest, which calls that itself."""
        super().setUpClass()
        if not _under_pytest():
            cls.setup_class()

    @classmethod
    def tearDownClass(cls) -> None:
        if not _under_pytest():
            cls.teardown_class()
        super().tearDownClass()

    def test_gc(self) -> None:
        """Look at the garbage page, when ``do_gc_test`` is set; leaks are a hint, no failure."""
        if not self.do_gc_test:
            return
        self.getPage("/gc/stats")
        self.assertStatus(200)

    def prefix(self) -> str:
        """``script_name`` without its slash."""
        return self.script_name.rstrip("/")

    def base(self) -> str:
        """What absolute URLs of the application begin with."""
        default = 443 if self.scheme == "https" else 80
        port = "" if default == self.PORT else f":{self.PORT}"
        return f"{self.scheme}://{self.HOST}{port}{self.prefix()}"

    def exit(self) -> NoReturn:
        """End the whole test run."""
        sys.exit()

    def getPage(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        """As ``WebCase.getPage``, below ``script_name``."""
        if self.script_name:
            url = httputil.urljoin(self.script_name, url)
        return super().getPage(url, *args, **kwargs)

    def skip(self, msg: str = "skipped ") -> NoReturn:
        """Skip this test."""
        raise unittest.SkipTest(msg)

    def assertErrorPage(
        self, status: str | int, message: str | None = None, pattern: str | None = ""
    ) -> None:
        """Fail unless the body is the built-in error page.

        :param pattern: a regular expression to be found in the traceback of the page; None
            when there must be no traceback.
        """
        page = cherrypy._cperror.get_error_page(status, message=message)
        empty = re.escape(b'<pre id="traceback"></pre>')
        filled = re.escape(b'<pre id="traceback">') + b"(.*)" + re.escape(b"</pre>")
        match = re.match(re.escape(page).replace(empty, filled), self.body or b"", re.DOTALL)
        if not match:
            shown = page.decode("utf-8", "replace")
            self._handlewebError(f"Error page does not match; expected:\n{shown}")
            return
        traceback = match.group(1) if match.groups() else b""
        if pattern is None:
            if traceback:
                self._handlewebError("Error page contains traceback")
        elif not re.search(re.escape(self._bytes(pattern)), traceback):
            self._handlewebError(f"Error page does not contain {pattern!r} in traceback")

    def assertEqualDates(self, dt1: datetime, dt2: datetime, seconds: float | None = None) -> None:
        """Fail unless the two are within ``seconds`` of each other."""
        limit = self.date_tolerance if seconds is None else seconds
        if abs(dt1 - dt2) > timedelta(seconds=limit):
            raise AssertionError(f"{dt1!r} and {dt2!r} are not within {limit!r} seconds.")


def _mount_garbage_page() -> None:
    try:
        from cherrypy.lib import gctools
    except ImportError:  # an installation without the diagnostics
        return
    cherrypy.tree.mount(gctools.GCRoot(), "/gc")


def setup_client() -> None:
    """Nothing to do any more: the client reads its address from the test class."""


def log_to_stderr(msg: str, level: int) -> None:
    """A listener for the bus channel ``log``."""
    sys.stderr.write(msg + os.linesep)


class CPProcess:
    """A ``python -m cherrypy`` in a process of its own.

    :param wait: ``start`` waits for the process to end, and sets ``exit_code``.
    :param daemonize: have it detach itself.
    """

    _base = os.path.join(tempfile.gettempdir(), f"cherrypy-test-{os.getpid()}")
    pid_file: str = _base + ".pid"
    config_file: str = _base + ".conf"
    error_log: str = _base + ".error.log"
    access_log: str = _base + ".access.log"
    #: What the process is configured with; subclasses may have another with the same fields.
    config_template: str = "\n".join(
        (
            "[global]",
            "log.access_file: r'%(access_log)s'",
            "log.error_file: r'%(error_log)s'",
            "log.screen: False",
            "checker.on: False",
            "server.socket_port: %(port)s",
            "server.socket_host: '%(host)s'",
            "%(ssl)s",
            "%(extra)s",
            "",
        )
    )
    patience: float = 10  # seconds

    def __init__(
        self,
        wait: bool = False,
        daemonize: bool = False,
        ssl: bool = False,
        socket_host: str | None = None,
        socket_port: int | None = None,
    ) -> None:
        self.wait = wait
        self.daemonize = daemonize
        self.ssl = ssl
        self.host: str = socket_host or cherrypy.server.socket_host or "127.0.0.1"
        self.port: int = socket_port or int(cherrypy.server.socket_port or DEFAULT_PORT)
        self.exit_code: int | None = None
        self._proc: Any = None

    def write_conf(self, extra: str = "") -> None:
        """Write the configuration file; ``extra`` are further lines of it."""
        ssl = ""
        if self.ssl:
            ssl = f"server.ssl_certificate: r'{serverpem}'\nserver.ssl_private_key: r'{serverpem}'"
        text = self.config_template % {
            "host": self.host,
            "port": self.port,
            "error_log": self.error_log,
            "access_log": self.access_log,
            "ssl": ssl,
            "extra": extra,
        }
        with open(self.config_file, "w", encoding="utf-8") as conf:
            conf.write(text)

    def start(self, imports: str | list[str] | None = None) -> None:
        """Start the process; return when it listens, or (``wait``) has ended.

        :param imports: modules for it to import.
        :raises RuntimeError: when the port is taken, or nothing listens within ``patience``.
        """
        import subprocess

        if self._listening():
            raise RuntimeError(f"{self.host}:{self.port} is in use")
        args = [sys.executable, "-m", "cherrypy", "-c", self.config_file, "-p", self.pid_file]
        for name in [imports] if isinstance(imports, str) else imports or ():
            args += ["-i", name]
        if self.daemonize:
            args.append("-d")
        root = os.path.dirname(os.path.dirname(thisdir))
        paths = [os.path.dirname(root), root, os.getcwd(), os.environ.get("PYTHONPATH", "")]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}
        before = self._starts()
        self._proc = subprocess.Popen(args, env=env)
        if self.wait or self.daemonize:
            self.exit_code = self._proc.wait()
        if not self.wait:
            self._until_listening(before)

    def _starts(self) -> int:
        """How often the log says that the engine has started."""
        try:
            with open(self.error_log, encoding="utf-8", errors="replace") as log_file:
                return log_file.read().count("Bus STARTED")
        except OSError:
            return 0

    def _listening(self) -> bool:
        import socket

        try:
            with socket.create_connection((webtest.interface(self.host), self.port), 1):
                return True
        except OSError:
            return False

    def _until_listening(self, before: int) -> None:
        # Listening is not enough: a signal to an engine that is still starting is an error.
        deadline = time.monotonic() + self.patience
        while not (self._listening() and self._starts() > before):
            ended = not self.daemonize and self._proc.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"nothing listens on {self.host}:{self.port}")
            time.sleep(0.05)

    def get_pid(self) -> int:
        """The process id, from the file when it has detached itself."""
        if not self.daemonize:
            return int(self._proc.pid)
        with open(self.pid_file, encoding="ascii") as pid:
            return int(pid.read())

    def join(self) -> None:
        """Wait for the process to end."""
        if self.daemonize:
            self._join_daemon()
        else:
            self._proc.wait()

    def _join_daemon(self) -> None:
        try:
            pid = self.get_pid()
            while True:
                os.kill(pid, 0)
                time.sleep(0.05)
        except (OSError, ValueError):
            return
