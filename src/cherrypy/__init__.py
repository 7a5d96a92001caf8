"""CherryPy: the object-oriented web framework, standing on the `kirsch` server.

This is the front door. It shows every public name from the room that makes it and holds no
logic but `quickstart`. Its namespace *is* that of the one `site` object, so rebinding
`cherrypy.log` or `cherrypy.tree` here is what every room sees (docs/architecture.md).
It stays a plain module: a module `__getattr__` would make each `cherrypy.request` slower.
"""

from __future__ import annotations

from os import environ as _environ
from typing import TYPE_CHECKING, Any

from . import process
from .framework import body as _body  # noqa: F401 - old names are reached through the package
from .framework import compat as _compat  # noqa: F401 - likewise
from .framework import dispatch, wsgi
from .framework.application import Application
from .framework.config import LateEntries as _LateEntries
from .framework.config import late_plugins as _late_plugins
from .framework.errors import (
    CherryPyException,
    HTTPError,
    HTTPRedirect,
    InternalRedirect,
    NotFound,
    TimeoutError,  # noqa: A004 - the historical name
)
from .framework.helpers import expose, popargs, url
from .framework.serving import request, response, serving, thread_data
from .framework.site import site
from .framework.timeouts import TimeoutMonitor as _TimeoutMonitor  # noqa: F401 - an old name
from .framework.tools import Tool
from .hosting.adapter import Server as _Server
from .lib import toolbox as _toolbox  # noqa: F401 - registers the default tools

if TYPE_CHECKING:
    from types import ModuleType

    from .framework.checker import Checker
    from .framework.config import Config
    from .framework.tools import Toolbox
    from .framework.tree import Tree
    from .framework.wiring import GlobalLogManager

    checker: Checker
    config: Config
    engine: Any  # the Bus, with its plugins as attributes
    log: GlobalLogManager
    server: _Server
    tools: Toolbox
    tree: Tree
    session: Any  # appears when the sessions tool first runs
    servers: dict[str, _Server]  # made by `server.<name>.<setting>` entries
    _cpconfig: ModuleType
    _cperror: ModuleType
    _cplogging: ModuleType
    _cpreqbody: ModuleType
    _cprequest: ModuleType
    _cptools: ModuleType
    _cptree: ModuleType
    _cpwsgi: ModuleType

# The level of compatibility: what applications compare. The distribution's own version is
# `kirsch.__version__`.
__version__ = "18.10.0"

__all__ = (
    "Application",
    "CherryPyException",
    "HTTPError",
    "HTTPRedirect",
    "InternalRedirect",
    "NotFound",
    "TimeoutError",
    "Tool",
    "config",
    "dispatch",
    "engine",
    "expose",
    "log",
    "popargs",
    "process",
    "quickstart",
    "request",
    "response",
    "server",
    "serving",
    "thread_data",
    "tools",
    "tree",
    "url",
    "wsgi",
)

site.servers = {}
site.server = _Server()
site.server.subscribe()


def _websocket() -> Tool:
    from .websocket.tool import WebSocketTool

    return WebSocketTool()


def _relay(engine: Any) -> Any:
    from .websocket.relay import Relay

    relay = Relay(engine)
    relay.subscribe()
    return relay


def _systemd(engine: Any) -> Any:
    plugin = process.plugins.Systemd(engine)
    plugin.subscribe()
    return plugin


def _monitor(engine: Any) -> Any:
    from .monitor.plugin import make

    return make(engine)


def _wanted_by_environment() -> None:
    """Whoever starts the process may want it monitored, whatever the program says."""
    engine: Any = site.engine
    engine.monitor = _monitor(engine)
    engine.monitor.sources.switch()


def _monitoring() -> Tool:
    from .lib.monitoring import MonitorTool

    return MonitorTool()


site.tools.add_late("websocket", _websocket)
site.tools.add_late("monitor", _monitoring)
_late_plugins["websocket"] = _relay
_late_plugins["systemd"] = _systemd
_late_plugins["monitor"] = _monitor
site.config.namespaces["monitor"] = _LateEntries("monitor")

# From here on the site and the front door share one namespace.
globals().update(vars(site))
site.__dict__ = globals()


def quickstart(
    root: object = None,
    script_name: str = "",
    config: dict[str, Any] | str | None = None,
) -> None:
    """Mount `root` at `script_name`, start the engine and its servers, and block until it exits.

    root
        An instance of a controller class, or None to start with what is already mounted.
    script_name
        The path the application is mounted at: `''` for the whole site, else `'/path'`.
    config
        A file name or a dict of sections. A `[global]` section configures the site too.

    Signal handlers (and console events on Windows) are subscribed. Raises whatever stops the
    engine from starting, such as an OSError that names the address which is in use.
    """
    if config:
        site.config.update(config)
    site.tree.mount(root, script_name, config)
    engine: Any = site.engine
    engine.signals.subscribe()
    engine.start()
    engine.block()


from . import _legacy  # noqa: E402  (the table needs the rooms above)

_legacy.install()

if not {"CHERRYPY_MONITOR_ON", "CHERRYPY_MONITOR_CONFIG"}.isdisjoint(_environ):
    _wanted_by_environment()
