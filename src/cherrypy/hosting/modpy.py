"""Hosting by Apache's mod_python: a request handler for it, and a server that starts Apache.

mod_python's objects are only touched through the request it hands over, so this module imports
everywhere. Directives: `PythonHandler cherrypy._cpmodpy::handler` and
`PythonOption cherrypy.setup mymodule::setup_server`.
"""

from __future__ import annotations

import io
import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kirsch.http.hosts import Host

from ..framework.errors import bare_error, format_exc
from ..framework.site import site

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Whether `setup` has run in this interpreter.
_isSetUp = False
#: Redirections inside the server follow one another when True, like browsers do.
recursive = False

#: mod_python's answers to Apache.
OK, HTTP_INTERNAL_SERVER_ERROR = 0, 500

#: How the bus's levels are called in Apache's log.
APACHE_LEVELS = ((40, "APLOG_ERR"), (30, "APLOG_WARNING"), (20, "APLOG_INFO"), (0, "APLOG_DEBUG"))


def setup(req: Any) -> None:
    """Run the functions named by `PythonOption cherrypy.setup`, and start the engine."""
    for option in (req.get_options().get("cherrypy.setup") or "").split():
        module, _, function = option.partition("::")
        loaded = import_module(module)
        if function:
            getattr(loaded, function)()
    site.config.update(
        {"log.screen": False, "tools.ignore_headers.on": True, "engine.autoreload.on": False}
    )
    engine = site.engine
    for plugin in ("signal_handler", "console_control_handler"):
        if hasattr(engine, plugin):
            getattr(engine, plugin).unsubscribe()
    # Apache answers the network; no server of ours may start.
    site.server.unsubscribe()
    _log_to_apache(req)
    engine.start()
    if hasattr(req.server, "register_cleanup"):
        req.server.register_cleanup(req, engine.exit)


def _log_to_apache(req: Any) -> None:
    try:
        apache = import_module("mod_python.apache")
    except ImportError:
        return

    def log(msg: str, level: int = 20) -> None:
        name = next(name for least, name in APACHE_LEVELS if level >= least)
        apache.log_error(msg, getattr(apache, name), req.server)

    site.engine.subscribe("log", log)


class _ReadOnlyRequest:
    """The part of mod_python's request that a body reader may use."""

    expose = ("read", "readline", "readlines")

    def __init__(self, req: Any) -> None:
        for method in self.expose:
            self.__dict__[method] = getattr(req, method)


def handler(req: Any) -> int:
    """Answer one mod_python request. Returns mod_python's status."""
    global _isSetUp
    try:
        if not _isSetUp:
            setup(req)
            _isSetUp = True
        local, remote = _hosts(req)
        scheme = req.parsed_uri[0] or "http"
        req.get_basic_auth_pw()
        mounted = site.tree.script_name(req.uri)
        application = None if mounted is None else site.tree.apps.get(mounted)
        if application is None:
            send_response(req, "404 Not Found", [], [b""])
            return OK
        _run(req, application, local, remote, scheme)
    except Exception:
        format_exc()
        status, headers, body = bare_error()
        send_response(req, status.decode("latin-1"), headers, body)
        site.log.error(msg="ENGINE", traceback=True)
    return OK


def _hosts(req: Any) -> tuple[Host, Host]:
    connection = req.connection
    local, remote = connection.local_addr, connection.remote_addr
    return (
        Host(local[0], local[1], getattr(connection, "local_host", None) or ""),
        Host(remote[0], remote[1], getattr(connection, "remote_host", None) or ""),
    )


def _run(req: Any, application: Any, local: Host, remote: Host, scheme: str) -> None:
    request, response = application.get_serving(local, remote, scheme, "HTTP/1.1")
    request.login = req.user
    request.multithread = request.multiprocess = True
    try:
        body: Any = (
            _ReadOnlyRequest(req) if req.method in ("POST", "PUT", "PATCH") else io.BytesIO()
        )
        protocol = f"HTTP/{req.proto_num // 1000}.{req.proto_num % 1000}"
        headers = list(req.headers_in.items())
        response = request.run(req.method, req.uri, req.args or "", protocol, headers, body)
        send_response(
            req,
            response.output_status.decode("latin-1"),
            response.header_list,
            response.body,
            response.stream,
        )
    finally:
        application.release_serving()


def send_response(
    req: Any,
    status: str,
    headers: Iterable[tuple[Any, Any]],
    body: Iterable[bytes],
    stream: bool = False,
) -> None:
    """Hand a response to Apache through mod_python's request."""
    req.status = int(status[:3])
    req.content_type = "text/plain"
    for name, value in headers:
        name, value = (x.decode("latin-1") if isinstance(x, bytes) else x for x in (name, value))
        if name.lower() == "content-type":
            req.content_type = value
            continue
        req.headers_out.add(name, value)
    if stream:
        req.flush()
    try:
        for chunk in [body] if isinstance(body, bytes) else body:
            req.write(chunk)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def popen(fullcmd: str) -> Any:
    """Start a command in a shell; return a pipe of its output and errors."""
    import subprocess

    process = subprocess.Popen(
        fullcmd,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        close_fds=True,
    )
    return process.stdout


def read_process(cmd: str, args: str = "") -> bytes:
    """Run a command and return what it prints.

    Raises OSError when the shell does not find the command.
    """
    import subprocess

    done = subprocess.run(
        f"{cmd} {args}",
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    first = done.stdout.partition(b"\n")[0]
    if re.search(rb"(not recognized|No such file|not found)", first, re.IGNORECASE):
        raise OSError(f"{cmd} must be on your system path.")
    return done.stdout


class ModPythonServer:
    """An HTTP server for `ServerAdapter` that is Apache with mod_python."""

    template = """
# Apache2 server configuration file for running CherryPy with mod_python.

DocumentRoot "/"
Listen {port}
LoadModule python_module modules/mod_python.so

<Location {loc}>
    SetHandler python-program
    PythonHandler {handler}
    PythonDebug On
{opts}
</Location>
"""

    def __init__(
        self,
        loc: str = "/",
        port: int = 80,
        opts: Iterable[tuple[str, str]] | None = None,
        apache_path: str = "apache",
        handler: str = "cherrypy._cpmodpy::handler",
    ) -> None:
        self.loc = loc
        self.port = port
        self.opts = opts
        self.apache_path = apache_path
        self.handler = handler
        self.ready = False

    def start(self) -> bytes:
        """Write Apache's configuration beside the main script and start Apache with it."""
        options = "".join(f"    PythonOption {name} {value}\n" for name, value in self.opts or ())
        text = self.template.format(
            port=self.port, loc=self.loc, opts=options, handler=self.handler
        )
        folder = os.path.dirname(os.path.abspath(getattr(sys.modules["__main__"], "__file__", "")))
        path = os.path.join(folder, "cpmodpy.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        response = read_process(self.apache_path, f"-k start -f {path}")
        self.ready = True
        return response

    def stop(self) -> None:
        """Stop Apache."""
        os.popen(f"{self.apache_path} -k stop")
        self.ready = False
