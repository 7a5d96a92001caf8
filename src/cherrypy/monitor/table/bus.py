"""The bus, its plugins, and work in the background."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

BUS_STATE = gauge(
    "cherrypy.bus.state",
    "1",
    "state",
    help="Is 1 for the state that the bus is in, and 0 for the others.",
)
BUS_TRANSITIONS = counter(
    "cherrypy.bus.transitions", "{transition}", "to", help="Changes of the bus to a state."
)
BUS_PUBLISH_DURATION = histogram(
    "cherrypy.bus.publish.duration",
    "s",
    "channel",
    help="How long the listeners of a channel took together.",
    level=2,
)
BUS_LISTENER_ERRORS = counter(
    "cherrypy.bus.listener.errors",
    "{error}",
    "channel",
    help="Listeners of the bus that raised, by channel.",
)
PLUGIN_STATE = gauge(
    "cherrypy.plugin.state",
    "1",
    "plugin",
    "state",
    help="Is 1 for each plugin by its state: it listens (subscribed), its thread runs (running), or that has ended though it should not (failed).",
)
MONITOR_TASK_RUNS = counter(
    "cherrypy.monitor_task.runs",
    "{run}",
    "task",
    "result",
    help="Calls of functions that are called again and again (plugins.Monitor, BackgroundTask, PerpetualTimer), by whether they raised.",
)
MONITOR_TASK_DURATION = histogram(
    "cherrypy.monitor_task.duration", "s", "task", help="How long these calls took."
)
AUTORELOAD_RESTARTS = counter(
    "cherrypy.autoreload.restarts",
    "{restart}",
    help="Times that the autoreloader has replaced the process.",
)
APPS_MOUNTED = gauge("cherrypy.apps.mounted", "{app}", help="Applications in the tree.")
APP_STARTUP_DURATION = gauge(
    "cherrypy.app.startup.duration",
    "s",
    help="How long it took from the start of the process until the bus had started.",
)
