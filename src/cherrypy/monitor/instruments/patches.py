"""Patches: what instruments put in the place of functions and methods, until it is put back.

Law: what somebody else has replaced since is left alone.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_MISSING = object()


class Patches:
    """The replacements of one instrument."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def method(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method by what `make` returns for it; one that there is not is left out.

        A static method, a class method and what a class inherits stay what they are.
        """
        found = inspect.getattr_static(owner, name, _MISSING)
        if found is _MISSING:
            return
        wrapped: Any
        if isinstance(found, (classmethod, staticmethod)):
            plain = found.__func__
            wrapped = type(found)(_alike(make(plain), plain))
        else:
            wrapped = _alike(make(found), found)
        mine = vars(owner).get(name, _MISSING)
        setattr(owner, name, wrapped)

        def undo() -> None:
            if vars(owner).get(name) is not wrapped:
                return
            if mine is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, mine)

        self._undo.append(undo)

    def function(self, plain: Any, wrapped: Any) -> None:
        """Replace a function wherever a module has it, under whatever name."""
        self.bound(plain, _alike(wrapped, plain))

    def bound(self, plain: Any, wrapped: Any) -> None:
        """Replace a bound method that modules have as a function, such as `psycopg.connect`."""
        for space, name in _places(plain):
            space[name] = wrapped

        def undo() -> None:
            # In modules that have got it since as well.
            for space, name in _places(wrapped):
                space[name] = plain

        self._undo.append(undo)

    def also(self, undo: Callable[[], object]) -> None:
        """Have something else done at the end."""
        self._undo.append(undo)

    def end(self) -> None:
        """Put everything back, the last first."""
        while self._undo:
            self._undo.pop()()


def _alike(wrapped: Any, plain: Any) -> Any:
    """Give a function the name, the documentation and the signature of another."""
    functools.update_wrapper(wrapped, plain)
    return wrapped


def _places(wanted: Any) -> list[tuple[dict[str, Any], str]]:
    """Where modules have an object: `from sqlite3 import connect` may have been long ago."""
    found = []
    for module in list(sys.modules.values()):
        space = getattr(module, "__dict__", None) if isinstance(module, ModuleType) else None
        if type(space) is not dict:
            continue
        found += [(space, name) for name, value in space.copy().items() if _same(value, wanted)]
    return found


def _same(value: Any, wanted: Any) -> bool:
    if value is wanted:
        return True
    # A bound method is another object each time.
    return (
        type(value) is type(wanted)
        and getattr(wanted, "__self__", None) is not None
        and inspect.ismethod(value)
        and value.__self__ is wanted.__self__
        and value.__func__ is wanted.__func__
    )
