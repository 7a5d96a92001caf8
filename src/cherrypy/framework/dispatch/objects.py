"""The default dispatcher: the path of a URL walks the attributes of the root object.

Law: the walk is done anew for each request, so whatever changes is seen by the next one; only
the merging of configuration is remembered, and checked (see `config.plan`).
"""

from __future__ import annotations

import string
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..config import plan
from ..errors import CherryPyError, NotFound
from ..serving import serving
from ..site import site
from .handlers import late_handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Dispatcher",)

#: `/a.b-c` finds `a_b_c`.
punctuation_to_underscores = str.maketrans(string.punctuation, "_" * len(string.punctuation))


def validate_translator(t: Any) -> None:
    """Raise ValueError if `t` is not a table for `str.translate`."""
    if not isinstance(t, dict):
        raise ValueError("The translate argument must be a dict.")


class Dispatcher:
    """Finds the page handler of a path in the tree of objects under `request.app.root`.

    `/a/b/c` is `root.a.b.c`, or `root.a.b.c.index`; failing these the nearest `default` or
    exposed object on the way gets the rest of the path as positional arguments.

    Args:
        dispatch_method_name: a method of that name on a node may say itself where the path
            leads, where no attribute does ('_cp_dispatch').
        translate: a table for `str.translate`, from path segments to attribute names.
    """

    dispatch_method_name = "_cp_dispatch"
    translate: dict[int, Any]

    def __init__(
        self,
        dispatch_method_name: str | None = None,
        translate: dict[int, Any] = punctuation_to_underscores,
    ) -> None:
        validate_translator(translate)
        self.translate = translate
        if dispatch_method_name:
            self.dispatch_method_name = dispatch_method_name

    def __call__(self, path_info: str) -> Any:
        """Set `request.handler`, `request.config` and `request.is_index` for a path."""
        # Through the class, whatever it has become: agents replace `find_handler` there.
        func, vpath = self.find_handler(path_info)
        if func is None:
            serving.request.handler = NotFound()
        else:
            args = tuple(_decoded(vpath)) if vpath else ()
            serving.request.handler = late_handler(func, args)

    def find_handler(self, path: str) -> tuple[Any, list[str]]:
        """Return the page for a path and the segments left over, or `(None, [])`.

        Sets `request.config` to the merged configuration and `request.is_index`. Segments keep
        `%2F` as it is.
        """
        request = serving.request
        app = request.app
        found = self._follow(path, app.root, app.config)
        if found is not None:
            handler, sources, rest, request.is_index = found
            merged = plan(tuple(sources), None, request._turn)
            if handler is None or "tools.staticdir.dir" not in merged.config:
                request._plan = merged
                request._config = None  # copied from the plan when somebody looks
                return handler, rest
        sources, trail, full = self._walk(path, app.root, app.config)
        total = len(full)
        for candidate, at, upto in reversed(trail):
            if candidate is None:
                continue
            # A method passes lookups on to its function, but slowly.
            attributes = candidate.__func__ if type(candidate) is MethodType else candidate
            handler = getattr(attributes, "default", None)
            if handler is not None and getattr(handler, "exposed", False):
                conf = getattr(handler, "_cp_config", None)
                if conf:
                    # Less specific than the sections of the path below it.
                    sources.insert(upto, conf)
                    trail = _with_default(trail, at, upto)
                request.is_index = path[-1:] == "/"
                break
            if getattr(attributes, "exposed", False):
                request.is_index = at == total
                handler = candidate
                break
        else:
            handler = None
        merged = plan(tuple(sources), None, request._turn)
        if "tools.staticdir.dir" in merged.config and (
            extra := _static_section(full, sources, trail)
        ):
            merged = plan((*sources, extra), None, request._turn)
        request._plan = merged
        request._config = None
        if handler is None:
            return None, []
        # Either the whole path is used (and perhaps `index`), or the rest are arguments.
        return handler, full[at:-1]

    def _follow(
        self, path: str, node: Any, sections: dict[str, dict[str, Any]]
    ) -> tuple[Any, list[dict[str, Any]], list[str], bool | None] | None:
        """Follow a path of which all is usual: attributes lead on, and the last of them is a page.

        Returns the page, the config dicts met, the segments left over, and whether it is an index;
        None as the page when nothing at all leads on from the root. None when there is more to it,
        which `_walk` knows all about.
        """
        sources: list[dict[str, Any]] = [site.config]
        if conf := getattr(node, "_cp_config", None):
            sources.append(conf)
        deep = False
        if sections:
            if conf := sections.get("/"):
                sources.append(conf)
            deep = len(sections) > ("/" in sections)
        names = _segments(path) if path != "/" else []
        names.append("index")
        where = ""
        page = None
        at = 0
        for name in names:
            if name != "index" and (
                not (name.isidentifier() or name.isalnum()) or name[:2] == "__"
            ):
                return None
            child = getattr(node, name, None)
            if child is None:
                break
            at += 1
            page = child
            node = child.__func__ if type(child) is MethodType else child
            if conf := getattr(node, "_cp_config", None):
                sources.append(conf)
            if deep:
                where += "/" + name
                if conf := sections.get(where):
                    sources.append(conf)
        if page is None:
            return self._nobody(node, names, sections if deep else {}, sources)
        if (
            self.translate is not punctuation_to_underscores
            or not getattr(node, "exposed", False)
            or getattr(node, "default", None) is not None
        ):
            return None
        total = len(names)
        if at == total:
            return page, sources, [], True
        rest = names[at:-1]
        if rest:
            if callable(getattr(node, self.dispatch_method_name, None)):
                return None
            if deep:
                for name in rest:
                    where += "/" + name
                    if where in sections:
                        return None
        return page, sources, rest, False

    def _nobody(
        self,
        root: Any,
        names: list[str],
        sections: dict[str, dict[str, Any]],
        sources: list[dict[str, Any]],
    ) -> tuple[None, list[dict[str, Any]], list[str], None] | None:
        """Return what `_follow` does for a path that only sections of the config may know.

        sources
            The config dicts met so far, those of the root.
        """
        if (
            self.translate is not punctuation_to_underscores
            or getattr(root, "exposed", False)
            or getattr(root, "default", None) is not None
            or callable(getattr(root, self.dispatch_method_name, None))
        ):
            return None
        trail: list[_Step] = [(root, 0, len(sources))]
        where = ""
        if sections:
            for at, name in enumerate(names, 1):
                where += "/" + name
                if conf := sections.get(where):
                    sources.append(conf)
                    trail.append((None, at, len(sources)))
        if len(sources) > 1 and (extra := _static_section(names, sources, trail)):
            sources.append(extra)
        return None, sources, [], None

    def _walk(
        self, path: str, node: Any, sections: dict[str, dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[_Step], list[str]]:
        """Follow `path` from `node`: the config dicts met, the steps, and all names to be taken.

        The walk ends where no attribute leads on, unless sections of the config go further.
        """
        sources: list[dict[str, Any]] = [site.config]
        if conf := getattr(node, "_cp_config", None):
            sources.append(conf)
        deep = False
        if sections:
            if conf := sections.get("/"):
                sources.append(conf)
            deep = len(sections) > ("/" in sections)
        trail = [(node, 0, len(sources))]
        names = full = _segments(path) if path != "/" else []
        full.append("index")
        total = len(full)
        at = 0
        where = ""
        translate = self.translate
        plain = translate is punctuation_to_underscores
        while at < total:
            start = at
            if node is None:
                # Nothing leads on any more, but sections of the config may go further.
                at += 1
                where += "/" + full[start]
                if conf := sections.get(where):
                    sources.append(conf)
                trail.append((None, at, len(sources)))
                continue
            name = names[at]
            at += 1
            child = None
            if not (plain and (name.isidentifier() or name.isalnum())):
                name = name.translate(translate)
            # Never `__wrapped__`, `__func__`: a path must not go around a decorator.
            if name[:2] != "__":
                child = getattr(node, name, None)
            if child is None and at < total:
                dispatch = getattr(node, self.dispatch_method_name, None)
                if callable(dispatch) and not getattr(dispatch, "exposed", False):
                    child, names, at = _ask(dispatch, names, start)
            if deep:
                if child is not None and (conf := getattr(child, "_cp_config", None)):
                    sources.append(conf)
                for segment in full[start:at]:
                    where += "/" + segment
                    if conf := sections.get(where):
                        sources.append(conf)
            elif child is None:
                break
            elif conf := getattr(
                child.__func__ if type(child) is MethodType else child, "_cp_config", None
            ):
                sources.append(conf)
            trail.append((child, at, len(sources)))
            node = child.__func__ if type(child) is MethodType else child
        return sources, trail, full


#: A node of the walk, the segments taken to get there, and the config dicts met so far.
_Step = tuple[Any, int, int]


def _segments(path: str) -> list[str]:
    segments = path.strip("/").split("/")
    return segments if "" not in segments else [segment for segment in segments if segment]


def _ask(dispatch: Callable[..., Any], names: list[str], start: int) -> tuple[Any, list[str], int]:
    """Let a node's own dispatch method lead on from the segment `start`.

    Returns the node, the names still to be looked up (in their places) and the next place.

    Raises:
        CherryPyError: the method added segments.
    """
    rest = names[start:-1]
    before = len(rest)
    child = dispatch(vpath=rest)
    if len(rest) > before:
        raise CherryPyError(
            "A vpath segment was added. Custom dispatchers may only remove elements. "
            f"While trying to process {names[start]} in {names[:-1]}"
        )
    # A method that took nothing has used the segment it was asked about.
    if len(rest) == before:
        del rest[0]
    return child, [*names[: len(names) - 1 - len(rest)], *rest, "index"], len(names) - 1 - len(rest)


def _with_default(trail: list[_Step], at: int, upto: int) -> list[_Step]:
    """Return the steps after one more config dict was put in behind a `default` page's node."""
    return [(node, taken, mark + (taken >= at)) for node, taken, mark in trail]


def _static_section(
    names: list[str], sources: list[dict[str, Any]], trail: list[_Step]
) -> dict[str, Any] | None:
    """Say which part of the path `tools.staticdir.dir` was configured for."""
    where = None
    done = 1  # the site's config names its own section
    for _, at, upto in trail:
        if upto > done:
            for conf in sources[done:upto]:
                if "tools.staticdir.dir" in conf:
                    where = at
                    break
                if "tools.staticdir.section" in conf:
                    where = None
            done = upto
    if where is None:
        return None
    section = "/" + "/".join(names[:where])
    found = _sections_of_static.get(section)
    if found is None:
        # The same one each time: plans are found by the identity of what they are made of.
        if len(_sections_of_static) >= _MAX_SECTIONS:
            _sections_of_static.clear()
        found = _sections_of_static[section] = {"tools.staticdir.section": section}
    return found


_sections_of_static: dict[str, dict[str, Any]] = {}
_MAX_SECTIONS = 1000


def _decoded(vpath: list[str]) -> list[str]:
    """Return segments with encoded slashes decoded: only now can they no longer be taken apart."""
    return [x.replace("%2F", "/").replace("%2f", "/") if "%" in x else x for x in vpath]
