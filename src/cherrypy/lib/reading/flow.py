"""The code of a page, gone through with what its names may stand for, to see whether it only reads its session.

Law: every branch is taken and every loop goes round; a statement that is not understood may write.
"""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

from .expressions import Expressions
from .reach import cells_of, element
from .source import node_of
from .values import (
    EMPTY,
    FIXED,
    OTHER,
    SERVING,
    SESSION,
    Arguments,
    Box,
    Known,
    Made,
    Method,
    NotKnown,
    Scope,
    Taken,
    Tuple,
    Value,
    Writes,
    names_in,
    one,
)

__all__ = ("Flow",)

DEPTH = 40  # calls within calls
ROUNDS = 12  # until nothing new is found

_OTHERS = one(OTHER)


class Flow(Expressions):
    """Functions and statements."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[Any, Any] = {}
        self.depth = 0

    def settle(self, what: Any) -> Any:
        """Do something until nothing new is found by it. Raises NotKnown."""
        for _ in range(ROUNDS):
            self.changed = False
            self.round.clear()
            found = what()
            if not self.changed:
                return found
        raise NotKnown("it does not settle")

    # -------------------------------------------------------------------------- functions

    def run(self, callee: Any, arguments: Arguments) -> Value:
        """Go through the code of a function of the program. Raises NotKnown."""
        key = (callee, arguments)
        scope = self.scopes.get(key)
        if scope is None:
            scope = self.scopes[key] = self._scope(callee)
        if ("run", key) in self.round:
            return self._given(scope, key)
        self.round.add(("run", key))
        node = callee.node if type(callee) is Made else self.nodes[callee]
        self.depth += 1
        try:
            if self.depth > DEPTH:
                raise NotKnown("calls within calls")
            self._bind(callee, node, scope, arguments, key)
            if isinstance(node, ast.Lambda):
                self._return(scope, self.value(node.body, scope))
            else:
                self.body(node.body, scope)
        finally:
            self.depth -= 1
        return self._given(scope, key)

    def _scope(self, callee: Any) -> Scope:
        if type(callee) is Made:
            node = callee.node
            scope = Scope(callee.scope.globals, callee.scope, {})
        else:
            function = callee.obj
            node = node_of(function)
            if node is None:
                raise NotKnown(f"there is no source of {function}")
            self.nodes[callee] = node
            scope = Scope(function.__globals__, None, cells_of(function))
        own, foreign, scope.generates = names_in(node)
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        every += [arg for arg in (node.args.vararg, node.args.kwarg) if arg is not None]
        scope.own = frozenset(own.union(arg.arg for arg in every))
        scope.rebound = frozenset(foreign)
        first = [*node.args.posonlyargs, *node.args.args]
        scope.first = first[0].arg if first else None
        return scope

    def _given(self, scope: Scope, key: Any) -> Value:
        if not scope.generates:
            return scope.returns
        made = Box(("generator", key))
        self.put(made.site, scope.yields | scope.returns)
        return one(made)

    def _return(self, scope: Scope, value: Value) -> None:
        if not value <= scope.returns:
            self.changed = True
            scope.returns |= value

    def _bind(self, callee: Any, node: Any, scope: Scope, arguments: Arguments, key: Any) -> None:
        """Give parameters their values."""
        spec = node.args
        named = dict(arguments.named)
        places = [*spec.posonlyargs, *spec.args]
        defaults = self._defaults(callee, spec, scope)
        for at, arg in enumerate(places):
            if at < len(arguments.positional):
                value = arguments.positional[at]
            else:
                value = arguments.star | named.pop(arg.arg, EMPTY) | arguments.more
                value |= defaults.get(arg.arg, EMPTY)
            self.set(arg.arg, value, scope)
        for arg in spec.kwonlyargs:
            value = named.pop(arg.arg, EMPTY) | arguments.more | defaults.get(arg.arg, EMPTY)
            self.set(arg.arg, value, scope)
        if spec.vararg is not None:
            rest = Tuple(arguments.positional[len(places) :], arguments.star)
            self.set(spec.vararg.arg, one(rest), scope)
        if spec.kwarg is not None:
            box = Box(("named", key))
            self.put(box.site, arguments.more.union(*named.values()))
            self.set(spec.kwarg.arg, one(box), scope)

    def _defaults(self, callee: Any, spec: Any, scope: Scope) -> dict[str, Value]:
        places = [*spec.posonlyargs, *spec.args]
        if type(callee) is Known:
            given = callee.obj.__defaults__ or ()
            found = {
                arg.arg: one(element(value))
                for arg, value in zip(places[len(places) - len(given) :], given, strict=True)
            }
            more = callee.obj.__kwdefaults__ or {}
            found.update((name, one(element(value))) for name, value in more.items())
            return found
        nodes = dict(
            zip(
                [arg.arg for arg in places[len(places) - len(spec.defaults) :]],
                spec.defaults,
                strict=True,
            )
        )
        nodes.update(
            (arg.arg, node)
            for arg, node in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
            if node
        )
        return {name: self.value(node, scope.around or scope) for name, node in nodes.items()}

    # ------------------------------------------------------------------------- statements

    def body(self, nodes: Any, scope: Scope) -> None:
        """Go through statements."""
        for node in nodes:
            self.step()
            how = getattr(self, f"do_{type(node).__name__}", None)
            if how is None:
                raise NotKnown(f"a statement of the kind {type(node).__name__}")
            how(node, scope)

    def do_Expr(self, node: Any, scope: Scope) -> None:
        self.value(node.value, scope)

    def do_Pass(self, node: Any, scope: Scope) -> None:
        pass

    do_Break = do_Continue = do_Global = do_Nonlocal = do_Pass

    def do_Return(self, node: Any, scope: Scope) -> None:
        if node.value is not None:
            self._return(scope, self.value(node.value, scope))

    def do_Assign(self, node: Any, scope: Scope) -> None:
        value = self.value(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def do_AnnAssign(self, node: Any, scope: Scope) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value, scope), scope)

    def do_AugAssign(self, node: Any, scope: Scope) -> None:
        before = self.value(_loaded(node.target), scope)
        value = self.value(node.value, scope)
        for thing in before:
            if type(thing) is Taken:
                self.need(FIXED, thing)  # a list would grow
            elif thing in (SESSION, SERVING):
                raise Writes("an operator changes the session")
            elif type(thing) is Box or (
                type(thing) is Known and type(thing.obj) in (list, dict, set)
            ):
                self.fill(thing, self.contents(value))
        self.assign(node.target, self._combined(before, value) | before, scope)

    def assign(self, target: Any, value: Value, scope: Scope) -> None:
        """Give a target of an assignment a value."""
        if isinstance(target, ast.Name):
            self.set(target.id, value, scope)
        elif isinstance(target, ast.Attribute):
            for thing in self.value(target.value, scope):
                self.store(thing, target.attr, value)
        elif isinstance(target, ast.Subscript):
            self.value(target.slice, scope)
            for thing in self.value(target.value, scope):
                self.fill(thing, value)
        elif isinstance(target, ast.Starred):
            box = Box(("star", id(target)))
            self.put(box.site, value)
            self.assign(target.value, one(box), scope)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for at, part in enumerate(target.elts):
                self.assign(part, self._item(value, at, target), scope)
        else:
            raise NotKnown("what is assigned to")

    def _item(self, value: Value, at: int, target: Any) -> Value:
        found: Value = EMPTY
        for thing in value:
            whole = type(thing) is Tuple and not thing.tail and len(thing.items) == len(target.elts)
            found |= thing.items[at] if whole else self.contents(one(thing))
        return found

    def do_Delete(self, node: Any, scope: Scope) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                continue
            for thing in self.value(target.value, scope):
                if isinstance(target, ast.Attribute):
                    self.store(thing, target.attr, EMPTY)
                else:
                    self.fill(thing, EMPTY)

    def do_For(self, node: Any, scope: Scope) -> None:
        self.assign(node.target, self.contents(self.value(node.iter, scope)), scope)
        self.body(node.body, scope)
        self.body(node.orelse, scope)

    do_AsyncFor = do_For

    def do_While(self, node: Any, scope: Scope) -> None:
        self.look(self.value(node.test, scope))
        self.body(node.body, scope)
        self.body(node.orelse, scope)

    do_If = do_While

    def do_With(self, node: Any, scope: Scope) -> None:
        for item in node.items:
            value = self.value(item.context_expr, scope)
            entered: Value = EMPTY
            for thing in value:
                if type(thing) is Taken or thing in (SESSION, SERVING):
                    raise NotKnown("a session is entered")
                if type(thing) is Box:  # of a generator
                    entered |= self.contents(one(thing))
                elif thing is OTHER:
                    for name in ("__enter__", "__exit__"):
                        entered |= self.call(Method(OTHER, name), Arguments(), ("with", id(node)))
                else:
                    entered |= self.ask(thing, "__enter__")
                    self.ask(thing, "__exit__", _OTHERS, _OTHERS, _OTHERS)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, entered | _OTHERS, scope)
        self.body(node.body, scope)

    def do_Raise(self, node: Any, scope: Scope) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                for thing in self.value(part, scope):
                    if type(thing) is Known and isinstance(thing.obj, type):
                        self.call(thing, Arguments(), ("raise", id(node)))

    def do_Try(self, node: Any, scope: Scope) -> None:
        self.body(node.body, scope)
        for handler in node.handlers:
            if handler.type is not None:
                self.value(handler.type, scope)
            if handler.name:
                self.set(handler.name, _OTHERS, scope)
            self.body(handler.body, scope)
        self.body(node.orelse, scope)
        self.body(node.finalbody, scope)

    do_TryStar = do_Try

    def do_Assert(self, node: Any, scope: Scope) -> None:
        self.look(self.value(node.test, scope))
        if node.msg is not None:
            self.look(self.value(node.msg, scope))

    def do_FunctionDef(self, node: Any, scope: Scope) -> None:
        value = one(Made(node, scope))
        for decorator in reversed(node.decorator_list):
            decorated: Value = EMPTY
            for callee in self.value(decorator, scope):
                decorated |= self.call(callee, Arguments((value,)), ("decorated", id(decorator)))
            value = decorated
        self.set(node.name, value, scope)

    do_AsyncFunctionDef = do_FunctionDef

    def do_Import(self, node: Any, scope: Scope) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            if alias.name not in sys.modules:
                raise NotKnown(f"the import of {alias.name}")
            self.set(alias.asname or name, one(element(sys.modules[name])), scope)

    def do_ImportFrom(self, node: Any, scope: Scope) -> None:
        path = node.module or ""
        if node.level:
            package = str(scope.globals.get("__package__") or "").split(".")
            path = ".".join([*package[: len(package) - node.level + 1], *([path] if path else [])])
        if path not in sys.modules:
            raise NotKnown(f"the import of {path}")
        for alias in node.names:
            below = sys.modules.get(f"{path}.{alias.name}")
            held = types.ModuleType.__getattribute__(sys.modules[path], "__dict__")
            if alias.name not in held and below is not None:
                found = one(element(below))
            else:
                found = self.load(Known(sys.modules[path]), alias.name)
            self.set(alias.asname or alias.name, found, scope)


def _loaded(target: Any) -> Any:
    """Return the target of `+=` as an expression."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    return ast.Subscript(target.value, target.slice, ast.Load())
