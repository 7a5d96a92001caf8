"""Names and expressions in the code of a page, with what they may stand for.

Law: an expression that is not understood may write.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

from .calls import Calls
from .reach import CONTAINERS, element
from .values import (
    EMPTY,
    OTHER,
    SERVING,
    SESSION,
    TEXT,
    Arguments,
    Box,
    Known,
    Made,
    NotKnown,
    Scope,
    Super,
    Taken,
    Tuple,
    Value,
    one,
)

__all__ = ("Expressions",)

_OTHERS, _TEXTS = one(OTHER), one(TEXT)


class Expressions(Calls):
    """Names and expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.scopes: dict[Any, Scope] = {}

    def assign(self, target: Any, value: Value, scope: Scope) -> None:
        """Give a target of an assignment a value."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------ names

    def set(self, name: str, value: Value, scope: Scope) -> None:
        """Give a name of a scope a value that it may have."""
        if name in scope.rebound:
            outer = scope.around
            while outer is not None and name not in outer.own:
                outer = outer.around
            if outer is None:
                raise NotKnown(f"{name} is set outside")
            scope = outer
        before = scope.names.get(name, EMPTY)
        if not value <= before:
            self.changed = True
            scope.names[name] = before | value
            if len(scope.names[name]) > 60:
                raise NotKnown(f"{name} may be too much")

    def look_up(self, name: str, scope: Scope) -> Value:
        """Return what a name stands for. Raises NotKnown."""
        at: Scope | None = scope
        while at is not None:
            if name in at.own:
                return at.names.get(name, EMPTY)
            if name in at.cells:
                return one(element(at.cells[name]))
            at = at.around
        if name in scope.globals:
            return one(element(scope.globals[name]))
        if hasattr(builtins, name):
            return one(Known(getattr(builtins, name)))
        raise NotKnown(f"the name {name}")

    # ------------------------------------------------------------------------ expressions

    def value(self, node: Any, scope: Scope) -> Value:
        """Return what an expression may be. Raises NotKnown."""
        self.step()
        how = getattr(self, f"of_{type(node).__name__}", None)
        if how is None:
            raise NotKnown(f"an expression of the kind {type(node).__name__}")
        found: Value = how(node, scope)
        return found

    def of_Constant(self, node: Any, scope: Scope) -> Value:
        return one(Known(node.value))

    def of_Name(self, node: Any, scope: Scope) -> Value:
        return self.look_up(node.id, scope)

    def of_Attribute(self, node: Any, scope: Scope) -> Value:
        found: Value = EMPTY
        for thing in self.value(node.value, scope):
            found |= self.load(thing, node.attr)
        return found

    def of_Subscript(self, node: Any, scope: Scope) -> Value:
        index = self.value(node.slice, scope)
        found: Value = EMPTY
        for thing in self.value(node.value, scope):
            found |= self.subscript(thing, index)
        return found

    def of_Slice(self, node: Any, scope: Scope) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.value(part, scope)
        return _TEXTS

    def of_Call(self, node: Any, scope: Scope) -> Value:
        callees = self._callees(node, scope)
        positional: list[Value] = []
        star: Value = EMPTY
        for part in node.args:
            if not isinstance(part, ast.Starred):
                value = self.value(part, scope)
                if star:
                    star |= value
                else:
                    positional.append(value)
                continue
            for thing in self.value(part.value, scope):
                if type(thing) is Tuple and not star:
                    positional += thing.items
                    star |= thing.tail
                else:
                    star |= self.contents(one(thing))
        named: list[tuple[str, Value]] = []
        more: Value = EMPTY
        for word in node.keywords:
            value = self.value(word.value, scope)
            if word.arg is None:
                more |= self.items(value)
            else:
                named.append((word.arg, value))
        arguments = Arguments(tuple(positional), tuple(named), star, more)
        if callees == one(Known(super)) and not arguments.all()[:-2]:
            return self._above(scope)
        found: Value = EMPTY
        for callee in callees:
            found |= self.call(callee, arguments, (id(node), id(scope)))
        return found

    def _callees(self, node: Any, scope: Scope) -> Value:
        """Return what is called: of something out of the session, a method and not an attribute."""
        if not isinstance(node.func, ast.Attribute):
            return self.value(node.func, scope)
        found: Value = EMPTY
        for thing in self.value(node.func.value, scope):
            found |= self.method(thing, node.func.attr)
        return found

    def _above(self, scope: Scope) -> Value:
        at: Scope | None = scope
        while at is not None and "__class__" not in at.cells:
            at = at.around
        if at is None or scope.first is None:
            raise NotKnown("super")
        cls = at.cells["__class__"]
        return frozenset(Super(cls, thing) for thing in scope.names.get(scope.first, EMPTY))

    def of_Lambda(self, node: Any, scope: Scope) -> Value:
        return one(Made(node, scope))

    def of_Await(self, node: Any, scope: Scope) -> Value:
        return self.value(node.value, scope)

    def of_Yield(self, node: Any, scope: Scope) -> Value:
        value = self.value(node.value, scope) if node.value is not None else EMPTY
        if not value <= scope.yields:
            self.changed = True
            scope.yields |= value
        return _OTHERS

    def of_YieldFrom(self, node: Any, scope: Scope) -> Value:
        value = self.contents(self.value(node.value, scope))
        if not value <= scope.yields:
            self.changed = True
            scope.yields |= value
        return value | _OTHERS

    def of_NamedExpr(self, node: Any, scope: Scope) -> Value:
        value = self.value(node.value, scope)
        while getattr(scope, "inner", False) and scope.around is not None:
            scope = scope.around
        self.set(node.target.id, value, scope)
        return value

    def of_BoolOp(self, node: Any, scope: Scope) -> Value:
        found: Value = EMPTY
        for part in node.values:
            value = self.value(part, scope)
            self.look(value)
            found |= value
        return found

    def of_IfExp(self, node: Any, scope: Scope) -> Value:
        self.look(self.value(node.test, scope))
        return self.value(node.body, scope) | self.value(node.orelse, scope)

    def of_UnaryOp(self, node: Any, scope: Scope) -> Value:
        self.look(self.value(node.operand, scope))
        return _TEXTS

    def of_BinOp(self, node: Any, scope: Scope) -> Value:
        return self._combined(self.value(node.left, scope), self.value(node.right, scope))

    def _combined(self, left: Value, right: Value) -> Value:
        """Return what an operator makes of two values: something new, with what was in them."""
        found: Value = _TEXTS
        for thing in left | right:
            if thing in (SESSION, SERVING):
                raise NotKnown("an operator gets the session")
            self.look(one(thing))
            if type(thing) in (Box, Taken, Tuple):
                found |= one(thing)
            elif thing is OTHER or type(thing) is not Known:
                found |= _OTHERS
        return found

    def of_Compare(self, node: Any, scope: Scope) -> Value:
        for part in (node.left, *node.comparators):
            self.look(self.value(part, scope))
        return _TEXTS

    def of_JoinedStr(self, node: Any, scope: Scope) -> Value:
        for part in node.values:
            self.value(part, scope)
        return _TEXTS

    def of_FormattedValue(self, node: Any, scope: Scope) -> Value:
        self.look(self.value(node.value, scope))
        if node.format_spec is not None:
            self.value(node.format_spec, scope)
        return _TEXTS

    def of_Starred(self, node: Any, scope: Scope) -> Value:
        return self.contents(self.value(node.value, scope))

    def of_Tuple(self, node: Any, scope: Scope) -> Value:
        if any(isinstance(part, ast.Starred) for part in node.elts):
            return self.of_List(node, scope)
        return one(Tuple(tuple(self.value(part, scope) for part in node.elts), EMPTY))

    def of_List(self, node: Any, scope: Scope) -> Value:
        box = Box(("display", id(node), id(scope)))
        self.put(box.site, EMPTY.union(*(self.value(part, scope) for part in node.elts)))
        return one(box)

    of_Set = of_List

    def of_Dict(self, node: Any, scope: Scope) -> Value:
        box = Box(("display", id(node), id(scope)))
        for key, part in zip(node.keys, node.values, strict=True):
            value = self.value(part, scope)
            if key is None:
                value = self.items(value)
            else:
                value |= self.value(key, scope)
            self.put(box.site, value)
        return one(box)

    def of_ListComp(self, node: Any, scope: Scope) -> Value:
        key = ("comprehension", id(node), id(scope))
        inner = self.scopes.get(key)
        if inner is None:
            inner = self.scopes[key] = Scope(scope.globals, scope, {})
            inner.first = scope.first
            inner.inner = True
            own: set[str] = set()
            for part in node.generators:
                own.update(name.id for name in ast.walk(part.target) if isinstance(name, ast.Name))
            inner.own = frozenset(own)
        for part in node.generators:
            self.assign(part.target, self.contents(self.value(part.iter, inner)), inner)
            for test in part.ifs:
                self.look(self.value(test, inner))
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        box = Box(key)
        self.put(box.site, EMPTY.union(*(self.value(part, inner) for part in parts)))
        return one(box)

    of_SetComp = of_GeneratorExp = of_DictComp = of_ListComp

    def subscript(self, thing: Any, index: Value) -> Value:
        """Return what lies in something at a place of it. Raises NotKnown."""
        if thing is SESSION:
            return self.taken(index)
        if type(thing) is Taken:
            self.look(one(thing))
            return one(thing)
        if (
            type(thing) is Known
            and type(thing.obj) is dict
            and all(type(key) is Known for key in index)
        ):
            found = self.exactly(thing.obj, index)
            if found:
                return found
        if type(thing) is Tuple and not thing.tail and len(index) == 1:
            (place,) = index
            if (
                type(place) is Known
                and type(place.obj) is int
                and -len(thing.items) <= place.obj < len(thing.items)
            ):
                return thing.items[place.obj]
        if type(thing) in (Box, Tuple) or (type(thing) is Known and type(thing.obj) in CONTAINERS):
            return self.contents(one(thing)) | (one(thing) if type(thing) is Box else EMPTY)
        return self.ask(thing, "__getitem__", index)
