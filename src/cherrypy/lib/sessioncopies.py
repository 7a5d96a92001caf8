"""A session in memory for a page that is not known: a copy, so that nothing it does reaches others before it has the lock.

Law: only what is plain all through is copied; the objects of a program are what they are, and there once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from .sessionbase import ALL
from .sessionreads import ATOMS, NODES, is_fixed

__all__ = ("Copied",)

DEPTH = 50  # containers within containers
TRIES = 3  # to copy what changes meanwhile

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
_SETS = frozenset((set, frozenset))


class _NotPlain(Exception):
    """There is something in a session that cannot be copied, or too much."""


class Copied:
    """The data of a session as one request has them, and how they were when it came.

    data
        The copy, for the request to work with.
    """

    def __init__(self, data: dict[Any, Any]) -> None:
        copying = _Copying()
        self.data = {key: copying.of(key, value) for key, value in list(data.items())}
        self._tied = copying.tied
        # Of the copy: what it was made of may be another one by now.
        self._looks = {key: _look(value) for key, value in self.data.items()}

    @classmethod
    def of(cls, data: dict[Any, Any]) -> Copied | None:
        """Return a copy; None if something in it cannot be copied."""
        for _ in range(TRIES):
            try:
                return cls(data)
            except _NotPlain:
                return None
            except RuntimeError:  # it changes while one looks
                continue
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

    def bring_into(
        self, now: dict[Any, Any], foreign: list[Any], changed: list[Any], looked: set[Any]
    ) -> None:
        """Put what has been looked at or changed in the place of what it was made of.

        What the request has in hand thus goes on being what is in its session; what only others have changed stays, and
        so does what a thread of the program may have in hand and nobody has looked at.
        """
        left = set(foreign).difference(changed)
        keys = {*changed, *looked}
        # New ones in the order in which they came.
        for key in dict.fromkeys([*self._looks, *self.data]):
            if key in left or not (self._tied or ALL in looked or key in keys):
                continue
            if key in self.data:
                now[key] = self.data[key]
            else:
                now.pop(key, None)


class _Copying:
    """Makes the copies of one session.

    tied
        Whether something is in it under two keys.
    """

    def __init__(self) -> None:
        # Of what has been copied, by its id: itself, as while it lives nothing else has its id; the copy; the key.
        self._copies: dict[int, tuple[Any, Any, Any]] = {}
        self._key: Any = None
        self._parts = 0
        self.tied = False

    def of(self, key: Any, value: Any) -> Any:
        """Return a copy of what is under a key."""
        self._key = key
        return self._copy(value, 0)

    def _copy(self, value: Any, depth: int) -> Any:
        """Return a copy of what is plain; what is in it twice is in the copy twice. Raises _NotPlain."""
        kind = type(value)
        if is_fixed(kind):
            return value
        known = self._copies.get(id(value))
        if known is not None:
            self.tied = self.tied or known[2] is not self._key
            return known[1]
        if kind not in _FROZEN and kind not in _EMPTY and kind is not bytearray:
            raise _NotPlain
        self._parts += 1 if kind is bytearray else len(value)
        if depth > DEPTH or self._parts > NODES:
            raise _NotPlain
        if kind in _EMPTY:
            return self._filled(value, self._made(value, _EMPTY[kind](value)), depth + 1)
        if kind is bytearray:
            return self._made(value, bytearray(value))
        return self._made(value, kind([self._copy(part, depth + 1) for part in value]))

    def _made(self, value: Any, copy: Any) -> Any:
        self._copies[id(value)] = value, copy, self._key
        return copy

    def _filled(self, value: Any, copy: Any, depth: int) -> Any:
        if type(value) in _DICTS:
            for key, part in list(value.items()):
                copy[self._copy(key, depth)] = self._copy(part, depth)
        else:
            add = copy.add if type(value) is set else copy.append
            for part in list(value):
                add(self._copy(part, depth))
        return copy


def _shape(value: Any) -> Any:
    """Return what is equal for what looks the same, of what can be in a set. Raises _NotPlain."""
    kind = type(value)
    if is_fixed(kind):
        return kind, value if kind in ATOMS else str(value)
    if kind not in _FROZEN:
        raise _NotPlain
    return kind, kind([_shape(part) for part in value])


def _look(value: Any) -> list[Any]:
    """Return what is equal for what looks the same, part by part. Raises _NotPlain."""
    look: list[Any] = []
    left = [value]
    met: dict[int, int] = {}
    while left:
        value = left.pop()
        kind = type(value)
        look.append(kind)
        if is_fixed(kind):
            # A number that is none may refuse to be compared.
            look.append(value if kind in ATOMS else str(value))
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
        if kind in _SETS:  # in which order they come depends on how they came into it
            look.append(frozenset(map(_shape, list(value))))
            continue
        parts = [*value.keys(), *value.values()] if kind in _DICTS else list(value)
        look.append(len(parts))
        if len(look) + len(left) + len(parts) > 2 * NODES:
            raise _NotPlain
        left += parts
    return look
