"""What comes of attributes in the code of a page: whose code runs then, and what that may do.

Law: no code of the program runs for it; what is looked up lies in the dicts of objects and classes.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner_of_all

from ..sessionvalues import ATOMS
from . import libraries, tables
from .reach import CONTAINERS, FUNCTIONS, Reach, element
from .values import (
    EMPTY,
    KEEPER,
    LOOKED,
    OTHER,
    REQUEST,
    RESPONSE,
    SERVING,
    SESSION,
    TEXT,
    THREAD,
    Arguments,
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
    Writes,
    one,
    untaken,
)

__all__ = ("Attributes", "find", "line_of", "nothing")

_OTHERS = one(OTHER)
_SERVED = {"session": SESSION, "request": REQUEST, "response": RESPONSE}
_SYS = frozenset(
    (
        "version",
        "version_info",
        "platform",
        "maxsize",
        "stdout",
        "stderr",
        "path",
        "argv",
        "exc_info",
    )
)
nothing = object()
#: Of a request, what is none of a page's.
_OWN = tables.REQUEST_OWN - {"body"}


def line_of(cls: type) -> tuple[type, ...]:
    found: tuple[type, ...] = type.__getattribute__(cls, "__mro__")
    return found


def find(line: Any, name: str) -> tuple[Any, Any]:
    """Return what classes have under a name, and which of them; `nothing` if none has."""
    for cls in line:
        space = type.__getattribute__(cls, "__dict__")
        if name in space:
            return space[name], cls
    return nothing, None


class Attributes(Reach):
    """Attributes: what they are, and what becomes of what is set."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[int, Any] = {}

    def run(self, callee: Any, arguments: Arguments) -> Value:
        """Go through the code of a function. Raises NotKnown."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------ loads

    def load(self, thing: Any, name: str) -> Value:
        """Return what an attribute of a thing is. Raises NotKnown."""
        self.step()
        kind = type(thing)
        if kind is Known:
            return self._load_known(thing, name)
        if kind is Instance:
            return self._load_of_class(thing, thing.cls, line_of(thing.cls), name)
        if kind is Super:
            cls = self._class_of(thing.owner)
            line = line_of(cls)
            return self._load_of_class(
                thing.owner, cls, line[line.index(thing.cls) + 1 :], name, True
            )
        if kind is Taken:
            self.need(LOOKED, thing)
            self.names.add(name)
            return one(thing)
        if thing is SESSION:
            if name in tables.SESSION_DATA:
                return one(TEXT)
            if name in tables.SESSION_METHODS:
                return one(Method(SESSION, name))
            if name in tables.SESSION_WRITERS:
                raise Writes(f"{name} of a session")
        elif thing is SERVING:
            if name in _SERVED:
                return one(_SERVED[name])
        elif thing is REQUEST or thing is THREAD:
            return self._load_served(thing, name)
        elif thing is OTHER or _is_foreign(thing):
            found = [
                value for value in libraries.classes_with(name) or () if self._asked(value, name)
            ]
            return frozenset((OTHER, Method(OTHER, name))) if found else _OTHERS
        elif thing is KEEPER or thing is TEXT:
            return one(thing)
        elif thing is RESPONSE:
            return self._load_served(thing, name)
        elif kind in (Box, Tuple):
            return one(Method(thing, name))
        elif kind in (Made, Bound) and name in (
            "__name__",
            "__doc__",
            "__qualname__",
            "__module__",
        ):
            return one(TEXT)
        raise NotKnown(f"{name} of {thing}")

    def method(self, thing: Any, name: str) -> Value:
        """Return what an attribute of a thing is that is called right away. Raises NotKnown."""
        if thing in (OTHER, TEXT, KEEPER) or type(thing) is Taken or _is_foreign(thing):
            return one(Method(OTHER if type(thing) is Method else thing, name))
        if thing == Known(None):
            return EMPTY
        if (
            type(thing) is Known
            and type(thing.obj) in ATOMS
            and not isinstance(thing.obj, FUNCTIONS + (types.ModuleType,))
        ):
            return one(Method(TEXT, name))
        return self.load(thing, name)

    def _asked(self, value: Any, name: str) -> bool:
        """Some attribute of a class may be what is asked for; tell whether it is a function."""
        if type(value) is property:
            self.call(Known(value.fget), Arguments((_OTHERS,)), ("property", name))
        return type(value) in (types.FunctionType, staticmethod, classmethod)

    def _load_served(self, thing: Any, name: str) -> Value:
        held: Any = {REQUEST: serving.request, RESPONSE: serving.response}.get(
            thing, owner_of_all.__dict__.get("thread_data")
        )
        found = self.heap.get((thing, "field", name), EMPTY)
        own = object.__getattribute__(held, "__dict__") if held is not None else {}
        if thing is REQUEST and name == "config":
            return found | self._settings(held.config)
        if thing is not THREAD and name not in _OWN:
            ours, _ = find(line_of(type(held)), name)
            if ours is not nothing and type(ours) is not types.FunctionType:
                return found | one(TEXT)
        if name in tables.REQUEST_OWN:
            raise NotKnown(f"the request's {name}")
        if name in own:
            there = element(own[name])
            if type(there) is Known and type(there.obj) not in ATOMS:
                self.reach(there.obj)
                there = OTHER
            found |= one(there)
        if not found:
            raise NotKnown(f"the request's {name}")
        return found

    def _settings(self, config: Any) -> Value:
        """Return a configuration, as it is now."""
        known = self.snapshots.setdefault(id(config), (config, dict(config)))
        return one(Known(known[1]))

    def _load_known(self, thing: Known, name: str) -> Value:
        obj = thing.obj
        kind = type(obj)
        if obj is None:
            return EMPTY  # there it ends
        if kind is types.ModuleType:
            return self._load_of_module(obj, name)
        if kind in ATOMS and not isinstance(obj, type) and kind is not types.ModuleType:
            return (
                one(TEXT) if kind is not types.FunctionType else self._load_of_function(obj, name)
            )
        if kind in CONTAINERS:
            return one(Method(thing, name))
        if isinstance(obj, type):
            return self._load_from_class(obj, name)
        if obj is owner_of_all:
            return self._load_of_framework(owner_of_all.__dict__, name)
        whose = libraries.home_of(kind)
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{name} of {kind}")
        return self._load_of_class(thing, kind, line_of(kind), name)

    @staticmethod
    def _load_of_function(function: Any, name: str) -> Value:
        held = function.__dict__.get(name, nothing)
        return one(TEXT) if held is nothing else one(element(held))

    def _load_of_module(self, module: Any, name: str) -> Value:
        space = types.ModuleType.__getattribute__(module, "__dict__")
        whose = libraries.home_of(module)
        if module is sys.modules.get("cherrypy"):
            return self._load_of_framework(space, name)
        if module.__name__ == "cherrypy.lib" and name in ("static", "httputil"):
            return one(Known(space[name]))
        if module is sys and name in _SYS:
            return _OTHERS
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{name} of the module {module.__name__}")
        if name not in space:
            raise NotKnown(f"{name} of the module {module.__name__}")
        return one(element(space[name]))

    def _load_of_framework(self, space: dict[str, Any], name: str) -> Value:
        if name == "session":
            return one(SESSION)
        if name in ("request", "response", "serving", "thread_data"):
            return one(
                {"request": REQUEST, "response": RESPONSE, "serving": SERVING}.get(name, THREAD)
            )
        if name == "config":
            return self._settings(space[name])
        if name == "lib" or (name in tables.FRAMEWORK and name in space):
            return one(Known(space[name]))
        raise NotKnown(f"cherrypy.{name}")

    def _class_of(self, thing: Any) -> type:
        if type(thing) is Instance:
            return thing.cls
        if type(thing) is Known:
            return thing.obj if isinstance(thing.obj, type) else type(thing.obj)
        raise NotKnown(f"the class of {thing}")

    def _load_from_class(self, cls: type, name: str) -> Value:
        value, where = find(line_of(cls), name)
        if value is nothing:
            if name in ("__name__", "__module__", "__doc__", "__qualname__"):
                return one(TEXT)
            raise NotKnown(f"{name} of {cls}")
        whose = libraries.home_of(where)
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{name} of {cls}")
        if type(value) is staticmethod:
            return one(Known(value.__func__))
        if type(value) is classmethod:
            return one(Bound(Known(value.__func__), Known(cls)))
        if type(value) is types.ClassMethodDescriptorType:
            return one(Known(value.__get__(None, cls)))
        return one(element(value))

    def _load_of_class(
        self, thing: Any, cls: type, line: Any, name: str, above: bool = False
    ) -> Value:
        """Return an attribute of an object of a class."""
        if find(line_of(cls), "__getattribute__")[1] is not object:
            raise NotKnown(f"{cls} has its own __getattribute__")
        value, where = find(line, name)
        found = self.heap.get((thing, "field", name), EMPTY)
        data = value is not nothing and find(line_of(type(value)), "__set__")[0] is not nothing
        if type(thing) is Known and not data and not above:
            try:
                own = object.__getattribute__(thing.obj, "__dict__")
            except AttributeError:
                own = {}
            if type(own) is dict and name in own:
                self.reached[id(thing.obj)] = thing.obj
                return found | one(element(own[name]))
        if value is nothing:
            return found or self._load_late(thing, cls, name)
        return found | self._from(thing, cls, value, where)

    def _load_late(self, thing: Any, cls: type, name: str) -> Value:
        hook, _ = find(line_of(cls), "__getattr__")
        if type(hook) is types.FunctionType and libraries.home_of(hook) == libraries.PROGRAM:
            return self.call(
                Bound(Known(hook), thing), Arguments((one(Known(name)),)), ("late", thing, name)
            )
        if type(thing) is Instance:
            return _OTHERS  # whoever has set it
        raise NotKnown(f"{name} of {cls}")

    def _from(self, thing: Any, cls: type, value: Any, where: Any) -> Value:
        """Return what an attribute that lies in a class is, for an object of it."""
        kind = type(value)
        whose = libraries.home_of(where)
        if whose in (libraries.OWN, libraries.DENIED):
            raise NotKnown(f"{value} of {where}")
        if kind is types.FunctionType:
            if whose == libraries.LIBRARY:
                return one(Method(thing, value.__name__))
            return one(Bound(Known(value), thing))
        if kind is property:
            if whose == libraries.LIBRARY:
                self.give([one(thing)])
                return _OTHERS
            return self.call(
                Bound(Known(value.fget), thing), Arguments(), ("property", thing, id(value))
            )
        if kind is staticmethod:
            return one(Known(value.__func__))
        if kind is classmethod:
            return one(Bound(Known(value.__func__), Known(cls)))
        if kind is types.MemberDescriptorType and type(thing) is Known:
            try:
                return one(element(value.__get__(thing.obj)))
            except AttributeError:
                return EMPTY
        if isinstance(value, functools.cached_property):
            return self.call(
                Bound(Known(value.func), thing), Arguments(), ("property", thing, id(value))
            )
        if find(line_of(kind), "__get__")[0] is nothing:
            return one(element(value))
        if libraries.home_of(kind) == libraries.LIBRARY:
            wrapped = getattr(value, "__wrapped__", None)
            if type(wrapped) is types.FunctionType:
                return one(Bound(Known(wrapped), thing))
            self.reach(value)
            return one(Method(thing, getattr(value, "__name__", "?")))
        raise NotKnown(f"the descriptor {value}")

    # ----------------------------------------------------------------------------- stores

    def store(self, thing: Any, name: str, value: Value) -> None:
        """Set an attribute of a thing. Raises NotKnown."""
        self.step()
        kind = type(thing)
        if thing is REQUEST or thing is THREAD:
            if name in tables.REQUEST_OWN:
                raise NotKnown(f"the request's {name} is set")
            self._keep(thing, name, value)
        elif thing in (RESPONSE, OTHER, KEEPER, TEXT) or kind is Method:
            if thing is TEXT and any(
                type(part) not in (Known, Taken) and part is not TEXT for part in value
            ):
                raise NotKnown(f"{name} is set to something of the program")
            for part in value:
                if type(part) is Known and isinstance(part.obj, FUNCTIONS):
                    self._of_library(part.obj)
            self.give([value])
        elif kind is Instance:
            hook, _ = find(line_of(thing.cls), "__setattr__")
            held, _ = find(line_of(thing.cls), name)
            if type(held) is property and held.fset is not None:
                self.call(Bound(Known(held.fset), thing), Arguments((value,)), ("set", thing, name))
            elif (
                type(hook) is types.FunctionType
                or find(line_of(type(held)), "__set__")[0] is not nothing
            ):
                raise NotKnown(f"{name} of {thing.cls} is set")
            else:
                self.put((thing, "field", name), value)
        elif kind is Known and not isinstance(
            thing.obj, (type, types.ModuleType, types.FunctionType)
        ):
            self._store_known(thing, name, value)
        else:
            raise NotKnown(f"{name} of {thing} is set")

    @staticmethod
    def _of_library(function: Any) -> None:
        if libraries.home_of(getattr(function, "__func__", function)) != libraries.LIBRARY:
            raise NotKnown(f"something is given {function}")

    def _store_known(self, thing: Known, name: str, value: Value) -> None:
        cls = type(thing.obj)
        if (
            libraries.home_of(cls) != libraries.PROGRAM
            or type(find(line_of(cls), "__setattr__")[0]) is types.FunctionType
        ):
            raise NotKnown(f"{name} of {cls} is set")
        held, _ = find(line_of(cls), name)
        if held is not nothing and type(held) not in ATOMS:
            raise NotKnown(f"{name} of {cls} is set")
        self._keep(thing, name, value)

    def _keep(self, thing: Any, name: str, value: Value) -> None:
        # Whatever it is, other requests may come across it.
        self.give([value])
        if any(type(part) in (Made, Bound, Method, Super) for part in value):
            raise NotKnown(f"{name} of {thing} is set to a function")
        self.put((thing, "field", name), untaken(value))


def _is_foreign(thing: Any) -> bool:
    """Tell whether this is an attribute of something that is not a session's."""
    return type(thing) is Method and thing.owner is not SESSION and type(thing.owner) is not Taken
