"""Tools: callables that configuration turns on for a path and that hook into its requests.

Law: whoever changes a tool or a toolbox moves `revision.now`; what was derived before is void.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .serving import serving

__all__ = (
    "ErrorTool",
    "HandlerTool",
    "HandlerWrapperTool",
    "Tool",
    "Toolbox",
    "default_toolbox",
    "revision",
)

_attr_error = (
    "CherryPy Tools cannot be turned on directly. Instead, turn them on via config, or use them "
    "as decorators on your page handlers."
)

_Target = TypeVar("_Target")

#: One hook of a tool: point, callback, priority (None: as the callback says) and arguments.
HookSpec = tuple[str, Callable[..., Any], "int | None", dict[str, Any]]


class _Revision:
    """Where the tools stand: `now` is another object after each change of any tool or toolbox."""

    now: object = object()


revision = _Revision()


def _changed() -> None:
    revision.now = object()


def _getargs(func: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a function, method or class."""
    if isinstance(func, type):
        func = func.__init__  # type: ignore[misc]  # only its code is looked at
    func = getattr(func, "__func__", func)
    if not hasattr(func, "__code__"):
        func = getattr(type(func), "__call__", func)  # noqa: B004 - an instance's method
    code = func.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


class Tool:
    """A callable that is called at a hook point of the requests it is turned on for.

    point
        The name of the hook point.
    callable
        What to call there; its arguments are those of the tool.
    name
        The name of the tool; by default the attribute it is bound to on its toolbox.
    priority
        Lower ones run first.

    Turn it on by `tools.<name>.on`, or use it as a decorator: `@tools.name(argument=value)`.
    """

    namespace = "tools"

    def __init__(
        self, point: Any, callable: Any, name: str | None = None, priority: int = 50
    ) -> None:
        if "ws4py" in sys.modules:
            from .foreign import refuse_tool

            refuse_tool(type(self))
        self._point = point
        self.callable = callable
        self._name = name
        self._priority = priority
        self.__doc__ = getattr(callable, "__doc__", None)
        self._setargs()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        _changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        _changed()

    @property
    def on(self) -> Any:
        """Not readable: whether a tool is on depends on the path."""
        raise AttributeError(_attr_error)

    @on.setter
    def on(self, value: Any) -> None:
        raise AttributeError(_attr_error)

    def _setargs(self) -> None:
        """Show the arguments of the callable as attributes, for those who look."""
        try:
            names = _getargs(self.callable)
        except AttributeError:
            return
        for name in names:
            if name not in self.__dict__ and not hasattr(type(self), name):
                self.__dict__[name] = None

    def _merged_args(self, d: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments configured for this request, and `d` over them."""
        conf: dict[str, Any] = {}
        settings = serving.request.toolmaps.get(self.namespace)
        if settings and self._name in settings:
            conf.update(settings[self._name])
        if d:
            conf.update(d)
        conf.pop("on", None)
        return conf

    def __call__(self, *args: Any, **kwargs: Any) -> Callable[[_Target], _Target]:
        """Return a decorator that turns the tool on, with these arguments, for a handler."""
        if args:
            raise TypeError(
                f"The {self._name!r} Tool does not accept positional arguments; you must use "
                "keyword arguments."
            )
        prefix = f"{self.namespace}.{self._name}."

        def decorate(target: Any) -> Any:
            # A class gets a dict of its own: the one it inherits belongs to its base.
            if isinstance(target, type):
                own = vars(target).get("_cp_config")
                if own is None:
                    own = dict(getattr(target, "_cp_config", None) or {})
                    target._cp_config = own  # type: ignore[attr-defined]  # functions and classes take it
            else:
                own = getattr(target, "_cp_config", None)
                if own is None:
                    own = target._cp_config = {}
            own[prefix + "on"] = True
            for name, value in kwargs.items():
                own[prefix + name] = value
            return target

        return decorate

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield what this tool hooks in, given its arguments (without `on`).

        A tool of another shape overrides this; then its hooks are known before a request comes,
        and cost it nothing. One that must look at the request overrides `_setup`.
        """
        yield self._point, self.callable, self._priority_of(conf), conf

    def _priority_of(self, conf: dict[str, Any], target: Any = None) -> int:
        """Take the priority out of `conf`, or ask the callable, or take that of the tool."""
        priority = conf.pop("priority", None)
        if priority is None:
            priority = getattr(target or self.callable, "priority", self._priority)
        return int(priority)

    def _setup(self) -> None:
        """Hook into the current request, for which this tool is turned on."""
        attach = serving.request.hooks.attach
        for point, callback, priority, kwargs in self.hooks(self._merged_args()):
            attach(point, callback, priority=priority, **kwargs)


#: A tool whose class has these takes part in templates: its hooks depend on configuration only.
_STANDARD = (Tool._setup, Tool._merged_args)


def is_standard(tool: Any) -> bool:
    """Return whether all that `tool` does to a request is what `tool.hooks` says."""
    cls = type(tool)
    return (
        isinstance(tool, Tool)
        and cls._setup is _STANDARD[0]
        and cls._merged_args is _STANDARD[1]
        and "_setup" not in tool.__dict__
        and "_merged_args" not in tool.__dict__
    )


class HandlerTool(Tool):
    """A tool that may answer in place of the page handler.

    Its callable returns True when it has set the response; the handler is then not called.
    """

    def __init__(self, callable: Any, name: str | None = None) -> None:
        Tool.__init__(self, "before_handler", callable, name)

    def handler(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Return a page handler that is this tool with these arguments."""

        def handle_func(*a: Any, **kw: Any) -> Any:
            if not self.callable(*args, **self._merged_args(kwargs)):
                from .errors import NotFound

                raise NotFound()
            return serving.response.body

        handle_func.exposed = True  # type: ignore[attr-defined]  # that makes it a page handler
        return handle_func

    def _wrapper(self, **kwargs: Any) -> None:
        if self.callable(**kwargs):
            serving.request.handler = None

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield the hook that may take the handler away."""
        yield self._point, self._wrapper, self._priority_of(conf), conf


class HandlerWrapperTool(Tool):
    """A tool that wraps the page handler.

    newhandler
        Called as `newhandler(handler, *args, **kwargs)` in its place.
    """

    def __init__(
        self,
        newhandler: Callable[..., Any],
        point: str = "before_handler",
        name: str | None = None,
        priority: int = 50,
    ) -> None:
        self.newhandler = newhandler
        self._point = point
        self._name = name
        self._priority = priority

    def callable(self, *args: Any, **kwargs: Any) -> None:
        """Put the wrapper around the handler of the current request."""
        inner = serving.request.handler

        def wrap(*args: Any, **kwargs: Any) -> Any:
            return self.newhandler(inner, *args, **kwargs)

        serving.request.handler = wrap


class ErrorTool(Tool):
    """A tool that makes the response to an unanticipated error."""

    def __init__(self, callable: Any, name: str | None = None) -> None:
        Tool.__init__(self, None, callable, name)

    def _wrapper(self) -> None:
        self.callable(**self._merged_args())

    def _setup(self) -> None:
        """Become the `error_response` of the current request."""
        serving.request.error_response = self._wrapper


class Toolbox:
    """A namespace of tools: attributes of it are tools, and `<namespace>.<tool>.*` their settings.

    Any object with `_name` and `_setup` may be one.
    """

    if TYPE_CHECKING:
        # Any name may be a tool; these have more than other tools.
        session_auth: HandlerTool
        sessions: Any
        staticdir: HandlerTool
        staticfile: HandlerTool

    _late: dict[str, Callable[[], Any]] = {}
    _unlisted: frozenset[str] = frozenset()

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def add_late(self, name: str, make: Callable[[], Any], listed: bool = True) -> None:
        """Have `make` make the tool `name` when somebody first asks for it.

        For tools that few programs use: what they are made of need not be imported before. Those of
        old, which are not `listed`, are found but not shown.
        """
        if not listed:
            object.__setattr__(self, "_unlisted", self._unlisted | {name})
        object.__setattr__(self, "_late", {**self._late, name: make})
        _changed()

    def __getattr__(self, name: str) -> Tool:
        # Only what is not there as an attribute gets here.
        make = self._late.get(name)
        if make is None:
            raise AttributeError(f"There is no tool {name!r} in the toolbox {self.namespace!r}.")
        setattr(self, name, make())
        made: Tool = self.__dict__[name]
        return made

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._late} - self._unlisted)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tool):
            if value._name is None:
                value._name = name
            value.namespace = self.namespace
        object.__setattr__(self, name, value)
        _changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        _changed()

    def __enter__(self) -> Callable[[str, Any], None]:
        """Begin to take the settings of this toolbox for the current request."""
        settings: dict[str, dict[str, Any]] = {}
        serving.request.toolmaps[self.namespace] = settings

        def populate(k: str, v: Any) -> None:
            toolname, arg = k.split(".", 1)
            settings.setdefault(toolname, {})[arg] = v

        return populate

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        """Set up those that are on."""
        if exc_type is not None:
            return
        settings = serving.request.toolmaps.get(self.namespace)
        if settings:
            for name, conf in list(settings.items()):
                if conf.get("on", False):
                    getattr(self, name)._setup()

    def register(self, point: str, **kwargs: Any) -> Callable[[_Target], _Target]:
        """Return a decorator that makes a function a tool of this box.

        kwargs
            `name` (by default the function's) and `priority`.
        """

        def decorate(func: Any) -> Any:
            name = kwargs.get("name", func.__name__)
            setattr(self, name, Tool(point, func, **kwargs))
            return func

        return decorate


default_toolbox = Toolbox("tools")
