"""`cherryd`: the command line that starts the engine, its servers and the modules it is told of."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

import cherrypy
from cherrypy.process import plugins, servers

#: Gateway protocols in place of HTTP: option -> (adapter, word for messages).
FLUP = {
    "fastcgi": ("FlupFCGIServer", "FastCGI"),
    "scgi": ("FlupSCGIServer", "SCGI"),
    "cgi": ("FlupCGIServer", "CGI"),
}


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    words = argparse.ArgumentParser(
        prog=prog,
        description="Start a CherryPy site: read the configuration, import the modules that mount "
        "applications, start the engine and serve until told to stop.",
        epilog="example: cherryd -i myproject.site -c site.conf; "
        "python -m cherrypy doctor site.conf tells what is unsafe in a configuration; "
        "python -m cherrypy monitor run app.py runs a program watched",
    )
    add = words.add_argument
    add("-c", "--config", action="append", default=[], help="configuration file (may be repeated)")
    add("-d", dest="daemonize", action="store_true", help="run in the background as a daemon")
    add("-e", "--environment", help="apply this config environment (production, staging, ...)")
    add(
        "-i",
        "--import",
        action="append",
        dest="imports",
        default=[],
        metavar="MODULE",
        help="module to import, which mounts its application (may be repeated)",
    )
    add("-p", "--pidfile", help="write the process id to this file")
    add(
        "-P",
        "--Path",
        action="append",
        dest="paths",
        default=[],
        metavar="PATH",
        help="add this folder to sys.path (may be repeated)",
    )
    add("-f", dest="fastcgi", action="store_true", help="serve FastCGI instead of HTTP (flup)")
    add("-s", dest="scgi", action="store_true", help="serve SCGI instead of HTTP (flup)")
    add("-x", dest="cgi", action="store_true", help="answer one CGI request")
    add("--version", action="version", version=f"%(prog)s (CherryPy {cherrypy.__version__})")
    return words


def start(
    configfiles: list[str] | None = None,
    daemonize: bool = False,
    environment: str | None = None,
    fastcgi: bool = False,
    scgi: bool = False,
    pidfile: str | None = None,
    imports: list[str] | None = None,
    cgi: bool = False,
) -> None:
    """Subscribe what the options ask for, start the engine and block until it exits.

    Raises SystemExit, with what to tell the user, when the engine does not start.
    """
    sys.path = ["", *sys.path]
    gateway = _gateway(fastcgi=fastcgi, scgi=scgi, cgi=cgi)
    _import(imports or ())
    for filename in configfiles or ():
        _configure(filename)
    engine = cherrypy.engine
    if environment is not None:
        known = cherrypy.config.environments
        if environment not in known:
            raise SystemExit(f"No environment {environment!r}: there are {', '.join(known)}.")
        cherrypy.config.update({"environment": environment})
    if daemonize:
        # A daemon has no screen to write to.
        cherrypy.config.update({"log.screen": False})
        plugins.Daemonizer(engine).subscribe()
    if pidfile:
        plugins.PIDFile(engine, pidfile).subscribe()
    engine.signals.subscribe()
    if gateway is not None:
        _serve_flup(gateway)
    try:
        engine.start()
    except Exception as exc:
        # The engine has logged why, but perhaps nobody sees the log (environment production).
        raise SystemExit(f"The engine did not start: {exc}") from None
    if gateway == "FlupCGIServer":
        # A process for one request, which needs no thread of its own.
        servers.FlupCGIServer(application=cherrypy.tree).start()
        engine.exit()
    engine.block()


def _import(names: Iterable[str]) -> None:
    """Import the modules that mount applications. An error within one keeps its traceback."""
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name != name and not name.startswith(f"{exc.name}."):
                raise
            raise SystemExit(f"Cannot import {name!r}: {exc}") from None


def _configure(filename: str) -> None:
    """Read a configuration file, for the site and for what is mounted."""
    try:
        cherrypy.config.update(filename)
    except OSError as exc:
        raise SystemExit(f"Cannot read the configuration: {exc}") from None
    for app in cherrypy.tree.apps.values():
        if isinstance(app, cherrypy.Application):
            app.merge(filename)


def _gateway(**asked: bool) -> str | None:
    """Return the name of the flup adapter that was asked for, None for HTTP.

    Raises SystemExit when there is more than one, or no flup: before anything goes to the
    background, where nobody would hear of it.
    """
    names = [name for name, on in asked.items() if on]
    if len(names) > 1:
        cherrypy.log.error(
            "You may only specify one of the cgi, fastcgi, and scgi options.", "ENGINE"
        )
        raise SystemExit(1)
    if not names:
        return None
    kind, word = FLUP[names[0]]
    if kind != "FlupCGIServer" and find_spec("flup") is None:
        raise SystemExit(f"{word} needs the package flup, which is not here: pip install flup")
    return kind


def _serve_flup(kind: str) -> None:
    """Put a flup server in the HTTP server's place."""
    # Another server answers; ours, and reloading by exec under it, stay off.
    cherrypy.config.update({"engine.autoreload.on": False})
    cherrypy.server.unsubscribe()
    if kind == "FlupCGIServer":
        # The answer goes to the standard output: a log line there would be part of it.
        cherrypy.config.update({"log.screen": False})
        return
    address = cherrypy.server.bind_addr
    server = getattr(servers, kind)(application=cherrypy.tree, bindAddress=address)
    servers.ServerAdapter(cherrypy.engine, server, address).subscribe()


def run(argv: list[str] | None = None) -> None:
    """Read the command line and start. The entry point of `cherryd`."""
    options = parser().parse_args(argv)
    for path in reversed(options.paths):
        sys.path.insert(0, path)
    start(
        options.config,
        options.daemonize,
        options.environment,
        options.fastcgi,
        options.scgi,
        options.pidfile,
        options.imports,
        options.cgi,
    )
