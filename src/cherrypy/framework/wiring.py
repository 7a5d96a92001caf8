"""The making of what the process owns, as a program finds it after `import cherrypy`."""

from __future__ import annotations

import os
from typing import Any

from ..process import plugins
from ..process.wspbus import bus
from .checker import Checker
from .config import Config
from .logs import LogManager
from .serving import serving
from .timeouts import TimeoutMonitor
from .tools import default_toolbox
from .tree import Tree

__all__ = ("GlobalLogManager", "HandleSignals", "wire")

#: What every path has unless its configuration says otherwise.
DEFAULTS: dict[str, Any] = {
    "tools.log_tracebacks.on": True,
    "tools.log_headers.on": True,
    "tools.trailing_slash.on": True,
    "tools.encode.on": True,
}


class GlobalLogManager(LogManager):
    """The site's log: while an application serves a request, lines go to that one's log."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Write to the error log of the application being served, or of the site."""
        app = serving.request.app
        log = self if app is None or app.log is None else app.log
        return log.error(*args, **kwargs)

    def access(self) -> Any:
        """Write to the access log of the application being served, or of the site."""
        app = serving.request.app
        if app is None or app.log is None:
            return LogManager.access(self)
        return app.log.access()

    # The request path may ask the application's log itself whether a line is wanted.
    access.delegates = True  # type: ignore[attr-defined]  # a mark, gone when it is replaced


class HandleSignals:
    """`engine.signals`: the handlers of signals and of console events, switched on together.

    Whoever owns the process, as these show, reports to systemd as well, where that asks for it.
    `quickstart` and `cherryd` subscribe it; a program that embeds the framework keeps its own.
    """

    def __init__(self, bus: Any) -> None:
        self.bus = bus

    def subscribe(self) -> None:
        """Subscribe whichever of the handlers there are, and tell systemd if it wants to hear."""
        for name in ("signal_handler", "console_control_handler"):
            handler = getattr(self.bus, name, None)
            if handler is not None:
                handler.subscribe()
        if "NOTIFY_SOCKET" in os.environ:
            from ..process.plugins.systemd import attach

            attach(self.bus)


def wire(site: Any) -> None:
    """Make the attributes of `site`: engine and plugins, config, log, tools, tree, checker."""
    engine: Any = bus
    site.engine = engine
    Config.defaults = dict(DEFAULTS)
    site.config = config = Config()
    config.defaults = dict(DEFAULTS)
    site.tools = default_toolbox
    site.tree = Tree()

    engine.listeners.setdefault("before_request", set())
    engine.listeners.setdefault("after_request", set())
    engine.autoreload = plugins.Autoreloader(engine)
    engine.autoreload.subscribe()
    engine.thread_manager = plugins.ThreadManager(engine)
    engine.thread_manager.subscribe()
    engine.timeout_monitor = TimeoutMonitor(engine)
    engine.timeout_monitor.subscribe()
    engine.signal_handler = plugins.SignalHandler(engine)
    import sys

    if sys.platform == "win32":
        from ..process.win32 import ConsoleCtrlHandler

        engine.console_control_handler = ConsoleCtrlHandler(engine)
    engine.signals = HandleSignals(engine)

    site.log = log = GlobalLogManager()
    # Until somebody configures it the log is shown: a server that says nothing helps nobody.
    log.screen = True
    log.error_file = ""
    log.access_file = ""

    def _buslog(msg: str, level: int) -> None:
        """Write what is published on the channel 'log'."""
        site.log(msg, "ENGINE", severity=level)

    site._buslog = _buslog
    engine.subscribe("log", _buslog)

    site.checker = Checker()
    engine.subscribe("start", site.checker)
