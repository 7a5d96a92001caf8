"""A configuration as the doctor sees it: values with the place they stand at, merged as for a path.

Law: values are read, not run; what only a program could tell is `Unknown`.
"""

from __future__ import annotations

import ast
import configparser
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cherrypy.framework.config import environments
from cherrypy.framework.reprconf import Parser

__all__ = ("Configuration", "Entry", "Unknown", "UnreadableError", "evaluated")

_SECTION = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<name>[^\s#;=:][^=:]*?)\s*[=:]")

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}


class UnreadableError(Exception):
    """The file is no configuration at all."""


class Unknown:
    """A value that names something in a program; true, as such things are."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class NotPython:
    """A value that Python does not understand, and why."""

    def __init__(self, why: str) -> None:
        self.why = why


class Entry(NamedTuple):
    """A value and where it was said; line 0: by an environment."""

    value: Any
    file: str
    line: int


def _power(base: Any, exponent: Any) -> Any:
    if abs(base) > 1024 or abs(exponent) > 10:
        raise ValueError("a power may take for ever")
    return base**exponent


_ARITHMETIC[ast.Pow] = _power


def evaluated(text: str) -> Any:
    """Return the value of an expression of literals and sums; else `Unknown` or `NotPython`."""
    try:
        return _value(ast.parse(text.strip() or "None", mode="eval").body)
    except SyntaxError as exc:
        return NotPython(exc.msg)
    except Exception:  # names, calls, sums that do not work out
        return Unknown(text)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if not all(isinstance(side, (int, float)) for side in (left, right)):
            raise ValueError(node)
        return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, (ast.List, ast.Tuple)):
        # Each item by itself: one name does not make the others unknown.
        return [_item(item) for item in node.elts]
    return ast.literal_eval(node)


def _item(node: ast.expr) -> Any:
    try:
        return _value(node)
    except Exception:
        return Unknown(ast.unparse(node))


def _lines(path: str) -> dict[tuple[str, str], int]:
    """Return the line of each entry, as far as it can be told without understanding it."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if match := _SECTION.match(line):
                section = match["name"]
            elif match := _OPTION.match(line):
                found[section, match["name"]] = number
    return found


def _load(path: str) -> dict[str, dict[str, Entry]]:
    """Return the entries of a file by section. Raises UnreadableError."""
    parser = Parser()
    try:
        parser.read(path)
        lines = _lines(path)
    except OSError as exc:
        raise UnreadableError(f"{path}: {exc.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as exc:
        raise UnreadableError(f"{path}: {str(exc).partition(chr(10))[0]}") from None
    sections: dict[str, dict[str, Entry]] = {}
    for section in parser.sections():
        entries = sections.setdefault(section, {})
        for option in parser.options(section):
            line = lines.get((section, option), lines.get(("DEFAULT", option), 0))
            try:
                value = evaluated(parser.get(section, option))
            except configparser.InterpolationError as exc:
                value = NotPython(str(exc).partition("\n")[0])
            entries[option] = Entry(value, path, line)
    return sections


class Configuration:
    """The entries of one file or several, later ones over earlier ones.

    files
        Names of configuration files.
    environment
        What `-e` of `cherryd` would say.

    Raises UnreadableError.
    """

    def __init__(self, files: list[str], environment: str | None = None) -> None:
        self.files = files
        self.sections: dict[str, dict[str, Entry]] = {"global": {}}
        for path in files:
            for section, entries in _load(path).items():
                self.sections.setdefault(section, {}).update(entries)
        own = self.sections["global"]
        named = own.get("environment")
        name = environment or (named.value if named else None)
        if isinstance(name, str):
            if name not in environments:
                known = ", ".join(sorted(environments))
                raise UnreadableError(f"there is no environment {name!r} (known: {known})")
            for key, value in environments[name].items():
                own.setdefault(key, Entry(value, f"environment {name}", 0))
        self.environment = name

    @property
    def paths(self) -> list[str]:
        """The paths that have a section of their own, and the root."""
        return sorted({"/", *(name for name in self.sections if name.startswith("/"))})

    def entry(self, section: str, key: str) -> Entry | None:
        """Return the entry that holds for a path (or for 'global', which stands for the root)."""
        trail = "/" if section == "global" else section
        while True:
            found = self.sections.get(trail, {}).get(key)
            if found is not None:
                return found
            if trail == "/":
                return self.sections["global"].get(key)
            trail = trail.rpartition("/")[0] or "/"

    def get(self, section: str, key: str, default: Any = None) -> Any:
        """Return the value that holds for a path, or `default`."""
        found = self.entry(section, key)
        return default if found is None else found.value

    def on(self, section: str, tool: str) -> bool:
        """Return whether a tool is on for a path."""
        return bool(self.get(section, f"tools.{tool}.on", False))

    def each(self, pattern: str) -> Iterator[tuple[str, str, Entry]]:
        """Yield section, key and entry of every entry whose key matches a regular expression."""
        wanted = re.compile(pattern).fullmatch
        for section, entries in self.sections.items():
            for key, entry in entries.items():
                if wanted(key):
                    yield section, key, entry

    def turned_on(self, tool: str) -> Iterator[str]:
        """Yield the sections that say themselves that a tool is on."""
        for section, _key, entry in self.each(re.escape(f"tools.{tool}.on")):
            if entry.value:
                yield section
