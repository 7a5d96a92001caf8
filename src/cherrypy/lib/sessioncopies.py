"""A session in memory for a page that is not known: a copy, so that nothing it does reaches others before it has the lock.

Law: only what is plain all through is copied; the objects of a program are what they are, and there once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from .sessionreads import ATOMS, NODES

__all__ = ("Copied",)

DEPTH = 50  # containers within containers

#: How an empty one of its kind is made.
_EMPTY: dict[Any, Callable[[Any], Any]] = {
    list: lambda like: [],
    set: lambda like: set(),
    deque: lambda like: deque(maxlen=like.maxlen),
    dict: lambda like: {},
    OrderedDict: lambda like: OrderedDict(),
    Counter: lambda like: Counter(),
    defaultdict: lambda like: defaultdict(like.default_factory),
}
_DICTS = frozenset((dict, OrderedDict, Counter, defaultdict))
_FROZEN = frozenset((tuple, frozenset))


class _NotPlain(Exception):
    """There is something in a session that cannot be copied, or too much."""


class Copied:
    """The data of a session as one request has them, and how they were when it came.

    data
        The copy, for the request to work with.
    """

    def __init__(self, data: dict[Any, Any]) -> None:
        copies: dict[int, Any] = {}
        self.data = {key: _copy(value, copies, 0) for key, value in list(data.items())}
        # Of the copy: what it was made of may be another one by now.
        self._looks = {key: _look(value) for key, value in self.data.items()}

    @classmethod
    def of(cls, data: dict[Any, Any]) -> Copied | None:
        """Return a copy; None if something in it cannot be copied."""
        try:
            return cls(data)
        except (_NotPlain, RuntimeError):  # the latter: it changes while one looks
            return None

    def differing(self, data: dict[Any, Any]) -> list[Any]:
        """Return the keys that have been set, removed or changed in place since this was made."""
        return [
            key
            for key in {*self._looks, *data}
            if key not in data or key not in self._looks or not self._is_as_before(key, data[key])
        ]

    def _is_as_before(self, key: Any, value: Any) -> bool:
        try:
            return bool(_look(value) == self._looks[key])
        except (_NotPlain, RuntimeError):
            return False

    def bring_into(self, now: dict[Any, Any], foreign: list[Any], changed: list[Any]) -> None:
        """Put the copy in the place of what it was made of, but for what only others have changed.

        What the request has in hand thus goes on being what is in its session.
        """
        for key in {*self._looks, *self.data}.difference(set(foreign).difference(changed)):
            if key in self.data:
                now[key] = self.data[key]
            else:
                now.pop(key, None)


def _copy(value: Any, copies: dict[int, Any], depth: int) -> Any:
    """Return a copy of what is plain; what is in it twice is in the copy twice. Raises _NotPlain."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if id(value) in copies:
        return copies[id(value)][1]
    if depth > DEPTH:
        raise _NotPlain
    if kind in _FROZEN:
        made = kind([_copy(part, copies, depth + 1) for part in value])
    elif kind is bytearray:
        made = bytearray(value)
    elif kind in _EMPTY:
        made = _EMPTY[kind](value)
        copies[id(value)] = value, made  # the first: as long as it lives nothing else has its id
        if kind in _DICTS:
            for key, part in list(value.items()):
                made[_copy(key, copies, depth + 1)] = _copy(part, copies, depth + 1)
        else:
            add = made.add if kind is set else made.append
            for part in list(value):
                add(_copy(part, copies, depth + 1))
    else:
        raise _NotPlain
    copies[id(value)] = value, made
    return made


def _look(value: Any) -> list[Any]:
    """Return what is equal for what looks the same, part by part. Raises _NotPlain."""
    look: list[Any] = []
    left = [value]
    met: dict[int, int] = {}
    while left:
        value = left.pop()
        kind = type(value)
        look.append(kind)
        if kind in ATOMS:
            look.append(value)
            continue
        if id(value) in met:
            look.append(met[id(value)])
            continue
        met[id(value)] = len(met)
        if kind is bytearray:
            look.append(bytes(value))
            continue
        if kind not in _FROZEN and kind not in _EMPTY:
            raise _NotPlain
        parts = [*value.keys(), *value.values()] if kind in _DICTS else list(value)
        look.append(len(parts))
        if len(look) + len(left) + len(parts) > 2 * NODES:
            raise _NotPlain
        left += parts
    return look
