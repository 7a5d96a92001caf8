"""Instruments: libraries of others, seen at work without a word of the program's.

`table` names them; each has a file of its own. `imports` tells when a library is there, `control`
puts instruments on and takes them off, `databases`, `external` and `keyvalue` are what they count by.
"""

from .control import begin, early

__all__ = ("begin", "early")
