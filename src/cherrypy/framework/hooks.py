"""Hooks: callbacks that run at the stages of a request, in order of priority.

Law: an exception in a hook skips the following ones, except those that are failsafe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ("AT_ONCE", "BEFORE_DISPATCH", "Hook", "HookMap", "hookpoints", "shortcut")

#: The stages at which callbacks may hook in.
hookpoints = [
    "on_start_resource",
    "before_request_body",
    "before_handler",
    "before_finalize",
    "on_end_resource",
    "on_end_request",
    "before_error_response",
    "after_error_response",
]


class Hook:
    """A callback and how it is to be called.

    callback
        The function to call at the stage.
    failsafe
        True: call it even when an earlier hook of the stage failed. By default the callback's
        attribute of that name, else False.
    priority
        Lower ones run first. By default the callback's attribute of that name, else 50.
    kwargs
        Keyword arguments for the callback.
    """

    callback: Any = None
    failsafe: bool = False
    priority: int = 50
    kwargs: dict[str, Any] = {}

    def __init__(
        self,
        callback: Callable[..., Any],
        failsafe: bool | None = None,
        priority: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.callback = callback
        self.failsafe = getattr(callback, "failsafe", False) if failsafe is None else failsafe
        self.priority = getattr(callback, "priority", 50) if priority is None else priority
        self.kwargs = kwargs

    def __lt__(self, other: Hook) -> bool:
        return self.priority < other.priority

    def __call__(self) -> Any:
        return self.callback(**self.kwargs)

    def __copy__(self) -> Hook:
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__)
        clone.kwargs = self.kwargs.copy()
        return clone

    def __repr__(self) -> str:
        cls = type(self)
        kwargs = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        return (
            f"cherrypy._cprequest.{cls.__name__}(callback={self.callback!r}, "
            f"failsafe={self.failsafe!r}, priority={self.priority!r}, {kwargs})"
        )


class HookMap(dict[str, list[Hook]]):
    """The hooks of a request, by point: a dict of lists."""

    def __new__(cls, points: Iterable[str] | None = None) -> HookMap:
        self = dict.__new__(cls)
        for point in points or ():
            dict.__setitem__(self, point, [])
        return self

    def __init__(self, *a: Any, **kw: Any) -> None:
        # The points were made by __new__: dict's own __init__ would read them as items.
        pass

    def attach(
        self,
        point: str,
        callback: Callable[..., Any],
        failsafe: bool | None = None,
        priority: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a callback at `point`. See Hook for the arguments. Raises KeyError."""
        self[point].append(Hook(callback, failsafe, priority, **kwargs))

    def run(self, point: str) -> None:
        """Run the hooks of `point`. Raises KeyError when there is no such point."""
        hooks = self[point]
        if hooks:
            self.run_hooks(iter(sorted(hooks)))

    @classmethod
    def run_hooks(cls, hooks: Iterator[Any]) -> None:
        """Run `hooks` in turn; once one has failed only the failsafe ones.

        The last exception is raised, with the earlier ones as its context.
        """
        hooks = iter(hooks)
        try:
            for hook in hooks:
                hook()
        except BaseException:
            cls.run_hooks(hook for hook in hooks if hook.failsafe)
            raise

    def __copy__(self) -> HookMap:
        clone = type(self)()
        for point, hooks in self.items():
            dict.__setitem__(clone, point, hooks[:])
        return clone

    def copy(self) -> HookMap:
        """Return a map with lists of its own."""
        return self.__copy__()

    def __repr__(self) -> str:
        return f"cherrypy._cprequest.{type(self).__name__}(points={list(self)!r})"


# ------------------------------------------------------------------------------------ shortcuts
#
# The default tools run on every request and mostly find nothing to do. What each of them does
# with its settings untouched can be said in a line or two of the request path itself; a shortcut
# is that line. It never changes what a tool means: request.hooks lists the tool as ever, and
# whenever the line does not apply the callback itself runs.

Shortcut = Callable[[Any], bool]

#: What is done before the dispatcher is asked, with request and path, when the entry is in the site's settings, in a
#: section of the application, or in the `_cp_config` of its root. It may return what is then done with the request, when its configuration is known.
#: The owner of a tool that changes what a dispatcher sees puts it here: of one tool, so far.
BEFORE_DISPATCH: dict[str, Callable[[Any, str], Callable[[Any], None] | None]] = {}

#: What is done with a request, and the arguments of the hook, as soon as its configuration is known, when it has such a
#: hook: by point and callback. For tools that change what all other hooks see.
AT_ONCE: dict[tuple[str, Any], Callable[[Any, dict[str, Any]], None]] = {}


def at_once(
    points: dict[str, list[Hook]],
) -> list[tuple[Callable[[Any, dict[str, Any]], None], dict[str, Any]]]:
    """Return what `AT_ONCE` has for hooks, with their arguments."""
    found = []
    for (point, callback), act in AT_ONCE.items():
        found += [(act, hook.kwargs) for hook in points.get(point, ()) if hook.callback is callback]
    return found


#: The shortcuts the request path knows, by name; made in `request.py`.
SHORTCUTS: dict[str, Shortcut] = {}

#: Which shortcut stands for which callback, when that is called without arguments.
_by_callback: dict[Any, str | Shortcut] = {}


def shortcut(callback: Callable[..., Any], name: str | Shortcut) -> None:
    """Let the shortcut `name` stand for `callback` called without arguments.

    name
        A function that gets the request and says whether `callback` is needed, or one of
        'trailing_slash': needed only for an index page without a final slash.
        'encode': a `str` in UTF-8 for clients that state no `Accept-Charset`.

    Whoever makes the default toolbox says this of its callables.
    """
    _by_callback[callback] = name


def shortcut_for(hook: Hook) -> Shortcut | None:
    """Return the shortcut that may stand for `hook`, if there is one."""
    if type(hook) is not Hook or hook.kwargs:
        return None
    try:
        found = _by_callback.get(hook.callback, "")
        return SHORTCUTS.get(found) if isinstance(found, str) else found
    except TypeError:  # an unhashable callback
        return None
