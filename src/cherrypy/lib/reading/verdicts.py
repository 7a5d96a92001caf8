"""Whether a request will only read its session: by the code of its page, of its hooks, and of what is around them.

Law: a verdict is of one page, of one object that it is a method of, with these hooks and this configuration.
"""

from __future__ import annotations

import threading
import types
import weakref
from collections import Counter, OrderedDict, deque
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.request import Request
from cherrypy.framework.tools import HandlerTool, HandlerWrapperTool, Tool, default_toolbox

from ..sessionauth import session_auth
from ..sessionvalues import ATOMS, is_fixed
from .code import changes_a_session, only_reads
from .flow import Flow
from .reach import FUNCTIONS, element
from .values import (
    ANY,
    ANYTHING,
    FIXED,
    LOOKED,
    OTHER,
    PAGE,
    TEXT,
    Arguments,
    Bound,
    Instance,
    Known,
    NotKnown,
    Writes,
    one,
)

__all__ = ("WRITES", "Verdict", "suits", "verdict")

#: Of `session_auth`: what is called only where somebody logs in or out, which writes.
_LOGINS = ("check_username_and_password", "on_login", "on_logout")

LIMIT = 1000  # verdicts that are remembered; then all are forgotten
TIMES = 20  # that a page is judged anew, for another object or other hooks
PARTS = 2000  # of a session that are looked at


class Verdict:
    """What the values in a session have to be like for its request to be one that only reads."""

    __slots__ = ("levels", "names")

    def __init__(self, levels: dict[str | None, int], names: frozenset[str]) -> None:
        self.levels = levels
        self.names = names


#: Of code in which stands that it changes a session.
WRITES = Verdict({}, frozenset())

_known: dict[Any, tuple[Any, Any, Verdict | None]] = {}
_judged: Counter[Any] = Counter()
# Held by who judges: others that have come for the same page take what he finds.
_judging = threading.Lock()


def verdict(page: Any, made: Any, request: Any) -> Verdict | None:
    """Return what the code of a request shows: that it only reads, or `WRITES`; None if it shows neither.

    Args:
        page: what the page is known by, and `made` what it is: a function, or a method.
    """
    if request.path_info.endswith(("do_login", "do_logout")) and any(
        getattr(hook.callback, "__self__", None) is _session_auth() for hook in _callbacks(request)
    ):
        return WRITES  # it answers there itself
    owner = getattr(made, "__self__", None)
    key, about = (page, id(owner)), _about(request)
    known = _known.get(key)
    if known is None or not _holds(known, owner, about):
        with _judging:
            known = _known.get(key)
            if known is None or not _holds(known, owner, about):
                if _judged[page] >= TIMES:
                    return None
                known = _remembered(key, owner, about, _judge(made, request))
    return known[2]


def _holds(known: Any, owner: Any, about: list[Any]) -> bool:
    """Tell whether a verdict is of the same object, and of a request like this one."""
    there = known[1]
    return (
        known[0]() is owner
        and len(there) == len(about)
        and all(one is other for one, other in zip(there, about, strict=True))
    )


def _remembered(key: Any, owner: Any, about: list[Any], found: Verdict | None) -> Any:
    if len(_known) >= LIMIT:
        _known.clear()
        _judged.clear()
    _judged[key[0]] += 1
    try:
        reference: Any = weakref.ref(owner) if owner is not None else _nobody
    except TypeError:  # it cannot be told from another one that comes after it
        return None, None, None
    known = _known[key] = (reference, about, found)
    return known


def _session_auth() -> Any:
    return default_toolbox.__dict__.get("session_auth")


def _nobody() -> None:
    return None


def _callbacks(request: Any) -> list[Any]:
    return [hook for hooks in list(request._points.values()) for hook in hooks]


def _about(request: Any) -> list[Any]:
    """Return what else a verdict depends on, each to be the same object."""
    own = request.__dict__
    found = [request._plan, own.get("error_response"), *dict(own.get("error_page") or {}).values()]
    for hook in _callbacks(request):
        # Of a method there is a new one each time that somebody asks for it.
        callback = hook.callback
        found += [getattr(callback, "__func__", callback), getattr(callback, "__self__", None)]
        found += [value for value in hook.kwargs.values() if isinstance(value, FUNCTIONS)]
    return found


def _judge(made: Any, request: Any) -> Verdict | None:
    flow = Flow()
    try:
        flow.settle(lambda: _go_through(flow, made, request))
    except Writes:
        return WRITES
    except (
        Exception
    ):  # not known; or whatever it is that we do not understand, it is no request's fault
        return WRITES if any(map(changes_a_session, flow.nodes.values())) else None
    return Verdict(flow.levels, frozenset(flow.names))


def _go_through(flow: Flow, made: Any, request: Any) -> None:
    """Go through all of a program that a request runs. Raises NotKnown."""
    for hook in _callbacks(request):
        _go_through_hook(flow, hook)
    for page in dict(request.__dict__.get("error_page") or {}).values():
        if callable(page):
            flow.call(element(page), ANYTHING, "error page")
    told = request.error_response
    if (
        told != Request.error_response
        and getattr(told, "__func__", None) is not HTTPError.set_response
    ):
        raise NotKnown("who answers for errors")
    function = getattr(made, "__func__", made)
    if only_reads(function, function is not made):
        return
    given = one(TEXT)
    arguments = Arguments((), (), given, given)
    whole: Any = element(made)
    if type(made) is types.MethodType:
        whole = Bound(Known(function), element(made.__self__))
    for thing in flow.call(whole, arguments, "page"):
        # Whoever sends it goes through it.
        if type(thing) is Instance or (type(thing) is Known and type(thing.obj) not in ATOMS):
            flow.look(one(thing))


def _go_through_hook(flow: Flow, hook: Any) -> None:
    callback = hook.callback
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, HandlerWrapperTool) and callback.__func__ is HandlerWrapperTool.callable:
        given = one(OTHER)
        flow.call(element(owner.newhandler), Arguments((one(PAGE),), (), given, given), "wrapper")
        return
    if isinstance(owner, HandlerTool) and callback.__func__ is HandlerTool._wrapper:
        callback = owner.callable
    if not _is_ours(callback):
        words = tuple((name, one(element(value))) for name, value in hook.kwargs.items())
        flow.call(element(callback), Arguments((), words), ("hook", id(callback)))
        return
    for name, value in hook.kwargs.items():
        # What it is told to call. `session_auth` calls others only where somebody logs in or out.
        if isinstance(value, FUNCTIONS) and not (callback is session_auth and name in _LOGINS):
            flow.back(element(value))


def _is_ours(callback: Any) -> bool:
    """Tell whether this is of a tool that comes with us and changes nothing in a session."""
    function = getattr(callback, "__func__", callback)
    tool = getattr(callback, "__self__", None)
    module = (
        type(tool).__module__ if isinstance(tool, Tool) else getattr(function, "__module__", "")
    )
    if not str(module).startswith(("cherrypy.lib.", "cherrypy.monitor.", "cherrypy.websocket.")):
        return False
    # That one keeps a secret there, which it makes when it is first asked for.
    return module != "cherrypy.lib.csrf"


# ----------------------------------------------------------------------- what is in a session

_NESTED = frozenset((list, dict, set, deque, OrderedDict, Counter))
#: What a class may have without its objects doing anything when they are looked at.
_HARMLESS_NAMES = """
__init__ __module__ __doc__ __dict__ __weakref__ __qualname__ __annotations__ __static_attributes__
__firstlineno__ __dataclass_fields__ __dataclass_params__ __match_args__ __annotate__ __annotations_cache__
__annotate_func__ __getstate__ __setstate__ __reduce__ __slots__
"""
_HARMLESS = frozenset(_HARMLESS_NAMES.split())


def suits(found: Verdict, data: dict[Any, Any]) -> bool:
    """Tell whether the values in a session are such that the verdict holds."""
    if found is WRITES:
        return False
    levels, seen = found.levels, 0
    general = levels.get(None, ANY)
    left = (
        [(value, max(general, levels.get(key, ANY))) for key, value in data.items()]
        if levels
        else []
    )
    while left:
        value, level = left.pop()
        seen += 1
        kind = type(value)
        if level == ANY or is_fixed(kind):
            continue
        parts: Any = ()
        if kind in (tuple, frozenset):
            parts = value
        elif level == FIXED:
            return False
        elif kind in _NESTED:
            parts = [*value.keys(), *value.values()] if hasattr(value, "keys") else value
        elif level == LOOKED and _is_simple(kind, found.names):
            parts = object.__getattribute__(value, "__dict__").values()
        elif kind is not bytearray:
            return False
        if seen + len(left) + len(parts) > PARTS:
            return False
        left += [(part, level) for part in parts]
    return True


def _is_simple(kind: type, names: frozenset[str]) -> bool:
    """Tell whether objects of a class just have attributes, as far as these are asked for."""
    if kind.__dictoffset__ == 0:
        return False
    for cls in type.__getattribute__(kind, "__mro__")[:-1]:
        for name, value in type.__getattribute__(cls, "__dict__").items():
            if name.startswith("__") and name not in _HARMLESS:
                generated = "__dataclass_fields__" in cls.__dict__ and name in (
                    "__eq__",
                    "__repr__",
                    "__hash__",
                )
                if not generated:
                    return False
            elif name in names and type(value) not in ATOMS - {types.FunctionType, type}:
                return False
    return True
