"""A session in memory for a page that is not known: a copy, so that nothing it does reaches others before it has the lock.

Law: only what is plain all through is copied, and handles are shared; the objects of a program are what they are, and
there once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from .sessionbase import ALL
from .sessionlooks import MOST, NODES, TRIES
from .sessionvalues import ATOMS, inner, is_fixed, is_handle, is_plain

__all__ = ("Copied",)

DEPTH = 50  # containers within containers
WORK = 3 * NODES  # parts that are gone through, also in vain

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
    """There is something in a value that cannot be copied, or too much."""


class Copied:
    """The data of a session as one request has them, and how they were when it came.

    data
        The copy, for the request to work with.
    guarded
        What is no copy, by key: objects of the program, and what is too much. Who takes hold of it has the lock.
    """

    def __init__(self, data: dict[Any, Any]) -> None:
        self._copying = _Copying()
        self.data: dict[Any, Any] = {}
        self.guarded: dict[Any, Any] = {}
        # Of the copy: what it was made of may be another one by now.
        self._looks: dict[Any, list[Any]] = {}
        for key, value in list(data.items()):
            copied = self._copied(key, value)
            if copied is None:
                self.data[key] = self.guarded[key] = value
            else:
                self.data[key], self._looks[key] = copied

    def _copied(self, key: Any, value: Any) -> tuple[Any, list[Any]] | None:
        """Return a copy, and how it looks; None of what is guarded."""
        for _ in range(TRIES):
            before = self._copying.mark()
            try:
                copy = self._copying.of(key, value)
                return copy, _look(copy)
            except _NotPlain:
                self._copying.forget(before)
                break
            except RuntimeError:  # it changes while one looks
                self._copying.forget(before)
            except Exception:  # no class is so strange that a request fails by it
                self._copying.forget(before)
                break
        return None

    def differing(self, data: dict[Any, Any]) -> list[Any]:
        """Return the keys that have been set, removed or, if copied, changed in place since this was made."""
        keys = dict.fromkeys([*self._looks, *self.guarded, *data])
        return [key for key in keys if key not in data or not self._is_as_before(key, data[key])]

    def _is_as_before(self, key: Any, value: Any) -> bool:
        if key in self.guarded:
            return value is self.guarded[key]
        try:
            return key in self._looks and bool(_look(value) == self._looks[key])
        except Exception:  # it is not plain any more, changes while one looks, or is very strange
            return False

    def _brought(self, foreign: list[Any], changed: list[Any], looked: set[Any]) -> list[Any]:
        """Return the keys of what is to be put in the place of what it was made of."""
        left = set(foreign).difference(changed)
        everything = self._copying.tied or ALL in looked
        keys = {*changed, *looked}
        return [
            key
            # New ones in the order in which they came.
            for key in dict.fromkeys([*self._looks, *self.guarded, *self.data])
            if key not in left and (everything or key in keys)
        ]

    def bring_into(
        self, now: dict[Any, Any], foreign: list[Any], changed: list[Any], looked: set[Any]
    ) -> None:
        """Put what has been looked at or changed in the place of what it was made of.

        What the request has in hand thus goes on being what is in its session; what only others have changed stays, and
        so does what a thread of the program may have in hand and nobody has looked at.
        """
        for key in self._brought(foreign, changed, looked):
            if key in self.data:
                now[key] = self.data[key]
            else:
                now.pop(key, None)

    def is_tied(self, foreign: list[Any], changed: list[Any], looked: set[Any]) -> bool:
        """Tell whether something that `bring_into` would replace is also in what is guarded, and would be two then."""
        if not self.guarded:
            return False
        keys = set(self._brought(foreign, changed, looked))
        originals = self._copying.originals(keys)
        return bool(originals) and _reach(self.guarded.values(), originals)


def _reach(values: Any, ids: set[int]) -> bool:
    """Tell whether something of these ids is in objects; also if not all of them can be seen."""
    met: set[int] = set()
    left = list(values)
    # What a reduction has made has to live as long as its id is known.
    made = []
    try:
        while left:
            value = left.pop()
            if id(value) in ids:
                return True
            kind = type(value)
            if (
                id(value) in met
                or is_fixed(kind)
                or (not is_plain(kind) and is_handle(value, kind))
            ):
                continue
            met.add(id(value))
            parts = [part for part in inner(value, kind) if type(part) not in ATOMS]
            made.append(parts)
            left += parts
            if len(met) + len(left) > MOST:
                return True
    except Exception:  # it changes while one looks, or is very strange
        return True
    return False


class _Copying:
    """Makes the copies of one session.

    tied
        Whether something is in it under two keys.
    """

    def __init__(self) -> None:
        # Of what has been copied, by its id: itself, as while it lives nothing else has its id; the copy; the key.
        self._copies: dict[int, tuple[Any, Any, Any]] = {}
        self._key: Any = None
        self._parts = self._work = 0
        self.tied = False

    def of(self, key: Any, value: Any) -> Any:
        """Return a copy of what is under a key. Raises _NotPlain."""
        self._key = key
        return self._copy(value, 0)

    def mark(self) -> tuple[int, int, bool]:
        """Return what `forget` needs to forget all that is copied from now on."""
        return len(self._copies), self._parts, self.tied

    def forget(self, mark: tuple[int, int, bool]) -> None:
        """Forget what has been copied since a mark: there is no copy of what it was part of."""
        number, self._parts, self.tied = mark
        while len(self._copies) > number:
            self._copies.popitem()

    def originals(self, keys: set[Any]) -> set[int]:
        """Return the ids of what has been copied of some keys."""
        return {me for me, (_, _, key) in self._copies.items() if self.tied or key in keys}

    def _copy(self, value: Any, depth: int) -> Any:
        """Return a copy of what is plain; what is in it twice is in the copy twice. Raises _NotPlain."""
        kind = type(value)
        if is_fixed(kind):
            return value
        known = self._copies.get(id(value))
        if known is not None:
            self.tied = self.tied or known[2] is not self._key
            return known[1]
        if not is_plain(kind):
            if is_handle(value, kind):
                return value
            raise _NotPlain
        size = 1 if kind is bytearray else len(value)
        self._parts += size
        if depth > DEPTH or self._parts > NODES or self._work > WORK:
            raise _NotPlain
        self._work += size  # not taken back where it was in vain
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
        if is_handle(value, kind):
            return kind, id(value)
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
        if not is_plain(kind):
            if is_handle(value, kind):
                look.append(id(value))
                continue
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
