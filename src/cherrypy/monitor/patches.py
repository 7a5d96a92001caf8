"""Patches: what the monitor puts in the place of others' functions and methods, and takes back.

Law: nobody else changes a class of another room or of a library; what somebody has replaced since stays
as it is.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_NOTHING = object()


class Patches:
    """Replacements, until `end`."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []
        self._stands: list[Callable[[], bool]] = []  # whether it is what is called

    # -- one place -------------------------------------------------------------------------------

    def put(self, owner: Any, name: str, new: Any) -> None:
        """Put `new` in the place of an attribute of a class, a module or an object, as it is."""
        own = vars(owner).get(name, _NOTHING)
        setattr(owner, name, new)

        def stands() -> bool:
            return vars(owner).get(name) is new

        def undo() -> None:
            if not stands():
                return
            if own is _NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self._stands.append(stands)
        self._undo.append(undo)

    def replace(self, owner: Any, name: str, new: Any) -> Any:
        """The same for a function, which is given the name and the attributes of the one before.

        Returns what was found there, by inheritance too. Raises AttributeError when there is none.
        """
        found = getattr(owner, name)
        plain = getattr(found, "__func__", found) if isinstance(owner, type) else found
        if hasattr(new, "__dict__"):
            own = new.__dict__.copy()  # such as the priority of a listener or a hook
            _alike(new, plain)
            new.__dict__.update(own)
            new.__dict__.pop("__isabstractmethod__", None)
        self.put(owner, name, new)
        return found

    def method(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method by what `make` returns for it; one that there is not is left out.

        A static method, a class method and what a class inherits stay what they are.
        """
        found = inspect.getattr_static(owner, name, _NOTHING)
        if found is _NOTHING:
            return
        if isinstance(found, (classmethod, staticmethod)):
            plain = found.__func__
            self.put(owner, name, type(found)(_alike(make(plain), plain)))
        else:
            self.put(owner, name, _alike(make(found), found))

    def item(self, mapping: dict[Any, Any], key: Any, new: Any) -> Any:
        """Replace a value in a dictionary; return the one before. Raises KeyError when there is none."""
        before = mapping[key]
        mapping[key] = new

        def stands() -> bool:
            return mapping.get(key) is new

        def undo() -> None:
            if stands():
                mapping[key] = before

        self._stands.append(stands)
        self._undo.append(undo)
        return before

    # -- wherever it is --------------------------------------------------------------------------

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

    # -- the end ---------------------------------------------------------------------------------

    def uppermost(self) -> bool:
        """Whether nobody has put anything in a place of theirs since."""
        return all(stands() for stands in self._stands)

    def also(self, undo: Callable[[], object]) -> None:
        """Have something else done at the end."""
        self._undo.append(undo)

    def end(self) -> None:
        """Put everything back that nobody has replaced since, the last first."""
        while self._undo:
            self._undo.pop()()
        self._stands.clear()


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
