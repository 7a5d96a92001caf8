"""The tree of applications: which of them serves a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.http.hosts import urljoin

from .application import Application
from .serving import serving
from .site import site
from .wsgi import AppResponse, CPWSGIApp, fit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Application", "Tree")

#: Makes a WSGI callable of an ASGI application; `hosting` puts its function here.
asgi_host: Callable[..., Any] | None = None

#: Paths of more segments are made by peers who want us to count them.
_DEEP = 100


class Tree:
    """Applications by mount point, as one WSGI application.

    `apps` maps script names to applications and other WSGI callables; it may be changed directly,
    at any time.
    """

    apps: dict[str, Any] = {}
    whole_bodies = False  # see `graft`: of a tree in a tree, those that want them get them

    def __init__(self) -> None:
        self.apps = {}

    def mount(self, root: Any, script_name: str | None = "", config: Any = None) -> Any:
        """Mount an application and return it.

        root
            Its root object, or an `Application`.
        script_name
            Where; '' or '/' for the whole site.
        config
            `{path: {key: value}}`, or the name of a file.

        Raises TypeError for a `script_name` of None, ValueError when it is not that of the
        application given.
        """
        if script_name is None:
            raise TypeError(
                "The 'script_name' argument may not be None. Application objects may, however, "
                "possess a script_name of None (in order to inpect the WSGI environ for "
                "SCRIPT_NAME upon each request). You cannot mount such Applications on this "
                "Tree; you must pass them to a WSGI server interface directly."
            )
        script_name = script_name.rstrip("/")
        if isinstance(root, Application):
            app = root
            if script_name and script_name != app._script_name:
                raise ValueError(
                    "Cannot specify a different script name and pass an Application instance to "
                    "cherrypy.mount"
                )
            script_name = app._script_name or ""
        else:
            app = Application(root, script_name)
            # Browsers ask for it whatever the pages say.
            sections = app.config
            if (
                script_name == ""
                and root is not None
                and not hasattr(root, "favicon_ico")
                and (not isinstance(config, dict) or "/favicon.ico" not in config)
            ):
                self._add_favicon(root)
            del sections
        if config:
            app.merge(config)
        self.apps[script_name] = app
        return app

    @staticmethod
    def _add_favicon(root: Any) -> None:
        """Let a root without an icon serve that of the framework."""
        tool = getattr(site.tools, "staticfile", None)
        if tool is None:
            return
        from os.path import dirname, join

        icon = join(dirname(dirname(__file__)), "favicon.ico")
        try:
            root.favicon_ico = tool.handler(icon)
        except (AttributeError, TypeError):
            pass  # A root that takes no attributes does without.

    def graft(self, wsgi_callable: Any, script_name: str = "", whole_bodies: bool = True) -> None:
        """Mount any WSGI callable.

        whole_bodies
            A request body that comes in chunks is gathered first, so that it has a CONTENT_LENGTH;
            False: the callable reads it as it comes, and knows no length.
        """
        if not whole_bodies:
            from .gathered import Streamed

            wsgi_callable = Streamed(wsgi_callable)
        self.apps[script_name.rstrip("/")] = wsgi_callable

    def graft_asgi(self, app: Any, script_name: str = "", lifespan: str = "auto") -> Any:
        """Mount an ASGI application, and return what serves it in the tree.

        It starts and stops with the engine; when the engine runs already it starts now.

        lifespan
            'auto': the application is told of the start and the end if it listens; 'on': it must
            listen, or the start fails; 'off': it is not told.
        """
        if asgi_host is None:
            raise RuntimeError("Nothing here can host an ASGI application.")
        graft = asgi_host(app, script_name.rstrip("/"), lifespan)
        self.graft(graft, script_name)
        return graft

    def script_name(self, path: str | None = None) -> str | None:
        """Return the mount point that serves `path` (that of this request), or None."""
        if path is None:
            request = serving.request
            path = urljoin(request.script_name, request.path_info)
        apps = self.apps
        if path.count("/") > _DEEP:
            # Cutting off segment after segment would take quadratic time.
            names = [name for name in list(apps) if name == path or path.startswith(name + "/")]
            return max(names, key=len, default=None)
        while True:
            if path in apps:
                return path
            if path == "":
                return None
            path = path[: path.rfind("/")] if "/" in path else ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a WSGI request by the application whose mount point is nearest."""
        apps = self.apps
        path = environ.get("PATH_INFO") or ""
        if len(apps) == 1 and not environ.get("SCRIPT_NAME") and "//" not in path:
            app = apps.get("")
            if app is not None:
                if "HTTP_TRANSFER_ENCODING" in environ:
                    environ = fit(app, environ)
                return app(environ, start_response)
        found = self._find(urljoin(environ.get("SCRIPT_NAME") or "", path))
        # None, too, when another thread has taken it away since.
        app = None if found is None else apps.get(found[0])
        if found is None or app is None:
            start_response("404 Not Found", [])
            return []
        script_name, rest = found
        if script_name != environ.get("SCRIPT_NAME") or rest != path:
            environ = environ.copy()
            environ["SCRIPT_NAME"] = script_name
            environ["PATH_INFO"] = rest
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ = fit(app, environ)
        return app(environ, start_response)

    def _find(self, path: str) -> tuple[str, str] | None:
        script_name = self.script_name(path or "/")
        return None if script_name is None else (script_name, path[len(script_name) :])

    def foreign(self, path: str) -> tuple[Any, str, str] | None:
        """Return the graft for `path` if servers can ask it without WSGI, its mount point, the rest.

        Such a graft has a method `answer`. None, too, when somebody has wrapped the tree.
        """
        found = self._find(urljoin(path))
        graft = None if found is None else self.apps.get(found[0])
        if found is None or not hasattr(graft, "answer") or type(self).__call__ is not _CALL:
            return None
        return graft, *found

    def direct(self, path: str, turn: Any = None) -> Application | None:
        """Return the application for `path` if it can be asked without WSGI, else None.

        turn
            What is the same for all requests that had come when this one was taken up.

        None, too, when nothing is mounted there: calling the tree as a WSGI application answers.
        It cannot when it is some other WSGI callable, when its WSGI pipeline is not the usual one,
        when its mount point comes from the environment, or when somebody has wrapped what WSGI
        would call on the way, to see every request.
        """
        apps = self.apps
        app = apps.get("") if len(apps) == 1 else None
        if app is None:
            found = self.script_name(path or "/")
            app = None if found is None else apps.get(found)
        if not isinstance(app, Application):
            return None
        if app._direct is turn:
            return app
        if app._script_name is None:
            return None
        wsgi = app.wsgiapp
        touched = (
            type(app).__call__,
            type(self).__call__,
            wsgi.pipeline,
            wsgi.head,
            wsgi.config,
            wsgi.response_class,
            type(wsgi),
            CPWSGIApp.__call__,
            AppResponse.__init__,
        )
        if touched != _UNTOUCHED:
            return None
        if turn is not None:
            app._direct = turn
        return app


_CALL = Tree.__call__

# What WSGI would go through, as it is before anybody has put a finger on it. Agents wrap the calls
# on the classes, to see every request.
_UNTOUCHED: tuple[Any, ...] = (
    Application.__call__,
    Tree.__call__,
    CPWSGIApp.pipeline[:],
    None,
    {},
    AppResponse,
    CPWSGIApp,
    CPWSGIApp.__call__,
    AppResponse.__init__,
)
