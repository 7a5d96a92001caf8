"""What an object of a library can call, as it is handed to it or was before: what it holds, and what that holds.

Law: who holds a session, or the framework, may change it; what is too much to be looked through may, too.
"""

from __future__ import annotations

import functools
import gc
import logging
import types
from collections import OrderedDict, defaultdict, deque
from typing import Any

from cherrypy.framework.request import Request
from cherrypy.framework.response import Response
from cherrypy.framework.serving import ThreadData, ThreadLocalProxy, serving

from ..sessionbase import Session
from ..sessionram import RamSession
from ..sessionvalues import ATOMS
from . import libraries
from .values import (
    ANY,
    ANYTHING,
    EMPTY,
    FIXED,
    KEEPER,
    LOOKED,
    OTHER,
    PAGE,
    REQUEST,
    RESPONSE,
    SERVING,
    SESSION,
    TAKEN,
    TEXT,
    THREAD,
    Bound,
    Box,
    Instance,
    Known,
    Made,
    Method,
    NotKnown,
    Super,
    Taken,
    Tuple,
    Value,
    one,
)

__all__ = ("CONTAINERS", "FUNCTIONS", "Reach", "cells_of", "element")

STEPS = (
    40_000  # pieces of code that are looked at for a page; of one that has more nothing is known
)
OBJECTS = 4000  # that libraries hold

CONTAINERS = frozenset(
    (list, tuple, dict, set, frozenset, deque, OrderedDict, defaultdict, types.MappingProxyType)
)
FUNCTIONS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    type,
    functools.partial,
)

_PROXIES = {"session": SESSION, "request": REQUEST, "response": RESPONSE}


def element(obj: Any) -> Any:
    """Return what an object is, for a page that comes across it."""
    kind = type(obj)
    if kind in ATOMS or kind in CONTAINERS:
        return Known(obj)
    line = type.__getattribute__(kind, "__mro__")
    if ThreadLocalProxy in line:
        return _PROXIES.get(object.__getattribute__(obj, "__attrname__"), SERVING)
    for cls, mark in (
        (Session, SESSION),
        (Request, REQUEST),
        (Response, RESPONSE),
        (ThreadData, THREAD),
    ):
        if cls in line:
            return mark
    return SERVING if obj is serving else Known(obj)


def cells_of(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function has from the functions around it."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # nothing yet
            pass
    return found


class Reach:
    """What is found out about one page: the heap, and what must hold of the values in its session."""

    def __init__(self) -> None:
        self.levels: dict[str | None, int] = {}
        self.names: set[str] = set()  # of attributes that are asked of objects in the session
        self.heap: dict[Any, Value] = {}
        self.changed = False
        self.steps = 0
        self.reached: dict[int, Any] = {}
        self.round: set[Any] = set()  # what has been looked at in this round

    # Given by those who know code.
    def call(self, callee: Any, arguments: Any, site: Any) -> Value:
        """Return what a call gives. Raises NotKnown."""
        raise NotImplementedError

    def need(self, level: int, thing: Taken = TAKEN) -> None:
        """What is in the session, under the key of a thing, has to be like this."""
        self.levels[thing.key] = max(self.levels.get(thing.key, ANY), level)

    def step(self) -> None:
        """Count. Raises NotKnown when it was enough."""
        self.steps += 1
        if self.steps > STEPS:
            raise NotKnown("too much")

    def put(self, site: Any, value: Value) -> None:
        """Something may be at a place of the heap."""
        before = self.heap.get(site, EMPTY)
        if not value <= before:
            self.changed = True
            self.heap[site] = before | value
            if len(self.heap[site]) > 60:
                raise NotKnown("too many things at one place")

    # ------------------------------------------------------------- what others are given

    def give(self, values: Any, level: int = FIXED) -> None:
        """Somebody is given values who may do with them what he likes. Raises NotKnown.

        level
            What those that come from the session have to be like.
        """
        seen: set[Any] = set()
        left = [thing for value in values for thing in value]
        while left:
            thing = left.pop()
            if thing in seen:
                continue
            seen.add(thing)
            self.step()
            kind = type(thing)
            if kind is Taken:
                self.need(level, thing)
            elif thing is SESSION or thing is SERVING or thing is PAGE or kind is Super:
                raise NotKnown(f"{thing} is given away")
            elif kind is Known:
                self.reach(thing.obj)
            elif kind is Box:
                left += self.heap.get(thing.site, ())
            elif kind is Tuple:
                left += [part for value in (*thing.items, thing.tail) for part in value]
            elif kind is Method and (thing.owner is SESSION or type(thing.owner) is Taken):
                self.need(level, thing.owner if type(thing.owner) is Taken else TAKEN)
            elif kind in (Made, Bound, Method):
                self.back(thing)
            elif kind is Instance:
                self.back_class(thing.cls, thing)
                left += [
                    part
                    for site, value in list(self.heap.items())
                    if site[:2] == (thing, "field")
                    for part in value
                ]

    def back(self, callee: Any) -> None:
        """Somebody may call this, with anything."""
        if ("back", callee) not in self.round:
            self.round.add(("back", callee))
            self.call(callee, ANYTHING, ("back", callee))

    def back_class(self, cls: type, owner: Any) -> None:
        """Somebody may call the methods of an object."""
        if ("class", id(cls), owner) in self.round:
            return
        self.round.add(("class", id(cls), owner))
        for base in type.__getattribute__(cls, "__mro__"):
            whose = libraries.home_of(base)
            if whose in (libraries.OWN, libraries.DENIED):
                raise NotKnown(f"{base} is given away")
            if whose == libraries.LIBRARY:
                continue
            for value in list(type.__getattribute__(base, "__dict__").values()):
                if type(value) is property:
                    value = value.fget
                value = value.__func__ if type(value) in (staticmethod, classmethod) else value
                if type(value) is types.FunctionType:
                    self.back(Bound(Known(value), owner))
                else:
                    self.reach(value)

    # ---------------------------------------------------------------- what objects hold

    def reach(self, obj: Any) -> None:
        """See what somebody can come to who has an object. Raises NotKnown."""
        left = [obj]
        while left:
            one = left.pop()
            if id(one) in self.reached and ("reach", id(one)) in self.round:
                continue
            self.round.add(("reach", id(one)))
            self.reached[id(one)] = one  # alive, so that its number stays its own
            if len(self.reached) > OBJECTS:
                raise NotKnown("a library holds too much")
            left += self._held(one)

    def _held(self, obj: Any) -> list[Any]:
        kind = type(obj)
        if kind in CONTAINERS:
            if obj is RamSession.cache:
                raise NotKnown("it is the store")
            return [*obj.keys(), *obj.values()] if hasattr(obj, "keys") else list(obj)
        if kind is types.FunctionType:
            return self._held_by_function(obj)
        if isinstance(obj, type):
            return self._held_by_class(obj)
        if kind is types.ModuleType:
            if libraries.home_of(obj) != libraries.LIBRARY:
                raise NotKnown(f"the module {obj.__name__} is given away")
            return []
        if kind in ATOMS and kind is not types.BuiltinFunctionType:
            return []
        if kind is types.MethodType and libraries.home_of(obj.__func__) == libraries.PROGRAM:
            self.back(Bound(Known(obj.__func__), element(obj.__self__)))
            return []
        thing = element(obj)
        if thing in (SESSION, SERVING):
            raise NotKnown("a session is given away")
        if type(thing) is not Known:
            return []
        whose = libraries.home_of(kind)
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{kind} is given away")
        if whose == libraries.PROGRAM:
            self.back_class(kind, thing)
        if kind in (logging.Logger, logging.RootLogger):
            # Its manager has all the others, of which it calls those above it.
            state = object.__getattribute__(obj, "__dict__")
            return [state.get(name) for name in ("filters", "handlers", "parent")]
        from .templates import held_by_template

        found = held_by_template(obj)
        return gc.get_referents(obj) if found is None else found

    def _held_by_function(self, function: Any) -> list[Any]:
        whose = libraries.home_of(function)
        if whose == libraries.PROGRAM:
            self.back(Known(function))
            return []
        if whose != libraries.LIBRARY:
            raise NotKnown(f"{function} is given away")
        return [*cells_of(function).values(), *(function.__defaults__ or ()), function.__dict__]

    def _held_by_class(self, cls: type) -> list[Any]:
        whose = libraries.home_of(cls)
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{cls} is given away")
        if whose == libraries.PROGRAM:
            self.back_class(cls, OTHER)
        return []

    # -------------------------------------------------------------- what is in containers

    def parts(self, obj: Any) -> Value:
        """Return what lies in a container that is there."""
        if obj is RamSession.cache:
            raise NotKnown("it is the store")
        self.reached[id(obj)] = obj
        found = set(self.heap.get(("parts", id(obj)), ()))
        items = list(obj.values()) if hasattr(obj, "values") else list(obj)
        if len(items) > 2000:
            raise NotKnown("there is too much")
        if len(items) <= 20:
            return frozenset(found.union(map(element, items)))
        for item in items:
            if type(item) not in ATOMS:
                if isinstance(item, FUNCTIONS):
                    raise NotKnown("there are too many functions")
                self.reach(item)
            found.add(OTHER)
        return frozenset(found)

    def contents(self, value: Value) -> Value:
        """Return what one gets that goes through a value."""
        found: Value = EMPTY
        for thing in value:
            kind = type(thing)
            if kind is Taken:
                self.need(LOOKED, thing)
                found |= one(thing)
            elif thing is SESSION or thing is TEXT:
                found |= one(TEXT)
            elif thing in (OTHER, KEEPER, REQUEST, RESPONSE):
                found |= one(OTHER)
            elif kind is Box:
                found |= self.heap.get(thing.site, EMPTY)
            elif kind is Tuple:
                found = found.union(*thing.items, thing.tail)
            elif kind is Known and type(thing.obj) in CONTAINERS:
                found |= self.parts(thing.obj)
                if hasattr(thing.obj, "keys"):
                    found |= one(OTHER)
            elif kind is Known and type(thing.obj) in ATOMS:
                # Of a number or None nobody gets anything.
                found |= one(TEXT) if isinstance(thing.obj, (str, bytes)) else EMPTY
            else:
                found |= self.ask(thing, "__iter__")
        return found

    def items(self, value: Value) -> Value:
        """Return what lies in a value that is taken for a dict."""
        found = self.contents(value)
        return found | one(TAKEN) if SESSION in value else found

    def ask(self, thing: Any, name: str, *values: Value) -> Value:
        """Return what the method for an operator gives. Raises NotKnown."""
        raise NotImplementedError
