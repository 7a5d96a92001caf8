"""The metrics, by what they are about. Importing this declares all of them."""

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
