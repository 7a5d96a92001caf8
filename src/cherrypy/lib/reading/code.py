"""Whether the code of a page shows that it only reads its session, before it has run even once.

Law: what is not known to be harmless may write. Most pages call something, and are learned from what they do; this is
for the small ones, which look something up and say it.
"""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

from .tables import SESSION_WRITERS

__all__ = ("changes_a_session", "only_reads")

MOST = 2000  # bytes of code that are looked at; a page of more is not simple

_MODULE_NAMES = "datetime json math time"
_BUILTIN_NAMES = """
abs all any ascii bool bytes dict enumerate float format frozenset hash int isinstance len list max min range repr reversed
round set sorted str sum tuple zip Exception KeyError TypeError ValueError
"""
# Of the package, of sessions and requests, of what the modules have, of texts and other values.
_ATTRIBUTE_NAMES = """
HTTPError HTTPRedirect NotFound request serving session url
get id items keys loaded locked missing originalid timeout values
base headers ip login method params path_info query_string remote scheme script_name
datetime dumps isoformat monotonic now sleep strftime time today
count decode encode endswith format index join lower lstrip partition replace rstrip split startswith strip title upper
"""
_MODULES = frozenset(_MODULE_NAMES.split())
_BUILTINS = frozenset(_BUILTIN_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())

_ATOMS = frozenset((str, int, float, bool, bytes, type(None)))

#: What assigns to names of the function alone; all else that stores or deletes might reach a session.
_OWN = ("STORE_FAST", "STORE_DEREF", "DELETE_FAST", "DELETE_DEREF")


def only_reads(function: types.FunctionType, bound: bool) -> bool:
    """Tell whether nothing in a function can change a session.

    Args:
        bound: its first argument is the object that it is a method of, of which nothing is known.
    """
    code = function.__code__
    if code.co_freevars or len(code.co_code) > MOST:
        return False
    given = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    if not _ATOMS.issuperset(map(type, given)):
        return False  # a function, for all one knows
    owner = code.co_varnames[0] if bound and code.co_argcount else None
    return _is_harmless(code, function.__globals__, owner)


def _is_harmless(code: types.CodeType, names: dict[str, Any], owner: str | None) -> bool:
    import dis

    for step in dis.get_instructions(code):
        name, about = step.opname, step.argval
        if name.startswith(("STORE_", "DELETE_")):
            harmless = name.startswith(_OWN)
        elif name == "LOAD_GLOBAL":
            harmless = _is_harmless_global(about, names)
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            harmless = about in _ATTRIBUTES
        elif name.startswith(("LOAD_FAST", "LOAD_CLOSURE", "LOAD_DEREF")):
            harmless = owner not in (about if isinstance(about, tuple) else (about,))
        elif name == "BINARY_OP":
            harmless = not step.argrepr.endswith("=")  # a list may grow by +=
        else:
            harmless = not name.startswith(("IMPORT_", "INPLACE_", "LOAD_NAME", "LOAD_SUPER"))
        if not harmless:
            return False
    nested = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return all(_is_harmless(one, names, owner) for one in nested)


def _is_harmless_global(name: str, names: dict[str, Any]) -> bool:
    if name not in names:
        return name in _BUILTINS
    value = names[name]
    if not isinstance(value, types.ModuleType):
        return False
    return value is sys.modules.get("cherrypy") or value.__name__ in _MODULES


def changes_a_session(node: ast.AST) -> bool:
    """Tell whether it stands in a function that it changes something of what is called a session there."""
    for one in ast.walk(node):
        if isinstance(one, ast.Subscript):
            if not isinstance(one.ctx, ast.Load) and _is_session(one.value):
                return True
        elif (
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr in SESSION_WRITERS
            and _is_session(one.func.value)
        ):
            return True
    return False


def _is_session(node: ast.AST) -> bool:
    name = getattr(node, "attr", None) or getattr(node, "id", None)
    return name == "session"
