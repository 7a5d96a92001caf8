"""The metrics, by what they are about. Importing this declares all of them."""

from types import ModuleType

from ..metrics import Metric
from . import bus, itself, logs, process, requests, servers, sockets, stores, times, toolbox

__all__ = (
    "bus",
    "itself",
    "logs",
    "process",
    "requests",
    "servers",
    "sockets",
    "stores",
    "times",
    "toolbox",
)

#: The same in the order of the pages, and the headings of their metrics.
GROUPS = (
    (requests, "Requests and responses"),
    (times, "Where the time goes"),
    (stores, "Databases, models, other services, messages"),
    (servers, "HTTP servers"),
    (toolbox, "Sessions, caches, tools"),
    (sockets, "WebSockets and event streams"),
    (logs, "Logs"),
    (process, "Process and interpreter"),
    (bus, "Bus, plugins, work in the background"),
    (itself, "The monitor itself"),
)


def metrics_of(module: ModuleType) -> list[Metric]:
    """Return the metrics that one of these modules declares, in its order."""
    return [value for value in vars(module).values() if isinstance(value, Metric)]
