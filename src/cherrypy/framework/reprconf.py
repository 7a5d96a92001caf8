"""Configuration as Python literals: INI files whose values are Python, and namespaces to act on.

Law: a value is what its `repr` says. Nothing here knows a request, a tool or the engine.
"""

from __future__ import annotations

import builtins
import operator
import os
import sys
from configparser import ConfigParser, InterpolationError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterable, Mapping

__all__ = ("Config", "NamespaceSet", "Parser", "attributes", "modules", "unrepr")

text_or_bytes = (str, bytes)


class NamespaceSet(dict[str, Any]):
    """Handlers of configuration entries, by the first atom of the key.

    A handler is a callable `(key, value)`, where `key` is the rest of the name after the first
    dot, or a context manager whose `__enter__` returns such a callable. Its `__exit__` is called
    even when no entry concerns it, and swallows errors by returning True.
    """

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Hand every dotted entry of `config` to the handler of its namespace."""
        buckets: dict[str, dict[str, Any]] = {}
        for key, value in config.items():
            if "." in key:
                name, rest = key.split(".", 1)
                buckets.setdefault(name, {})[rest] = value
        for name, handler in self.items():
            entries = buckets.get(name, {})
            if hasattr(handler, "__exit__"):
                with handler as callable:
                    _apply_entries(name, callable, entries)
            else:
                _apply_entries(name, handler, entries)

    def __repr__(self) -> str:
        cls = type(self)
        return f"{cls.__module__}.{cls.__name__}({dict.__repr__(self)})"

    def __copy__(self) -> NamespaceSet:
        clone = type(self)()
        clone.update(self)
        return clone

    copy = __copy__


def _apply_entries(name: str, handler: Any, entries: dict[str, Any]) -> None:
    for key, value in entries.items():
        try:
            handler(key, value)
        except Exception as exc:
            if sys.version_info >= (3, 11):
                exc.add_note(f"This came of the config entry {name}.{key} = {value!r}")
            raise


class Config(dict[str, Any]):
    """A dict of configuration whose entries act on what their namespaces name.

    Args:
        file: a dict, a file name, or an open text file to begin with.
        kwargs: further entries.
    """

    defaults: dict[str, Any] = {}
    """What `reset` starts from."""

    environments: dict[str, dict[str, Any]] = {}
    """Bundles of entries by name; the entry `environment` brings in those not given beside it."""

    namespaces = NamespaceSet()

    def __init__(self, file: Any = None, **kwargs: Any) -> None:
        super().__init__()
        self.reset()
        if file is not None:
            self.update(file)
        if kwargs:
            self.update(kwargs)

    def reset(self) -> None:
        """Forget everything but `defaults`. No namespace handler is called."""
        self.clear()
        dict.update(self, self.defaults)

    def update(self, config: Any) -> None:  # type: ignore[override]  # historical signature
        """Take in a dict, a file name, or an open text file."""
        self._apply(Parser.load(config))

    def _apply(self, config: dict[str, Any]) -> None:
        """Take in a dict (which this may change): its environment first, then act on it all."""
        name = config.get("environment")
        if name:
            try:
                bundle = self.environments[name]
            except KeyError:
                known = ", ".join(sorted(self.environments)) or "none"
                raise KeyError(
                    f"the config names the unknown environment {name!r} (known: {known})"
                ) from None
            for key, value in bundle.items():
                config.setdefault(key, value)
        dict.update(self, config)
        self.namespaces(config)

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self, key, value)
        self.namespaces({key: value})


class Parser(ConfigParser):
    """Reads INI files whose option names keep their case and whose values are Python.

    `%(name)s` in a value stands for the text of another option of the section, `%%` for a
    percent sign.
    """

    _sources: tuple[str, ...] = ()

    def optionxform(self, optionstr: str) -> str:
        """Return the name as it is: configuration keys are case-sensitive."""
        return optionstr

    def read(  # type: ignore[override]  # overloads that say the same
        self, filenames: Any, encoding: str | None = "utf-8-sig"
    ) -> list[str]:
        """Read one file or several; unlike the inherited method, a missing one is an OSError."""
        if isinstance(filenames, (str, bytes, os.PathLike)):
            filenames = [filenames]
        done = []
        for filename in filenames:
            with open(filename, encoding=encoding) as stream:
                self._read_named(stream, os.fsdecode(filename))
            done.append(filename)
        return done

    def _read_named(self, stream: Iterable[str], name: str) -> None:
        self._sources += (name,)
        try:
            self.read_file(stream, source=name)
        except UnicodeDecodeError as exc:
            exc.reason += f" (config files are in UTF-8, and {name} is not)"
            raise

    def as_dict(self, raw: bool = False, vars: Any = None) -> dict[str, dict[str, Any]]:
        """Return `{section: {option: value}}` with every value evaluated.

        Raises:
            ValueError: a value is not Python; says the file, section, option, value and why.
        """
        result: dict[str, dict[str, Any]] = {}
        for section in self.sections():
            entries = result.setdefault(section, {})
            for option in self.options(section):
                try:
                    value = self.get(section, option, raw=raw, vars=vars)
                except InterpolationError as exc:
                    where = f" in {', '.join(self._sources)}" if self._sources else ""
                    exc.message += (
                        f" (section {section!r}, option {option!r}{where}; a percent sign is "
                        "written %%)"
                    )
                    raise
                try:
                    entries[option] = unrepr(value)
                except Exception as exc:
                    raise ValueError(self._complaint(section, option, value, exc)) from exc
        return result

    def _complaint(self, section: str, option: str, value: str, exc: Exception) -> str:
        where = f" (in {', '.join(self._sources)})" if self._sources else ""
        why = exc.msg if isinstance(exc, SyntaxError) else str(exc)
        return (
            f"Config error in section: {section!r}, option: {option!r}, value: {value!r}{where}. "
            f"Config values must be valid Python. {type(exc).__name__}: {why}. "
            f"If it is meant as text, put it in quotes: {option} = {value!r}"
        )

    def dict_from_file(self, file: Any) -> dict[str, dict[str, Any]]:
        """Read a file name or an open text file and return `as_dict()` of it."""
        if hasattr(file, "read"):
            self._read_named(_text_lines(file), str(getattr(file, "name", "<file object>")))
        else:
            self.read(file)
        return self.as_dict()

    @classmethod
    def load(cls, input: Any) -> dict[str, Any]:
        """Return a new dict of a file name, an open file, or a dict.

        Raises:
            TypeError: the input is none of these.
        """
        if isinstance(input, (str, bytes, os.PathLike)) or hasattr(input, "read"):
            return cls().dict_from_file(input)
        try:
            copy = input.copy
        except AttributeError:
            raise TypeError(
                f"expected a dict, a file name or an open file as config, got {input!r}"
            ) from None
        copied: dict[str, Any] = copy()
        return copied


def _text_lines(stream: Any) -> Iterable[str]:
    for line in stream:
        yield line.decode("utf-8") if isinstance(line, bytes) else line


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "BitOr": operator.or_,
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "USub": operator.neg,
    "UAdd": operator.pos,
    "Not": operator.not_,
    "Invert": operator.invert,
}


class _Builder:
    """Evaluates the syntax tree of one expression; one method a kind of node."""

    def build(self, node: Any) -> Any:
        kind = type(node).__name__
        method = getattr(self, "build_" + kind, None)
        if method is None:
            raise TypeError(f"unrepr does not recognize {kind!r}")
        return method(node)

    def astnode(self, text: str) -> Any:
        """Return the tree of the expression `text`, or None for an empty one.

        What follows a semicolon is ignored: that is how comments behind values have always
        worked.
        """
        import ast

        # Behind an assignment, as a value may go over several lines.
        statement = ast.parse("__tempvalue__ = " + text).body[0]
        return statement.value if isinstance(statement, ast.Assign) else None

    def build_Constant(self, node: ast.Constant) -> Any:
        return node.value

    # The nodes of constants before Python 3.8.
    build_Str = build_Constant
    build_Num = build_Constant
    build_NameConstant = build_Constant

    def build_List(self, node: ast.List) -> list[Any]:
        return [self.build(item) for item in node.elts]

    def build_Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self.build_List(node))  # type: ignore[arg-type]  # both have elts

    def build_Set(self, node: ast.Set) -> set[Any]:
        return set(self.build_List(node))  # type: ignore[arg-type]  # both have elts

    def build_Dict(self, node: ast.Dict) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                result.update(self.build(value))
            else:
                result[self.build(key)] = self.build(value)
        return result

    def build_Starred(self, node: ast.Starred) -> Any:
        raise TypeError("unrepr takes a star only in the arguments of a call")

    def build_Subscript(self, node: ast.Subscript) -> Any:
        return self.build(node.value)[self.build(node.slice)]

    def build_Slice(self, node: ast.Slice) -> slice:
        bounds = (node.lower, node.upper, node.step)
        return slice(*[None if bound is None else self.build(bound) for bound in bounds])

    def build_Index(self, node: Any) -> Any:
        return self.build(node.value)

    def build_Call(self, node: ast.Call) -> Any:
        callee = self.build(node.func)
        args: list[Any] = []
        for arg in node.args:
            if type(arg).__name__ == "Starred":
                args.extend(self.build(arg.value))  # type: ignore[attr-defined]  # is Starred
            else:
                args.append(self.build(arg))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                kwargs.update(self.build(keyword.value))
            else:
                kwargs[keyword.arg] = self.build(keyword.value)
        return callee(*args, **kwargs)

    _build_call35 = build_Call

    def build_Name(self, node: ast.Name) -> Any:
        """Resolve a module first, then a builtin."""
        name = node.id
        try:
            return modules(name)
        except ImportError as exc:
            if getattr(exc, "name", None) != name:
                raise  # a module of that name is there, and something it needs is not
        try:
            return getattr(builtins, name)
        except AttributeError:
            raise TypeError(f"unrepr could not resolve the name {name!r}") from None

    def build_Attribute(self, node: ast.Attribute) -> Any:
        owner = self.build(node.value)
        try:
            return getattr(owner, node.attr)
        except AttributeError:
            if hasattr(owner, "__path__"):  # a package: its module may not be imported yet
                try:
                    return modules(f"{owner.__name__}.{node.attr}")
                except ModuleNotFoundError:
                    pass
            raise

    def build_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.build(node.op)(self.build(node.operand))

    def build_BinOp(self, node: ast.BinOp) -> Any:
        left, op, right = map(self.build, (node.left, node.op, node.right))
        return op(left, right)

    def build_NoneType(self, node: None) -> None:
        return None


def _operator_builder(function: Callable[..., Any]) -> Callable[[_Builder, Any], Any]:
    return lambda self, node: function


_OPERATORS: dict[str, Callable[..., Any]] = {**_BINARY, **_UNARY}
for _name, _function in _OPERATORS.items():
    setattr(_Builder, "build_" + _name, _operator_builder(_function))


def unrepr(s: Any) -> Any:
    """Return the object of which `s` is the Python source: literals, names, calls, arithmetic.

    Names are modules (imported if need be) and builtins. An empty value is returned as it is.

    Raises:
        SyntaxError, TypeError, AttributeError: `s` is no such expression.
    """
    if not s:
        return s
    builder = _Builder()
    return builder.build(builder.astnode(s))


def modules(modulePath: str) -> Any:
    """Import the module of a dotted name and return it (not its top package)."""
    __import__(modulePath)
    return sys.modules[modulePath]


def attributes(full_attribute_name: str) -> Any:
    """Import what stands before the last dot and return the attribute named after it.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such attribute.
    """
    path, _, name = full_attribute_name.rpartition(".")
    if not path:
        raise ModuleNotFoundError(
            f"{full_attribute_name!r} is not a dotted name of the form 'module.attribute'"
        )
    module = modules(path)
    try:
        return getattr(module, name)
    except AttributeError:
        raise AttributeError(f"{path!r} object has no attribute {name!r}") from None
