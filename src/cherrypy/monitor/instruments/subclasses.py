"""Subclasses: classes of connections and cursors that count, made for those a program brings along."""

from __future__ import annotations

import functools
import weakref
from abc import ABCMeta
from typing import Any


class Subclasses:
    """Makes a counting subclass of each class that is derived from the library's own.

    plain
        The library's class.
    counted
        The subclass of it that counts.
    """

    def __init__(self, plain: Any, counted: Any) -> None:
        self.plain = plain
        self.counted = _named(counted, plain)
        counted.counts_for_the_monitor = True  # what stands on the library asks for it
        self._made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def of(self, wanted: Any) -> Any:
        """Return a class that is `wanted` and counts; what is no class of the library's, unchanged.

        The counting methods lie between the program's and the library's.
        """
        if wanted is self.plain:
            return self.counted
        if not isinstance(wanted, type) or not issubclass(wanted, self.plain):
            return wanted
        if issubclass(wanted, self.counted):
            return wanted
        known = self._made.get(wanted)
        made = known() if known is not None else None
        if made is None:
            try:
                made = type(wanted)(wanted.__name__, (wanted, self.counted), {"__slots__": ()})
            except TypeError:  # it cannot be subclassed further: nothing of it is counted
                return wanted
            _named(made, wanted)
            # Weakly, as it holds its base: a class that is gone is made again.
            self._made[wanted] = weakref.ref(made)
        return made


def _named(made: Any, plain: Any) -> Any:
    """Give a class the name of another, for whoever reads a message or a representation."""
    made.__name__ = plain.__name__
    made.__qualname__ = plain.__qualname__
    made.__module__ = plain.__module__
    made.__doc__ = plain.__doc__
    return made


class _StandIn(ABCMeta):
    """The class of classes that stand in for others: whatever is of those, or derived, is of them."""

    # `isinstance` asks for this as well: classes of ABCMeta have it so.
    def __subclasscheck__(cls, subclass: type) -> bool:
        plain = vars(cls).get("_stands_in_for")
        if plain is not None:
            return issubclass(subclass, plain)
        return super().__subclasscheck__(subclass)


def stand_in(plain: Any, methods: dict[str, Any]) -> Any:
    """Return a subclass to be put in the place of a class of C, whose methods cannot be replaced.

    Objects that were made of `plain` before are instances of it, too.
    methods
        What it has in the place of the methods of `plain`; they get their names.
    """
    words: dict[str, Any] = {"_stands_in_for": plain, "__slots__": ()}
    for name, method in methods.items():
        words[name] = functools.wraps(getattr(plain, name))(method)
    return _named(_StandIn(plain.__name__, (plain,), words), plain)
