"""Dispatch on the HTTP method: the verbs of a resource are the methods of an object."""

from __future__ import annotations

from typing import Any

from ..config import plan
from ..errors import HTTPError, NotFound
from ..serving import serving
from .handlers import LateParamPageHandler
from .objects import Dispatcher, _decoded

__all__ = ("MethodDispatcher",)


class MethodDispatcher(Dispatcher):
    """Finds the resource of a path as `Dispatcher` does, then its method named like the verb.

    An exposed class or object offers `GET`, `POST`, ...; HEAD falls back to GET. What it does not
    offer is answered with 405. Every answer has an `Allow` field.
    """

    def __call__(self, path_info: str) -> Any:
        """Set `request.handler` and `request.config` for a path, by the method of the request."""
        request = serving.request
        resource, vpath = self.find_handler(path_info)
        if resource is None:
            request.handler = NotFound()
            return
        serving.response.headers["Allow"] = ", ".join(_verbs(resource))
        method = request.method.upper()
        # By getattr on what was found, which may be a proxy put there by an agent.
        func = getattr(resource, method, None) if method.isupper() else None
        if func is None and method == "HEAD":
            func = getattr(resource, "GET", None)
        if not callable(func):
            request.handler = HTTPError(405)
            return
        conf = getattr(func, "_cp_config", None)
        if conf:
            found = request._plan
            if found is not None and request.config == found.config:
                request._plan = found = plan((found.config, conf))
                request.config = found.config.copy()
            else:  # somebody else has been at it
                request.config.update(conf)
        request.handler = LateParamPageHandler(func, *_decoded(vpath))


def _verbs(resource: Any) -> list[str]:
    """Return the methods a resource offers, sorted, HEAD with every GET."""
    cls = type(resource)
    if getattr(cls, "__dir__", None) is object.__dir__:
        # What dir() gives, without sorting the many names every object has.
        names = {name for base in cls.__mro__ for name in vars(base) if name.isupper()}
        names.update(name for name in getattr(resource, "__dict__", ()) if name.isupper())
    else:
        names = {name for name in dir(resource) if name.isupper()}
    verbs = {name for name in names if callable(getattr(resource, name, None))}
    if "GET" in verbs:
        verbs.add("HEAD")
    return sorted(verbs)
