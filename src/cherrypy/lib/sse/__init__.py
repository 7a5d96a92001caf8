"""Server-sent events: pages that stay open and tell what happens, without a thread each.

Imported by whoever uses it: `import cherrypy` does not. See docs/streaming.md.
"""

from .events import Event
from .rooms import Room
from .streams import Stream, limits, stream

__all__ = ("Event", "Room", "Stream", "limits", "stream")
