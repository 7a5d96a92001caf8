"""How a value of a session looks, so that one can tell later whether it is still the same: at a glance, or all of it.

Law: a look fails no request, whatever a class of the program does when it is asked.
"""

from __future__ import annotations

import pickle
import types
from collections import deque
from typing import Any

from .sessionvalues import ATOMS, attributes_of, first, inner, is_fixed, is_handle, is_plain

__all__ = ("NODES", "Glance", "whole")

NODES = 20_000  # parts that are looked at without the lock
MOST = 1_000_000  # parts of what is too deep for a pickle
TRIES = 3  # to look at what changes meanwhile


class Glance:
    """A look that does not take long: the size of everything in the first parts of a value, and what cannot change.

    look
        What is equal as long as nothing of it changes; None if it changed while one looked.
    plain
        Whether it was seen to the end, and nothing is in it but containers, what cannot change, and perhaps handles.
    handles
        Whether there are handles in it.
    whole
        Whether it was seen to the end, whatever is in it.
    """

    __slots__ = ("handles", "look", "plain", "seen", "whole")

    def __init__(self, value: Any, limit: int = NODES) -> None:
        self.look: list[Any] | None = None
        for _ in range(TRIES):
            self.handles, self.plain, self.whole, self.seen = False, True, True, 0
            try:
                self.look = self._see(value, limit)
                return
            except RuntimeError:  # it changes while one looks
                continue
            except Exception:  # no class is so strange that a request fails by it
                break
        self.plain = self.whole = False

    def _see(self, value: Any, limit: int) -> list[Any]:
        look: list[Any] = []
        # The ids of what has been met; what a reduction has made has to live as long.
        met: dict[int, int] = {}
        made: list[Any] = []
        # What is nearest comes first.
        left = deque((value,))
        room = limit
        sorts: dict[Any, str] = {}
        while left:
            value = left.popleft()
            kind = type(value)
            if kind in ATOMS:
                look.append(value)
                continue
            sort = sorts.get(kind) or sorts.setdefault(kind, _sort(kind))
            look.append(id(kind))
            if sort == "fixed":
                look.append(str(value))
                continue
            me = id(value)
            if me in met:
                look.append(met[me])
                continue
            met[me] = len(met)
            if sort == "object":
                look.append(me)
                if not room:
                    self.plain = self.whole = False
                    continue
                if is_handle(value, kind):
                    self.handles = True
                    continue
                self.plain = False
            size, parts = first(value, kind, room)
            look.append(size)
            if parts:
                made.append(parts)
                room -= len(parts)
                left += parts
            if size > len(parts):
                self.plain = self.whole = False
        self.seen = limit - room
        return look


def _sort(kind: type) -> str:
    return "plain" if is_plain(kind) else "fixed" if is_fixed(kind) else "object"


class _Hash:
    """A file into which a pickle is written, of which the hash stays."""

    def __init__(self) -> None:
        import hashlib

        self.hash = hashlib.blake2b(digest_size=20)

    def write(self, data: Any) -> int:
        """Take up some bytes."""
        self.hash.update(data)
        return len(data)


class _Whole(pickle.Pickler):
    """Pickles plain values as such, and of objects what is in them, with who they are."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is told from others: by its id, and what it holds."""
        kind = type(obj)
        if obj is int or is_plain(kind) or (is_fixed(kind) and not isinstance(obj, _NAMED)):
            return NotImplemented
        if kind in ATOMS or is_handle(obj, kind):
            return int, (id(obj),)
        own = attributes_of(obj, kind)
        return int, (id(obj),), (id(kind), inner(obj, kind) if own is None else own)


#: What a pickle would look for by its name.
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


def whole(value: Any) -> Any:
    """Return what is equal as long as nothing in a value changes, however large it is.

    Its time is that of a pickle. None if it changes while one looks.
    """
    for _ in range(TRIES):
        file = _Hash()
        try:
            _Whole(file, 5).dump(value)
        except RecursionError:  # containers in containers in containers
            break
        except RuntimeError:  # it changes while one looks
            continue
        except Exception:  # no class is so strange that a request fails by it
            break
        return file.hash.digest()
    return Glance(value, MOST).look
