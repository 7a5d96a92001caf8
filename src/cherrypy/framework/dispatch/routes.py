"""Dispatch by routes: URL patterns connected to controllers, through the `routes` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import plan
from ..errors import HTTPRedirect, NotFound
from ..serving import serving
from ..site import site
from .handlers import LateParamPageHandler

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ("RoutesDispatcher",)


class RoutesDispatcher:
    """Finds page handlers by URL patterns, instead of in a tree of objects.

    Needs the package `routes` (`pip install routes`).

    Args:
        full_result: leave `controller` and `action` in the request's parameters.
        mapper_options: for `routes.Mapper`.

    Raises:
        ImportError: `routes` is not installed.
    """

    def __init__(self, full_result: bool = False, **mapper_options: Any) -> None:
        try:
            import routes
        except ImportError as exc:
            raise ImportError(
                "RoutesDispatcher needs the package 'routes': pip install routes"
            ) from exc
        self.full_result = full_result
        self.controllers: dict[str, Any] = {}
        self.mapper = routes.Mapper(**mapper_options)
        self.mapper.controller_scan = self.controllers.keys

    def connect(self, name: str, route: str, controller: Any, **kwargs: Any) -> None:
        """Connect the pattern `route` to a controller: an object, a class or a page.

        With `action='m'` (or `{action}` in the pattern) the page is the method of that name.
        """
        self.controllers[name] = controller
        self.mapper.connect(name, route, controller=name, **kwargs)

    def redirect(self, url: str) -> NoReturn:
        """Redirect the client: what `routes` calls for its redirects."""
        raise HTTPRedirect(url)

    def __call__(self, path_info: str) -> Any:
        """Set `request.handler` and `request.config` for a path."""
        func = self.find_handler(path_info)
        serving.request.handler = NotFound() if func is None else LateParamPageHandler(func)

    def find_handler(self, path_info: str) -> Any:
        """Return the page of a path, or None. The route's variables become parameters."""
        request = serving.request
        result = self._match(path_info)
        params = dict(result or ())
        if not self.full_result:
            params.pop("controller", None)
            params.pop("action", None)
        if params:
            request.params.update(params)

        controller, handler = self._page(result or {})
        trail = self._sections(path_info)
        # The section of the path itself overrides the controller, those above it do not.
        last = [trail.pop()] if path_info.strip("/") else []
        trail += [("", getattr(controller, "_cp_config", None))]
        if handler is not controller:
            trail += [("", getattr(handler, "_cp_config", None))]
        trail += last

        section = where = ""
        sources: list[dict[str, Any]] = [site.config]
        for path, conf in trail:
            where = path or where
            if conf:
                sources.append(conf)
                if "tools.staticdir.dir" in conf:
                    section = where
        extra = {"tools.staticdir.section": section} if section else None
        request._plan = merged = plan(tuple(sources), extra)
        request.config = merged.config.copy()
        return handler

    def _match(self, path_info: str) -> dict[str, Any] | None:
        """Ask `routes`, after telling it about the request."""
        import routes

        request = serving.request
        config = routes.request_config()
        config.mapper = self.mapper
        config.environ = request.wsgi_environ or _environ(request)
        config.host = request.headers.get("Host", None)
        config.protocol = request.scheme
        config.redirect = self.redirect
        result: dict[str, Any] | None = self.mapper.match(path_info)
        config.mapper_dict = result
        return result

    def _page(self, result: dict[str, Any]) -> tuple[Any, Any]:
        """Return the controller and the page of a match; None for what is not there."""
        name = result.get("controller")
        controller = self.controllers.get(name, name) if name else None
        if controller is None:
            return None, None
        if isinstance(controller, type):
            controller = controller()
        action = result.get("action")
        handler = controller if action is None else getattr(controller, action, None)
        return controller, handler if callable(handler) else None

    @staticmethod
    def _sections(path_info: str) -> list[tuple[str, dict[str, Any] | None]]:
        """Return the configured dicts of the root and of each part of the path, with its path."""
        app = serving.request.app
        trail = [
            ("/", getattr(app.root, "_cp_config", None)),
            ("/", app.config.get("/")),
        ]
        path = ""
        for atom in filter(None, path_info.split("/")):
            path += "/" + atom
            trail.append((path, app.config.get(path)))
        return trail


def _environ(request: Any) -> dict[str, Any]:
    """Return what routes may have conditions on, for a request that did not come by WSGI."""
    host = request.headers.get("Host") or "localhost"
    return {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.script_name,
        "PATH_INFO": request.path_info,
        "QUERY_STRING": request.query_string,
        "HTTP_HOST": host,
        "SERVER_NAME": host.partition(":")[0],
        "SERVER_PORT": str(request.local.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": request.scheme,
    }
