"""The process bus: states, channels and the plugins that live on them. Nothing here knows HTTP.

A site is one :class:`~cherrypy.process.wspbus.Bus`. Whatever has to start, stop or run with it
listens on the bus's channels; the bus moves through its states and tells them.
"""

from __future__ import annotations

from cherrypy.process import plugins, servers
from cherrypy.process.wspbus import bus

__all__ = ("bus", "plugins", "servers")
