"""Whose code something is: of the program, of a library that cannot know of sessions, or of ours.

Law: what mentions the framework may touch a session; what could run code from anywhere is nobody's.
"""

from __future__ import annotations

import sys
import types
from typing import Any

__all__ = ("DENIED", "LIBRARY", "OWN", "PROGRAM", "classes_with", "home", "home_of")

PROGRAM, LIBRARY, OWN, DENIED = "program", "library", "own", "denied"

LIMIT = 10_000  # names that are remembered
LONGEST = 30_000_000  # bytes of a library's source that are looked through

# They look at what others have in hand, or run what stands elsewhere.
_DENIED_NAMES = """
ast atexit bdb code codeop ctypes faulthandler gc importlib inspect pdb pkgutil runpy sys trace tracemalloc zipimport
bottle chameleon Cheetah genshi kajiki tenjin tornado
"""
_DENIED = frozenset(_DENIED_NAMES.split())
#: Of ours, what touches no session.
_HARMLESS = (
    *(
        "cherrypy.lib.static",
        "cherrypy.lib.httputil",
        "cherrypy.lib.encoding",
        "cherrypy.lib.jsontools",
    ),
    *("cherrypy.framework.errors", "cherrypy.framework.helpers", "cherrypy.framework.logs"),
    *("cherrypy.framework.config", "cherrypy.framework.wiring", "cherrypy.framework.multipart"),
    "cherrypy.framework.body",
)
_PROGRAMS = ("cherrypy.tutorial", "cherrypy.showcase", "cherrypy.scaffold")

_homes: dict[str, tuple[int, str]] = {}  # of names, and how many modules there were then
_mentions: dict[str, bool] = {}  # files that have been looked through


def home(name: Any) -> str:
    """Tell whose the module of this name is."""
    if not isinstance(name, str):
        return DENIED
    known = _homes.get(name)
    if known is None or known[0] != len(sys.modules):
        if len(_homes) > LIMIT:
            _homes.clear()
        known = _homes[name] = len(sys.modules), _home(name)
    return known[1]


def _home(name: str) -> str:
    root = name.partition(".")[0]
    if root in ("cherrypy", "kirsch"):
        if name in _HARMLESS or name.startswith("kirsch.http"):
            return LIBRARY
        return PROGRAM if name.startswith(_PROGRAMS) else OWN
    if root in _DENIED:
        return DENIED
    if root.startswith("_cython_"):  # what compiled modules share
        return LIBRARY
    if root == "__main__":
        return PROGRAM
    if root in sys.stdlib_module_names:
        return LIBRARY
    module = sys.modules.get(root)
    path = str(getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), ""))
    if module is not None and not path:
        return LIBRARY if root in sys.builtin_module_names else PROGRAM
    if "site-packages" not in path and "dist-packages" not in path:
        return PROGRAM
    return PROGRAM if _mentions_us(root) else LIBRARY


def _mentions_us(root: str) -> bool:
    known = _homes.get(f"{root}.")
    if known is None or known[0] != len(sys.modules):
        found = PROGRAM if _looked_through(root) else LIBRARY
        known = _homes[f"{root}."] = len(sys.modules), found
    return known[1] == PROGRAM


def _looked_through(root: str) -> bool:
    size = 0
    for name, module in list(sys.modules.items()):
        if name != root and not name.startswith(root + "."):
            continue
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py"):
            continue
        found = _mentions.get(path)
        if found is None:
            try:
                with open(path, "rb") as file:
                    text = file.read(LONGEST)
            except OSError:
                text = b"cherrypy"
            size += len(text)
            found = _mentions[path] = b"cherrypy" in text
        if found or size > LONGEST:
            return True
    return False


def home_of(thing: Any) -> str:
    """Tell whose a function, class or module is."""
    if isinstance(thing, types.ModuleType):
        return home(types.ModuleType.__getattribute__(thing, "__dict__").get("__name__"))
    if type(thing) is types.FunctionType:
        # A decorator may have given it the name of what it wraps: what counts is where it was written.
        return home(thing.__globals__.get("__name__"))
    if isinstance(thing, type):
        return home(type.__getattribute__(thing, "__module__"))
    return home(getattr(thing, "__module__", None) or "builtins")


# ------------------------------------------------------------------- methods, by their names

_index: dict[str, list[Any]] = {}
_stored: set[str] = set()
_counted = -1


def classes_with(name: str) -> list[Any] | None:
    """Return what the classes of the program have under a name; None if objects may have been given it."""
    global _counted
    classes = _all_classes()
    if len(classes) != _counted:
        index: dict[str, list[Any]] = {}
        stored: set[str] = set()
        for cls in classes:
            if home_of(cls) == PROGRAM:
                for key, value in list(type.__getattribute__(cls, "__dict__").items()):
                    index.setdefault(key, []).append(value)
                    stored |= _stores(value)
        _index.clear()
        _index.update(index)
        _stored.clear()
        _stored.update(stored)
        _counted = len(classes)
    return None if name in _stored else _index.get(name, [])


def _all_classes() -> set[Any]:
    found: set[Any] = set()
    left = list(type.__subclasses__(object))
    while left:
        cls = left.pop()
        if cls not in found:
            found.add(cls)
            left += type.__subclasses__(cls) if not issubclass(cls, type) else []
    return found


def _stores(value: Any) -> set[str]:
    """Return the names of attributes to which a method gives something that may be a function."""
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if type(code) is not types.CodeType:
        return set()
    import dis

    opcode, extended = dis.opmap["STORE_ATTR"], dis.opmap["EXTENDED_ARG"]
    raw, names, found, more = code.co_code, code.co_names, set(), 0
    for at in range(0, len(raw), 2):
        argument = raw[at + 1] | more
        more = argument << 8 if raw[at] == extended else 0
        if raw[at] == opcode and argument < len(names):
            found.add(names[argument])
    return found
