"""The bus, its plugins, and work in the background."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

BUS_STATE = gauge("cherrypy.bus.state", "1", "state", help="Bus.")
BUS_TRANSITIONS = counter("cherrypy.bus.transitions", "{transition}", "to", help="Bus.")
BUS_PUBLISH_DURATION = histogram(
    "cherrypy.bus.publish.duration", "s", "channel", help="Bus.publish.", level=2
)
BUS_LISTENER_ERRORS = counter(
    "cherrypy.bus.listener.errors", "{error}", "channel", help="ChannelFailures."
)
PLUGIN_STATE = gauge("cherrypy.plugin.state", "1", "plugin", "state", help="Plugins.")
MONITOR_TASK_RUNS = counter(
    "cherrypy.monitor_task.runs", "{run}", "task", "result", help="Plugins.Monitor/BackgroundTask."
)
MONITOR_TASK_DURATION = histogram("cherrypy.monitor_task.duration", "s", "task", help="Same.")
AUTORELOAD_RESTARTS = counter("cherrypy.autoreload.restarts", "{restart}", help="Autoreloader.")
APPS_MOUNTED = gauge("cherrypy.apps.mounted", "{app}", help="Tree.")
APP_STARTUP_DURATION = gauge(
    "cherrypy.app.startup.duration", "s", help="Process start -> bus STARTED."
)
