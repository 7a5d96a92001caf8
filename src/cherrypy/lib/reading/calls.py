"""What comes of calls in the code of a page: whose code runs then, and what it is given.

Law: whoever may be called is looked at, or is of a library, and then what it is given.
"""

from __future__ import annotations

import builtins
import functools
import types
from typing import Any

from ..sessionvalues import ATOMS
from . import libraries, tables
from .attributes import Attributes, find, line_of, nothing
from .reach import CONTAINERS, FUNCTIONS, element
from .values import (
    EMPTY,
    FIXED,
    KEEPER,
    LOOKED,
    OTHER,
    PAGE,
    PLAIN,
    REQUEST,
    RESPONSE,
    SERVING,
    SESSION,
    TAKEN,
    TEXT,
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

__all__ = ("Calls",)

_OTHERS = one(OTHER)


class Calls(Attributes):
    """Calls, and the operators that are calls."""

    # ------------------------------------------------------------------------------ calls

    def call(self, callee: Any, arguments: Arguments, site: Any) -> Value:
        """Return what a call gives.

        site
            The place of the call: what it makes is known by it.
        """
        self.step()
        kind = type(callee)
        if kind is Made:
            return self.run(callee, arguments)
        if kind is Bound:
            return self.call(callee.function, arguments.behind(callee.owner), site)
        if kind is Method:
            return self._call_method(callee.owner, callee.name, arguments, site)
        if callee is PAGE:
            return frozenset((TAKEN, OTHER))
        if kind is Known:
            return self._call_known(callee.obj, arguments, site)
        if kind is Instance:
            return self.ask(callee, "__call__", *arguments.positional)
        raise NotKnown(f"{callee} is called")

    def _call_known(self, obj: Any, arguments: Arguments, site: Any) -> Value:
        kind = type(obj)
        if kind is types.FunctionType:
            whose = libraries.home_of(obj)
            if whose == libraries.PROGRAM:
                return self.run(Known(obj), arguments)
            if whose == libraries.LIBRARY:
                return self._call_library(obj, arguments)
            raise NotKnown(f"{obj} is called")
        if kind is types.MethodType:
            return self.call(Bound(Known(obj.__func__), element(obj.__self__)), arguments, site)
        if kind is functools.partial:
            first = tuple(one(element(value)) for value in obj.args)
            named = tuple((name, one(element(value))) for name, value in obj.keywords.items())
            merged = Arguments(
                (*first, *arguments.positional),
                (*named, *arguments.named),
                arguments.star,
                arguments.more,
            )
            return self.call(element(obj.func), merged, site)
        if isinstance(obj, type):
            return self._call_class(obj, arguments, site)
        if kind is types.MethodDescriptorType and arguments.positional:
            # As `str.strip`: of what it is given.
            owners, *others = arguments.positional
            left = Arguments(tuple(others), arguments.named, arguments.star, arguments.more)
            found: Value = EMPTY
            for thing in owners:
                for callee in self.method(thing, obj.__name__):
                    found |= self.call(callee, left, site)
            return found
        if kind is types.BuiltinFunctionType:
            return self._call_builtin(obj, arguments, site)
        wrapped = (
            getattr(obj, "__wrapped__", None)
            if libraries.home_of(kind) == libraries.LIBRARY
            else None
        )
        if type(wrapped) is types.FunctionType:
            return self.call(Known(wrapped), arguments, site)
        if libraries.home_of(kind) == libraries.PROGRAM:
            hook, _ = find(line_of(kind), "__call__")
            if type(hook) is types.FunctionType:
                return self.call(Bound(Known(hook), Known(obj)), arguments, site)
        if libraries.home_of(kind) == libraries.LIBRARY and kind.__name__ not in _UNBOUND:
            self.give([one(Known(obj)), *arguments.all()])
            return _OTHERS
        raise NotKnown(f"{obj} is called")

    def _call_library(self, function: Any, arguments: Arguments) -> Value:
        wrapped = function.__dict__.get("__wrapped__")
        if (
            type(wrapped) is types.FunctionType
            and libraries.home_of(wrapped) == libraries.PROGRAM
            and function.__globals__.get("__name__") == "contextlib"
        ):
            # What it gives is entered: then the generator runs.
            return self.call(Known(wrapped), arguments, ("wrapped", id(function)))
        if tables.looks(function):
            self.give(arguments.all(), PLAIN)
            return one(TEXT)
        self.give([one(Known(function)), *arguments.all()])
        return self._made_by(function, arguments)

    def _made_by(self, function: Any, arguments: Arguments) -> Value:
        """Return what a library gives: of its own, if it knows nothing of the program, as far as we know it."""
        module = str(getattr(function, "__module__", None) or "").partition(".")[0]
        if module in tables.VALUES and self._are_plain(arguments.all()):
            return one(TEXT)
        return _OTHERS

    def _call_class(self, cls: type, arguments: Arguments, site: Any) -> Value:
        if cls is type and len(arguments.positional) == 1 and not arguments.named:
            return self._type_of(arguments.positional[0])
        if libraries.home_of(cls) == libraries.LIBRARY:
            if cls.__module__ == "builtins":
                return self._call_builtin(cls, arguments, site)
            if cls.__module__.partition(".")[0] == "mako":
                raise NotKnown("the text of a template")
            self.give([one(Known(cls)), *arguments.all()])
            return self._made_by(cls, arguments)
        if libraries.home_of(cls) != libraries.PROGRAM:
            raise NotKnown(f"{cls} is called")
        made = Instance(cls, site if isinstance(site, int) else hash(site))
        new, where = find(line_of(cls), "__new__")
        if (
            type(new) in (staticmethod, types.FunctionType)
            and libraries.home_of(where) == libraries.PROGRAM
        ):
            code = getattr(getattr(new, "__func__", new), "__code__", None)
            if code is None or not code.co_filename.startswith("<"):
                raise NotKnown(f"{cls} has its own __new__")
        if type(cls) is not type and libraries.home_of(type(cls)) != libraries.LIBRARY:
            raise NotKnown(f"{cls} has a class of its own")
        init, where = find(line_of(cls), "__init__")
        generated = type(init) is types.FunctionType and init.__code__.co_filename.startswith("<")
        if generated and "__dataclass_fields__" in type.__getattribute__(cls, "__dict__"):
            self._keep_fields(made, cls, arguments)
        elif generated or libraries.home_of(where) != libraries.PROGRAM:
            # Of a library, or made by one: it keeps what it is given.
            self.give(arguments.all())
            for field in (*getattr(cls, "__annotations__", ()), *dict(arguments.named)):
                self.put((made, "field", field), _OTHERS)
        else:
            self.call(Bound(Known(init), made), arguments, site)
        return one(made)

    def _keep_fields(self, made: Instance, cls: type, arguments: Arguments) -> None:
        """Make an object of a dataclass."""
        fields = list(cls.__dataclass_fields__)  # type: ignore[attr-defined]  # a dataclass
        rest = arguments.star | arguments.more
        for at, field in enumerate(fields):
            value = arguments.positional[at] if at < len(arguments.positional) else rest
            factory = cls.__dataclass_fields__[field].default_factory  # type: ignore[attr-defined]  # as above
            if factory in (list, dict, set):
                box = Box(("factory", made, field))
                self.put(box.site, EMPTY)
                value |= one(box)
            elif isinstance(factory, FUNCTIONS):
                value |= self.call(element(factory), Arguments(), ("factory", made, field))
            self.put((made, "field", field), value | dict(arguments.named).get(field, EMPTY))
        after, _ = find(line_of(cls), "__post_init__")
        if after is not nothing:
            self.call(Bound(Known(after), made), Arguments(), ("after", made))

    def _type_of(self, value: Value) -> Value:
        found: Value = EMPTY
        for thing in value:
            if type(thing) in (Known, Instance):
                found |= one(Known(self._class_of(thing)))
            elif thing in (SESSION, SERVING):
                raise NotKnown("the class of a session")
            else:
                found |= one(TEXT)
        return found

    def _call_builtin(self, function: Any, arguments: Arguments, site: Any) -> Value:
        if function in (getattr, setattr, hasattr) and not arguments.star:
            return self._by_name(function, arguments)
        if id(function) in tables.LOOKS:
            for value in arguments.all():
                self.look(value)
            return one(TEXT)
        if id(function) in tables.FRESH:
            return self._call_fresh(function, arguments, site)
        if function is super:
            raise NotKnown("super with arguments")
        if function in (open, print) or (
            isinstance(function, type) and issubclass(function, BaseException)
        ):
            self.give(arguments.all())
            return _OTHERS
        owner = getattr(function, "__self__", None)
        if isinstance(owner, types.ModuleType) and owner is not builtins:
            if libraries.home_of(owner) != libraries.LIBRARY:
                raise NotKnown(f"{function} is called")
            self.give(arguments.all(), PLAIN if tables.looks(function) else FIXED)
            return self._made_by(function, arguments)
        if owner is not None and owner is not builtins and type(owner) is not types.ModuleType:
            return self._call_method(element(owner), function.__name__, arguments, site)
        raise NotKnown(f"{function} is called")

    def look(self, value: Value) -> None:
        """Something is looked at: as a text, in a comparison, for its length."""
        for thing in value:
            if type(thing) is Taken:
                self.need(LOOKED, thing)
            elif thing is SERVING:
                raise NotKnown("what is served is given away")
            elif type(thing) is Instance or (
                type(thing) is Known and libraries.home_of(type(thing.obj)) == libraries.PROGRAM
            ):
                self.operators(thing)

    def _by_name(self, function: Any, arguments: Arguments) -> Value:
        things, names, *rest = arguments.positional
        found: Value = EMPTY
        for name in names:
            if type(name) is not Known or type(name.obj) is not str:
                raise NotKnown("a name that is made")
            for thing in things:
                if function is setattr:
                    self.store(thing, name.obj, rest[0])
                    continue
                if function is hasattr and (
                    thing in (SESSION, SERVING, REQUEST)
                    or type(thing) is Taken
                    or (type(thing) is Known and type(thing.obj) is types.ModuleType)
                ):
                    continue
                try:
                    found |= self.load(thing, name.obj)
                except NotKnown:
                    # Not there, which is what a default is for.
                    if function is getattr and not self._surely_missing(thing, name.obj, rest):
                        raise
        return one(TEXT) if function is not getattr else found.union(*rest)

    def _surely_missing(self, thing: Any, name: str, rest: Any) -> bool:
        return bool(rest) and thing is REQUEST and name not in tables.REQUEST_OWN

    def _call_fresh(self, function: Any, arguments: Arguments, site: Any) -> Value:
        made = Box(("fresh", site))
        inner: Value = EMPTY
        values = [*arguments.positional, arguments.star]
        if function in (map, filter):
            calls, *values = values
            for value in values:
                inner |= self.contents(value)
            for callee in calls:
                if callee != Known(None):
                    got = self.call(callee, Arguments((inner,)), site)
                    inner = got if function is map else inner
        else:
            several = function in (max, min) and len(arguments.positional) > 1
            for value in values:
                inner |= (
                    value
                    if several
                    else self.items(value)
                    if function is dict
                    else self.contents(value)
                )
                if function is next and value is not values[0]:
                    inner |= value
            for name, value in arguments.named:
                if name in ("key", "default", "reverse", "strict", "start"):
                    for callee in value if name == "key" else ():
                        if callee != Known(None):
                            self.call(callee, Arguments((inner,)), site)
                    inner |= value if name == "default" else EMPTY
                else:
                    inner |= value
            inner |= self.contents(arguments.more)
        if function in (max, min, next):
            return inner
        if function is sum:
            inner |= self.contents(inner)
        self.put(made.site, inner | (one(TEXT) if function in (enumerate, dict) else EMPTY))
        return one(made)

    # ---------------------------------------------------------------------------- methods

    def _call_method(self, owner: Any, name: str, arguments: Arguments, site: Any) -> Value:
        """Call a method of something that is not written in Python, or of which nothing is known."""
        kind = type(owner)
        if owner is SESSION:
            if name in ("get", "items", "values", "__getitem__"):
                found = self.taken(arguments.positional[0] if arguments.positional else None)
                return found.union(
                    *arguments.positional[1:], *(value for _, value in arguments.named)
                )
            return one(TEXT)
        if kind is Taken:
            if name in tables.CHANGES:
                raise Writes(f"{name} of a value of the session")
            self.need(LOOKED if name in tables.VALUE_METHODS else FIXED, owner)
            self.names.add(name)
            self.give(arguments.all())
            return one(owner).union(*arguments.positional)
        if kind is Box or (kind is Known and type(owner.obj) in CONTAINERS):
            return self._call_container(owner, name, arguments, site)
        if kind is Tuple:
            return self.contents(one(owner)) | one(TEXT)
        if owner is TEXT:
            if name not in tables.VALUE_METHODS:
                self.give(arguments.all())
            for value in arguments.all():
                self.look(self.contents(value) if name == "join" else value)
                for thing in value:
                    if type(thing) in (Bound, Made) or (
                        type(thing) is Known and isinstance(thing.obj, FUNCTIONS)
                    ):
                        self.back(thing)
            return one(TEXT)
        if owner in (OTHER, KEEPER):
            return self._call_unseen(owner, name, arguments)
        if kind in (Known, Instance):
            return self._call_of_library(owner, name, arguments)
        raise NotKnown(f"{name} of {owner} is called")

    @staticmethod
    def taken(names: Value | None) -> Value:
        """Return what is in the session under names; None: under all."""
        sure = names is not None and all(
            type(name) is Known and type(name.obj) is str for name in names
        )
        return frozenset(Taken(name.obj) for name in names or ()) if sure else one(TAKEN)

    def _call_of_library(self, owner: Any, name: str, arguments: Arguments) -> Value:
        from .templates import keeps

        self.give([one(owner), *arguments.all()])
        if type(owner) is Known:
            if name in ("get_template", "select_template") and keeps(owner.obj):
                return one(KEEPER)
            if name.startswith("render") and keeps(owner.obj):
                return one(TEXT)
        return _OTHERS

    def _call_unseen(self, owner: Any, name: str, arguments: Arguments) -> Value:
        """Call a method of an object of which nothing is known: any of that name might be it."""
        kept = (
            owner is KEEPER
            and name.startswith(("render", "generate"))
            and self._are_plain(arguments.all())
        )
        level = PLAIN if kept else FIXED
        self.give(arguments.all(), level)
        if owner is KEEPER:
            return _OTHERS
        found = libraries.classes_with(name)
        if found is None:
            raise NotKnown(f"{name} may be anything")
        for value in found:
            function = value.__func__ if type(value) in (staticmethod, classmethod) else value
            if type(function) is types.FunctionType:
                first = arguments if type(value) is staticmethod else arguments.behind(OTHER)
                self.call(Known(function), first, ("unseen", name))
            elif type(function) not in ATOMS and type(function) is not property:
                raise NotKnown(f"{name} may be anything")
        return _OTHERS

    def _are_plain(self, values: Any) -> bool:
        """Tell whether there is nothing in values that could be called, so that a template is alone with them."""
        seen: set[Any] = set()
        left = [thing for value in values for thing in value]
        while left:
            thing = left.pop()
            if thing in seen or type(thing) is Taken or thing is TEXT:
                continue
            seen.add(thing)
            if type(thing) is Box:
                left += self.heap.get(thing.site, ())
            elif type(thing) is Tuple:
                left += [part for value in (*thing.items, thing.tail) for part in value]
            elif type(thing) is Known and type(thing.obj) in CONTAINERS:
                left += self.parts(thing.obj)
            elif (
                type(thing) is not Known
                or type(thing.obj) not in ATOMS
                or isinstance(thing.obj, FUNCTIONS)
            ):
                return False
        return True

    def _call_container(self, owner: Any, name: str, arguments: Arguments, site: Any) -> Value:
        """Call a method of a list, dict or set that is not the session's."""
        inner = self.contents(one(owner))
        if name in tables.CHANGES or name in ("__setitem__", "__delitem__"):
            for value in arguments.all():
                parts = self.items(value) if name in ("update", "extend", "extendleft") else value
                self.fill(owner, parts)
            for callee in dict(arguments.named).get("key", ()) if name == "sort" else ():
                self.call(callee, Arguments((inner,)), site)
            return inner.union(*arguments.positional, one(TEXT))
        if name not in tables.VALUE_METHODS:
            raise NotKnown(f"{name} of a container is called")
        if (
            name == "get"
            and type(owner) is Known
            and type(owner.obj) is dict
            and not arguments.star
        ):
            found = self.exactly(owner.obj, arguments.positional[0])
            if found:
                return found
        if name in ("get", "index", "count"):
            return inner.union(*arguments.positional[1:], one(Known(None)))
        made = Box(("copy", site))
        self.put(made.site, inner.union(*map(self.contents, arguments.positional)))
        return one(made)

    def exactly(self, held: dict[Any, Any], names: Value) -> Value:
        """Return what a dict of the program has under names that are known; nothing if it is not sure."""
        found: Value = self.heap.get(("parts", id(held)), EMPTY)
        for name in names:
            if type(name) is not Known or type(name.obj) is not str:
                return EMPTY
            found |= one(element(held.get(name.obj)))
        return found

    def fill(self, owner: Any, value: Value) -> None:
        """Something is put into a container. Raises NotKnown."""
        if type(owner) is Box:
            self.put(owner.site, value)
        elif type(owner) is Known and type(owner.obj) in CONTAINERS:
            # It outlives the request.
            self.parts(owner.obj)
            self.give([value])
            if any(type(part) in (Made, Bound, Method, Super) for part in value):
                raise NotKnown("a function is put into a container")
            self.put(("parts", id(owner.obj)), untaken(value))
        elif owner in (OTHER, RESPONSE, KEEPER, TEXT) or (
            type(owner) is Known and type(owner.obj) not in ATOMS
        ):
            self.give([value])
            self.ask(owner, "__setitem__", _OTHERS, value)
        elif owner is SESSION or type(owner) is Taken:
            raise Writes(f"{owner} is changed")
        else:
            raise NotKnown(f"{owner} is changed")

    # -------------------------------------------------------------------------- operators

    def operators(self, thing: Any) -> None:
        """An operator meets a thing, or a built-in function; which of its methods that calls is not looked at."""
        if type(thing) is Known and type(thing.obj) in ATOMS:
            return
        for cls in line_of(self._class_of(thing)):
            if libraries.home_of(cls) != libraries.PROGRAM:
                continue
            for name, value in list(type.__getattribute__(cls, "__dict__").items()):
                if name[:2] == "__" and type(value) is types.FunctionType and name not in _CALLED:
                    self.back(Bound(Known(value), thing))

    def ask(self, thing: Any, name: str, *values: Value) -> Value:
        """Return what the method for an operator gives. Raises NotKnown."""
        if type(thing) is Taken:
            self.need(LOOKED, thing)
            return one(thing)
        if type(thing) not in (Known, Instance):
            return one(TEXT) if thing is TEXT else _OTHERS
        if thing == Known(None):
            return EMPTY
        cls = self._class_of(thing)
        if type(thing) is Known and isinstance(thing.obj, (type, types.ModuleType)):
            return _OTHERS
        value, where = find(line_of(cls), name)
        if value is nothing or cls in ATOMS:
            self.operators(thing)
            return _OTHERS
        whose = libraries.home_of(where)
        if whose == libraries.PROGRAM and type(value) is types.FunctionType:
            return self.call(Bound(Known(value), thing), Arguments(values), ("ask", name))
        if whose != libraries.LIBRARY:
            raise NotKnown(f"{name} of {cls}")
        self.give([one(thing), *values])
        return _OTHERS


#: What is not called by an operator, or a built-in function.
_CALLED = frozenset(
    (
        "__init__",
        "__new__",
        "__call__",
        "__enter__",
        "__exit__",
        "__getattr__",
        "__setattr__",
        "__init_subclass__",
    )
)
_UNBOUND = frozenset(
    ("method_descriptor", "wrapper_descriptor", "method-wrapper", "classmethod_descriptor")
)
