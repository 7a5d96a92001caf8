"""What configuration means for a request: the hooks of a plan, found out before a request comes.

Law: a template holds only while nothing it was made of has changed; whoever asks, checks.
"""

from __future__ import annotations

from typing import Any

from .hooks import Hook, HookMap, at_once, hookpoints, shortcut_for
from .reprconf import attributes
from .response import kept
from .serving import serving
from .tools import Toolbox, is_standard, revision

__all__ = ("ClassHooks", "Config", "Hooks", "Template", "class_hooks", "template")


def request_namespace(k: str, v: Any) -> None:
    """`request.<name>` sets an attribute of the request, `request.body.<name>` of its body."""
    if k[:5] == "body.":
        setattr(serving.request.body, k[5:], v)
    else:
        setattr(serving.request, k, v)


def response_namespace(k: str, v: Any) -> None:
    """`response.<name>` sets an attribute of the response, `response.headers.<name>` a field."""
    if k[:8] == "headers.":
        serving.response.headers[k[8:]] = v
    else:
        setattr(serving.response, k, v)


def error_page_namespace(k: str, v: Any) -> None:
    """`error_page.<code>` and `error_page.default` name the pages to show for errors."""
    serving.request.error_page[k if k == "default" else int(k)] = v


def hooks_namespace(k: str, v: Any) -> None:
    """`hooks.<point>` attaches a callable, a Hook, or what a dotted name stands for."""
    serving.request.hooks[_point(k)].append(_hook(v))


def _point(key: str) -> str:
    # 'hooks.before_handler.2' names the same point: several hooks in one file need several keys.
    return key.split(".", 1)[0]


def _hook(value: Any) -> Hook:
    if isinstance(value, str):
        value = attributes(value)
    return value if isinstance(value, Hook) else Hook(value)


class Template:
    """The hooks of a plan and what else its entries do to each request.

    `points` has the hooks of each point that has any, sorted. `steps` is all of it in the order
    of the configuration: `(point, hook)`, `(handler, items)` and tools that set up themselves.
    """

    __slots__ = (
        "before_handler",
        "calls",
        "closers",
        "encode",
        "known",
        "made_of",
        "points",
        "quiet",
        "settings",
        "simple",
        "steps",
    )

    def __init__(self, namespaces: dict[str, Any], toolboxes: dict[str, Any]) -> None:
        # It holds while these are what they were: one comparison in C.
        self.made_of = (revision.now, dict(namespaces), dict(toolboxes))
        # The turn in which this was last found to hold, and for which toolboxes.
        self.known: tuple[object, Any] = (False, None)
        self.settings: dict[str, dict[str, dict[str, Any]]] = {}
        self.steps: list[tuple[Any, Any]] = []
        self.points: dict[str, list[Hook]] = {}
        self.calls: list[tuple[Any, Any, Any]] = []
        self.simple = True
        self.quiet = False  # nothing to run but before the handler and for errors
        # Pairs of shortcut and hook for the stage before the handler; None: run it as any other.
        self.before_handler: list[tuple[Any, Hook]] | None = []
        self.encode: Hook | None = None
        # The shortcuts of the hooks at the end of the request; None: one of them has none.
        self.closers: list[Any] | None = []

    def hold(self) -> None:
        """Draw the conclusions from `steps`."""
        points: dict[str, list[Hook]] = {point: [] for point in hookpoints}
        for what, value in self.steps:
            if isinstance(value, Hook):
                points[what].append(value)
            elif value is None or hasattr(what, "__exit__"):
                self.simple = False
            else:
                self.calls.extend((what, k, v) for k, v in value)
        self.points = {point: sorted(hooks) for point, hooks in points.items() if hooks}
        # Behind what the entries say themselves. Where there is none, no request looks for it.
        early: list[tuple[Any, Any, Any]] = [(_do_at_once, *act) for act in at_once(self.points)]
        self.calls += early
        closers = [shortcut_for(hook) for hook in self.points.get("on_end_request", [])]
        self.closers = None if None in closers else closers
        before = self.points.get("before_handler", [])
        if any(hook.failsafe for hook in before):
            self.before_handler = None
            return
        pairs = [(shortcut_for(hook), hook) for hook in before]
        # What encodes is put around the handler, so it must come last to be left out here.
        if pairs and pairs[-1][0] is ENCODE:
            self.encode = pairs.pop()[1]
        self.before_handler = [(None if s is ENCODE else s, hook) for s, hook in pairs]
        self.quiet = self.simple and _QUIET.issuperset(self.points)


def _do_at_once(act: Any, kwargs: dict[str, Any]) -> None:
    act(serving.request, kwargs)


_QUIET = frozenset(("before_handler", "before_error_response", "after_error_response"))


def ENCODE(request: Any) -> bool:
    """Mark the encode tool: the request path itself does its work (see `Request._turn`)."""
    return True


def template(plan: Any, namespaces: dict[str, Any], toolboxes: dict[str, Any]) -> Template | None:
    """Return the template of `plan`, or None if its entries must be taken one by one.

    namespaces, toolboxes
        The handlers of entries: those of the request class, and the toolboxes of the application.
    """
    made = Template(namespaces, toolboxes)
    try:
        for name, handler in {**namespaces, **toolboxes}.items():
            _take(made, handler, plan.namespaces.get(name, {}))
        made.hold()
    except Exception:
        # Something is wrong with the configuration. Going through it entry by entry raises the
        # same where it can be answered.
        return None
    return made


def _take(made: Template, handler: Any, bucket: dict[str, Any]) -> None:
    """Add to a template what `handler` would do with the entries of its namespace."""
    if isinstance(handler, Toolbox):
        cls = type(handler)
        if cls.__enter__ is not Toolbox.__enter__ or cls.__exit__ is not Toolbox.__exit__:
            made.steps.append((handler, list(bucket.items())))
            return
        settings = made.settings.setdefault(handler.namespace, {})
        for key, value in bucket.items():
            toolname, arg = key.split(".", 1)
            settings.setdefault(toolname, {})[arg] = value
        for toolname, conf in settings.items():
            if conf.get("on", False):
                _take_tool(made, getattr(handler, toolname), conf)
    elif handler is hooks_namespace:
        for key, value in bucket.items():
            if isinstance(value, str):  # a name means what it means when the request comes
                made.steps.append((handler, [(key, value)]))
            else:
                made.steps.append((_point(key), _hook(value)))
    elif hasattr(handler, "__exit__") or bucket:
        made.steps.append((handler, list(bucket.items())))


def _take_tool(made: Template, tool: Any, conf: dict[str, Any]) -> None:
    if not is_standard(tool):
        made.steps.append((tool, None))
        return
    arguments = {name: value for name, value in conf.items() if name != "on"}
    for point, callback, priority, kwargs in tool.hooks(arguments):
        made.steps.append((point, Hook(callback, priority=priority, **kwargs)))


def materialise(base: HookMap, points: dict[str, list[Hook]]) -> HookMap:
    """Return `base` with copies of the hooks of a template: a request may change its own."""
    for point, hooks in points.items():
        base[point].extend([hook.__copy__() for hook in hooks])
    return base


class ClassHooks(HookMap):
    """The hooks of all requests: nobody has any unless somebody has got hold of this map."""

    seen = False


CLASS_HOOKS = ClassHooks(hookpoints)


class Hooks(kept):
    """`request.hooks`: the template's hooks until somebody wants to see or change them."""

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None or (obj.app is None and obj._hooks is None):
            ClassHooks.seen = True
            return CLASS_HOOKS
        hooks = obj._hooks
        if hooks is None:
            base = HookMap(hookpoints)
            if ClassHooks.seen:
                for point, more in CLASS_HOOKS.items():
                    base[point].extend(more)
            hooks = obj._hooks = obj._points = materialise(base, obj._points)
            obj._quiet = False
        return hooks

    def __set__(self, obj: Any, value: Any) -> None:
        obj._hooks = obj._points = value
        obj._quiet = False


class Config(kept):
    """`request.config`: a copy of the plan's, made when somebody looks."""

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return None
        config = obj._config
        if config is None and obj._plan is not None:
            config = obj._config = obj._plan.config.copy()
        return config


def class_hooks(cls: type) -> HookMap:
    """Return the hooks that a request class has for all its requests."""
    for base in cls.__mro__:
        hooks = vars(base).get("hooks")
        if isinstance(hooks, HookMap):
            return hooks
    return CLASS_HOOKS
