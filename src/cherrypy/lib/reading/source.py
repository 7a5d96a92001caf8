"""The source of a function that a page calls, as a tree; only where it is certain that it is what runs.

Law: what a file says counts only when it compiles to the very code that the function has.
"""

from __future__ import annotations

import ast
import linecache
import threading
import types
from typing import Any

__all__ = ("node_of",)

LONGEST = 500_000  # signs of a file; of a longer one nothing is known
FILES = 100  # that are remembered; then all are forgotten

_Place = tuple[str, int]  # the name of a function, and the line in which it begins

# Guards the parser: before Python 3.11.5 two threads that make trees disturb each other.
_parsing = threading.Lock()

#: Of a file: its functions as text, and as they are when compiled.
_files: dict[str, tuple[dict[_Place, list[str]], dict[_Place, list[types.CodeType]]]] = {}


def node_of(function: types.FunctionType) -> Any:
    """Return the `FunctionDef`, `AsyncFunctionDef` or `Lambda` of a function; None if it is not to be had."""
    with _parsing:
        return _node_of(function)


def _node_of(function: types.FunctionType) -> Any:
    code = function.__code__
    known = _files.get(code.co_filename)
    if known is None:
        known = _read(code.co_filename, function.__globals__)
        if len(_files) >= FILES:
            _files.clear()
        _files[code.co_filename] = known
    texts, codes = known
    place = code.co_name, code.co_firstlineno
    found = texts.get(place, [])
    if len(found) != 1 or codes.get(place) != [code]:
        return None
    made: Any
    try:
        if code.co_name == "<lambda>":
            return ast.parse(f"({found[0]})", mode="eval").body
        made = ast.parse(found[0]).body[0]
        return made.body[0] if isinstance(made, ast.If) else made
    except (SyntaxError, ValueError):
        return None


def _read(path: str, names: dict[str, Any]) -> Any:
    """Return what a file holds; nothing for one that is not there, too long, or no Python."""
    texts: dict[_Place, list[str]] = {}
    codes: dict[_Place, list[types.CodeType]] = {}
    lines = linecache.getlines(path, names)
    source = "".join(lines)
    if not source or len(source) > LONGEST:
        return texts, codes
    try:
        tree = ast.parse(source)
        _collect(compile(tree, path, "exec", dont_inherit=True), codes)
    except (SyntaxError, ValueError, RecursionError):
        return texts, codes
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            text = ast.get_source_segment(source, node)
            if text is not None:
                texts.setdefault(("<lambda>", node.lineno), []).append(text)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            # Decorators are none of its code. Below an `if`, whatever stands to the right may stand alone.
            text = "".join(lines[node.lineno - 1 : node.end_lineno])
            if node.col_offset:
                text = "if 1:\n" + text
            texts.setdefault((node.name, first), []).append(text)
    return texts, codes


def _collect(code: types.CodeType, codes: dict[_Place, list[types.CodeType]]) -> None:
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            codes.setdefault((one.co_name, one.co_firstlineno), []).append(one)
            _collect(one, codes)
