"""The pages of a tree that have settings of a tool on themselves, found without asking a page for anything.

Law: only what lies in the dicts of objects and classes is looked at, so no property, descriptor or `__getattr__` of
the program runs; and the walk has an end, whatever hangs on a page.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ("config_of", "configured")

Chain = tuple[tuple[str, dict[str, Any]], ...]

NODES = 2000  # objects that may hold pages
NAMES = 20_000  # attributes, of all of them

_FUNCTIONS = (types.FunctionType, types.MethodType)


def configured(root: Any) -> Iterator[Chain]:
    """Yield the pages, and objects that hold pages, that have a `_cp_config`; each with those on the way to it.

    Each is a chain of pairs: path, as a section would name it, and `_cp_config`; the root's first.
    What a page makes when it is asked for (`__getattr__`, `_cp_dispatch`, properties) is not found.
    """
    left: deque[tuple[Any, Chain]] = deque([(root, (("/", config_of(root)),))])
    seen = {id(root)}
    names = 0
    while left and names < NAMES:
        node, chain = left.popleft()
        path, own = chain[-1]
        found = _attributes(node)
        names += len(found)
        if own and (_static(node, "exposed") or any(map(_is_page, found.values()))):
            yield chain
        for name, one in found.items():
            config = config_of(one)
            if _is_page(one):
                # One that is named like a verb has the path of its object.
                below = path if name.isupper() else f"{path.rstrip('/')}/{name}"
                if config:
                    yield (*chain, (below, config))
            elif id(one) not in seen and len(seen) < NODES and _may_hold_pages(one):
                seen.add(id(one))
                left.append((one, (*chain, (f"{path.rstrip('/')}/{name}", config))))


def _attributes(node: Any) -> dict[str, Any]:
    """Return what lies in an object and its classes, by the names that a path can have."""
    found: dict[str, Any] = {}
    for space in reversed(_spaces(node)):
        for name, one in list(space.items()):
            if type(name) is str and not name.startswith("_"):
                if type(one) in (staticmethod, classmethod):
                    one = one.__func__
                found[name] = one
    return found


def _spaces(node: Any) -> list[Any]:
    """Return the dicts in which the attributes of an object lie, its own first."""
    spaces: list[Any] = []
    try:
        own = object.__getattribute__(node, "__dict__")
    except AttributeError:  # it has none
        own = None
    if type(own) is dict:
        spaces.append(own)
    if type(node) not in _FUNCTIONS:
        spaces += [type.__dict__["__dict__"].__get__(one) for one in type(node).__mro__[:-1]]
    return spaces


def _static(node: Any, name: str) -> Any:
    """Return an attribute that lies there; None for one that is not, or that would be computed."""
    if type(node) is types.MethodType:
        node = node.__func__
    for space in _spaces(node):
        if name in space:
            one = space[name]
            return None if isinstance(one, (property, types.GetSetDescriptorType)) else one
    return None


def config_of(node: Any) -> dict[str, Any]:
    """Return the `_cp_config` that lies in an object or its class; empty if there is none."""
    own = _static(node, "_cp_config")
    return own if isinstance(own, dict) else {}


def _is_page(one: Any) -> bool:
    """Tell whether this is a function that answers: exposed, or of a resource and named like a verb."""
    if type(one) not in _FUNCTIONS:
        return False
    return bool(_static(one, "exposed")) or one.__name__.isupper()


def _may_hold_pages(one: Any) -> bool:
    """Tell whether this is an object of a class that was written in Python."""
    kind = type(one)
    return kind.__flags__ & (1 << 9) != 0 and not isinstance(
        one, (type, types.ModuleType, str, bytes, int, tuple, list, dict, set, BaseException)
    )
