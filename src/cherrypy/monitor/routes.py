"""Routes: the names of what answers, which do not depend on who asks for what.

A path that a page takes arguments from is one route: '/users/{id}', '/files/{*vpath}'. What nothing
answers is one route, too. Law: no name holds what a peer has sent.
"""

from __future__ import annotations

import inspect
import weakref
from types import MethodType
from typing import Any

UNMATCHED = "(unmatched)"
LEFT_OUT = "(left out)"  # what `tools.monitor.on = False` is for
FOREIGN = "(foreign)"  # a WSGI application of others, whose routes nobody knows
OVERFLOW = "(other)"

#: Routes that one application may have.
MOST = 200

#: Paths whose route is remembered; a full table starts over.
REMEMBERED = 4096
LONGEST = 256  # characters of such a path


class Route:
    """What is counted together: an application's mount point, and a name below it."""

    __slots__ = ("apdex", "app", "left_out", "limit", "name", "slow", "tuned")

    def __init__(self, app: str, name: str) -> None:
        self.app = app
        self.name = name
        self.limit = 0.5  # seconds that satisfy, see `settings.Settings.apdex`
        self.slow = 1.0  # seconds from which on a request is slow
        self.apdex: float | None = None  # what the path's configuration says of `limit`
        self.left_out = False  # its requests are not recorded
        self.tuned = False  # whether that was asked of the settings: what is counted stays counted

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


class Routes:
    """The routes of a process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Route] = {}
        # By application, which may be removed while others serve.
        self._by_path: weakref.WeakKeyDictionary[Any, dict[str, tuple[Any, int, Route]]] = (
            weakref.WeakKeyDictionary()
        )
        self._counts: dict[str, int] = {}

    def get(self, app: str, name: str) -> Route:
        """Return the route of that name, or the one for all others if there are too many."""
        route = self._known.get((app, name))
        if route is None:
            if self._counts.get(app, 0) >= MOST and name not in (UNMATCHED, FOREIGN, LEFT_OUT):
                name = OVERFLOW
            self._counts[app] = self._counts.get(app, 0) + 1
            # Two threads may come at once; one of their routes stays.
            route = self._known.setdefault((app, name), Route(app, name))
        return route

    def of(self, request: Any, page: Any = None) -> Route:
        """Return the route of a request that has been dispatched.

        page
            What has answered, if it got that far; tools may have put something in its place.
        """
        if page is None:
            page = getattr(request.handler, "callable", None)
            if isinstance(page, Exception):  # NotFound, which answers for itself
                page = None
        if type(page) is MethodType:
            page = page.__func__
        app = request.app
        args = request.args
        # The same path, page and number of arguments: the same route.
        paths = self._by_path.get(app)
        if paths is None:
            paths = self._by_path[app] = {}
        known = paths.get(request.path_info)
        if known is not None and known[0] is page and known[1] == len(args):
            return known[2]
        config = request.config or {}
        if config.get("tools.monitor.on") is False:
            route = self.get("", LEFT_OUT)
            route.left_out = True
        else:
            route = self.get(app._script_name or "", self._name(request, app, page, args))
            apdex = config.get("tools.monitor.apdex")
            if isinstance(apdex, (int, float)) and apdex > 0:
                route.apdex = float(apdex)
        if len(request.path_info) <= LONGEST:
            if len(paths) >= REMEMBERED:
                paths.clear()
            paths[request.path_info] = (page, len(args), route)
        return route

    def _name(self, request: Any, app: Any, page: Any, args: Any) -> str:
        mount = app._script_name or ""
        config = request.config or {}
        said = config.get("tools.monitor.route")
        if isinstance(said, str) and said:
            return said
        pattern = _pattern(request)
        if pattern is not None:
            return mount + pattern
        if page is None:
            return mount + _section(config) if _is_static(config) else UNMATCHED
        names = [name for name in request.path_info.strip("/").split("/") if name]
        taken = len(names) - len(args)
        parts = _trail(app.root, names[: max(0, taken)], request)
        if args:
            parts += _placeholders(page, len(args))
        return mount + "/" + "/".join(parts) if parts else mount + "/"


def _pattern(request: Any) -> str | None:
    """The pattern of a path that the routes package has matched."""
    environ = request._wsgi_environ or {}
    route = environ.get("routes.route")
    path = getattr(route, "routepath", None)
    return "/" + path.strip("/") if isinstance(path, str) else None


def _is_static(config: dict[str, Any]) -> bool:
    return bool(config.get("tools.staticdir.on") or config.get("tools.staticfile.on"))


def _section(config: dict[str, Any]) -> str:
    if config.get("tools.staticfile.on"):
        return "/(file)"
    section = str(config.get("tools.staticdir.section") or "").rstrip("/")
    return section + "/{*file}"


def _trail(node: Any, names: list[str], request: Any) -> list[str]:
    """The attributes that lead to a page; for what a `_cp_dispatch` took, a placeholder."""
    parts: list[str] = []
    translate = getattr(request.dispatch, "translate", None)
    for name in names:
        attribute = name.translate(translate) if isinstance(translate, dict) else name
        child = None
        if node is not None and attribute[:2] != "__":
            child = inspect.getattr_static(node, attribute, None)
            if child is not None:
                child = _plain(node, attribute, child)
        if child is None:
            # From here on nobody but the program's own dispatch method knows the way.
            parts.append("{" + (_popped(node, len(parts)) or "*") + "}")
            if node is None or not hasattr(type(node), "_cp_dispatch"):
                node = None
            continue
        parts.append(name)
        node = child
    return parts


def _plain(node: Any, name: str, found: Any) -> Any:
    """An attribute, unless code of the program would run to get it."""
    if hasattr(type(found), "__get__"):
        return getattr(node, name, None) if inspect.isroutine(found) else found
    return found


def _popped(node: Any, at: int) -> str | None:
    """The name that `cherrypy.popargs` of a node gives to the next segment."""
    names = getattr(getattr(type(node), "_cp_dispatch", None), "names", None)
    return names[0] if isinstance(names, (list, tuple)) and names else None


def _placeholders(page: Any, count: int) -> list[str]:
    """The parameters of a page that take the segments of a path."""
    names: list[str] = []
    rest = None
    try:
        parameters = list(inspect.signature(page).parameters.values())
    except (TypeError, ValueError):
        return ["{*}"]
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
        elif parameter.kind == parameter.VAR_POSITIONAL:
            rest = parameter.name
    parts = ["{" + name + "}" for name in names[:count]]
    if count > len(names):
        parts.append("{*" + (rest or "") + "}")
    return parts
