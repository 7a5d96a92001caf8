"""What a name in a page's code may stand for, as far as its session is concerned.

Law: a value is a set of things, each of which it may be; what is in no such set is not known.
"""

from __future__ import annotations

import ast
from typing import Any

__all__ = (
    "ANY",
    "ANYTHING",
    "EMPTY",
    "FIXED",
    "KEEPER",
    "LOOKED",
    "OTHER",
    "PAGE",
    "PLAIN",
    "REQUEST",
    "RESPONSE",
    "SERVING",
    "SESSION",
    "TAKEN",
    "TEXT",
    "THREAD",
    "Arguments",
    "Bound",
    "Box",
    "Instance",
    "Known",
    "Made",
    "Method",
    "NotKnown",
    "Scope",
    "Super",
    "Taken",
    "Tuple",
    "Value",
    "Writes",
    "names_in",
    "one",
    "untaken",
)

# What the values in a session have to be like, for a page to be one that only reads: anything; plain ones or
# objects that just have attributes; plain ones (lists, dicts, texts ...); such that nobody can change.
ANY, LOOKED, PLAIN, FIXED = range(4)


class NotKnown(Exception):
    """Something in the code might write, for all that can be seen."""


class Writes(NotKnown):
    """Something in the code changes a session."""


class Mark:
    """A thing of which there is one."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


SESSION = Mark("SESSION")
OTHER = Mark("OTHER")  # has nothing to do with the session, and is of any class
TEXT = Mark("TEXT")  # the same, of a built-in class
KEEPER = Mark("KEEPER")  # a template: it changes nothing that it is given
REQUEST = Mark("REQUEST")
RESPONSE = Mark("RESPONSE")
SERVING = Mark("SERVING")
THREAD = Mark("THREAD")
PAGE = Mark("PAGE")  # the page, for what a tool has put around it

#: What cannot change and can be compared.
_SIMPLE = frozenset((str, int, float, bool, bytes, type(None)))


class _Thing:
    __slots__: tuple[str, ...] = ()

    def _key(self) -> Any:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Known(_Thing):
    """This very object."""

    __slots__ = ("obj",)

    def __init__(self, obj: Any) -> None:
        self.obj = obj

    def _key(self) -> Any:
        kind = type(self.obj)
        return (kind, self.obj) if kind in _SIMPLE else id(self.obj)


class Taken(_Thing):
    """Out of the session, from under a key, None: any; a change of it may be one of the session."""

    __slots__ = ("key",)

    def __init__(self, key: str | None) -> None:
        self.key = key

    def _key(self) -> Any:
        return self.key


TAKEN = Taken(None)


class Box(_Thing):
    """A container that was made at a place in the code; what is in it lies in the heap."""

    __slots__ = ("site",)

    def __init__(self, site: Any) -> None:
        self.site = site

    def _key(self) -> Any:
        return self.site


class Tuple(_Thing):
    """A tuple: its items, and what else may come behind them."""

    __slots__ = ("items", "tail")

    def __init__(self, items: tuple[Value, ...], tail: Value) -> None:
        self.items = items
        self.tail = tail

    def _key(self) -> Any:
        return self.items, self.tail


class Instance(_Thing):
    """An object of a class of the program, that was made at a place in the code."""

    __slots__ = ("cls", "site")

    def __init__(self, cls: type, site: Any) -> None:
        self.cls = cls
        self.site = site

    def _key(self) -> Any:
        return id(self.cls), self.site


class Made(_Thing):
    """A function that was made by the code: nested, or a lambda."""

    __slots__ = ("node", "scope")

    def __init__(self, node: Any, scope: Scope) -> None:
        self.node = node
        self.scope = scope

    def _key(self) -> Any:
        return id(self.node), id(self.scope)


class Bound(_Thing):
    """A function together with its first argument."""

    __slots__ = ("function", "owner")

    def __init__(self, function: Any, owner: Any) -> None:
        self.function = function
        self.owner = owner

    def _key(self) -> Any:
        return self.function, self.owner


class Method(_Thing):
    """A method, by its name, of something that is not written in Python or not known."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def _key(self) -> Any:
        return self.owner, self.name


class Super(_Thing):
    """What `super()` gives."""

    __slots__ = ("cls", "owner")

    def __init__(self, cls: type, owner: Any) -> None:
        self.cls = cls
        self.owner = owner

    def _key(self) -> Any:
        return id(self.cls), self.owner


Value = frozenset[Any]
EMPTY: Value = frozenset()
_others: Value = frozenset((OTHER,))


def untaken(value: Value) -> Value:
    """Return a value as it is for who does not know that it is out of a session."""
    rest = frozenset(thing for thing in value if type(thing) is not Taken)
    return rest if len(rest) == len(value) else rest | _others


def one(thing: Any) -> Value:
    """Return the value that is just this."""
    return frozenset((thing,))


class Arguments(_Thing):
    """What a function is called with.

    star, more
        Positional and keyword arguments of which neither number nor names are known.
    """

    __slots__ = ("more", "named", "positional", "star")

    def __init__(
        self,
        positional: tuple[Value, ...] = (),
        named: tuple[tuple[str, Value], ...] = (),
        star: Value = EMPTY,
        more: Value = EMPTY,
    ) -> None:
        self.positional = positional
        self.named = named
        self.star = star
        self.more = more

    def _key(self) -> Any:
        return self.positional, self.named, self.star, self.more

    def all(self) -> list[Value]:
        """Return the values."""
        return [*self.positional, *(value for _, value in self.named), self.star, self.more]

    def behind(self, owner: Any) -> Arguments:
        """Return these, with one in front of them."""
        return Arguments((one(owner), *self.positional), self.named, self.star, self.more)


#: Of those who call what they are given.
ANYTHING = Arguments((), (), _others, _others)


class Scope:
    """The names of one call of a function."""

    def __init__(self, names: Any, around: Scope | None, cells: dict[str, Any]) -> None:
        self.names: dict[str, Value] = {}
        self.globals: dict[str, Any] = names
        self.around = around
        self.cells = cells
        self.own: frozenset[str] = frozenset()
        self.rebound: frozenset[str] = frozenset()  # by `global` and `nonlocal`
        self.returns: Value = EMPTY
        self.yields: Value = EMPTY
        self.first: str | None = None
        self.generates = False
        self.inner = False  # of a comprehension


def names_in(node: Any) -> tuple[set[str], set[str], bool]:
    """Return the names that a function sets, those that it says are not its own, and whether it yields."""
    own: set[str] = set()
    foreign: set[str] = set()
    yields = False
    left: list[Any] = list(node.body) if isinstance(node.body, list) else [node.body]
    while left:
        part = left.pop()
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own.add(part.name)
            left += part.decorator_list
            continue
        if isinstance(part, ast.Lambda):
            continue
        if isinstance(part, (ast.Global, ast.Nonlocal)):
            foreign.update(part.names)
        elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            own.add(part.id)
        elif isinstance(part, ast.ExceptHandler) and part.name:
            own.add(part.name)
        elif isinstance(part, ast.alias):
            own.add((part.asname or part.name).partition(".")[0])
        elif isinstance(part, (ast.Yield, ast.YieldFrom)):
            yields = True
        left += ast.iter_child_nodes(part)
    return own - foreign, foreign, yields
