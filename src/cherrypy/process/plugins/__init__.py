"""The plugins of the bus, all under the names they have always had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cherrypy.process.plugins.autoreload import Autoreloader, _module__file__base
from cherrypy.process.plugins.base import SimplePlugin
from cherrypy.process.plugins.monitor import BackgroundTask, Monitor, PerpetualTimer
from cherrypy.process.plugins.signals import SignalHandler
from cherrypy.process.plugins.threads import ThreadManager
from cherrypy.process.plugins.unix import Daemonizer, DropPrivileges, PIDFile

if TYPE_CHECKING:
    from cherrypy.process.plugins.systemd import Systemd

__all__ = (
    "Autoreloader",
    "BackgroundTask",
    "Daemonizer",
    "DropPrivileges",
    "Monitor",
    "PIDFile",
    "PerpetualTimer",
    "SignalHandler",
    "SimplePlugin",
    "Systemd",
    "ThreadManager",
    "_module__file__base",
)


def __getattr__(name: str) -> Any:
    if name != "Systemd":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cherrypy.process.plugins.systemd import Systemd

    return Systemd
