"""What applications say about their handlers and ask about their URLs: expose, popargs, url."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, overload

from .serving import serving
from .site import site

__all__ = ("classproperty", "expose", "normalize_path", "popargs", "url")


_Target = TypeVar("_Target")
_Names = str | list[str] | tuple[str, ...] | set[str] | frozenset[str]


@overload
def expose(
    func: _Names | None = None, alias: _Names | None = None
) -> Callable[[_Target], _Target]: ...


@overload
def expose(func: _Target, alias: _Names | None = None) -> _Target: ...


def expose(func: Any = None, alias: Any = None) -> Any:
    """Make a function, a class or a callable a page handler; also a decorator.

    alias
        A further name, or several, for it in the class being defined. Dots become underscores.

    `@expose`, `@expose()`, `@expose('alias')`, `@expose(alias=['a', 'b'])` and, in a class body,
    `name = expose(func, 'alias')` all work.
    """
    if isinstance(func, (str, list, tuple, set, frozenset)):
        if alias is None:
            alias = func
        func = None

    def decorate(target: Any, depth: int = 1) -> Any:
        target.exposed = True
        if alias is not None:
            # The names of a class being defined are the locals of the frame that defines it.
            names = sys._getframe(depth).f_locals
            for name in (alias,) if isinstance(alias, str) else alias:
                names[name.replace(".", "_")] = target
        return target

    return decorate if func is None else decorate(func, 2)


def popargs(*args: str, handler: Any = None) -> Callable[..., Any]:
    """Take path segments as parameters: a decorator for controller classes.

    args
        The names to give to the next segments of the path.
    handler
        What goes on with the path: a callable or class that is called with the parameters, or an
        object; by default the controller itself.

    Also usable as `_cp_dispatch = popargs('year', 'month')` in a class body.
    """
    handler_call = callable(handler)

    def decorated(cls_or_self: Any = None, vpath: list[str] | None = None) -> Any:
        if isinstance(cls_or_self, type):
            cls_or_self._cp_dispatch = decorated  # type: ignore[attr-defined]  # is its purpose
            return cls_or_self
        assert vpath is not None
        found: dict[str, str] = {}
        for name in args:
            if not vpath:
                break
            found[name] = vpath.pop(0)
        if handler is not None:
            if handler_call:
                return handler(**found)
            serving.request.params.update(found)
            return handler
        serving.request.params.update(found)
        return getattr(cls_or_self, vpath.pop(0), None) if vpath else cls_or_self

    return decorated


def url(
    path: str = "",
    qs: Any = "",
    script_name: str | None = None,
    base: str | None = None,
    relative: bool | str | None = None,
) -> str:
    """Return the absolute URL of `path`.

    path
        Beginning with '/': within the application; else relative to the page being served.
    qs
        A query string, or a mapping or sequence of pairs that becomes one.
    script_name
        The mount point to use; by default that of the application being served.
    base
        Scheme and host, such as 'http://example.com'; by default those of the request.
    relative
        True: relative to the page being served. 'server': from the root of the server. None: as
        the application's `relative_urls` says. False: absolute.
    """
    if isinstance(qs, (tuple, list, dict)):
        from urllib.parse import urlencode

        qs = urlencode(qs)
    if qs:
        qs = "?" + qs
    request = serving.request
    if request.app:
        if not path.startswith("/"):
            path = _beside(request, path)
        if script_name is None:
            script_name = request.script_name
        if base is None:
            base = request.base
        newurl: str = base + script_name + _rooted(normalize_path(path)) + qs
    else:
        # Nobody is being served: all that is known is where the server listens.
        if base is None:
            base = site.server.base()
        newurl = base + _rooted(normalize_path((script_name or "") + path)) + qs
    if relative is None:
        relative = getattr(request.app, "relative_urls", False)
    if relative == "server":
        # Another slash, or what browsers take for one, would begin the name of a host.
        return "/" + "/".join(newurl.split("/", 3)[3:]).lstrip("/\\")
    if relative:
        link = _relative_to(url(relative=False), newurl)
        # Without a page to be relative to, it is the host and the path: no link, a name.
        return link if request.app else link.removeprefix("./")
    return newurl


def _rooted(path: str) -> str:
    """A path that begins with a slash, so that it cannot run into the host before it."""
    return path if not path or path[0] in "/?" else "/" + path


def _beside(request: Any, path: str) -> str:
    """`path` as seen from the page that is being served."""
    here = request.path_info
    if request.is_index is True:
        if not here.endswith("/"):
            here += "/"
    elif request.is_index is False and here.endswith("/") and here != "/":
        here = here[:-1]
    if path == "":
        return str(here)
    from urllib.parse import urljoin

    return urljoin(str(here), path)


def _relative_to(old: str, new: str) -> str:
    """`new` as seen from `old`: only what differs, with '..' for each step up."""
    steps = old.split("?", 1)[0].split("/")[:-1]
    goal = new.split("/")
    while steps and goal and steps[0] == goal[0]:
        steps.pop(0)
        goal.pop(0)
    link = "/".join([".."] * len(steps) + goal)
    # RFC 3986, 4.2: nothing in a path shall pass for a scheme, or for a host.
    if link[:1] in ("/", "\\") or ":" in link.partition("/")[0].partition("?")[0]:
        link = "./" + link
    return link


def normalize_path(path: str) -> str:
    """Resolve the '.' and '..' segments of `path`; it never climbs above its beginning."""
    if "./" not in path:
        return path
    atoms: list[str] = []
    for atom in path.split("/"):
        if atom == "..":
            # '/../..' stays at the root: nobody gets out of the application.
            if atoms:
                atoms.pop()
        elif atom and atom != ".":
            atoms.append(atom)
    newpath = "/".join(atoms)
    return "/" + newpath if path.startswith("/") else newpath


class _ClassPropertyDescriptor:
    """A property of a class rather than of its instances."""

    def __init__(self, fget: Any, fset: Any = None) -> None:
        self.fget = fget
        self.fset = fset

    def __get__(self, obj: Any, klass: Any = None) -> Any:
        return self.fget.__get__(obj, type(obj) if klass is None else klass)()


def classproperty(func: Callable[[Any], Any]) -> Any:
    """Make a method that takes the class a read-only property of the class."""
    if not isinstance(func, (classmethod, staticmethod)):
        func = classmethod(func)  # type: ignore[assignment]  # the descriptor calls it
    return _ClassPropertyDescriptor(func)
