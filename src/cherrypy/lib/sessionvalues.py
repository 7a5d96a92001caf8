"""What the values of a session are, and what is in them: what cannot change, what is plain, handles, and objects.

Law: nothing of the program's own is called where an object shows what is in it.
"""

from __future__ import annotations

import copyreg
import datetime
import functools
import itertools
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from .reading.libraries import LIBRARY, home_of

__all__ = ("ATOMS", "attributes_of", "first", "inner", "is_fixed", "is_handle", "is_plain")

LIMIT = 1000  # classes that are remembered; then all are forgotten
LARGEST = 1 << 24  # bytes of an object that shows nothing, of which a short look takes a copy

#: What cannot change.
ATOMS = frozenset(
    (
        *(str, int, float, bool, type(None), bytes, complex),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
    )
)

#: The same, of modules that need not be there.
_FIXED = frozenset(
    (
        *(("decimal", "Decimal"), ("uuid", "UUID"), ("fractions", "Fraction")),
        *(("re", "Pattern"), ("builtins", "range")),
    )
)

LISTS = frozenset((list, tuple, set, frozenset, deque))
DICTS = frozenset((dict, OrderedDict, defaultdict, Counter))
_PLAIN = LISTS | DICTS | {bytearray}

_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE

#: What subclasses of these hold is seen in the ways of the base.
_BASES: tuple[tuple[Any, Any], ...] = (
    *((str, None), (int, None), (float, None), (bytes, None), (complex, None)),
    *((datetime.date, None), (datetime.time, None), (datetime.timedelta, None)),
    *((tuple, tuple.__iter__), (list, list.__iter__), (set, set.__iter__)),
    *((frozenset, frozenset.__iter__), (deque, deque.__iter__), (bytearray, bytearray.__iter__)),
    (dict, lambda value: iter([*dict.keys(value), *dict.values(value)])),
)


def is_fixed(kind: type) -> bool:
    """Tell whether objects of a class cannot change, and nothing is in them that could."""
    return kind in ATOMS or (kind.__module__, kind.__name__) in _FIXED


def is_plain(kind: type) -> bool:
    """Tell whether objects of a class are containers and nothing else."""
    return kind in _PLAIN


# ------------------------------------------------------------------------------------- handles

# Classes, and whether what is theirs is a handle.
_handles: dict[type, bool | None] = {}


def is_handle(value: Any, kind: Any) -> bool:
    """Tell whether this stands for something that cannot be kept: a lock, a socket, a connection, a generator.

    Threads share it anyway, and no store that keeps bytes could hold it. Objects of the program's classes are none,
    whatever they have.
    """
    try:
        known = _handles[kind]
    except KeyError:
        known = _judged(value, kind)
    if known is None:  # of a library: what has a handle of its own is one
        return any(
            type(part) not in ATOMS and not is_plain(type(part)) and _handles_alone(part)
            for part in _attributes(value, kind)
        )
    return known


def _handles_alone(value: Any) -> bool:
    kind = type(value)
    try:
        return bool(_handles[kind])
    except KeyError:
        return bool(_judged(value, kind))


def _judged(value: Any, kind: Any) -> bool | None:
    """Return what is so of all objects of a class; None where it depends on what an object has."""
    found: bool | None = False
    made_in_python = bool(kind.__dictoffset__) or any(
        "__slots__" in type.__getattribute__(cls, "__dict__") for cls in _classes(kind)
    )
    known = is_plain(kind) or is_fixed(kind) or (made_in_python and home_of(kind) != LIBRARY)
    if kind.__module__ == "itertools":
        found = True  # as generators; Python 3.12 and 3.13 warn of who pickles them, 3.14 refuses
    elif not known:
        try:
            _reduce(value, kind, 5)
            found = None if made_in_python and _has_no_say(kind) else False
        except RuntimeError:  # it changes while one looks
            return False
        except Exception:  # it refuses, or cannot
            found = True
    if len(_handles) >= LIMIT:
        _handles.clear()
    _handles[kind] = found
    return found


def _has_no_say(kind: Any) -> bool:
    """Tell whether a class, written in Python, leaves it to others how its objects are pickled."""
    names = ("__reduce_ex__", "__reduce__", "__getstate__")
    return bool(kind.__flags__ & _HEAP) and all(
        getattr(kind, name, None) is getattr(object, name, None) for name in names
    )


# ------------------------------------------------------------------------------- what is inside


def first(value: Any, kind: Any, number: int) -> tuple[int, list[Any]]:
    """Return how many parts are in a value, and the first of them. Raises RuntimeError as `inner` does."""
    if kind in LISTS:
        size = len(value)
        return size, list(value) if size <= number else list(itertools.islice(value, number))
    if kind in DICTS and 2 * len(value) > number:
        if not number:
            return 2 * len(value), []
        keys, values = value.keys(), value.values()
        return 2 * len(value), [
            part for some in (keys, values) for part in itertools.islice(some, number // 2)
        ]
    parts = inner(value, kind, short=True)
    return len(parts), parts[:number]


def inner(value: Any, kind: Any, short: bool = False) -> list[Any]:
    """Return what is in a value: of a container, an object, or by what it would be pickled as.

    Args:
        short: take no long copy of what shows nothing; its size has to do.

    Raises RuntimeError where it changes while one looks.
    """
    if kind in DICTS:
        return [*value.keys(), *value.values()]
    if kind in LISTS:
        return list(value)
    if kind is bytearray:
        return [bytes(value)]
    shown = _attributes(value, kind)
    for base, parts in _BASES:
        if issubclass(kind, base):
            return [*shown, *parts(value)] if parts is not None else shown
    if _shows_all(kind):
        return shown
    try:
        if short and object.__sizeof__(value) < sys.getsizeof(value) > LARGEST:
            return [*shown, sys.getsizeof(value)]
        # Of 5 there may be buffers in it, which are no copies, and as long as they are.
        reduced = _reduce(value, kind, 4 if short else 5)
    except RuntimeError:
        raise
    except Exception:  # that is all that can be seen of it
        return shown
    return [*shown, *reduced]


def _reduce(value: Any, kind: Any, protocol: int) -> list[Any]:
    """Return the parts of what a pickle would have of a value. Raises whatever the class likes to."""
    reduce = copyreg.dispatch_table.get(kind)
    reduced = reduce(value) if reduce is not None else kind.__reduce_ex__(value, protocol)
    if not isinstance(reduced, tuple):  # the name of something that is there once
        return []
    parts: list[Any] = list(reduced[1:3])
    for items in reduced[3:5]:
        if items is not None:
            parts += items
    return parts


def attributes_of(value: Any, kind: Any) -> Any:
    """Return the attributes of an object that is nothing else, as a dict; None of others."""
    if _shows_all(kind) and not _slots(kind) and kind.__dictoffset__:
        try:
            return object.__getattribute__(value, "__dict__")
        except AttributeError:  # a class may hide it
            pass
    return None


def _attributes(value: Any, kind: Any) -> list[Any]:
    own: Any = {}
    if kind.__dictoffset__:
        try:
            own = object.__getattribute__(value, "__dict__")
        except AttributeError:  # a class may hide it
            own = {}
    slots = _slots(kind)
    if type(own) is not dict:
        own = {}
    return [*own.keys(), *own.values(), *(_slot(one, value) for one in slots)]


def _classes(kind: Any) -> tuple[Any, ...]:
    return tuple(type.__getattribute__(kind, "__mro__"))


@functools.lru_cache(LIMIT)
def _slots(kind: Any) -> tuple[types.MemberDescriptorType, ...]:
    return tuple(
        one
        for cls in _classes(kind)
        for one in type.__getattribute__(cls, "__dict__").values()
        if type(one) is types.MemberDescriptorType
    )


@functools.lru_cache(LIMIT)
def _shows_all(kind: Any) -> bool:
    """Tell whether objects of a class are their attributes and nothing else, by their size."""
    size = _size(len(_slots(kind)), bool(kind.__dictoffset__), bool(kind.__weakrefoffset__))
    return bool(kind.__basicsize__ == size)


@functools.cache
def _size(slots: int, has_dict: bool, has_weakrefs: bool) -> int:
    """Return the size of objects of a class that is written in Python, with so many slots."""
    names = [f"_{number}" for number in range(slots)]
    names += ["__dict__"] * has_dict + ["__weakref__"] * has_weakrefs
    return type("", (), {"__slots__": names}).__basicsize__


def _slot(slot: types.MemberDescriptorType, value: Any) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:  # nothing is in it yet
        return _slot
