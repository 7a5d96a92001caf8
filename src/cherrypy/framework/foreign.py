"""Packages that reach into Cheroot, and what is said to those who use them here.

Law: it is said where the program starts, not by a request that fails.
"""

from __future__ import annotations

__all__ = ("WS4PY", "refuse_tool")

WS4PY = (
    "ws4py takes its sockets out of the server Cheroot, and this is another one. The same classes "
    "are built in: replace 'from ws4py.server.cherrypyserver import WebSocketPlugin, "
    "WebSocketTool' and what else is imported from ws4py by imports from 'cherrypy.websocket'. "
    "docs/websockets.md, 'Coming from ws4py', tells what else there is to know."
)


def refuse_tool(kind: type) -> None:
    """Raise ImportError for the class of a tool that cannot do its work on this server.

    That is what programs catch that go on without ws4py, where they import the module that makes
    its tool.
    """
    if any(base.__module__.startswith("ws4py.") for base in kind.__mro__):
        raise ImportError(WS4PY)
